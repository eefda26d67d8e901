"""Lists of class names, as people and annotation tools write them.

Understood: one name per line; `id name`, with a space, tab, comma, colon or the like
between them, in either order and with a header or without (Roboflow's _classes.csv), or with a
colour behind each; tables whose header names a column of ids and one of names; JSON, as ["cat"],
{"0": "cat"}, {"cat": 0} or dataset.json; labelme's labels.txt, whose __ignore__ has no id; CVAT's
labelmap.txt. What looks like another format is refused with its line.
"""
import collections
import csv
import json
import re

from common import files
from common.errors import UserError
from dataset.sources import id_maps

_FLAG = '--classes'
_HOW = ('Write one name per line, class 0 first, or JSON ["name", "name"], which takes names of '
        'any look.')
_NOT_LABELLED = '__ignore__'  # labelme's name for pixels of id -1, which masks store as 255

_CVAT_LINE = re.compile(r'([^:]+):((?:\d+,\d+,\d+)?):[^:]*:[^:]*\Z')
_SEPARATOR = r'(?:\s*[,:;=|]\s*|[.)]\s+|\s+-\s+|\s+)'
_ID_FIRST = re.compile(r'(?P<id>\d+)%s(?P<name>\S.*)\Z' % _SEPARATOR)
_ID_LAST = re.compile(r'(?P<name>\S.*?)%s(?P<id>\d+)\Z' % _SEPARATOR)
_HEADER_WORDS = frozenset(('pixel', 'value', 'id', 'ids', 'index', 'idx', 'class', 'classes',
                           'label', 'labels', 'name', 'names', 'category'))
# Headers of the columns of larger tables, as of ADE20K's objectInfo150.txt.
_ID_COLUMNS = ('id', 'idx', 'index', 'value', 'pixel value', 'class id', 'label id')
_NAME_COLUMNS = ('name', 'class', 'label', 'class name', 'label name')
_HEX_COLOR = r'#[0-9a-fA-F]{6}\b'
_COLOR = re.compile(r'(?<![^\s,;:(\[])\d{1,3}((\s*[,;]\s*|\s+)\d{1,3}){2}(?![^\s,;:)\]])|'
                    + _HEX_COLOR)
# Lines with colours, and what they hold in their order.
_COLUMNS = r'(?P<separator>\s*[,;:|\t]\s*|\s+)'
_NAME, _NUMBER = r'(?P<name>\S.*?)', r'(?P<id>\d+)(?:\s*[,;:|]\s*|\s+)'
_CHANNELS = (r'[(\[]?\s*(?:(?P<r>\d{1,3})(?:\s*[,;|]\s*|\s+)(?P<g>\d{1,3})(?:\s*[,;|]\s*|\s+)'
             r'(?P<b>\d{1,3})|(?P<hex>#[0-9a-fA-F]{6}))\s*[)\]]?')
_COLOR_LINES = tuple(re.compile(pattern + r'\Z') for pattern in (
    _NUMBER + _NAME + _COLUMNS + _CHANNELS, _NUMBER + _CHANNELS + _COLUMNS + _NAME,
    _NAME + _COLUMNS + _CHANNELS, _CHANNELS + _COLUMNS + _NAME))
_CHANNEL_WORDS = frozenset(('r', 'g', 'b', 'red', 'green', 'blue'))
_COLOR_WORDS = _HEADER_WORDS | _CHANNEL_WORDS | {'color', 'colour', 'rgb', 'hex'}
# What a line looks like that is no name.
_FOREIGN = (
    (re.compile(r'version https://git-lfs'), 'a Git LFS pointer; git lfs pull fetches the file'),
    (re.compile(r'[*+\u2022]\s'), 'a list of Markdown'),
    (re.compile(r'- |---|%YAML|.*:\Z|(id|names?|nc|classes|labels|path|train|valid?)\s*[:=]'),
     'YAML or a configuration'),
    (re.compile(r'[{}\["\']|//|/\*|.*[{},]\Z'), 'JSON or code'),
    (re.compile(r'<'), 'XML or HTML'),
    (re.compile(r'.*\t'), 'a table'))


def strip_comment(line):
    """Returns a line without its comment and the space around it.

    `#` opens a comment at the start of a line, and within one between spaces. `zone #1` and a
    line that is `#1` are names.
    """
    line = line.strip()
    if line.startswith('#') and not re.match(r'#\d+\Z|' + _HEX_COLOR, line):
        return ''
    return re.split(r'\s#(?:\s|\Z)', line)[0].strip()


def cvat_entries(text):
    """Reads CVAT's labelmap.txt, lines of `name:r,g,b:parts:actions`.

    Returns a list of (name, 'r,g,b' or ''), or None of another text.
    """
    matches = [_CVAT_LINE.match(line) for line in map(strip_comment, text.split('\n')) if line]
    if not matches or not all(matches):
        return None
    return [(match.group(1).strip(), match.group(2)) for match in matches]


