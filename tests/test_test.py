"""test.py as users run it: scores, pictures, report and errors."""
import csv
import html.parser
import json
import os
import test

import numpy as np
import pytest
from PIL import Image

import metrics
import network
import train
from common import html as html_room
from common.errors import UserError
from dataset import descriptor, voc
from evaluation import results
from experiment import checkpoints, config, loading
from inference import output_folder, restored
from preprocessing import inputs
from runtime import devices, machine, precision, tf
from tests.helpers import tiny_runs


ANY_NAMES = ('_background_', '$x$', '猫', 'two\nlines', '<b>"&', 'x' * 255)


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, shapes_dir):
    """A run of two steps on a tiny backbone that the scripts can load."""
    folder = str(tmp_path_factory.mktemp('runs') / 'run')
    with tiny_runs.tiny_network(base_depth=8):
        train.main(['--resnet_model', tiny_runs.TINY, '--dataset_dir', shapes_dir, '--model_dir',
                    folder, '--crop_size', '33', '--batch_size', '2', '--max_steps', '2',
                    '--batch_norm_decay', '0.5', '--starting_learning_rate', '0.001',
                    '--summary_every_steps', '1', '--init_from', 'random'])
        yield folder


def labels_by_name(shapes_dir, split):
    with tf.Graph().as_default(), tf.Session() as session:
        example = tf.data.make_one_shot_iterator(inputs.eval_dataset(
            descriptor.load(shapes_dir), shapes_dir, split)).get_next()
        found = {}
        while True:
            try:
                name, labels = session.run([example.name, example.labels])
            except tf.errors.OutOfRangeError:
                return found
            found[name[0].decode()] = labels[0]


def test_scores_json_is_what_the_written_predictions_score(run_dir, shapes_dir, tmp_path, capsys):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)])
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    matrix = 0
    for name, labels in labels_by_name(shapes_dir, 'test').items():
        picture = Image.open(str(tmp_path / 'predictions' / name))
        assert picture.mode == 'P' and picture.size == labels.shape[::-1]
        matrix = matrix + metrics.confusion_matrix(labels, np.array(picture), 6, 255)
    expected = metrics.scores(matrix)
    for name in ('pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou'):
        assert written['benchmark'][name] == pytest.approx(getattr(expected, name))
    classes = descriptor.load(shapes_dir).class_names
    assert set(written['benchmark']['per_class_iou']) == set(classes)
    for name, iou in zip(classes, expected.per_class_iou):
        assert written['benchmark']['per_class_iou'][name] == (
            None if np.isnan(iou) else pytest.approx(iou))
    assert written['num_images'] == 3 and written['step'] == 2
    assert written['run'] == {'steps_done': 2, 'max_steps': 2, 'is_finished': True}
    assert 'finished: 2 of 2 steps' in (tmp_path / 'report.html').read_text()
    assert written['checkpoint'].endswith('model.ckpt-2')
    printed = capsys.readouterr().out
    assert printed.count('Computing on ') == 1
    for word in classes + ('mean IoU', '%.4f' % expected.mean_iou):
        assert word in printed
    sheet = Image.open(str(tmp_path / 'contact_sheet.png'))
    assert sheet.size[0] > sheet.size[1] / 3


def test_post_scores_are_those_of_center_crops_padded_with_black(run_dir, shapes_dir, tmp_path,
                                                                 capsys):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)])
    assert 'center crops of 33x33 padded with black' in capsys.readouterr().out
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    args = config.load(run_dir)
    expected = []
    with tf.Graph().as_default(), tf.Session() as session:
        example = tf.data.make_one_shot_iterator(inputs.eval_dataset(
            descriptor.load(shapes_dir), shapes_dir, 'test')).get_next()
        images = tf.placeholder(tf.float32, [1, 33, 33, 3])
        logits = network.deeplab_v3(images, network.options_of(args), False, None)
        tf.train.Saver().restore(session, checkpoints.find(run_dir)[0])
        for _ in range(3):
            image, labels = session.run([example.image, example.labels])
            # Pictures of 48 pixels or so: crops only, no padding.
            top, left = [(side - 33) // 2 for side in labels.shape[1:]]
            window = np.s_[:, top:top + 33, left:left + 33]
            predictions = session.run(logits, {images: image[window]}).argmax(axis=3)
            expected.append(metrics.post_image_scores(metrics.confusion_matrix(
                labels[window], predictions, 6, 255)))
    names = ('pixel_accuracy', 'mean_accuracy', 'mean_iou', 'frequency_weighted_iou')
    np.testing.assert_allclose([written['post'][name] for name in names],
                               np.mean(expected, axis=0), rtol=1e-6)
    assert written['post']['crop_size'] == 33 and written['post']['num_images'] == 3


def test_interval_surrounds_the_benchmark_miou_and_post_scores_can_be_left_out(run_dir, tmp_path):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path), '--no_post_scores'])
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    low, high = written['benchmark']['mean_iou_95_interval']
    assert 0 <= low <= high <= 1
    assert written['post'] is None


