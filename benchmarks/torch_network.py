"""The same network in PyTorch, timed by benchmarks/speed.py, which checks its parameters' number.

    PYTHON benchmarks/torch_network.py '{"task": "training", "way": "bf16", ...}'
"""
import json
import os
import sys

import torch
from torch.nn import functional

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchmarks import torch_layers, turns  # noqa: E402

IGNORE_LABEL = 255


def build(setting):
    """Builds a step, as `own_network.build`; way is 'fp32', 'bf16' or 'bf16 compiled'."""
    torch.manual_seed(0)
    network = torch_layers.DeepLab(setting['resnet_model'], setting['output_stride']).to(
        memory_format=torch.channels_last)
    is_training = setting['task'] == 'training'
    network.train(is_training)
    about = {'parameters': sum(parameter.numel() for parameter in network.parameters()),
             'torch': torch.__version__}
    shape = [setting['crop_size']] * 2
    images = torch.rand(setting['batch_size'], 3, *shape).contiguous(
        memory_format=torch.channels_last)
    labels = torch.zeros([setting['batch_size']] + shape, dtype=torch.int64)
    # The post's weight decay, which is a part of the loss there.
    optimizer = torch.optim.Adam(network.parameters(), 1e-5, weight_decay=1e-4)
    run = torch.compile(network) if 'compiled' in setting['way'] else network
    bfloat16 = torch.autocast('cpu', torch.bfloat16, enabled='bf16' in setting['way'])

    def train():
        with bfloat16:
            logits = run(images)
        loss = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORE_LABEL)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def infer():
        with torch.inference_mode(), bfloat16:
            run(images).argmax(1)

    return (train if is_training else infer), about


if __name__ == '__main__':
    turns.serve(*build(json.loads(sys.argv[1])))
