"""One training of torch_layers.py on a GPU, from the augmentation to the mean IoU of a split.

What train.py does, in bfloat16: pairs stay on the device, are distorted there, and a step, which
is many small kernels, is captured once as a CUDA graph and replayed. Elsewhere, as in tests, the
same step runs as it is. Random numbers are drawn before the first step, so that equal seeds see
equal crops in the same order.
"""
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import metrics
from benchmarks import torch_layers
from benchmarks.torch_distortions import IGNORE_LABEL, NUM_RANDOM, augment
from network import RGB_MEAN

WARM_UP_STEPS = 3  # before a step is captured: cuDNN chooses its algorithms meanwhile
EVALUATED_AT_ONCE = 10
MOMENTUM, BETA1, BETA2, EPSILON, POLY_POWER = 0.9, 0.9, 0.999, 1e-8, 0.9  # as in train.py


class Setting(NamedTuple):
    """What a trial is: flags of train.py under their names, and what may become one.

    Attributes:
      num_images: int, crops seen, whatever the batch size.
      crop_size: int, or [height, width].
      warmup_fraction: float, the share of the steps in which the rate rises.
      class_weights: 'none' or 'median_frequency'.
      zero_residual: bool, whether each unit's last convolution starts at 0, and the unit as its
        shortcut: the pre-activation unit ends without a batch norm whose scale could.
      logits_std: None for the initialisation of all convolutions, or float, that of a normal one.
      clip_norm: float, of all gradients together, those of the weight decay included; 0: none.
    """
    optimizer: str = 'adam'
    starting_learning_rate: float = 0.0005
    learning_rate_policy: str = 'poly'
    warmup_fraction: float = 0.0
    num_images: int = 9312
    batch_size: int = 8
    crop_size: object = 257
    min_scale: float = 0.5
    max_scale: float = 2.0
    random_flip: bool = True
    color_jitter: bool = False
    output_stride: int = 16
    aspp_relu: bool = False
    zero_residual: bool = False
    logits_std: object = None
    batch_norm_decay: float = 0.99
    l2_regularizer: float = 1e-4
    clip_norm: float = 0.0
    class_weights: str = 'none'
    label_smoothing: float = 0.0
    hard_example_fraction: float = 1.0
    ema_decay: float = 0.0


def build_network(setting, num_classes, model='resnet_v2_50'):
    """Returns `torch_layers.DeepLab` of the current device, with tf-slim's initialisation.

    Weights are normal with the variance 2 / fan-in, cut off at two standard deviations (slim's
    `variance_scaling_initializer`), biases 0.
    """
    network = torch_layers.DeepLab(model, setting.output_stride, num_classes, setting.aspp_relu)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            std = math.sqrt(1.3 * 2.0 / module.weight[0].numel())
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0 - setting.batch_norm_decay
    if setting.zero_residual:
        for module in network.modules():
            if isinstance(module, torch_layers.Unit):
                nn.init.zeros_(module.residual[-1].weight)
    if setting.logits_std is not None:
        nn.init.normal_(network.project[-1].weight, std=setting.logits_std)
    network.postnorm.requires_grad_(False)  # has no gradient
    return network.to(memory_format=torch.channels_last)


def learning_rates(setting, num_steps):
    """Returns float32 [num_steps], the rate of each step; Adam's has its correction of the bias."""
    progress = np.arange(num_steps) / num_steps
    falls = {'constant': np.ones(num_steps), 'poly': (1 - progress) ** POLY_POWER,
             'cosine': (1 + np.cos(np.pi * progress)) / 2}
    rates = setting.starting_learning_rate * falls[setting.learning_rate_policy]
    warmup_steps = max(1, round(setting.warmup_fraction * num_steps))
    steps = np.arange(1, num_steps + 1)
    rates *= np.minimum(1.0, steps / warmup_steps)
    if setting.optimizer == 'adam':
        rates *= np.sqrt(1 - BETA2 ** steps) / (1 - BETA1 ** steps)
    return torch.tensor(rates, dtype=torch.float32)