def test_the_default_output_directory_is_in_the_run(run_dir):
    test.main(['--checkpoint', run_dir, '--split', 'validation'])
    assert os.path.exists(os.path.join(run_dir, 'results_validation', 'scores.json'))


def test_output_stride_can_be_another_and_the_rates_follow(run_dir, tmp_path):
    test.main(['--checkpoint', run_dir, '--output_stride', '8', '--output_dir', str(tmp_path)])
    with open(str(tmp_path / 'scores.json')) as f:
        written = json.load(f)
    assert written['output_stride'] == 8 and written['aspp_rates'] == [12, 24, 36]


@pytest.mark.parametrize('more,message', [
    (['--split', 'minival'], "has no split 'minival': give --split test or train or validation"),
    (['--dataset_dir', '/nowhere'], '/nowhere'),
    (['--output_stride', '32'], 'without atrous')])
def test_bad_input_ends_in_one_message(run_dir, more, message):
    with pytest.raises(SystemExit) as stopped:
        test.main(['--checkpoint', run_dir] + more)
    assert stopped.value.code != 0
    stopped.match('(?s)' + message)


def test_no_checkpoint_is_said_with_the_way_out(tmp_path):
    with pytest.raises(SystemExit, match='No checkpoint at .*Give a run directory'):
        test.main(['--checkpoint', str(tmp_path)])


def test_a_data_set_with_other_classes_is_refused(run_dir, shapes_dir, tmp_path):
    info = descriptor.load(shapes_dir)
    other = descriptor.create('other', ('a', 'b'), info.ignore_label, info.splits)
    for shard in info.splits['test']['shards']:
        os.symlink(os.path.join(shapes_dir, shard), str(tmp_path / shard))
    descriptor.save(other._replace(splits={'test': info.splits['test']}), str(tmp_path))
    with pytest.raises(SystemExit, match='has 2 classes.*trained on 6'):
        test.main(['--checkpoint', run_dir, '--dataset_dir', str(tmp_path)])


def renamed(shapes_dir, tmp_path, names):
    """Writes the shapes under other names; returns the folder."""
    info = descriptor.load(shapes_dir)
    for shard in info.splits['test']['shards']:
        os.symlink(os.path.join(shapes_dir, shard), str(tmp_path / shard))
    descriptor.save(descriptor.create('other', names, info.ignore_label,
                                      {'test': info.splits['test']}), str(tmp_path))
    return str(tmp_path)


def test_a_data_set_with_the_classes_in_another_order_is_refused(run_dir, shapes_dir, tmp_path):
    names = descriptor.load(shapes_dir).class_names
    folder = renamed(shapes_dir, tmp_path, names[:1] + names[:0:-1])
    with pytest.raises(SystemExit, match='class 1 is "circle" in the run and "cross" in the data'):
        test.main(['--checkpoint', run_dir, '--dataset_dir', folder])


def test_a_data_set_with_other_names_is_scored_with_a_warning_and_its_names(
        run_dir, shapes_dir, tmp_path, capsys):
    (tmp_path / 'data').mkdir()
    folder = renamed(shapes_dir, tmp_path / 'data', ANY_NAMES)
    test.main(['--checkpoint', run_dir, '--dataset_dir', folder, '--no_post_scores',
               '--output_dir', str(tmp_path / 'out')])
    out, err = capsys.readouterr()
    assert 'class 1 is "circle" in the run and "$x$" in the data' in err
    # All names are on screen, in the page and in scores.json, each line whole.
    table = out.split(', output stride 16.\n')[1].split('\n')[:6]
    assert [line.rsplit(' ', 1)[0].rstrip() for line in table] == [
        html_room.printable(name) for name in ANY_NAMES]
    assert set(scores_of(tmp_path / 'out')['benchmark']['per_class_iou']) == set(ANY_NAMES)
    page = Page(str(tmp_path / 'out' / 'report.html'))
    assert page.fetched == [] and page.open_tags == []
    for name in ANY_NAMES:
        assert html_room.printable(name) in page.words
    assert 'rgb(85,85,85)' in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')


def scores_of(folder):
    with open(os.path.join(str(folder), 'scores.json')) as f:
        return json.load(f)


