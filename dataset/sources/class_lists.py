"""Lists of class names, as people and annotation tools write them.

Understood: one name per line; `id name`, with a space, tab, comma, colon or the like
between them, in either order and with a header or without (Roboflow's _classes.csv); JSON, as
["cat"], {"0": "cat"}, {"cat": 0} or dataset.json; labelme's labels.txt, whose __ignore__ has no
id; CVAT's labelmap.txt. What looks like another format is refused with its line.
"""
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
_HEX_COLOR = r'#[0-9a-fA-F]{6}\b'
_COLOR = re.compile(r'(?<![^\s,;:(\[])\d{1,3}((\s*[,;]\s*|\s+)\d{1,3}){2}(?![^\s,;:)\]])|'
                    + _HEX_COLOR)
# What a line looks like that is no name.
_FOREIGN = (
    (re.compile(r'version https://git-lfs'), 'a Git LFS pointer; git lfs pull fetches the file'),
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


def _from_json(text, path, mapping):
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError('%s %s looks like JSON, but is none: %s. %s' % (_FLAG, path, error, _HOW))
    if isinstance(values, dict):
        values = values.get('class_names', values.get('names', values))
    if isinstance(values, list) and values and all(isinstance(name, str) for name in values):
        return values
    if isinstance(values, dict) and values:
        pairs = list(values.items())
        if all(key.isdigit() and isinstance(value, str) for key, value in pairs):
            return _in_order([(int(key), value) for key, value in pairs], path, mapping)
        if all(type(value) is int for _, value in pairs):
            return _in_order([(value, key) for key, value in pairs], path, mapping)
        if all(isinstance(value, list) and len(value) == 3 for _, value in pairs):
            raise UserError('%s %s gives colours: give it as --palette, and leave out %s.'
                            % (_FLAG, path, _FLAG))
    raise UserError('%s %s is JSON, but no list of names. %s' % (_FLAG, path, _HOW))


def _refuse_colors(lines, path):
    for number, line in lines:
        if _COLOR.search(line):
            raise UserError(
                '%s %s, line %d, %r, gives a colour. If the masks are coloured, give the file as '
                '--palette, with lines of name,r,g,b, and leave out %s. If they hold ids, write '
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
    first_ids = [(number, line) for number, line in lines if _ID_FIRST.match(line)]
    if len(lines) > 2 and len(first_ids) == len(lines) - 1:
        number, line = (set(lines) - set(first_ids)).pop()
        raise UserError('%s %s, line %d, %r, has no id, but all others begin with one. %s'
                        % (_FLAG, path, number, line, _HOW))
