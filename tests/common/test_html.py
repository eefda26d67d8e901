"""html.py: text and pictures in one HTML page."""
import base64
import io
import re

import pytest
from PIL import Image

from common import html


def test_text_is_shown_literally_and_on_one_line():
    text = html.page('a <b> & "c"\n\x1b[31m', [html.table([['x', ''], ['<i>', 'y']])])
    assert '<title>a &lt;b&gt; &amp; &quot;c&quot;\\n\\x1b[31m</title>' in text
    assert '&lt;i&gt;' in text and '\x1b' not in text


def test_tables_align_words_left_and_numbers_right():
    rows = re.findall('<tr>(.*)</tr>', html.table([['name', 'n', ''], ['a', '1', 'w']], ['', '*']))
    assert rows == ['<th class="text">name</th><th>n</th><th class="text"></th>',
                    '<td class="text">*a</td><td>1</td><td class="text">w</td>']


@pytest.mark.parametrize('image_format', ['PNG', 'JPEG'])
def test_pictures_are_in_the_page_itself(image_format):
    text = html.image(Image.new('RGB', (3, 2), 'red'), 'a "red" one', image_format)
    kind, content = re.search('src="data:image/(.*);base64,(.*)">', text).groups()
    assert 'alt="a &quot;red&quot; one"' in text and kind == image_format.lower()
    decoded = Image.open(io.BytesIO(base64.b64decode(content)))
    assert decoded.format == image_format and decoded.size == (3, 2)


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        html.write(None, str(tmp_path / 'page.html'))
    assert list(tmp_path.iterdir()) == []
