"""export.py: every format answers as the checkpoint, and none is left that does not."""
import contextlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image

import export
from common import files
from dataset import descriptor, palette
from experiment import loading
from inference import restored
from runtime import tf
from serving import formats, layout, publishing, runners, verification
from tests.helpers import ROOT, tiny_runs
from tests.helpers.example_files import encoded
from tests.helpers.tiny_runs import TINY, pictures

FORMATS = ['saved_model', 'frozen_graph', 'onnx']


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, shapes_dir):
    """The directory of a run on the shapes, with a tiny network."""
    folder = str(tmp_path_factory.mktemp('runs'))
    with tiny_runs.tiny_network():
        tiny_runs.write_run(folder, shapes_dir)
        yield folder


@pytest.fixture(scope='module')
def whole(run_dir, tmp_path_factory):
    """An export in all formats, and what export.py printed."""
    folder = tmp_path_factory.mktemp('exports') / 'below' / 'whole'
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        export.main(['--checkpoint', run_dir, '--output_dir', str(folder)])
    return str(folder), printed.getvalue()


@pytest.fixture(scope='module')
def predictor(run_dir):
    with restored.Predictor(loading.load_run(run_dir)) as predictor:
        yield predictor


def read_description(folder):
    with open(os.path.join(str(folder), 'export.json')) as description:
        return json.load(description)


def read_graph(folder):
    graph_def = tf.GraphDef()
    with open(os.path.join(folder, 'frozen_graph.pb'), 'rb') as graph_file:
        graph_def.ParseFromString(graph_file.read())
    return graph_def


@pytest.mark.parametrize('format_name', FORMATS)
def test_labels_and_probabilities_are_the_predictors_at_any_size(whole, predictor, format_name):
    batches = [pictures(*size, seed=5) for size in
               [(1, 1, 1), (1, 40, 1), (33, 51, 1), (70, 64, 3), (200, 131, 1)]]
    answers = list(runners.RUNNERS[format_name](whole[0], batches))
    for images, answer in zip(batches, answers):
        expected = predictor.predict(images, with_probabilities=True)
        assert answer['labels'].dtype == np.uint8 and answer['probabilities'].dtype == np.float32
        assert verification.share_equal(answer['labels'], expected.labels) >= 0.9999
        np.testing.assert_allclose(answer['probabilities'], expected.probabilities, atol=1e-3)
        if format_name == 'saved_model':
            np.testing.assert_array_equal(answer['encoded_labels'], answer['labels'])
    assert len(np.unique(answers[-1]['labels'])) > 3


def test_frozen_graph_holds_constants_alone(whole):
    graph_def = read_graph(whole[0])
    types = {node.op for node in graph_def.node}
    assert 'Const' in types and [node.name for node in graph_def.node
                                 if node.op == 'Placeholder'] == ['images']
    assert not [name for name in types if 'Variable' in name or 'VarHandle' in name
                or 'Mkl' in name or 'Decode' in name or 'Space' in name]


def test_onnx_has_dynamic_axes_uint8_pixels_and_atrous_convolutions(whole):
    graph = onnx.load(os.path.join(whole[0], 'model.onnx')).graph
    shapes = {value.name: [axis.dim_param or axis.dim_value
                           for axis in value.type.tensor_type.shape.dim]
              for value in list(graph.input) + list(graph.output)}
    assert shapes == {'images': ['batch', 'height', 'width', 3],
                      'labels': ['batch', 'height', 'width'],
                      'probabilities': ['batch', 'height', 'width', 6]}
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    rates = {attribute.ints[0] for node in graph.node if node.op_type == 'Conv'
             for attribute in node.attribute if attribute.name == 'dilations'}
    assert rates >= {2, 4, 8, 6, 12, 18}


def test_description_names_classes_tensors_and_checksums(whole, run_dir, shapes_dir):
    folder, _ = whole
    description = read_description(folder)
    assert description['class_names'] == list(descriptor.load(shapes_dir).class_names)
    assert description['ignore_label'] == 255 and description['output_stride'] == 16
    assert description['colors'] == [list(color) for color in palette.distinct(6)]
    assert description['bands'] is None and description['value_range'] is None
    assert description['checkpoint'] == os.path.join(run_dir, 'model.ckpt-7')
    assert description['step'] == 7 and description['averaged_weights'] is False
    assert description['versions']['tensorflow'] == tf.__version__
    assert description['formats']['frozen_graph'] == {
        'path': 'frozen_graph.pb', 'inputs': ['images:0'],
        'outputs': ['labels:0', 'probabilities:0']}
    assert description['formats']['onnx']['opset'] == 13
    assert set(description['files']) == set(publishing.files_in(folder)) - {'export.json'}
    assert 'saved_model/1/saved_model.pb' in description['files']
    for name, entry in description['files'].items():
        assert entry['sha256'] == files.hash_file(os.path.join(folder, name))
    assert all(check['agreement'] >= 0.9999 for check in description['checks'])


