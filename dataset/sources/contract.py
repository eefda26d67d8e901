"""What a source of data offers: a new annotation format is one module of these functions.

    add_flags(parser)          adds --output_dir and its own flags to an `argparse` parser
    check_flags(args, parser)  fills in defaults that depend on other flags; `parser.error` on
                               flags that contradict each other or have no effect
    read(args)                 finds the examples that the flags name; returns a `Source`, and
                               raises `UserError` on files that are missing or do not fit

`dataset.building` does all else: checks, records, tables, the way errors end.

A reader turns the mask of one example into labels. It is None for masks of class ids that
Pillow opens, or a picklable callable: (`decoding.Example`, `descriptor.DatasetInfo`) -> integers
[height, width], class ids or the ignore label; raises `decoding.InvalidExampleError`. Its
attributes:

    key          str, another one whenever it would read the same file differently: shards are
                 built again then. Name the format and what it was made with; no module path.
    earlier_key  optional: what builds hashed before readers had keys (`records.manifest`)
    may_crash    optional: True if a damaged file can end the process; it runs in others then
"""
from typing import Callable, Iterable, NamedTuple, Optional, Sequence, Tuple

from dataset.sources.decoding import Example


class Part(NamedTuple):
    """One split of a source.

    examples: a sequence, or with `num_examples` an iterator, of which no shard is ever reused.
    aliases: further names of the split. note: what is printed before it is written.
    """
    split: str
    examples: Iterable[Example]
    num_examples: Optional[int] = None
    aliases: Tuple[str, ...] = ()
    reader: Optional[Callable] = None
    note: str = ''


class Source(NamedTuple):
    """What is to be built; position in `class_names` is class id. The parts in their order.

    colors: (red, green, blue) of each class in pictures; None for a default.
    bands, value_range: those of the images, as in `views.View`. advice: what follows messages that
    name flags about masks, where the source takes none.
    """
    name: str
    class_names: Sequence[str]
    ignore_label: int
    parts: Sequence[Part]
    colors: Optional[Sequence[Tuple[int, int, int]]] = None
    bands: Optional[Tuple[int, ...]] = None
    value_range: Optional[Tuple[float, float]] = None
    advice: str = ''
