"""Training-time distortions on the device that trains: preprocessing/augmentation.py in PyTorch.

A batch at a time, and only the pixels of its crops; with the same random numbers the crops are the
same (tests/benchmarks/test_torch_distortions.py).
"""
from typing import NamedTuple

import torch

from benchmarks import packed_pairs
from preprocessing import augmentation

IGNORE_LABEL = packed_pairs.IGNORE_LABEL
NUM_RANDOM = 11  # for each crop
MEAN_GRID = 64  # an image's mean colour is that of so many of its rows and columns


class DevicePairs(NamedTuple):
    """`packed_pairs.Pairs` as tensors of a device."""
    images: torch.Tensor
    labels: torch.Tensor
    sizes: torch.Tensor


def to_device(pairs, device):
    """Returns the `DevicePairs` of `packed_pairs.Pairs`."""
    return DevicePairs(*[torch.from_numpy(array).to(device) for array in pairs])


def source_places(crop_length, lengths, scales, pad_fractions, crop_fractions, mirrored=None):
    """Where the pixels of crops lie in their images, along one axis.

    Args:
      crop_length: int.
      lengths: int64 [batch], of the images.
      scales, pad_fractions, crop_fractions: float32 [batch], as in `augmentation.augment`.
      mirrored: None, or bool [batch].

    Returns:
      (float32 [batch, crop_length] in 0..length - 1; bool of that shape, false in the padding).
    """
    lengths = lengths.float()
    scaled = torch.round(lengths * scales).clamp(min=1)
    missing = (crop_length - scaled).clamp(min=0)
    before = torch.floor(pad_fractions * (missing + 1))
    offset = torch.floor(crop_fractions * (scaled + missing - crop_length + 1))
    pixels = torch.arange(crop_length, device=lengths.device).float().expand(len(lengths), -1)
    if mirrored is not None:
        pixels = torch.where(mirrored[:, None], crop_length - 1 - pixels, pixels)
    places = pixels + (offset - before)[:, None]
    is_inside = (places >= 0) & (places < scaled[:, None])
    # The corners of image and scaled image are aligned.
    places = places * ((lengths - 1) / (scaled - 1).clamp(min=1))[:, None]
    return torch.minimum(places.clamp(min=0), (lengths - 1)[:, None]), is_inside


def sample_bilinear(images, chosen, y, x):
    """Returns float32 [batch, rows, columns, 3], images at y [batch, rows], x [batch, columns]."""
    index = chosen[:, None, None]
    top, left = y.long(), x.long()
    bottom, right = torch.ceil(y).long(), torch.ceil(x).long()
    (upper_left, upper_right), (lower_left, lower_right) = [
        [images[index, rows[:, :, None], columns[:, None, :]].float() for columns in (left, right)]
        for rows in (top, bottom)]
    from_left, from_top = (x - left)[:, None, :, None], (y - top)[:, :, None, None]
    upper = upper_left + (upper_right - upper_left) * from_left
    lower = lower_left + (lower_right - lower_left) * from_left
    return upper + (lower - upper) * from_top


def _saturated(pixels, factor):
    """Multiplies the saturation of HSV, which ends at 1."""
    value, chroma = pixels.amax(-1, keepdim=True), _chroma(pixels)
    wanted = value * (factor * chroma / value.clamp(min=1e-9)).clamp(max=1) * (value > 0)
    return value - (value - pixels) * (wanted / chroma.clamp(min=1e-9))


def _chroma(pixels):
    return pixels.amax(-1, keepdim=True) - pixels.amin(-1, keepdim=True)


def _turned(pixels, turn):
    """Turns the hue of HSV by a share of the circle."""
    value, chroma = pixels.amax(-1, keepdim=True), _chroma(pixels)
    red, green, blue = pixels.split(1, -1)
    sixths = torch.where(value == red, green - blue, torch.where(
        value == green, blue - red + 2 * chroma, red - green + 4 * chroma))
    hue = sixths / chroma.clamp(min=1e-9) + 6 * turn
    return torch.cat([value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1)
                      for distance in ((shift + hue) % 6 for shift in (5, 3, 1))], -1)