def test_each_format_is_compared_at_three_sizes_and_the_figures_are_printed(whole):
    folder, printed = whole
    for name in FORMATS + ['saved_model (encoded)']:
        assert len([line for line in printed.splitlines()
                    if line.startswith(name + ' at ') and 'of the labels agree' in line]) == 3
    assert os.listdir(os.path.dirname(folder)) == ['whole']
    assert stat.S_IMODE(os.stat(folder).st_mode) & 0o055  # a server of another user reads it


def tampered_bias(values):
    """Returns the biases of the logits with those of two classes changed places."""
    return values[[1, 0, 2, 3, 4, 5]]


def tamper_saved_model(folder):
    path = os.path.join(folder, layout.SAVED_MODEL)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.saved_model.load(session, [tf.saved_model.SERVING], path)
        biases = [variable for variable in tf.global_variables()
                  if variable.op.name == 'DeepLab_v3/logits/biases'][0]
        biases.load(tampered_bias(session.run(biases)), session)
        tf.train.Saver().save(session, os.path.join(path, 'variables', 'variables'),
                              write_meta_graph=False)


def tamper_frozen_graph(folder):
    graph_def = read_graph(folder)
    node = [node for node in graph_def.node if node.name == 'DeepLab_v3/logits/biases'][0]
    values = tampered_bias(tf.make_ndarray(node.attr['value'].tensor))
    node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(values))
    formats.write_frozen_graph(graph_def, folder)


def tamper_onnx(folder):
    path = os.path.join(folder, 'model.onnx')
    model = onnx.load(path)
    for constant in model.graph.initializer:
        if list(constant.dims) == [6]:
            values = tampered_bias(onnx.numpy_helper.to_array(constant))
            constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
    onnx.save(model, path)


def cut_frozen_graph(folder):
    path = os.path.join(folder, 'frozen_graph.pb')
    os.truncate(path, os.path.getsize(path) // 2)


@pytest.mark.parametrize('format_name, tamper, message', [
    ('saved_model', tamper_saved_model, r'saved_model at 128x128 pixels: \d+\.\d{4}% of the'),
    ('frozen_graph', tamper_frozen_graph, r'frozen_graph at 128x128 pixels: \d+\.\d{4}% of the'),
    ('onnx', tamper_onnx, r'onnx at 128x128 pixels: \d+\.\d{4}% of the labels agree'),
    ('frozen_graph', cut_frozen_graph, 'frozen_graph: what was written cannot be used')])
def test_an_export_that_is_not_its_checkpoint_is_refused_and_leaves_nothing(
        run_dir, whole, predictor, tmp_path, monkeypatch, format_name, tamper, message):
    def write_formats(run, names, opset, folder):
        path = read_description(whole[0])['formats'][format_name]['path']
        copy = shutil.copytree if format_name == 'saved_model' else shutil.copy
        copy(os.path.join(whole[0], path), os.path.join(folder, path))
        tamper(folder)
    monkeypatch.setattr(formats, 'write_formats', write_formats)
    monkeypatch.setattr(restored, 'Predictor', lambda run: contextlib.nullcontext(predictor))
    with pytest.raises(SystemExit, match=message) as stopped:
        export.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path / 'out'),
                     '--formats', format_name])
    assert len(stopped.value.code.splitlines()) == 1
    assert os.listdir(str(tmp_path)) == []


@pytest.fixture
def in_process(monkeypatch):
    """Lets formats be compared without a process of their own, which takes longer."""
    monkeypatch.setattr(verification, 'answers_of', lambda name, folder, images: list(
        runners.RUNNERS[name](folder, images)))


def run_default(session, folder, images):
    """Answers with `serving_default`."""
    signature = tf.saved_model.load(session, [tf.saved_model.SERVING],
                                    os.path.join(folder, layout.SAVED_MODEL)).signature_def
    return session.run(signature['serving_default'].outputs['labels'].name,
                       {signature['serving_default'].inputs['images'].name: images})


def test_averages_another_stride_and_other_names_reach_the_export(
        run_dir, shapes_dir, tmp_path, predictor, monkeypatch, in_process):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    (tmp_path / 'run').mkdir()
    tiny_runs.write_run(str(tmp_path / 'run'), shapes_dir, suffix='/ExponentialMovingAverage')
    (tmp_path / 'names.txt').write_text('\n'.join('abcdef'))
    out = tmp_path / 'out'
    export.main(['--checkpoint', str(tmp_path / 'run'), '--output_dir', str(out), '--formats',
                 'saved_model', '--output_stride', '8', '--classes', str(tmp_path / 'names.txt'),
                 '--gpu_id', '-1'])
    assert os.environ['CUDA_VISIBLE_DEVICES'] == '-1'
    assert sorted(os.listdir(str(out))) == ['export.json', 'saved_model']
    description = read_description(out)
    assert description['averaged_weights'] is True and description['output_stride'] == 8
    assert description['class_names'] == list('abcdef')
    assert list(description['formats']) == ['saved_model']
    images = pictures(48, 64)
    with tf.Graph().as_default(), tf.Session() as session:
        labels = run_default(session, str(out), images)
    with restored.Predictor(loading.load_run(run_dir, 8)) as fine:
        np.testing.assert_array_equal(labels, fine.predict(images).labels)
    assert (labels != predictor.predict(images).labels).any()


