"""DeepLab v3 in PyTorch: layer by layer what network.py builds, with as many parameters.

ResNet v2 with its stride in the last unit of a block, multi-grid (1, 2, 4), ASPP without ReLU.
With the same weights both have the same logits (tests/benchmarks/test_torch_layers.py).
"""
import math

import torch
from torch import nn
from torch.nn import functional

UNITS = {'resnet_v2_50': (3, 4, 6, 3), 'resnet_v2_101': (3, 4, 23, 3)}
NUM_CLASSES = 21


def conv_bn(inputs, outputs, size, rate=1, stride=1, relu=True):
    layers = [nn.Conv2d(inputs, outputs, size, stride, rate * (size // 2), rate, bias=False),
              nn.BatchNorm2d(outputs, eps=1e-5)]
    return nn.Sequential(*layers + [nn.ReLU(inplace=True)] * relu)


class SamePool(nn.Module):
    """TensorFlow's 3x3 max pooling of stride 2: 'SAME' pads even sizes behind alone."""

    def forward(self, net):
        height, width = net.shape[2:]
        padding = (width % 2, 1, height % 2, 1)
        return functional.max_pool2d(functional.pad(net, padding, value=-math.inf), 3, 2)


class Unit(nn.Module):
    def __init__(self, inputs, depth, stride, rate):
        super().__init__()
        self.preact = nn.Sequential(nn.BatchNorm2d(inputs, eps=1e-5), nn.ReLU(inplace=True))
        self.shortcut = nn.Conv2d(inputs, 4 * depth, 1, stride) if inputs != 4 * depth else None
        self.stride = stride
        self.residual = nn.Sequential(conv_bn(inputs, depth, 1),
                                      conv_bn(depth, depth, 3, rate, stride),
                                      nn.Conv2d(depth, 4 * depth, 1))

    def forward(self, net):
        preact = self.preact(net)
        if self.shortcut:
            shortcut = self.shortcut(preact)
        else:
            shortcut = net[:, :, ::self.stride, ::self.stride]
        return shortcut + self.residual(preact)


class DeepLab(nn.Module):
    def __init__(self, model, output_stride):
        super().__init__()
        self.output_stride = output_stride
        layers = [nn.Conv2d(3, 64, 7, 2, 3), SamePool()]
        channels, stride, rate = 64, 4, 1
        for block, num_units in enumerate(UNITS[model]):
            depth = 64 * 2 ** block
            for unit in range(num_units):
                wanted = 2 if block < 3 and unit == num_units - 1 else 1
                is_dense = stride * wanted > output_stride
                grid = 2 ** unit if block == 3 else 1
                layers.append(Unit(channels, depth, 1 if is_dense else wanted, rate * grid))
                channels = 4 * depth
                rate, stride = (rate * wanted, stride) if is_dense else (rate, stride * wanted)
        self.backbone = nn.Sequential(*layers)
        self.postnorm = nn.BatchNorm2d(channels)  # not a part of the logits there either
        self.image_level = conv_bn(channels, 256, 1, relu=False)
        self.branches = nn.ModuleList(
            [conv_bn(channels, 256, 1, relu=False)]
            + [conv_bn(channels, 256, 3, factor * 96 // output_stride, relu=False)
               for factor in (1, 2, 3)])
        self.project = nn.Sequential(conv_bn(5 * 256, 256, 1, relu=False),
                                     nn.Conv2d(256, NUM_CLASSES, 1))

    def forward(self, images):
        height, width = images.shape[2:]
        behind = (0, (1 - width) % self.output_stride, 0, (1 - height) % self.output_stride)
        if any(behind):  # as network.on_grid does
            images = functional.pad(images, behind, mode='replicate')
        net = self.backbone(images)
        pooled = self.image_level(net.mean((2, 3), keepdim=True)).expand(-1, -1, *net.shape[2:])
        net = torch.cat([pooled] + [branch(net) for branch in self.branches], 1)
        logits = functional.interpolate(self.project(net), images.shape[2:], mode='bilinear',
                                        align_corners=True)
        return logits[:, :, :height, :width]
