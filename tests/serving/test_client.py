"""serving/client.py: what it draws is what predict.py writes; what goes wrong is said."""
import base64
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from dataset import palette
from experiment import loading
from inference import media, restored
from runtime import tf
from serving import client, formats, layout
from tests.helpers import ROOT, file_server, serving_server, tiny_runs
from tests.helpers.example_files import encoded, pixels_of
from tests.helpers.tiny_runs import pictures

NAMES = ['ground', 'cat', 'dog', 'owl', 'fox', 'bee']


@pytest.fixture(scope='module')
def run(tmp_path_factory, shapes_dir):
    """A run on the shapes, with a tiny network."""
    folder = str(tmp_path_factory.mktemp('runs'))
    with tiny_runs.tiny_network():
        tiny_runs.write_run(folder, shapes_dir)
        yield loading.load_run(folder)


@pytest.fixture(scope='module')
def signature_encoded(run, tmp_path_factory):
    """A function that answers as the exported SavedModel's signature `encoded`."""
    folder = str(tmp_path_factory.mktemp('export'))
    formats.write_formats(run, ['saved_model'], layout.DEFAULT_OPSET, folder)
    with tf.Graph().as_default(), tf.Session() as session:
        signature = tf.saved_model.load(
            session, [tf.saved_model.SERVING],
            os.path.join(folder, layout.SAVED_MODEL)).signature_def[layout.ENCODED_SIGNATURE]

        def predict(images):
            try:
                return session.run(signature.outputs['labels_bytes'].name,
                                   {signature.inputs[layout.ENCODED_INPUT].name: images})
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(error.message)
        yield predict