class Page(html.parser.HTMLParser):
    """Collects a page's words, its pictures, and whatever it would fetch."""

    def __init__(self, path):
        super().__init__()
        self.words, self.pictures, self.fetched, self.open_tags = [], [], [], []
        with open(path, encoding='utf-8') as f:
            self.feed(f.read())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ('src', 'href'):
                (self.pictures if value.startswith('data:image/') else self.fetched).append(value)
        self.open_tags += [] if tag in ('img', 'meta') else [tag]

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_shows_all_results_and_needs_no_other_file(run_dir, shapes_dir, tmp_path):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)])
    written, page = scores_of(tmp_path), Page(str(tmp_path / 'report.html'))
    assert page.fetched == [] and page.open_tags == []
    text = ' '.join(page.words)
    for name in descriptor.load(shapes_dir).class_names:
        assert name in text
    for value in (written['benchmark']['mean_iou'], written['post']['pixel_accuracy'],
                  written['boundary_iou']['mean'],
                  written['calibration']['expected_calibration_error']):
        assert '%.4f' % value in text
    # Confusion matrix, calibration, three images, contact sheet.
    assert len(page.pictures) == 2 + 3 + 1
    for name in ('confusion_matrix.png', 'calibration.png', 'contact_sheet.png'):
        assert Image.open(str(tmp_path / name)).format == 'PNG'


def test_the_worst_images_come_first_and_the_csv_has_the_scores_of_all(run_dir, shapes_dir,
                                                                       tmp_path, monkeypatch):
    monkeypatch.setattr(results, 'WORST_SHOWN', 2)
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)])
    expected = {}
    for name, labels in labels_by_name(shapes_dir, 'test').items():
        predictions = np.array(Image.open(str(tmp_path / 'predictions' / name)))
        matrix = metrics.confusion_matrix(labels, predictions, 6, 255)
        expected[name] = metrics.scores(matrix)
    with open(str(tmp_path / 'images.csv'), newline='') as f:
        rows = {row['image']: row for row in csv.DictReader(f)}
    assert rows.keys() == expected.keys()
    for name, scores in expected.items():
        assert float(rows[name]['mean_iou']) == pytest.approx(scores.mean_iou, abs=1e-6)
        assert float(rows[name]['pixel_accuracy']) == pytest.approx(scores.pixel_accuracy, abs=1e-6)
    worst = sorted(expected, key=lambda name: expected[name].mean_iou)[:2]
    assert sorted(os.listdir(str(tmp_path / 'worst'))) == [
        '%02d-%s' % (index, name) for index, name in enumerate(worst, start=1)]


def test_calibration_and_boundaries_are_those_of_the_network(run_dir, shapes_dir, tmp_path):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path), '--no_post_scores'])
    written = scores_of(tmp_path)
    bins, boundaries = 0, 0
    with restored.Predictor(loading.load_run(run_dir)) as predictor:
        with tf.Graph().as_default(), tf.Session() as session:
            example = tf.data.make_one_shot_iterator(inputs.eval_dataset(
                descriptor.load(shapes_dir), shapes_dir, 'test')).get_next()
            for _ in range(3):
                values = session.run(example)
                found = predictor.predict(values.image.astype(np.uint8), True)
                valid = values.labels != 255
                bins = bins + metrics.calibration_counts(
                    found.probabilities.max(axis=3)[valid],
                    (found.labels == values.labels)[valid])
                boundaries = boundaries + metrics.boundary_counts(
                    values.labels[0], found.labels[0], 6, 255)
    assert written['calibration']['expected_calibration_error'] == pytest.approx(
        metrics.expected_calibration_error(bins), abs=1e-3)
    assert written['boundary_iou']['mean'] == pytest.approx(metrics.mean_iou(boundaries))


def test_scales_and_flip_change_the_scores_and_stand_in_them(run_dir, tmp_path):
    for name, more in (('once', []), ('many', ['--scales', '0.5', '1', '1.5', '--flip'])):
        test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path / name)] + more)
    once, many = scores_of(tmp_path / 'once'), scores_of(tmp_path / 'many')
    assert many['passes'] == {'scales': [0.5, 1, 1.5], 'flip': True, 'window': None, 'overlap': 0}
    assert many['mean_loss'] != once['mean_loss']
    # The post's scores are of single passes.
    assert many['post'] == once['post']


@pytest.mark.parametrize('chosen', [None, 'bf16'])
def test_what_scores_were_computed_in_stands_in_them(chosen, run_dir, tmp_path, monkeypatch):
    if chosen and (tf.__version__.startswith('1.') or 'bf16' not in machine.processor().features):
        pytest.skip('needs TensorFlow 2 and a CPU with bf16')
    asked = []
    monkeypatch.setattr(devices, '_mixed_precision', None)
    monkeypatch.setattr(precision, 'choose', lambda choice, *_: asked.append(choice) or chosen)
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)] + (
        ['--mixed_precision', 'auto'] if chosen else []))
    assert asked == ['auto' if chosen else 'off']
    assert scores_of(tmp_path)['mixed_precision'] == (chosen or 'off')
    assert '>%s</td>' % (chosen or 'off') in (tmp_path / 'report.html').read_text()


