"""What a layout offers: what another tool writes is one module of these names.

    NAME                str, what --format takes and messages say: 'labelme', 'coco'
    recognize(folder)   looks at names, and at most at the head of a few files. Returns None, or
                        one line for the user: what was found, and how it is read
    read(folder, args)  returns a `Layout`; `UserError` on what does not fit. Looks at all files of
                        annotations, and decodes no image. `args` are the flags of build_folder.py

`known.LAYOUTS` lists the modules. Pairs, class lists and readers are those of `dataset.sources`;
`dataset.sources.contract` says what a reader is. Where an annotation file is no mask, it is
`Example.mask` all the same, and the reader draws it; of a file that annotates many images, each
example's mask is the bytes of its own part. Such a reader has an attribute `draws`, True:
tiles are cut from what it draws.

Classes keep the order of the tool's own list, and are sorted by name where there is none. Tools
that label objects leave the rest unlabelled: that is class 0, BACKGROUND.
"""
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

from dataset.sources.decoding import Example

BACKGROUND = 'background'


class Layout(NamedTuple):
    """What a folder holds; position in `class_names` is class id.

    parts: (name of a split as `folder.split_name` gives it, or None where the tool knows none,
    examples). reader, colors: as in `dataset.sources.contract`. class_list: path of the file that
    names the classes, or None where no line can be added.
    """
    parts: Sequence[Tuple[Optional[str], Sequence[Example]]]
    class_names: Sequence[str]
    ignore_label: int
    reader: Optional[Callable] = None
    colors: Optional[Sequence[Tuple[int, int, int]]] = None
    class_list: Optional[str] = None