def jitter(pixels, others, fractions, orders):
    """Changes colours as `augmentation.jitter_color` does.

    Args:
      pixels: float32 [batch, rows, columns, 3] in 0..255.
      others: float32 [batch, rows, columns, 3], pixels of all of the image, for its mean.
      fractions: float32 [batch, 4], as there.
      orders: int64 [batch], indices into `augmentation.JITTER_ORDERS`.

    Returns:
      float32 as `pixels`.
    """
    def between(index, low, high):
        return (low + fractions[:, index] * (high - low))[:, None, None, None]

    brightness = between(0, -1, 1) * (augmentation.MAX_BRIGHTNESS_DELTA / 255)
    saturation = between(1, *augmentation.SATURATION_RANGE)
    turn = between(2, -1, 1) * augmentation.MAX_HUE_DELTA
    contrast = between(3, *augmentation.CONTRAST_RANGE)
    changes = {'brightness': lambda colors, mean: colors + brightness,
               'saturation': lambda colors, mean: _saturated(colors, saturation),
               'hue': lambda colors, mean: _turned(colors, turn),
               'contrast': lambda colors, mean: mean + (colors - mean) * contrast}
    results = []
    for names in augmentation.JITTER_ORDERS:
        changed, whole = pixels / 255, others / 255
        for name in names:
            mean = whole.mean((1, 2), keepdim=True)
            changed, whole = [changes[name](colors, mean) for colors in (changed, whole)]
        results.append(255 * changed.clamp(0, 1))
    return torch.stack(results)[orders, torch.arange(len(orders), device=orders.device)]


def augment(pairs, chosen, random, setting, mean_color):
    """Cuts distorted crops as `augmentation.augment` does with the same random numbers.

    With the jitter alone they differ, by what the mean colour of `MEAN_GRID` squared pixels is
    from that of the scaled image.

    Args:
      pairs: `DevicePairs`.
      chosen: int64 [batch], which of them.
      random: float32 [batch, NUM_RANDOM] in [0, 1).
      setting: `Setting`.
      mean_color: float32 [3], what is subtracted.

    Returns:
      images float32 [batch, 3, height, width], channels last, 0 in the padding;
      labels int64 [batch, height, width].
    """
    sizes = pairs.sizes[chosen]
    scales = setting.min_scale + random[:, 0] * (setting.max_scale - setting.min_scale)
    mirrored = random[:, 9] < 0.5 if setting.random_flip else None
    height, width = (setting.crop_size if isinstance(setting.crop_size, (list, tuple))
                     else (setting.crop_size,) * 2)
    y, in_rows = source_places(height, sizes[:, 0], scales, random[:, 5], random[:, 7])
    x, in_columns = source_places(width, sizes[:, 1], scales, random[:, 6], random[:, 8], mirrored)
    pixels = sample_bilinear(pairs.images, chosen, y, x)
    if setting.color_jitter:
        grid = (torch.arange(MEAN_GRID, device=random.device) + 0.5) / MEAN_GRID
        rows, columns = [(grid * sizes[:, axis, None]).long() for axis in (0, 1)]
        others = pairs.images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]].float()
        orders = (random[:, 10] * len(augmentation.JITTER_ORDERS)).long()
        pixels = jitter(pixels, others, random[:, 1:5], orders)
    # Nearest, and half away from zero.
    labels = pairs.labels[chosen[:, None, None], torch.floor(y + 0.5).long()[:, :, None],
                          torch.floor(x + 0.5).long()[:, None, :]].long()
    is_inside = in_rows[:, :, None] & in_columns[:, None, :]
    images = (pixels - mean_color) * is_inside[..., None]
    return images.permute(0, 3, 1, 2), labels.masked_fill(~is_inside, IGNORE_LABEL)
