"""Tries settings of the recipe `scratch` on one GPU, by the same network in PyTorch.

    python benchmarks/recipe_trials.py --data camvid --output trials.jsonl --minutes 8
    python benchmarks/recipe_trials.py --output trials.jsonl --table

A run of train.py takes an hour on a CPU; a trial takes seconds on a large GPU, so that many
settings can be compared at an equal number of images seen. First each setting of `CHANGES` is
tried alone, then those that helped are added one by one, as long as the mean of the seeds rises.
Every trial is a line of --output, and is not run again.
"""
import functools
import glob
import json
import os
import statistics
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  behind PyTorch, which no environment here has
from benchmarks import torch_layers  # noqa: E402
from common import command_line  # noqa: E402

IGNORE_LABEL = 255
RGB_MEAN = (123.68, 116.78, 103.94)
WARM_UP_STEPS = 3  # before the step is captured
BASE = dict(optimizer='adam', rate=0.0005, policy='poly', warm_up=0.0, images=9312, batch_size=8,
            crop_size=257, scales=[0.5, 2.0], jitter=False, flip=True, aspp_relu=False,
            zero_residual=False, norm_decay=0.99, smoothing=0.0, class_weights=False, ema=0.0,
            weight_decay=1e-4, clip=0.0, output_stride=16)
CHANGES = [
    dict(rate=0.00025), dict(rate=0.001), dict(rate=0.002), dict(optimizer='sgd', rate=0.02),
    dict(optimizer='sgd', rate=0.05), dict(optimizer='sgd', rate=0.1), dict(batch_size=4),
    dict(batch_size=16), dict(crop_size=193), dict(crop_size=321), dict(scales=[0.75, 1.5]),
    dict(scales=[0.5, 1.5]), dict(scales=[0.75, 2.0]), dict(jitter=True), dict(flip=False),
    dict(aspp_relu=True), dict(zero_residual=True), dict(norm_decay=0.9), dict(norm_decay=0.997),
    dict(smoothing=0.1), dict(class_weights=True), dict(ema=0.99), dict(ema=0.999),
    dict(weight_decay=0.0), dict(weight_decay=1e-5), dict(weight_decay=1e-3), dict(clip=1.0),
    dict(warm_up=0.05), dict(policy='cosine'), dict(output_stride=8)]


def read(folder, device):
    """Reads train, trainannot, val and valannot: PNGs of one size, labels from 11 on are void.

    Returns:
      Dict from name to uint8 tensor on the device, and the number of classes.
    """
    data = {}
    for split in ('train', 'val'):
        for kind in ('', 'annot'):
            paths = sorted(glob.glob(os.path.join(folder, split + kind, '*.png')))
            data[split + kind] = torch.from_numpy(np.stack([
                np.array(Image.open(path) if kind else Image.open(path).convert('RGB'))
                for path in paths])).to(device)
        data[split + 'annot'][data[split + 'annot'] > 10] = IGNORE_LABEL
    return data, 11


def build_network(setting, num_classes, device):
    """The network of torch_layers.py with tf-slim's initialisation."""
    network = torch_layers.DeepLab('resnet_v2_50', setting['output_stride'])
    network.project[-1] = nn.Conv2d(256, num_classes, 1)
    if setting['aspp_relu']:
        for branch in [network.image_level, *network.branches, network.project[0]]:
            branch.append(nn.ReLU(inplace=True))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 1 - setting['norm_decay']
    if setting['zero_residual']:
        for module in network.modules():
            if isinstance(module, torch_layers.Unit):
                nn.init.zeros_(module.residual[-1].weight)
    network.postnorm.requires_grad_(False)
    return network.to(device, memory_format=torch.channels_last)


@functools.lru_cache(maxsize=None)
def mean_on(device):
    return torch.tensor(RGB_MEAN, device=device).view(1, 3, 1, 1)