def cross_entropy(logits, labels, setting, class_weights):
    """Mean as of `losses.masked_cross_entropy`, smoothed with `setting.label_smoothing`.

    Args:
      logits: float32 [batch, classes, height, width].
      labels: int64 [batch, height, width].
      setting: `Setting`.
      class_weights: float32 [classes].

    Returns:
      float32 scalar.
    """
    valid = labels != IGNORE_LABEL
    weights = class_weights[labels.masked_fill(~valid, 0)] * valid
    entropies = weights * functional.cross_entropy(
        logits, labels, ignore_index=IGNORE_LABEL, reduction='none',
        label_smoothing=setting.label_smoothing)
    if setting.hard_example_fraction < 1:
        num_hard = torch.ceil(setting.hard_example_fraction * valid.sum()).long().clamp(min=1)
        falling = entropies.detach().flatten().sort(descending=True).values
        is_hard = entropies >= falling.index_select(0, num_hard.reshape(1) - 1)
        entropies, weights = entropies * is_hard, weights * is_hard
    return entropies.sum() / weights.sum().clamp(min=1e-9)


class Optimizer:
    """TensorFlow's Adam or momentum; all its state is on the device, so that a graph can hold it.

    Args:
      parameters: list of `nn.Parameter`.
      setting: `Setting`.
    """

    def __init__(self, parameters, setting):
        self._parameters, self._setting = parameters, setting
        self._weights = [index for index, parameter in enumerate(parameters)
                         if parameter.dim() == 4]
        self._first, self._second = [[torch.zeros_like(parameter) for parameter in parameters]
                                     for _ in range(2)]

    def update(self, gradients, rate):
        """Changes the parameters.

        Args:
          gradients: list of float32 tensors, of the loss without its weight decay.
          rate: float32 scalar tensor, see `learning_rates`.
        """
        torch._foreach_add_([gradients[index] for index in self._weights],
                            [self._parameters[index] for index in self._weights],
                            alpha=self._setting.l2_regularizer)
        if self._setting.clip_norm:
            norm = torch.stack(torch._foreach_norm(gradients)).norm()
            torch._foreach_mul_(gradients, (self._setting.clip_norm / norm).clamp(max=1))
        if self._setting.optimizer == 'momentum':
            torch._foreach_mul_(self._first, MOMENTUM)
            torch._foreach_add_(self._first, gradients)
            changes = torch._foreach_mul(self._first, rate)
        else:
            torch._foreach_lerp_(self._first, gradients, 1 - BETA1)
            torch._foreach_mul_(self._second, BETA2)
            torch._foreach_addcmul_(self._second, gradients, gradients, 1 - BETA2)
            roots = torch._foreach_sqrt(self._second)
            torch._foreach_add_(roots, EPSILON)
            changes = torch._foreach_div(self._first, roots)
            torch._foreach_mul_(changes, rate)
        torch._foreach_sub_(self._parameters, changes)