def canned(images):
    """Answers with label maps of the images' sizes: class 1 above, class 4 below."""
    def labels(data):
        values = np.ones(pixels_of(data).shape[:2], np.uint8)
        values[len(values) // 2:] = 4
        return encoded(values)
    return [labels(data) for data in images]


@pytest.fixture
def server():
    with serving_server.serve(canned) as state:
        yield state


@pytest.fixture
def names(tmp_path):
    path = tmp_path / 'export.json'
    path.write_text(json.dumps({'class_names': NAMES, 'ignore_label': 255}))
    return str(path)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'picture.png'
    path.write_bytes(encoded(pictures(24, 40)[0]))
    return str(path)


def write_inputs(folder):
    """Writes pictures that TensorFlow reads as Pillow does, and others."""
    folder.mkdir()
    rgb = Image.fromarray(pictures(40, 56)[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    half = rgb.convert('RGBA')
    half.putalpha(120)
    for name, image, options in [
            ('plain.png', rgb, {}), ('photo.jpg', rgb, {'quality': 90}),
            ('turned.jpg', rgb, {'quality': 90, 'exif': exif}),
            ('palette.png', rgb.quantize(256), {}), ('half.png', half, {}),
            ('grey16.png', Image.fromarray(
                np.array(rgb.convert('L')).astype(np.uint16) * 257), {}),
            ('cmyk.tif', rgb.convert('CMYK'), {})]:
        image.save(str(folder / name), **options)


def test_answers_are_the_predictors_for_pictures_of_every_kind(run, signature_encoded, tmp_path,
                                                               names):
    write_inputs(tmp_path / 'in')
    out = tmp_path / 'out'
    with serving_server.serve(signature_encoded) as state:
        client.main(['--url', state.url + '/', '--input', str(tmp_path / 'in'), '--output_dir',
                     str(out), '--export_json', names])
    assert len(state.requests) == 7
    with restored.Predictor(run) as predictor:
        for name in os.listdir(str(tmp_path / 'in')):
            image = media.read_picture(str(tmp_path / 'in' / name))
            expected = predictor.predict(image[np.newaxis]).labels[0]
            result = name.split('.')[0] + '.png'
            with Image.open(str(out / 'index' / result)) as index:
                assert index.mode == 'L'
                np.testing.assert_array_equal(np.array(index), expected)
            with Image.open(str(out / 'overlay' / result)) as overlay:
                assert overlay.width >= expected.shape[1]
                assert overlay.height > expected.shape[0]
            assert len(np.unique(expected)) > 1


def test_an_error_of_the_model_is_shown_and_the_rest_go_on(signature_encoded, tmp_path, picture,
                                                           monkeypatch):
    read_image = client.decoding.read_image
    broken = tmp_path / 'broken.png'
    broken.write_bytes(encoded(pictures(16, 16)[0]))
    monkeypatch.setattr(client.decoding, 'read_image', lambda example: (
        (b'no picture', 'png', (16, 16)) if 'broken' in example.image else read_image(example)))
    with serving_server.serve(signature_encoded) as state:
        with pytest.raises(SystemExit, match='1 of 2 pictures failed') as stopped:
            client.main(['--url', state.url, '--input', str(broken), picture, '--output_dir',
                         str(tmp_path / 'out')])
    assert str(broken) in stopped.value.code and 'HTTP status 400' in stopped.value.code
    assert os.listdir(str(tmp_path / 'out' / 'index')) == ['picture.png']


def test_files_that_read_alike_are_sent_as_they_are_to_the_signature(server, picture, tmp_path,
                                                                     names):
    client.main(['--url', server.url + ':predict', '--input', picture, '--output_dir',
                 str(tmp_path / 'out'), '--export_json', names])
    (path, request), = server.requests
    assert path == '/v1/models/deeplab:predict' and request['signature_name'] == 'encoded'
    with open(picture, 'rb') as picture_file:
        data = picture_file.read()
    assert request['instances'] == [
        {'image_bytes': {'b64': client.base64.b64encode(data).decode()}}]
    assert sorted(os.listdir(str(tmp_path / 'out'))) == ['.results', 'index', 'overlay']


def test_the_legend_has_the_names_that_are_given(server, picture, tmp_path, names, monkeypatch):
    legends = []
    monkeypatch.setattr(client.drawing, 'overlay', lambda image, labels, info: (
        legends.append((info.class_names[1], info.class_names[4], info.ignore_label))
        or Image.fromarray(image)))
    (tmp_path / 'names.txt').write_text('# of ours\n' + '\n'.join('abcdef'))
    for more in (['--export_json', names], ['--classes', str(tmp_path / 'names.txt')], []):
        client.main(['--url', server.url, '--input', picture, '--output_dir',
                     str(tmp_path / 'out')] + more)
    assert legends == [('cat', 'fox', 255), ('b', 'e', 255), ('class 1', 'class 4', 255)]


def test_what_cannot_be_read_is_listed_and_the_rest_go_on(server, picture, tmp_path):
    (tmp_path / 'text.png').write_text('This is no picture.')
    (tmp_path / 'film.mp4').write_bytes(b'')
    with pytest.raises(SystemExit, match='2 of 3 pictures failed') as stopped:
        client.main(['--url', server.url, '--input', str(tmp_path / 'text.png'),
                     str(tmp_path / 'film.mp4'), picture, '--output_dir', str(tmp_path / 'out')])
    assert 'text.png cannot be decoded' in stopped.value.code
    assert 'film.mp4: it is a video' in stopped.value.code
    assert os.listdir(str(tmp_path / 'out' / 'overlay')) == ['picture.png']


@pytest.mark.parametrize('answer, message', [
    ((404, b'{"error": "Servable not found for request"}'), 'status 404: Servable not found'),
    ((500, b'out of\n memory'), 'picture.png: http.*HTTP status 500: out of memory'),
    ((503, b''), r'HTTP status 503: \(no message\)'),
    ((200, b'<html>'), 'with a label map but with <html>'),
    ((200, b'{"predictions": [[[1, 2], [3, 4]]]}'), r'label map but with \{"predictions"'),
    ((200, b'{"predictions": [{"b64": "AAAA"}]}'), 'did not answer with a label map'),
    ((200, b'{"outputs": []}'), 'did not answer with a label map'),
    ((200, ('{"predictions": [{"b64": "%s"}]}' % client.base64.b64encode(
        encoded(np.zeros([2, 3], np.uint8))).decode()).encode()), '3x2 pixels, the picture 40x24'),
    ((200, ('{"predictions": [{"b64": "%s"}]}' % client.base64.b64encode(
        encoded(np.zeros([24, 40, 3], np.uint8))).decode()).encode()), 'instead of a label map'),
    ((200, ('{"predictions": [{"b64": "%s"}]}' % client.base64.b64encode(
        encoded(np.full([24, 40], 6, np.uint8))).decode()).encode()),
     'holds class 6, but 6 classes are named')])
def test_a_wrong_answer_is_named_and_writes_nothing(server, picture, tmp_path, names, answer,
                                                    message):
    server.answers = [answer]
    with pytest.raises(SystemExit, match=message):
        client.main(['--url', server.url, '--input', picture, '--output_dir',
                     str(tmp_path / 'out'), '--export_json', names])
    assert os.listdir(str(tmp_path / 'out')) == []


def test_a_server_that_is_not_there_stops_at_once(picture, tmp_path):
    url = file_server.closed_port() + '/v1/models/deeplab'
    with pytest.raises(SystemExit, match='is not reached .Connection refused') as stopped:
        client.main(['--url', url, '--input', picture, '--output_dir', str(tmp_path / 'out')])
    assert len(stopped.value.code.splitlines()) == 1


def test_a_server_that_does_not_answer_stops_in_time(server, picture, tmp_path):
    server.delay = 0.5
    with pytest.raises(SystemExit, match='did not answer within 0.1 seconds'):
        client.main(['--url', server.url, '--input', picture, '--output_dir',
                     str(tmp_path / 'out'), '--timeout', '0.1'])


@pytest.mark.parametrize('more, message', [
    (['--url', 'localhost:8501'], 'localhost:8501 is not http://HOST:PORT/v1/models/NAME'),
    (['--url', 'http://localhost:8501/v1/models/'], 'is not http'),
    (['--timeout', '0'], '0 is not a number above 0'), (['--timeout', 'x'], 'x'),
    (['--classes', 'a', '--export_json', 'b'], 'not allowed with'),
    (['--input'], 'expected at least one')])
def test_flags_that_cannot_be_are_named(capsys, more, message):
    with pytest.raises(SystemExit):
        client.parse_flags(['--url', 'http://h/v1/models/m', '--input', 'x', '--output_dir', 'x']
                           + more)
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('option, content, message', [
    ('--export_json', '{', 'cannot be used'), ('--export_json', '[]', 'not written by export.py'),
    ('--export_json', '{"class_names": ["a"]}', '"ignore_label" is missing'),
    ('--classes', 'a\na\n', 'occur more than once: a'), ('--classes', '', 'names no class'),
    ('--classes', None, 'cannot be read')])
def test_a_file_of_names_that_is_none_is_refused(tmp_path, option, content, message):
    path = tmp_path / 'names'
    if content is not None:
        path.write_text(content)
    flags = client.parse_flags(['--url', 'http://h/v1/models/m', '--input', 'x', '--output_dir',
                                'x', option, str(path)])
    with pytest.raises(UserError, match=message) as error:
        client.read_classes(flags)
    assert str(path) in str(error.value) and option in str(error.value)


def test_the_client_needs_no_tensorflow(server, picture, tmp_path):
    code = ("import runpy, sys; sys.modules['tensorflow'] = None; sys.argv[0] = 'client.py'; "
            "runpy.run_path(%r, run_name='__main__')" % os.path.join(ROOT, 'serving', 'client.py'))
    result = subprocess.run([sys.executable, '-c', code, '--url', server.url, '--input', picture,
                             '--output_dir', str(tmp_path / 'out')], cwd=str(tmp_path),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode() == '1 pictures: %s\n' % (tmp_path / 'out')
    with Image.open(str(tmp_path / 'out' / 'index' / 'picture.png')) as index:
        assert set(np.unique(np.array(index))) == {1, 4}


@pytest.mark.parametrize('in_export, flags', [
    ({'bands': [3, 2, 1], 'value_range': [0, 510]}, []),
    ({}, ['--bands', '3', '2', '1', '--value_range', '0', '510'])])
def test_pictures_are_sent_as_the_data_set_was_read(server, picture, tmp_path, in_export, flags):
    path = tmp_path / 'export.json'
    path.write_text(json.dumps(dict(in_export, class_names=NAMES, ignore_label=255)))
    client.main(['--url', server.url, '--input', picture, '--output_dir', str(tmp_path / 'out'),
                 '--export_json', str(path)] + flags)
    sent = base64.b64decode(server.requests[0][1]['instances'][0]['image_bytes']['b64'])
    swapped = pictures(24, 40)[0][..., ::-1]
    np.testing.assert_array_equal(pixels_of(sent), swapped // 2 + swapped % 2)


def test_further_pages_are_said(server, tmp_path, names, capsys):
    pages = [Image.fromarray(page) for page in pictures(24, 40, batch=2)]
    pages[0].save(str(tmp_path / 'a.tif'), save_all=True, append_images=pages[1:])
    client.main(['--url', server.url, '--input', str(tmp_path / 'a.tif'), '--output_dir',
                 str(tmp_path / 'out'), '--export_json', names])
    assert 'a.tif has 2 pages, of which the first is labelled' in capsys.readouterr().err


@pytest.mark.parametrize('colors, expected', [
    ([[3, 2, 1]] + [[9, 60 * label, 8] for label in range(1, 5)] + [[250, 250, 0]],
     [(9, 60, 8), (9, 240, 8)]),
    (None, palette.OKABE_ITO[1:5:3])])
def test_overlays_have_the_colours_of_the_export_or_the_default(server, picture, tmp_path, colors,
                                                                expected):
    path = tmp_path / 'export.json'
    path.write_text(json.dumps(dict(
        {'class_names': NAMES, 'ignore_label': 255}, **{'colors': colors} if colors else {})))
    client.main(['--url', server.url, '--input', picture, '--output_dir', str(tmp_path / 'out'),
                 '--export_json', str(path)])
    sheet = np.array(Image.open(str(tmp_path / 'out' / 'overlay' / 'picture.png')))
    for color in expected:  # the swatches of classes 1 and 4
        assert (sheet == color).all(axis=2).sum() > 50