def jitter(images):
    """Changes brightness, saturation, hue and contrast of [batch, 3, height, width] in 0..1."""
    def between(low, high):
        return low + torch.rand(len(images), 1, 1, 1, device=images.device) * (high - low)
    images = images + between(-32 / 255, 32 / 255)
    value = images.amax(1, keepdim=True)
    images = value - (value - images) * between(0.5, 1.5)
    # A hue is an angle around the axis of grey.
    angle, third = between(-0.2, 0.2) * (2 * np.pi), 1 / 3
    even = third * (1 - torch.cos(angle))
    odd = third ** 0.5 * torch.sin(angle)
    red, green, blue = images.split(1, 1)
    images = torch.cat([
        first * (torch.cos(angle) + even) + second * (even - odd) + last * (even + odd)
        for first, second, last in ((red, green, blue), (green, blue, red), (blue, red, green))], 1)
    mean = images.mean((2, 3), keepdim=True)
    return (mean + (images - mean) * between(0.5, 1.5)).clamp(0, 1)


def augment(images, labels, setting):
    """Scales, pads, crops, mirrors and colours, as preprocessing/augmentation.py does.

    Args:
      images: uint8 [batch, height, width, 3]. labels: uint8 [batch, height, width].

    Returns:
      float32 [batch, 3, crop, crop], the mean subtracted; int64 [batch, crop, crop].
    """
    def random():
        return torch.rand(len(images), device=images.device)
    images = images.permute(0, 3, 1, 2).float()
    if setting['jitter']:
        images = 255 * jitter(images / 255)
    images = images - mean_on(images.device)
    scale = setting['scales'][0] + random() * (setting['scales'][1] - setting['scales'][0])
    crop_size = setting['crop_size']
    mirror = torch.where(random() < 0.5, -1.0, 1.0) if setting['flip'] else torch.ones_like(scale)
    steps = torch.linspace(-1, 1, crop_size, device=images.device)
    axes = []
    for length, direction in ((images.shape[2], 1.0), (images.shape[3], mirror)):
        # The crop lies in the scaled image, or the scaled image in the crop.
        room = (length * scale - crop_size) * (random() - 0.5)
        middle = 2 * room / (length * scale)
        axes.append(middle[:, None] + steps * (crop_size / (length * scale) * direction)[:, None])
    grid = torch.stack([axes[1][:, None, :].expand(-1, crop_size, -1),
                        axes[0][:, :, None].expand(-1, -1, crop_size)], 3)
    images = functional.grid_sample(images, grid, 'bilinear', 'zeros', align_corners=True)
    # Zeros lie outside.
    labels = (labels.int() - IGNORE_LABEL).float()[:, None]
    labels = functional.grid_sample(labels, grid, 'nearest', 'zeros', align_corners=True)
    return (images.contiguous(memory_format=torch.channels_last),
            labels[:, 0].round().long() + IGNORE_LABEL)


def rates_of(setting, num_steps):
    """Returns float32 [steps], the learning rates; for Adam with its correction of the bias."""
    progress = np.arange(num_steps) / num_steps
    fall = (1 - progress) ** 0.9 if setting['policy'] == 'poly' else (
        1 + np.cos(np.pi * progress)) / 2
    rates = setting['rate'] * fall
    if setting['warm_up']:
        rates *= np.minimum(1, (progress + 1 / num_steps) / setting['warm_up'])
    if setting['optimizer'] == 'adam':
        steps = np.arange(1, num_steps + 1)
        rates *= np.sqrt(1 - 0.999 ** steps) / (1 - 0.9 ** steps)
    return torch.tensor(rates, dtype=torch.float32)


def weights_of(labels, num_classes):
    """Median-frequency weights, as training/class_weights.py counts them."""
    counts = torch.stack([(labels == index).sum((1, 2)) for index in range(num_classes)], 1)
    counts = counts.double()
    has = counts > 0
    valid = (labels != IGNORE_LABEL).sum((1, 2)).double()[:, None]
    frequency = counts.sum(0) / (valid * has).sum(0)
    return (frequency.nanmedian() / frequency).float().nan_to_num(0.0)  # of absent classes


