"""One self-contained HTML page: what the reports of test.py and dataset/check.py share."""
import base64
import html
import io
import os

_STYLE = '''
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; background: #fff;
  max-width: 1180px; margin: 24px auto; padding: 0 20px; }
h1 { font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 28px 0 8px; }
table { border-collapse: collapse; } td, th { padding: 3px 14px 3px 0; text-align: right;
  font-variant-numeric: tabular-nums; border-bottom: 1px solid #e4e4e4; font-weight: normal; }
th { color: #666; } td.text, th.text { text-align: left; white-space: nowrap; }
table.findings td { vertical-align: top; }
table.findings td.long { text-align: left; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.error { color: #b00020; } .warning { color: #9a5b00; } .info { color: #555; }
.verdict { font-weight: 600; }
img { max-width: 100%; height: auto; display: block; }
.example { margin: 0 0 26px; } .example h3 { font-size: 14px; margin: 0 0 6px;
  font-weight: 600; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 10px; }
.row img { width: 100%; } span.note { color: #666; font-size: 12px; }
.means { display: flex; gap: 16px; margin: 12px 0; } .means img { width: 256px; }
.columns { display: flex; flex-wrap: wrap; gap: 12px 48px; align-items: flex-start; }
.legend { margin-top: 6px; font-size: 13px; } .legend span { margin-right: 16px;
  white-space: nowrap; }
i { display: inline-block; width: 12px; height: 12px; margin-right: 5px;
  border: 1px solid #8888; vertical-align: -1px; }
'''


def write(text, path):
    """Writes a text file in UTF-8 to a temporary name and renames it."""
    temporary = path + '.tmp'
    try:
        with open(temporary, 'w', encoding='utf-8', errors='backslashreplace') as text_file:
            text_file.write(text)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def printable(text):
    """Text on one line: no control characters."""
    return ''.join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def escape(text):
    """Text as HTML shows it literally, on one line."""
    return html.escape(printable(text))


def page(title, parts):
    """Puts a page together.

    Args:
      title: str, plain text.
      parts: list of str, HTML, that follow the heading.

    Returns:
      str, HTML that needs no other file.
    """
    title = escape(title)
    return '\n'.join(
        ['<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
         '<meta name="viewport" content="width=device-width, initial-scale=1">',
         '<title>%s</title>\n<style>%s</style>\n</head>\n<body>' % (title, _STYLE),
         '<h1>%s</h1>' % title] + list(parts) + ['</body>\n</html>\n'])


def is_text(rows, column):
    """Whether a column of a table is of words: the first, and those without a heading."""
    return column == 0 or rows[0][column] == ''


def table(rows, marks=None):
    """An HTML table of cells.

    Args:
      rows: list of lists of str, the first the headings; the first column and those
        without a heading are left-aligned, numbers right.
      marks: None, or list of HTML that is put before the first cell of each row.

    Returns:
      str, HTML.
    """
    lines = []
    for index, row in enumerate(rows):
        tag = 'td' if index else 'th'
        cells = ''.join('<%s%s>%s%s</%s>' % (
            tag, ' class="text"' if is_text(rows, column) else '',
            marks[index] if marks and column == 0 else '', escape(cell), tag)
            for column, cell in enumerate(row))
        lines.append('<tr>%s</tr>' % cells)
    return '<div class="wide"><table>\n%s\n</table></div>' % '\n'.join(lines)


def swatch(color):
    """A small square of a colour, three ints in 0..255. Returns HTML."""
    return '<i style="background:rgb(%d,%d,%d)"></i>' % tuple(color)


def image(picture, description, image_format='PNG'):
    """Puts a picture into the page itself.

    Args:
      picture: `PIL.Image`.
      description: str, for those who cannot see it.
      image_format: 'PNG', or 'JPEG' for photographs.

    Returns:
      str, HTML.
    """
    buffer = io.BytesIO()
    picture.save(buffer, image_format, optimize=True, quality=88)
    return '<img alt="%s" src="data:image/%s;base64,%s">' % (
        escape(description), image_format.lower(),
        base64.b64encode(buffer.getvalue()).decode('ascii'))


def captioned(picture, caption):
    """A picture with its caption. Returns HTML."""
    return '<div>%s<span class="note">%s</span></div>' % (image(picture, caption),
                                                          escape(caption))
