"""Recipes: named sets of defaults for the flags of `train.py`, each of which can be overridden.

Free of TensorFlow.
"""

# The post's defaults.
_POST = {
    'optimizer': 'adam',
    'learning_rate_policy': 'constant',
    'starting_learning_rate': 0.00001,
    'batch_size': 8,
    'batch_norm_decay': 0.9997,
    'color_jitter': True,
}

# The paper's, section 4.1. Weight decay is that of the public re-implementations.
_PAPER = {
    'optimizer': 'momentum',
    'momentum': 0.9,
    'learning_rate_policy': 'poly',
    'starting_learning_rate': 0.007,
    'batch_size': 16,
    'max_steps': 30000,
    'batch_norm_decay': 0.9997,
    'l2_regularizer': 0.0001,
    'color_jitter': False,
}

RECIPES = {
    'post': _POST,
    # What the post's code does where this project deviates from it by default: see the
    # table in README.md.
    'post_code': dict(_POST, l2_regularizer=0.0, aspp_rates=[6, 12, 18], align_corners=False,
                      align_scaling=False, crop_position='center', padding='zero',
                      best_metric='running_loss'),
    'paper': _PAPER,
    'paper_stage2': dict(_PAPER, freeze_batch_norm=True, output_stride=8,
                         starting_learning_rate=0.001),
}
DEFAULT = 'post'

DESCRIPTIONS = {
    'post': "the post's training",
    'post_code': 'what its code does where this project deviates by default',
    'paper': "the paper's stage one",
    'paper_stage2': 'its stage two, from the weights of stage one (--init_from)',
}
