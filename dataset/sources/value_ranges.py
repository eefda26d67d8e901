"""Ranges that are asked for as percentiles: what values have so many below them in all images."""
import numpy as np

from common import progress
from common.errors import UserError
from dataset import descriptor
from dataset.sources import decoding, opening, views

# Of more values than these, taken together, some are drawn of each image.
_MOST_VALUES = 2 ** 22


def resolved(source, output_dir):
    """Returns a `contract.Source` with numbers for the percentiles of its range, and prints them.

    They are those of the splits that are in `output_dir` and stay, or else are measured.

    Raises:
      UserError: as `measure`.
    """
    if not views.has_percentiles(source.value_range):
        return source
    found = _present(output_dir, {part.split for part in source.parts})
    if found:
        print('--value_range %s, as %s was built with: %s is not measured again.' % (
            views.spell_range(found), output_dir, views.spell_range(source.value_range)))
    else:
        found, text = measure([example for part in source.parts for example in part.examples])
        print(text + '.')
    return source._replace(value_range=found, parts=[
        part._replace(examples=with_range(part.examples, found)) for part in source.parts])


def _present(output_dir, names):
    """Returns the range of the splits in `output_dir` that are not among `names`, or None."""
    if not descriptor.exists(output_dir):
        return None
    present = descriptor.load(output_dir)
    return present.value_range if set(present.splits) - names else None


def with_range(examples, value_range):
    """Returns a list of `decoding.Example` that are read with another range."""
    return [example._replace(view=example.view._replace(value_range=value_range))
            for example in examples]


def measure(examples):
    """Finds the numbers that the percentiles in the range of examples stand for.

    Each value counts alike, but for images of so many that a part of them is drawn: those count
    like one another. Images that cannot be read, values that are no finite numbers, and those that
    GDAL's tag says to mean that there is none are left out.

    Args:
      examples: list of `decoding.Example`, at least one, of the same bands and range.

    Returns:
      ((low, high), the sentence that says so).

    Raises:
      UserError: no image can be read, or the range is empty.
    """
    asked = examples[0].view.value_range
    images = list({(example.image, example.view.page): example for example in examples}.values())
    values, failed = [], []
    with progress.bar(total=len(images), desc='value_range', unit='image') as bar:
        for example in images:
            try:
                values.append(_drawn(example, _MOST_VALUES // len(images)))
            # As in decoding.decode; the build names the file.
            except Exception:
                failed.append(example)
            bar.update()
    if not values:
        decoding.decode(with_range(failed[:1], (0, 1))[0], 'image')
    spelled, values = views.spell_range(asked), np.concatenate(values or [[]])
    if not values.size:
        raise UserError('--value_range %s: the images hold no numbers. Give two.' % spelled)
    low, high = [float('%.6g' % (np.percentile(values, value)
                                 if isinstance(value, views.Percentile) else value))
                 for value in asked]
    count = len(images) - len(failed)
    if not low < high:
        raise UserError('--value_range %s: that is %g to %g in the %d images, which leaves nothing '
                        'between. Give percentiles further apart, as 0%% 100%%, or two numbers.'
                        % (spelled, low, high, count))
    return (low, high), '--value_range %s, the percentiles %s of %d images' % (
        views.spell_range((low, high)), ' and '.join(
            '%g' % value for value in asked if isinstance(value, views.Percentile)), count)


def _drawn(example, limit):
    """Returns values of an image, float64 [number], at most about `limit`, always the same."""
    values, no_data = opening.read_chosen(example.image, example.view)
    pixels = values.reshape(-1, values.shape[2])
    most = max(1, limit // values.shape[2])
    if len(pixels) > most:
        pixels = pixels[np.random.RandomState(0).randint(0, len(pixels), most)]
    pixels = pixels.astype(np.float64)
    return pixels[np.isfinite(pixels) & (pixels != (np.nan if no_data is None else no_data))]