class Trial:
    """One training; `step` runs one step, which CUDA replays from a graph once it is warm."""

    def __init__(self, setting, seed, data, num_classes, device):
        torch.manual_seed(seed)
        self.setting, self.device = setting, device
        self.images, self.labels = data['train'], data['trainannot']
        self.num_steps = setting['images'] // setting['batch_size']
        self.network = build_network(setting, num_classes, device).train()
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.average = None
        if setting['ema']:
            self.average = {name: value.detach().clone() for name, value
                            in self.network.state_dict().items() if value.is_floating_point()}
        self.class_weights = (weights_of(self.labels, num_classes) if setting['class_weights']
                              else None)
        needed = self.num_steps * setting['batch_size']
        passes = -(-needed // len(self.images))
        order = torch.cat([torch.randperm(len(self.images)) for _ in range(passes)])[:needed]
        self.order = order.view(self.num_steps, -1).to(device)
        self.rates = rates_of(setting, self.num_steps).to(device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss = torch.zeros((), device=device)

    def step(self):
        setting = self.setting
        chosen = self.order.index_select(0, self.counter)[0]
        rate = self.rates.index_select(0, self.counter)[0]
        images, labels = augment(self.images.index_select(0, chosen),
                                 self.labels.index_select(0, chosen), setting)
        with torch.autocast(self.device, torch.bfloat16, cache_enabled=False):
            logits = self.network(images)
        loss = functional.cross_entropy(logits.float(), labels, self.class_weights,
                                        ignore_index=IGNORE_LABEL,
                                        label_smoothing=setting['smoothing'])
        gradients = list(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters):
                if parameter.dim() == 4:  # of convolutions, as in the project
                    gradients[index] = gradients[index] + setting['weight_decay'] * parameter
            if setting['clip']:
                norm = torch.stack(torch._foreach_norm(gradients)).norm()
                torch._foreach_mul_(gradients, (setting['clip'] / (norm + 1e-6)).clamp(max=1))
            self.update(gradients, rate)
            self.loss.copy_(loss)
            if self.average:
                count = self.counter[0].float()
                keep = torch.clamp((1 + count) / (10 + count), max=setting['ema'])
                for name, value in self.network.state_dict().items():
                    if name in self.average:
                        self.average[name].lerp_(value, 1 - keep)
            self.counter += 1

    def update(self, gradients, rate):
        if self.setting['optimizer'] == 'sgd':
            torch._foreach_mul_(self.first, 0.9)
            torch._foreach_add_(self.first, gradients)
            updates = torch._foreach_mul(self.first, rate)
        else:
            torch._foreach_lerp_(self.first, gradients, 0.1)
            torch._foreach_mul_(self.second, 0.999)
            torch._foreach_addcmul_(self.second, gradients, gradients, 0.001)
            roots = torch._foreach_sqrt(self.second)
            torch._foreach_add_(roots, 1e-8)
            updates = torch._foreach_div(self.first, roots)
            torch._foreach_mul_(updates, rate)
        torch._foreach_sub_(self.parameters, updates)

    def run(self):
        """All steps. Returns float, the last loss."""
        if self.device != 'cuda':
            for _ in range(self.num_steps):
                self.step()
            return float(self.loss)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        for _ in range(self.num_steps - WARM_UP_STEPS):
            graph.replay()
        return float(self.loss)

    def mean_iou(self, data, num_classes):
        """Returns float, over the classes of the val split, at its size."""
        if self.average:
            self.network.load_state_dict(self.average, strict=False)
        self.network.eval()
        mean = mean_on(self.device)
        counts = torch.zeros(num_classes ** 2, device=self.device)
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16):
            for images, labels in zip(data['val'].split(5), data['valannot'].split(5)):
                logits = self.network(images.permute(0, 3, 1, 2).float() - mean)
                valid = labels != IGNORE_LABEL
                pairs = labels[valid].long() * num_classes + logits.argmax(1)[valid]
                counts += torch.bincount(pairs, minlength=num_classes ** 2)
        matrix = counts.view(num_classes, num_classes)
        union = matrix.sum(0) + matrix.sum(1) - matrix.diag()
        return float((matrix.diag()[union > 0] / union[union > 0]).mean())


class Book:
    """The trials of --output: looks them up, runs what is missing until the time is over."""

    def __init__(self, path, data, num_classes, device, seconds):
        self.path, self.data, self.device = path, data, device
        self.num_classes, self.end = num_classes, time.time() + seconds
        self.known = {}
        for entry in entries_of(path):
            self.known[key_of(entry['setting'], entry['seed'])] = entry['mean_iou']

    def score(self, changes, seeds):
        """Returns float, the mean over seeds; raises TimeoutError."""
        setting = dict(BASE, **changes)
        return statistics.mean(self.score_of(setting, seed) for seed in range(seeds))

    def score_of(self, setting, seed):
        if key_of(setting, seed) not in self.known:
            if time.time() > self.end:
                raise TimeoutError
            start = time.time()
            trial = Trial(setting, seed, self.data, self.num_classes, self.device)
            loss = trial.run()
            mean_iou = trial.mean_iou(self.data, self.num_classes)
            entry = {'setting': setting, 'seed': seed, 'mean_iou': round(mean_iou, 4),
                     'loss': round(loss, 4), 'seconds': round(time.time() - start, 1)}
            print(json.dumps(entry), flush=True)
            with open(self.path, 'a') as book:
                book.write(json.dumps(entry) + '\n')
            self.known[key_of(setting, seed)] = mean_iou
        return self.known[key_of(setting, seed)]


def key_of(setting, seed):
    return json.dumps([setting, seed], sort_keys=True)


def entries_of(path):
    """Returns the lines of --output, a list of dict."""
    if not os.path.exists(path):
        return []
    with open(path) as book:
        return [json.loads(line) for line in book]


def search(book, seeds):
    """Tries each change alone, then adds those that help; raises TimeoutError."""
    base = book.score({}, 1)
    gains = sorted(((book.score(change, 1) - base, change) for change in CHANGES),
                   key=lambda pair: -pair[0])
    best, chosen = book.score({}, seeds), {}
    for gain, change in gains:
        if gain > 0 and not set(change) & set(chosen) - {'rate'}:
            score = book.score(dict(chosen, **change), seeds)
            if score > best:
                best, chosen = score, dict(chosen, **change)
                print('kept %s: %.4f' % (chosen, best), flush=True)
    longer = dict(chosen, images=2 * BASE['images'])
    print('twice as long: %.4f' % book.score(longer, seeds))


def table(path):
    """Prints a table of the settings, the best first."""
    found = {}
    for entry in entries_of(path):
        changes = {name: value for name, value in entry['setting'].items() if value != BASE[name]}
        found.setdefault(json.dumps(changes), []).append(entry['mean_iou'])
    base = statistics.mean(found['{}'])
    print('| setting | mIoU, mean | over the base | lowest to highest | seeds |')
    print('| --- | --- | --- | --- | --- |')
    for changes, scores in sorted(found.items(), key=lambda pair: -statistics.mean(pair[1])):
        text = ', '.join('%s %s' % pair for pair in json.loads(changes).items()) or '**base**'
        print('| %s | %.3f | %+.3f | %.3f to %.3f | %d |' % (
            text, statistics.mean(scores), statistics.mean(scores) - base, min(scores),
            max(scores), len(scores)))


def main(argv=None):
    parser = command_line.Parser(description=__doc__)
    parser.add_argument('--data', help='a folder with train, trainannot, val and valannot')
    parser.add_argument('--output', required=True)
    parser.add_argument('--minutes', type=float, default=60)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--table', action='store_true', help='print what was found, and run none')
    args = parser.parse_args(argv)
    if args.table:
        return table(args.output)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.backends.cudnn.benchmark = True
    data, num_classes = read(args.data, device)
    try:
        search(Book(args.output, data, num_classes, device, 60 * args.minutes), args.seeds)
    except TimeoutError:
        print('The time is over; the same command goes on.')


if __name__ == '__main__':
    main()