def color_rows(text, is_palette=False):
    """Reads lines of a name and a colour, in either order, and perhaps an id before them.

    Colours are three numbers or #rrggbb; a header may stand above.

    Returns:
      List of (id or None, name, [red, green, blue]), ascending ids; or None where the lines do
      not all look alike, or may mean something else.

    Raises:
      ValueError: `is_palette`, and an id has two names or a name two ids.
    """
    lines = [line for line in map(strip_comment, text.split('\n')) if line]
    words = re.findall(r'[^\W_]+', lines[0].lower()) if lines else []
    if words and _COLOR_WORDS.issuperset(words):
        channels = [word[0] for word in words if word in _CHANNEL_WORDS]
        if channels not in ([], ['r', 'g', 'b']):
            return None
        lines = lines[1:]
    for pattern in _COLOR_LINES:
        matches = [pattern.match(line) for line in lines]
        if not matches or not all(matches):
            continue
        rows = [_color_row(match.groupdict()) for match in matches]
        if None in rows:
            continue
        pairs = {(number, name) for number, name, _ in rows}
        if rows[0][0] is None or len(pairs) == len(dict(pairs)) == len({pair[1] for pair in pairs}):
            return sorted(rows, key=lambda row: row[0] or 0)
        if is_palette:
            _refuse_repeats(*zip(*pairs))
    return None


def _refuse_repeats(ids, names):
    for what, values, others in (('id %s', ids, 'names'), ('name %r', names, 'ids')):
        for value, count in collections.Counter(values).items():
            if count > 1:
                raise ValueError('the %s has several %s' % (what % value, others))


def _color_row(found):
    """Returns a row of `color_rows`, or None where the name may hold a number of the colour."""
    separator = found['separator'].strip() or r'\s'
    if not re.search(r'[^\W\d]', found['name']) or re.search(
            r'(\A\d+%s)|(%s\s*\d+\Z)' % (separator, separator), found['name']):
        return None
    color = ([int(found['hex'][place:place + 2], 16) for place in (1, 3, 5)] if found['hex']
             else [int(found[channel]) for channel in 'rgb'])
    return found.get('id') and int(found['id']), found['name'].strip('"'), color


def ids_of(path):
    """Returns a dict from id to name of a list that gives ids, or None; raises as `read`."""
    text = files.read_text(path, _FLAG)
    if cvat_entries(text):
        return None
    if text.lstrip()[:1] in ('[', '{'):
        return dict(_json_pairs(_json_values(text, path)) or ()) or None
    lines = [(number, line) for number, line in enumerate(
        map(strip_comment, text.split('\n')), 1) if line]
    found = _numbered_with_colors(text) or lines and (_table(lines) or _numbered(lines))
    return dict(found) if found else None


def _numbered_with_colors(text):
    rows = color_rows(text)
    return sorted({row[:2] for row in rows}) if rows and rows[0][0] is not None else None


def read(path, mapping=None):
    """Reads the names of classes.

    Args:
      path: str.
      mapping: dict as of `id_maps.merge`, what ids become that the text itself gives; None
        where ids stay.

    Returns:
      List of str; position is class id.

    Raises:
      UserError: the file cannot be read, is no list of classes, or its ids do not become
        0, 1, 2 and so on.
    """
    text = files.read_text(path, _FLAG)
    cvat = cvat_entries(text)
    if cvat:
        return [name for name, _ in cvat]
    if text.lstrip()[:1] in ('[', '{'):
        return _from_json(text, path, mapping)
    lines = [(number, strip_comment(line)) for number, line in enumerate(text.split('\n'), 1)]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise UserError('%s %s names no class; write one name per line.' % (_FLAG, path))
    by_id = _numbered_with_colors(text) or _table(lines)
    if not by_id:
        _refuse_colors(lines, path)
        by_id = _numbered(lines)
    if by_id:
        return _in_order(by_id, path, mapping)
    _refuse_foreign(lines, path)
    names = [line for _, line in lines]
    if names[0] == _NOT_LABELLED:
        names = names[1:]
    if not names or _NOT_LABELLED in names:
        raise UserError('%s %s: %s is no class. It stands first, as labelme writes it, and '
                        'classes follow.' % (_FLAG, path, _NOT_LABELLED))
    return names


def _without_repeats(pairs):
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError('a key is there twice')
    return values


def _json_values(text, path):
    """Returns what a JSON file says of classes, a list or dict where it fits."""
    try:
        values = json.loads(text, object_pairs_hook=_without_repeats)
    except ValueError as error:
        raise UserError('%s %s looks like JSON, but is none: %s. %s' % (_FLAG, path, error, _HOW))
    if isinstance(values, dict):
        values = values.get('class_names', values.get('names', values))
    return values


def _json_pairs(values):
    """Returns a list of (id, name) of a dict from one to the other, or None."""
    pairs = list(values.items()) if isinstance(values, dict) else []
    if pairs and all(key.isdigit() and isinstance(value, str) for key, value in pairs):
        return [(int(key), value) for key, value in pairs]
    if pairs and all(type(value) is int for _, value in pairs):
        return [(value, key) for key, value in pairs]
    return None