def test_a_run_of_the_post_and_a_choice_of_formats(run_dir, tmp_path, monkeypatch, predictor,
                                                   in_process):
    monkeypatch.chdir(tmp_path)
    os.makedirs('log/train')
    with open('log/train/data.json', 'w') as flags:
        json.dump(dict(number_of_classes=6, output_stride=16, resnet_model=TINY), flags)
    for extension in ('.index', '.data-00000-of-00001'):
        os.symlink(os.path.join(run_dir, 'model.ckpt-7' + extension),
                   'log/train/model.ckpt' + extension)
    os.mkdir('out')
    export.main(['--checkpoint', 'log', '--output_dir', 'out', '--formats', 'onnx',
                 'frozen_graph', 'onnx', '--opset', '11'])
    assert sorted(os.listdir('out')) == ['export.json', 'frozen_graph.pb', 'model.onnx']
    assert read_description('out')['step'] is None
    assert onnx.load('out/model.onnx').opset_import[0].version == 11
    # Its logits are resized without aligned corners.
    images = pictures(48, 64)
    answers = [next(runners.RUNNERS[name]('out', [images])) for name in FORMATS[1:]]
    np.testing.assert_array_equal(answers[0]['labels'], answers[1]['labels'])
    assert (answers[0]['labels'] != predictor.predict(images).labels).any()


@pytest.fixture(scope='module')
def ask_encoded(whole):
    """A function of a list of encoded images that answers with the signature `encoded`."""
    with tf.Graph().as_default(), tf.Session() as session:
        signature = tf.saved_model.load(
            session, [tf.saved_model.SERVING],
            os.path.join(whole[0], layout.SAVED_MODEL)).signature_def['encoded']
        yield lambda files: session.run(signature.outputs['labels_bytes'].name,
                                        {signature.inputs['image_bytes'].name: files})


def test_encoded_pictures_give_grey_pngs_of_the_predictors_labels(ask_encoded, predictor):
    rgb = pictures(40, 56)[0]
    palette = Image.fromarray(rgb).quantize(256)
    files = [encoded(rgb), encoded(palette), encoded(rgb, 'JPEG', quality=90)]
    answers = [Image.open(io.BytesIO(png)) for png in ask_encoded(files)]
    for data, answer in zip(files, answers):
        assert (answer.format, answer.mode) == ('PNG', 'L')
        pixels = np.array(Image.open(io.BytesIO(data)).convert('RGB'))
        # A pixel where two classes are as likely may fall to either.
        assert (np.array(answer) == predictor.predict(pixels[np.newaxis]).labels[0]).mean() > 0.999


def test_encoded_pictures_of_two_sizes_are_refused_with_the_reason(ask_encoded):
    with pytest.raises(tf.errors.InvalidArgumentError, match='must have one height and width'):
        ask_encoded([encoded(pictures(*size)[0]) for size in ((24, 32), (32, 24))])


@pytest.mark.parametrize('more, message', [
    (['--checkpoint', '/nowhere'], 'No checkpoint at /nowhere'),
    (['--output_stride', '32'], 'without atrous'),
    (['--classes', '/nowhere.txt'], '/nowhere.txt cannot be read'),
    (['--output_dir', __file__], 'test_export.py is a file')])
def test_bad_flags_end_in_one_message_before_a_graph_is_built(
        run_dir, tmp_path, monkeypatch, more, message):
    monkeypatch.setattr(formats, 'write_formats', None)
    with pytest.raises(SystemExit, match=message):
        export.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path / 'out')] + more)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize('more, message', [
    (['--formats', 'tflite'], 'tflite'), (['--opset', '10'], '10'), (['--opset', 'x'], 'x'),
    (['--opset', '13', '--formats', 'saved_model'], 'no effect'), (['--form', 'onnx'], '--form')])
def test_flags_that_cannot_be_are_named(tmp_path, capsys, more, message):
    with pytest.raises(SystemExit):
        export.parse_flags(['--checkpoint', 'x', '--output_dir', str(tmp_path)] + more)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_package_is_named_before_anything_is_built(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, 'write_formats', None)
    monkeypatch.setitem(sys.modules, 'tf2onnx', None)
    with pytest.raises(SystemExit, match='onnx needs tf2onnx.*leave onnx out of --formats'):
        export.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path / 'out')])
    assert os.listdir(str(tmp_path)) == []


def test_a_folder_in_use_is_refused_before_tensorflow(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    code = ("import sys; sys.modules['tensorflow'] = None; import export; "
            "export.main(['--checkpoint', 'x', '--output_dir', '.'])")
    result = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, cwd=str(tmp_path),
                            env=dict(os.environ, PYTHONPATH=ROOT))
    assert result.returncode == 1
    assert result.stderr.decode().startswith('--output_dir . is not empty')