def test_windows_give_the_same_where_one_covers_the_image_and_others_elsewhere(run_dir, tmp_path):
    folders = {window: str(tmp_path / str(window)) for window in (0, 33, 512)}
    for window, folder in folders.items():
        more = ['--window', str(window)] if window else []
        test.main(['--checkpoint', run_dir, '--output_dir', folder, '--no_post_scores'] + more)
    whole, cut, covered = (scores_of(folders[window]) for window in (0, 33, 512))
    assert covered['benchmark'] == whole['benchmark']
    assert covered['mean_loss'] == pytest.approx(whole['mean_loss'], rel=1e-4)
    assert covered['calibration']['expected_calibration_error'] == pytest.approx(
        whole['calibration']['expected_calibration_error'], abs=1e-4)
    assert cut['mean_loss'] != pytest.approx(whole['mean_loss'], rel=1e-4)
    assert cut['passes']['window'] == 33 and cut['passes']['overlap'] == 8


def test_a_submission_of_other_classes_than_vocs_is_refused(run_dir):
    with pytest.raises(SystemExit, match='takes its own 21 classes, and these are 6'):
        test.main(['--checkpoint', run_dir, '--save_submission'])


def test_submissions_are_palette_pngs_in_the_folders_of_vocs_server(run_dir, tmp_path,
                                                                    monkeypatch):
    names = descriptor.load(config.load(run_dir).dataset_dir).class_names
    monkeypatch.setattr(voc, 'CLASS_NAMES', names)
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path), '--save_submission', 'comp5',
               '--split', 'validation'])
    folder = tmp_path / 'results' / 'VOC2012' / 'Segmentation' / 'comp5_val_cls'
    assert len(list(folder.iterdir())) == 2
    for path in folder.iterdir():
        submitted, predicted = (Image.open(str(name)) for name in (
            path, tmp_path / 'predictions' / path.name))
        assert submitted.mode == 'P' and submitted.getpalette() == voc.color_map().ravel().tolist()
        np.testing.assert_array_equal(np.array(submitted), np.array(predicted))


def test_scores_of_an_earlier_evaluation_do_not_outlive_one_that_stopped(run_dir, tmp_path,
                                                                         monkeypatch):
    arguments = ['--checkpoint', run_dir, '--output_dir', str(tmp_path), '--no_post_scores']
    test.main(arguments)
    (tmp_path / 'mine.txt').write_text('')

    def fail(*_):
        raise UserError('shards are damaged')
    monkeypatch.setattr(metrics, 'confusion_matrix', fail)
    with pytest.raises(SystemExit, match='shards are damaged'):
        test.main(arguments)
    assert {path.name for path in tmp_path.rglob('*') if path.is_file()} == {
        'mine.txt', output_folder.JOURNAL}


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


@pytest.mark.parametrize('is_listed', [True, False])
def test_scoring_another_split_removes_what_the_one_before_wrote_and_nothing_else(
        run_dir, tmp_path, is_listed):
    flags = ['--checkpoint', run_dir, '--no_post_scores', '--output_dir']
    again, fresh = tmp_path / 'again', tmp_path / 'fresh'
    test.main(flags + [str(again), '--split', 'train'])
    if not is_listed:  # as earlier commits left it
        (again / output_folder.JOURNAL).unlink()
    own = ['predictions/mine.png', 'worst/mine.jpg']
    for name in own:
        (again / name).write_text('mine')
    for folder in (again, fresh):
        test.main(flags + [str(folder)])
    assert files_in(again) == sorted(files_in(fresh) + own)


@pytest.mark.parametrize('name', [
    'images.csv', 'report.html', 'calibration.png', 'scores.json', 'predictions/test_00000.png'])
def test_a_file_that_no_evaluation_wrote_stays_and_stops_one(run_dir, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('mine')
    with pytest.raises(SystemExit, match='%s is there, and .* move it, or give another '
                                         '--output_dir' % name):
        test.main(['--checkpoint', run_dir, '--no_post_scores', '--output_dir', str(tmp_path)])
    assert path.read_text() == 'mine'


def test_a_label_outside_the_classes_names_the_image(run_dir, shapes_dir, tmp_path, monkeypatch):
    real = inputs.parse_example

    def shifted(serialized):
        example = real(serialized)
        return example._replace(labels=example.labels + 4)
    monkeypatch.setattr(inputs, 'parse_example', shifted)
    for more in ([], ['--window', '33']):
        with pytest.raises(SystemExit, match='png: label ids run from|label value'):
            test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path)] + more)
