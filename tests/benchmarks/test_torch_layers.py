"""torch_layers.py computes what network.py does; where TensorFlow and PyTorch are together."""
import itertools
import os

import numpy as np
import pytest

import network
from experiment import train_flags
from runtime import tf

torch = pytest.importorskip('torch', reason='PyTorch is in an environment of its own')

from benchmarks import torch_layers  # noqa: E402  where PyTorch is

ATTRIBUTES = {'beta': 'bias', 'gamma': 'weight', 'moving_mean': 'running_mean',
              'moving_variance': 'running_var', 'weights': 'weight', 'biases': 'bias'}


def copy_to(ours, theirs):
    """Copies variables, a list of (name, array), layer by layer; both make them in one order."""
    layers = [module for module in theirs.modules()
              if isinstance(module, (torch.nn.Conv2d, torch.nn.BatchNorm2d))]
    groups = [list(group) for _, group in itertools.groupby(
        ours, lambda pair: os.path.dirname(pair[0]))]
    assert len(groups) == len(layers)
    for group, layer in zip(groups, layers):
        for name, value in group:
            target = getattr(layer, ATTRIBUTES[os.path.basename(name)])
            value = torch.from_numpy(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value)
            assert target.shape == value.shape, name
            target.data.copy_(value)


@pytest.mark.parametrize('output_stride', [8, 16])
def test_logits_are_those_of_our_network_at_odd_and_even_sizes(output_stride):
    args = train_flags.parse(['--resnet_model', 'resnet_v2_50',
                              '--output_stride', str(output_stride)])
    args.number_of_classes = torch_layers.NUM_CLASSES
    random = np.random.RandomState(0)
    batches = [random.uniform(0, 255, shape).astype(np.float32)
               for shape in ((1, 65, 97, 3), (1, 64, 90, 3))]
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, None, None, 3])
        logits = network.deeplab_v3(images, network.options_of(args), False, None)
        variables = tf.global_variables()
        session.run(tf.global_variables_initializer())
        for variable in variables:  # of batch norm and biases, which would be 0 or 1
            if variable.shape.ndims == 1:
                variable.load(random.uniform(0.5, 1.5, variable.shape.as_list()), session)
        names = [variable.op.name for variable in variables]
        ours = list(zip(names, session.run(variables)))
        wanted = [session.run(logits, {images: batch}) for batch in batches]
    theirs = torch_layers.DeepLab('resnet_v2_50', output_stride).eval()
    copy_to(ours, theirs)
    for batch, logits in zip(batches, wanted):
        centered = torch.from_numpy(batch - np.float32(network.RGB_MEAN)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = theirs(centered).permute(0, 2, 3, 1).numpy()
        assert np.abs(found - logits).max() < 1e-3 * np.abs(logits).max()