def _from_json(text, path, mapping):
    values = _json_values(text, path)
    if isinstance(values, list) and values and all(isinstance(name, str) for name in values):
        return values
    pairs = _json_pairs(values)
    if pairs:
        return _in_order(pairs, path, mapping)
    if isinstance(values, dict) and values and all(
            isinstance(value, list) and len(value) == 3 for value in values.values()):
        raise UserError('%s %s gives colours: build with it as --palette, and leave out %s.'
                        % (_FLAG, path, _FLAG))
    raise UserError('%s %s is JSON, but no list of names. %s' % (_FLAG, path, _HOW))


def _refuse_colors(lines, path):
    for number, line in lines:
        if _COLOR.search(line):
            raise UserError(
                '%s %s, line %d, %r, gives a colour. If the masks are coloured, build with it '
                'as --palette, with lines of name,r,g,b, and leave out %s. If they hold ids, write '
                'the names alone, one per line.' % (_FLAG, path, number, line, _FLAG))


def _numbered(lines):
    """Returns a list of (id, name) where each line, but a header, gives both, else None."""
    texts = [line for _, line in lines[_is_header(lines[0][1]):]]
    for pattern in (_ID_FIRST, _ID_LAST):
        matches = [pattern.match(text) for text in texts]
        if texts and all(matches):
            by_id = [(int(match.group('id')), match.group('name').strip('"'))
                     for match in matches]
            ids, names = map(set, zip(*by_id))
            # `zone 1`, `zone 2` are names.
            if len(ids) == len(names) == len(texts) and (len(texts) > 1 or ids == {0}):
                return by_id
    return None


def _table(lines):
    """Returns a list of (id, name) of a table of more columns, or None."""
    for separator in '\t,;':
        rows = [[cell.strip() for cell in row] for row in csv.reader(
            [line for _, line in lines], delimiter=separator)]
        header = [cell.lower().replace('_', ' ') for cell in rows[0]]
        ids, names = [[place for place, cell in enumerate(header) if cell in words]
                      for words in (_ID_COLUMNS, _NAME_COLUMNS)]
        if len(header) > 2 and len(ids) == len(names) == 1 and len(rows) > 1 and all(
                len(row) == len(header) and row[ids[0]].isdigit() and row[names[0]]
                for row in rows[1:]):
            by_id = {int(row[ids[0]]): row[names[0]] for row in rows[1:]}
            return sorted(by_id.items()) if len(by_id) == len(rows) - 1 else None
    return None


def _is_header(line):
    return _HEADER_WORDS.issuperset(re.findall(r'[^\W_]+', line.lower()))


def _in_order(by_id, path, mapping):
    """Returns the names in the order of the ids that `mapping` makes 0, 1, 2, ..."""
    by_id = sorted(by_id)
    ids = [value for value, _ in by_id]
    targets = ids if mapping is None else [mapping.get(value) for value in ids]
    kept = [(target, name) for target, (_, name) in zip(targets, by_id) if target != id_maps.VOID]
    if sorted(target for target, _ in kept if target is not None) != list(range(len(kept))):
        flag = id_maps.spell({value: position for position, value in enumerate(ids)})
        raise UserError(
            '%s %s gives %d names the ids %s; those of a data set are 0..%d. If the masks hold '
            'these ids, give %s when building. Otherwise leave the ids out. %s'
            % (_FLAG, path, len(ids), ', '.join(map(str, ids[:8])) + ', ...' * (len(ids) > 8),
               len(ids) - 1, flag, _HOW))
    return [name for _, name in sorted(kept)]


def _refuse_foreign(lines, path):
    for number, line in lines:
        for pattern, what in _FOREIGN:
            if pattern.match(line):
                raise UserError('%s %s, line %d, %r, looks like %s. %s'
                                % (_FLAG, path, number, line, what, _HOW))
    if all(re.search('[,;]', line) for _, line in lines):
        raise UserError('%s %s, line %d, %r: there are commas in each line, so it looks like a '
                        'table or several names. %s' % ((_FLAG, path) + lines[0] + (_HOW,)))
    if len(lines) > 1 and _is_header(lines[0][1]):
        raise UserError('%s %s, line %d, %r, looks like the header of a table. %s'
                        % ((_FLAG, path) + lines[0] + (_HOW,)))
    _refuse_ids(lines, path)


def _refuse_ids(lines, path):
    """Refuses lines that begin with ids, but not all of them, or not with one each."""
    matches = [_ID_FIRST.match(line) for _, line in lines]
    ids = [match and int(match.group('id')) for match in matches]
    without = [line for line, match in zip(lines, matches) if not match]
    # `2 wheeler` may be a name; where ids count the lines they are none of names.
    are_counted = sum(value in (place, place + 1) for place, value in enumerate(ids)) > 1
    if without and (are_counted or len(without) == 1 < len(lines) - 1):
        raise UserError('%s %s, line %d, %r, has no id, but %d others begin with one. %s'
                        % ((_FLAG, path) + without[0] + (len(lines) - len(without), _HOW)))
    for place, line in enumerate(lines):
        if not without and ids[place] in ids[:place]:
            raise UserError('%s %s, line %d, %r, gives an id that line %d gives too. %s' % (
                (_FLAG, path) + line + (lines[ids.index(ids[place])][0], _HOW)))
