"""How far something long has come: a bar on a terminal, a line now and then elsewhere."""
import sys

from tqdm import tqdm

# Between lines; what takes less is over without one.
SECONDS = 30


class _Lines:
    """Standard error, where each state of a bar is a line of its own instead of drawn over."""

    def write(self, text):
        """Writes what is to be seen of a bar."""
        text = text.replace('\r', '').strip()
        if text:
            sys.stderr.write(text + '\n')

    def flush(self):
        """Writes what is waiting."""
        sys.stderr.flush()


def bar(iterable=None, has_lines=True, **options):
    """Makes a `tqdm` that suits standard error.

    Args:
      iterable: as of `tqdm`, or None to call its `update`.
      has_lines: bool, False where the caller writes lines of its own when there is no bar (its
        attribute `disable` says so).
      **options: those of `tqdm`.

    Returns:
      `tqdm`.
    """
    if sys.stderr.isatty() or not has_lines:
        return tqdm(iterable, **dict({'disable': None}, **options))
    name = '{desc}: ' if options.get('desc') else ''
    options.update(file=_Lines(), mininterval=SECONDS, miniters=1, delay=SECONDS, leave=False,
                   position=0,
                   bar_format=name + '{n_fmt}/{total_fmt} {unit}, {elapsed} gone, {remaining} left')
    return tqdm(iterable, **options)


def write(text):
    """Writes a line to standard error, above the bars that are drawn there."""
    tqdm.write(text, file=sys.stderr)
