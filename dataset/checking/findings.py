"""What dataset/check.py can find: `CODES` is the list of everything."""
import collections

ERROR, WARNING, INFO = 'error', 'warning', 'info'

# Beyond these, findings of one code are counted but not listed: a thousand bad
# masks have one cause, and the memory must not grow with them.
LISTED_PER_CODE = 50
# code: (severity, meaning). Errors stop or spoil training; warnings are mostly
# mistakes, but can be meant; info is by design or cannot be judged.
CODES = collections.OrderedDict([
    ('dataset_json', (ERROR, 'dataset.json cannot be used')),
    ('shard_missing', (ERROR, 'dataset.json lists a file that is not there')),
    ('shard_unlisted', (WARNING, 'a record file that dataset.json does not list')),
    ('shard_unreadable', (ERROR, 'a record file cannot be opened')),
    ('record_count', (ERROR, 'a split has more or fewer records than dataset.json says')),
    ('record_damaged', (ERROR, 'a record is cut short or its checksum is wrong')),
    ('record_features', (ERROR, 'a record lacks features, or has those of another format')),
    ('no_records', (ERROR, 'a split or record file holds nothing')),
    ('image_without_mask', (ERROR, 'no mask has the name of the image')),
    ('mask_without_image', (ERROR, 'no image has the name of the mask')),
    ('image_is_mask', (ERROR, 'an image is its own mask: each label has a colour of its own')),
    ('no_image', (INFO, 'files beside the images and masks that are none')),
    ('ambiguous_name', (ERROR, 'several files of a folder share a name up to the extension')),
    ('image_unusable', (ERROR, 'an image is damaged, no image, or of a kind that has no colours')),
    ('several_pages', (WARNING, 'a file holds several pages or frames, and the first is taken')),
    ('undeclared_band', (WARNING, 'an image holds more than three bands and no transparency')),
    ('alpha_band', (WARNING, 'the transparency of a TIFF looks like another band')),
    ('dark_image', (WARNING, 'an image of 16 bits uses less than 15 of them')),
    ('turned_image', (INFO, 'an image is turned by its EXIF orientation, its mask has none')),
    ('palette_order', (ERROR, 'masks give one colour different indices of their palettes')),
    ('image_format', (WARNING, 'an image in a record that training may not read as it looks')),
    ('mask_undecodable', (ERROR, 'a mask is damaged, or no image')),
    ('mask_colors', (ERROR, 'a mask has colours instead of class ids')),
    ('mask_palette', (ERROR, 'a mask has colours that the palette lacks, or transparent pixels')),
    ('mask_jpeg', (ERROR, 'a mask is a JPEG, which blurs class ids')),
    ('mask_format', (ERROR, 'a mask in a record that training would not read as ids')),
    ('label_values', (ERROR, 'a mask holds values that are neither class id nor ignore label')),
    ('label_gaps', (WARNING, 'without a list of classes: the masks\' values look like no ids')),
    ('size_mismatch', (ERROR, 'image and mask have different sizes')),
    ('size_features', (WARNING, 'height and width of a record are not those of its image')),
    ('only_background', (ERROR, 'the masks of a split hold nothing but 0 and the ignore label')),
    ('all_ignored', (WARNING, 'a mask holds nothing but the ignore label')),
    ('ignore_share', (WARNING, 'more than half of a split\'s pixels are ignored')),
    ('void_class', (WARNING, 'a class is named like an ignore label')),
    ('class_without_pixels', (WARNING, 'a class occurs nowhere in the training images')),
    ('class_only_in_evaluation', (WARNING, 'a class is evaluated that training never shows')),
    ('class_absent', (INFO, 'a class does not occur in a split used for evaluation')),
    ('duplicate', (WARNING, 'an image occurs twice in a split')),
    ('leakage', (ERROR, 'a training image is also used for evaluation')),
    ('evaluation_overlap', (WARNING, 'validation and test share images, but not all')),
    ('same_images', (INFO, 'two splits used for evaluation are the same by design')),
    ('classes_inferred', (INFO, 'no class list was given; class ids are taken from the masks')),
    ('partial_look', (INFO, 'only the first images were looked at (--max_images)')),
])

# split, file: str or None. record: int from 0, or None.
Finding = collections.namedtuple(
    'Finding', ['code', 'severity', 'split', 'file', 'record', 'text'])


class Findings:
    """Collects findings: all are counted, the first `LISTED_PER_CODE` of a code are listed.

    Args:
      accepted: codes whose findings are demoted to info.
    """

    def __init__(self, accepted=()):
        self._accepted = frozenset(accepted)
        self.counts = collections.Counter()
        self.listed = []
        self._splits = set()

    def add(self, code, text, split=None, file=None, record=None):
        """Counts a finding; `code` is a key of `CODES`, `text` a sentence with a remedy."""
        self.counts[code] += 1
        self._splits.add((code, split))
        if self.counts[code] <= LISTED_PER_CODE:
            self.listed.append(
                Finding(code, self.severity(code), split, file, record, text))

    def severity(self, code):
        """Returns 'error', 'warning' or 'info'."""
        return INFO if code in self._accepted else CODES[code][0]

    def concern(self, code, split):
        """Whether there is a finding of this code in the split."""
        return (code, split) in self._splits

    def totals(self):
        """Returns a dict from each severity to the number of findings."""
        totals = {ERROR: 0, WARNING: 0, INFO: 0}
        for code, count in self.counts.items():
            totals[self.severity(code)] += count
        return totals

    def clean(self):
        """Whether nothing but notes was found."""
        totals = self.totals()
        return not totals[ERROR] + totals[WARNING]