class Trial:
    """A training from random weights.

    Args:
      setting: `Setting`.
      seed: int.
      train: `DevicePairs`.
      num_classes: int.
      class_weights: float32 [classes], on the same device.
      model: str, of `torch_layers.UNITS`.
    """

    def __init__(self, setting, seed, train, num_classes, class_weights, model='resnet_v2_50'):
        torch.manual_seed(seed)
        self._setting, self._train, self._class_weights = setting, train, class_weights
        self._device = train.labels.device
        with self._device:
            self._network = build_network(setting, num_classes, model).train()
            self._parameters = [parameter for parameter in self._network.parameters()
                                if parameter.requires_grad]
            self._optimizer = Optimizer(self._parameters, setting)
            self._finished = torch.zeros([], dtype=torch.int64)
            self._loss = torch.zeros([])
            self._mean_color = torch.tensor(RGB_MEAN)
        self._kept = [value for value in self._network.state_dict().values()
                      if value.is_floating_point()]
        self._averages = [value.clone() for value in self._kept] if setting.ema_decay else []
        self.num_steps = setting.num_images // setting.batch_size
        self.num_finished = 0
        self._draw(len(train.labels))
        self._stream = self._graph = None

    def _draw(self, num_pairs):
        """Draws the order of the pairs, epoch by epoch, and what distorts them."""
        num_crops = self.num_steps * self._setting.batch_size
        order = torch.cat([torch.randperm(num_pairs) for _ in range(-(-num_crops // num_pairs))])
        shape = [self.num_steps, self._setting.batch_size]
        self._chosen = order[:num_crops].reshape(shape).to(self._device)
        self._random = torch.rand(shape + [NUM_RANDOM]).to(self._device)
        self._rates = learning_rates(self._setting, self.num_steps).to(self._device)

    def _step(self):
        """Trains on one batch; reads and writes nothing but tensors of the device."""
        now = self._finished.reshape(1)
        chosen, random, rate = [table.index_select(0, now)[0]
                                for table in (self._chosen, self._random, self._rates)]
        images, labels = augment(self._train, chosen, random, self._setting, self._mean_color)
        # Its cache of 16-bit weights would outlive a captured step.
        with torch.autocast(self._device.type, torch.bfloat16, cache_enabled=False):
            logits = self._network.coarse_logits(images)
        logits = functional.interpolate(logits.float(), labels.shape[1:], mode='bilinear',
                                        align_corners=True)
        loss = cross_entropy(logits, labels, self._setting, self._class_weights)
        gradients = list(torch.autograd.grad(loss, self._parameters))
        with torch.no_grad():
            self._optimizer.update(gradients, rate)
            self._loss.copy_(loss)
            if self._averages:
                # Early steps average over few, as tf.train.ExponentialMovingAverage has it.
                decay = ((1.0 + self._finished) / (10.0 + self._finished)).clamp(
                    max=self._setting.ema_decay)
                changes = torch._foreach_sub(self._kept, self._averages)
                torch._foreach_mul_(changes, 1 - decay)
                torch._foreach_add_(self._averages, changes)
            self._finished += 1

    def start(self):
        """Runs the first steps and captures one, where the device is a GPU."""
        if self._device.type != 'cuda':
            return
        torch.backends.cudnn.benchmark = True
        # A stream of its own lets the graphs of several trials run at once.
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UP_STEPS):
                self._step()
        torch.cuda.synchronize()
        self.num_finished = WARM_UP_STEPS
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._step()

    def advance(self):
        """Runs one step; on a GPU without waiting for it."""
        if self._graph is None:
            self._step()
        else:
            with torch.cuda.stream(self._stream):
                self._graph.replay()
        self.num_finished += 1

    def loss(self):
        """Returns float, the cross-entropy of the last batch."""
        return float(self._loss)

    def mean_iou(self, pairs):
        """Evaluates the network, or its averages, in float32 and at the images' own sizes.

        Args:
          pairs: `DevicePairs`.

        Returns:
          float, as `metrics.scores`.
        """
        torch.backends.cudnn.benchmark = False  # takes longer than it saves here
        for value, average in zip(self._kept, self._averages):
            value.copy_(average)
        self._network.eval()
        num_classes = len(self._class_weights)
        matrix = torch.zeros(num_classes ** 2, dtype=torch.int64, device=self._device)
        is_even = bool((pairs.sizes == pairs.sizes[0]).all())
        size = EVALUATED_AT_ONCE if is_even else 1
        with torch.inference_mode():
            for start in range(0, len(pairs.labels), size):
                height, width = pairs.sizes[start].tolist()
                images, labels = [values[start:start + size, :height, :width]
                                  for values in (pairs.images, pairs.labels)]
                logits = self._network((images.float() - self._mean_color).permute(0, 3, 1, 2))
                valid = labels != IGNORE_LABEL
                matrix += torch.bincount(labels[valid].long() * num_classes
                                         + logits.argmax(1)[valid], minlength=num_classes ** 2)
        return metrics.scores(matrix.reshape(num_classes, -1).cpu().numpy()).mean_iou


def run_together(trials, validation):
    """Trains several at a time, step by step, and evaluates them.

    Args:
      trials: list of `Trial`.
      validation: `DevicePairs`.

    Yields:
      (float, mean IoU; float, loss of the last batch) of each in turn.
    """
    for trial in trials:
        trial.start()
    for _ in range(max(trial.num_steps for trial in trials)):
        for trial in trials:
            if trial.num_finished < trial.num_steps:
                trial.advance()
    if trials[0]._device.type == 'cuda':
        torch.cuda.synchronize()
    for trial in trials:
        yield trial.mean_iou(validation), trial.loss()
