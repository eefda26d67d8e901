"""The notebooks: committed clean, run from top to bottom, and right in what they show."""
import io
import json
import os
import shlex
import subprocess
import sys
import test
import warnings

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from matplotlib import pyplot as plt
from nbclient import NotebookClient
from PIL import Image

import network
from common import lettering
from common.errors import UserError
from dataset import descriptor
from dataset.sources import shapes
from evaluation.scores import TITLES
from experiment import checkpoints, config, train_flags, weights
from notebooks import illustrations, layers, plots
from resnet import architecture
from resnet.architecture import Convolutions
from runtime import tf
from tests.helpers import ROOT, pseudo_random

FOLDER = os.path.join(ROOT, 'notebooks')
NAMES = ('inference', 'deeplab_explained')
TINY, TINY_UNITS = 'resnet_v2_tiny', (1, 1, 1, 3)


def read_notebook(name):
    return nbformat.read(os.path.join(FOLDER, name + '.ipynb'), as_version=4)


def code_of(name):
    """The sources of the code cells, without lines for IPython."""
    return ['\n'.join(line for line in cell.source.split('\n') if not line.startswith('%'))
            for cell in read_notebook(name).cells if cell.cell_type == 'code']


def execute(name, cwd, first_cell=None):
    """Runs a notebook on a kernel of this Python, whatever kernels are installed."""
    notebook = read_notebook(name)
    if first_cell:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(first_cell))
    # Without folders to look in there is only the one that ipykernel itself describes.
    manager = AsyncKernelManager(kernel_name='python3',
                                 kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    assert manager.kernel_spec.argv[0] == sys.executable
    NotebookClient(notebook, km=manager, timeout=300,
                   resources={'metadata': {'path': str(cwd)}}).execute(cleanup_kc=True)
    return notebook


def outputs_of(notebook):
    """Returns (what was printed and shown as text, number of figures)."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    shown = [output.data for output in outputs if 'data' in output]
    text = [output.text for output in outputs if output.output_type == 'stream']
    text += [data['text/markdown'] for data in shown if 'text/markdown' in data]
    return '\n'.join(text), sum('image/png' in data for data in shown)


def run_here(name):
    """Runs the code cells in this process; returns their names, also after a SystemExit."""
    variables = {}
    try:
        for source in code_of(name):
            exec(compile(source, name, 'exec'), variables)
    finally:
        plt.close('all')
    return variables


@pytest.fixture
def kernel_environment(monkeypatch, tmp_path):
    """Keeps settings of the user away from the kernel."""
    monkeypatch.setenv('IPYTHONDIR', str(tmp_path / 'ipython'))
    monkeypatch.setenv('JUPYTER_RUNTIME_DIR', str(tmp_path / 'jupyter'))
    monkeypatch.setenv('MPLBACKEND', 'Agg')  # figures must be shown all the same


@pytest.fixture
def no_settings(monkeypatch):
    for name in ('CHECKPOINT', 'DATASET_DIR', 'IMAGES'):
        monkeypatch.delenv('DEEPLAB_' + name, raising=False)
    plt.switch_backend('Agg')


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, shapes_dir):
    """A run of a tiny backbone with random weights, and beside them averages that differ."""
    architecture.MODELS[TINY] = architecture.Architecture(TINY_UNITS)
    folder = str(tmp_path_factory.mktemp('runs'))
    args = train_flags.parse(['--resnet_model', TINY, '--dataset_dir', shapes_dir,
                              '--crop_size', '33', '--ema_decay', '0.9'])
    args.number_of_classes = 6
    config.save(args, folder)
    with tf.Graph().as_default(), tf.Session() as session:
        network.deeplab_v3(tf.zeros([1, 33, 33, 3]), network.options_of(args), False, None)
        pseudo_random.assign(session)
        averages = [tf.Variable(0.7 * variable, name=variable.op.name + weights.AVERAGED)
                    for variable in tf.global_variables()]
        session.run(tf.variables_initializer(averages))
        tf.train.Saver().save(session, os.path.join(folder, checkpoints.PREFIX), 2)
    yield folder
    del architecture.MODELS[TINY]


@pytest.mark.parametrize('name', NAMES)
def test_notebooks_are_committed_without_outputs_for_the_kernel_python3(name):
    notebook = read_notebook(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == 'python3'
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert len(code) > 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.parametrize('name', NAMES)
def test_code_in_cells_passes_the_linter(name, tmp_path):
    path = tmp_path / 'cells.py'
    path.write_text('\n\n\n'.join(code_of(name)) + '\n', encoding='utf-8')
    # Imports stand in two cells, and blank lines between cells are no ones.
    linter = subprocess.run(
        [sys.executable, '-m', 'flake8', '--isolated', '--max-line-length', '100',
         '--extend-ignore', 'E303,E305,E402', str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert linter.stdout == '' and linter.returncode == 0


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('place', ['.', 'notebooks', 'tests', None])
def test_the_project_is_found_from_below_and_from_its_environment(name, place, monkeypatch,
                                                                  tmp_path):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setattr(sys, 'prefix', str(tmp_path / 'python'))
    monkeypatch.chdir(str(tmp_path) if place is None else os.path.join(ROOT, place))
    if place is None:
        with pytest.raises(SystemExit, match='not found from.*make notebook'):
            exec(code_of(name)[0], {})
        monkeypatch.setattr(sys, 'prefix', os.path.join(ROOT, '.venv'))
    variables = {}
    exec(code_of(name)[0], variables)
    assert variables['ROOT'] == ROOT and sys.path[0] == ROOT


def test_inference_shows_the_network_its_predictions_and_the_scores_of_test_py(
        run_dir, shapes_dir, tmp_path, monkeypatch, kernel_environment, no_settings):
    monkeypatch.setenv('DEEPLAB_CHECKPOINT', run_dir)
    notebook = execute('inference', FOLDER, first_cell='''
import sys
sys.path.insert(0, %r)
from resnet import architecture
architecture.MODELS[%r] = architecture.Architecture(%r)''' % (ROOT, TINY, TINY_UNITS))
    text, num_figures = outputs_of(notebook)
    assert num_figures == 5
    assert 'model.ckpt-2' in text and 'background, circle, square' in text
    assert '3 of the 3 images of split "test"' in text
    # 35 of the blocks before, 2 * 16 of block3, and block4's rates 2 * (1, 2, 4) times 32.
    assert '| block4 | 3 | 3x3 | 1 | 8 | 4 x 4 x 2048 | 515 x 515 |' in text
    assert '| ASPP | 3x3, 3 | 3x3 | 1 | 18 | 4 x 4 x 256 | 1091 x 1091 |' in text
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path / 'results')])
    scores = json.loads((tmp_path / 'results' / 'scores.json').read_text())
    for key, title in TITLES:
        row = '| %s | %.4f | %.4f |' % (title, scores['benchmark'][key], scores['post'][key])
        assert row in text
    assert 0 < scores['benchmark']['pixel_accuracy'] < 1


def test_explanation_runs_from_top_to_bottom(kernel_environment):
    text, num_figures = outputs_of(execute('deeplab_explained', os.path.join(ROOT, 'tests')))
    assert num_figures == 7
    for row in ('| block2 | 33 x 33, rate 1 | 33 x 33, rate 1 | 65 x 64, rate 1 |',
                '| block3 | 17 x 17, rate 1 | 33 x 33, rate 1 | 65 x 64, rate 2 |',
                '| block4 | 17 x 17, rate 1 | 33 x 33, rate 2, 4, 8 | 65 x 64, rate 4, 8, 16 |'):
        assert row in text
    # ((14 + 2 * 8) / 42) ** 2 = 0.51 at rate 6; one of nine weights at rate 16.
    assert '14 x 14 map: rate 1: 91 %, rate 6: 51 %, rate 11: 23 %, rate 16: 11 %' in text
    steps = [line.split(None, 1)[1] for line in text.split('\n')
             if line.startswith(('preact', 'conv', 'add'))]
    assert steps == ['batch norm', 'ReLU', 'convolution 1x1', 'batch norm', 'ReLU',
                     'convolution 3x3', 'batch norm', 'ReLU', 'convolution 1x1', '+']


def test_own_images_need_no_data_set_until_the_scores(run_dir, tmp_path, monkeypatch, capsys,
                                                      no_settings):
    wide = np.random.RandomState(0).randint(0, 256, [40, 1026, 4]).astype(np.uint8)
    Image.fromarray(wide, 'RGBA').save(str(tmp_path / 'wide.png'))
    monkeypatch.setenv('DEEPLAB_CHECKPOINT', run_dir)
    monkeypatch.setenv('DEEPLAB_DATASET_DIR', str(tmp_path / 'nowhere'))
    monkeypatch.setenv('DEEPLAB_IMAGES', str(tmp_path / '*.png'))
    monkeypatch.setattr(sys, 'path', list(sys.path))
    drawn = []
    monkeypatch.setattr(lettering, 'legend',
                        lambda figure, handles, names, **_: drawn.append(names))
    with pytest.raises(SystemExit, match='Scores need labels'):
        run_here('inference')
    printed = capsys.readouterr().out
    assert 'Input: wide.png, 20 x 513' in printed
    assert 'Classes: background, circle, square' in printed
    assert len(drawn) == 2 and all(name in shapes.CLASS_NAMES for names in drawn for name in names)


def test_figures_of_the_notebooks_show_any_name_in_its_colour_without_a_warning():
    plt.switch_backend('Agg')
    names = ('_background_', '$x$', 'a$_$', '猫', 'two\nlines', 'W' * 255)
    colors = tuple((label, 40 * label, 9) for label in range(6))
    info = descriptor.create('toy', names, 255, colors=colors)
    image, labels = np.zeros([6, 6, 3], np.uint8), np.arange(6).repeat(6).reshape(6, 6)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        plots.show_predictions([('猫$a$.png', image, labels, labels, labels / 9.)], info)
        plots.show_variants(image, labels, [('a', labels), ('b', labels)], info)
        illustrations.draw_decimation(image, labels, [('a', image, 'b', labels)], info)
        plots.plot_scores(np.full(6, 0.5), np.full(3, 0.5), 0.5, info)
        figures = list(map(plt.figure, plt.get_fignums()))
        for figure in figures:
            figure.savefig(io.BytesIO(), bbox_inches='tight')
    shown = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in figures[:3]]
    assert shown == [list(lettering.labels(names))] * 3
    assert [label.get_text() for label in figures[3].axes[0].get_yticklabels()] == shown[0]
    for drawn in (figures[0].axes[1], figures[0].axes[2]):
        np.testing.assert_array_equal(drawn.images[0].get_array()[:, 0], colors)
    np.testing.assert_allclose([bar.get_facecolor()[:3] for bar in figures[3].axes[0].patches],
                               np.divide(colors, 255))
    plt.close('all')


@pytest.mark.parametrize('settings, message', [
    ({'CHECKPOINT': 'nowhere/model'}, 'No checkpoint at .*nowhere/model.*\n.*`make demo`'),
    ({'DATASET_DIR': 'nowhere'}, '(?s)no dataset.json in .*nowhere.*DATASET_DIR'),
    ({'IMAGES': 'nowhere/*.png'}, 'No file is at .*nowhere.*IMAGES')])
def test_what_is_missing_is_said_with_the_way_out(settings, message, run_dir, monkeypatch,
                                                  no_settings):
    for name, value in dict({'CHECKPOINT': run_dir}, **settings).items():
        monkeypatch.setenv('DEEPLAB_' + name, value)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit, match=message):
        run_here('inference')


@pytest.mark.parametrize('has_own, run', [(True, 'runs/deeplab_v3'), (False, 'runs/demo/model')])
def test_the_users_own_run_goes_before_the_demo(has_own, run, monkeypatch, no_settings):
    def find(path):
        raise UserError('looked at ' + path)
    monkeypatch.setattr(config, 'is_run_dir', lambda folder: has_own or 'demo' in folder)
    monkeypatch.setattr(checkpoints, 'find', find)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit, match='looked at ' + os.path.join(ROOT, run)):
        run_here('inference')


def build_tiny(images, output_stride, multi_grid, aspp_rates, form=Convolutions.SLIM):
    args = train_flags.parse(['--output_stride', str(output_stride), '--aspp_rates']
                             + list(map(str, aspp_rates)))
    args.resnet_model, args.multi_grid, args.number_of_classes = TINY, multi_grid, 6
    options = network.options_of(args)
    options = options._replace(
        architecture=options.architecture._replace(convolutions=form))
    with tf.name_scope('here'):
        network.deeplab_v3(images, options, is_training=False, reuse=None)


@pytest.mark.parametrize('form', [Convolutions.NATIVE, Convolutions.SLIM])
def test_layers_are_read_alike_from_both_kinds_of_atrous_convolution(form, tiny_backbone):
    with tf.Graph().as_default() as graph:
        build_tiny(tf.zeros([1, 65, 97, 3]), 8, (1, 2, 4), (12, 24, 36), form)
        found = layers.read(graph, TINY, 'here')
    assert [(layer.block, layer.unit, layer.size, layer.stride, layer.rate) for layer in found] == [
        ('conv1', '', 7, 2, 1), ('pool1', '', 3, 2, 1), ('block1', '1', 3, 2, 1),
        ('block2', '1', 3, 1, 1), ('block3', '1', 3, 1, 2), ('block4', '1', 3, 1, 4),
        ('block4', '2', 3, 1, 8), ('block4', '3', 3, 1, 16), ('ASPP', 'image level', None, 1, 1),
        ('ASPP', '1x1', 1, 1, 1), ('ASPP', '3x3, 1', 3, 1, 12), ('ASPP', '3x3, 2', 3, 1, 24),
        ('ASPP', '3x3, 3', 3, 1, 36), ('ASPP', 'projection', 1, 1, 1), ('logits', '', 1, 1, 1),
        ('logits', 'resized', None, 1, 1)]
    sizes = [layer.output.shape.as_list()[1:3] for layer in found]
    assert sizes == [[33, 49], [17, 25]] + [[9, 13]] * 13 + [[65, 97]]


def test_receptive_field_is_where_the_gradient_of_a_feature_reaches(tiny_backbone):
    side = 225
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images = tf.constant(np.random.RandomState(0).uniform(0, 255, [1, side, side, 3]),
                             tf.float32)
        build_tiny(images, 16, (1, 1, 1), (1, 2, 3))
        found = [layer for layer in layers.read(graph, TINY, 'here')
                 if (layer.receptive_field or side) < side]
        middle = [layer.output.shape[1].value // 2 for layer in found]
        gradients = [tf.gradients(layer.output[0, place, place], images)[0]
                     for layer, place in zip(found, middle)]
        pseudo_random.assign(session)
        reached = [np.flatnonzero(np.abs(values[0]).sum(axis=(1, 2)))
                   for values in session.run(gradients)]
    fields = [layer.receptive_field for layer in found]
    assert [rows[-1] - rows[0] + 1 for rows in reached] == fields
    assert fields == [7, 11, 19, 35, 67, 131, 195]


def test_make_notebook_takes_the_kernel_of_the_environment(tmp_path):
    other = tmp_path / '.local' / 'share' / 'jupyter' / 'kernels' / 'python3'
    other.mkdir(parents=True)
    (other / 'kernel.json').write_text(json.dumps(
        {'argv': ['/bin/false'], 'display_name': 'another', 'language': 'python'}))
    environment = dict(os.environ, HOME=str(tmp_path))
    # Those of make as well: under `make test` an inner make would print its directory.
    for name in ('XDG_DATA_HOME', 'JUPYTER_DATA_DIR', 'JUPYTER_PATH', 'JUPYTER_PREFER_ENV_PATH',
                 'MAKEFLAGS', 'MFLAGS', 'MAKELEVEL'):
        environment.pop(name, None)
    recipe = subprocess.check_output(
        ['make', '-n', '--no-print-directory', '-o', 'env', 'notebook'], cwd=ROOT, env=environment,
        universal_newlines=True).strip().split('\n')[-1]
    command = recipe.replace('.venv/bin/python', shlex.quote(sys.executable)).replace(
        '-m notebook --notebook-dir notebooks', '-m jupyter kernelspec list --json')
    listed = json.loads(subprocess.check_output(command, shell=True, cwd=ROOT, env=environment))
    assert listed['kernelspecs']['python3']['spec']['argv'][0] != '/bin/false'
