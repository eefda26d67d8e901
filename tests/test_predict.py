"""predict.py as users run it: pictures of every kind, videos, and what is wrong with them."""
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import test

import numpy as np
import pytest
from PIL import Image

import network
import predict
from common.errors import UserError
from dataset import build_folder, descriptor, voc
from dataset.records import encoding
from experiment import config, loading, train_flags
from inference import labelling, media, options, restored, videos
from inference.output_folder import JOURNAL, OutputFolder
from resnet import architecture
from runtime import tf
from tests.helpers import ROOT, pseudo_random, tiny_runs
from tests.helpers.example_files import (encoded, noise, read_examples, tiff_file,
                                         write_folders)
from tests.helpers.example_videos import clip, length_of, shared_case, times_of

TINY = 'resnet_v2_tiny'
NUM_BAD = 4


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, shapes_dir):
    """The directory of a run on the shapes, with a tiny backbone."""
    architecture.MODELS[TINY] = architecture.Architecture((1, 1, 1, 3), 8, tiny_runs.ASPP_DEPTH)
    folder = str(tmp_path_factory.mktemp('runs'))
    args = train_flags.parse(['--resnet_model', TINY, '--dataset_dir', shapes_dir,
                              '--model_dir', folder])
    args.number_of_classes = 6
    config.save(args, folder)
    with tf.Graph().as_default(), tf.Session() as session:
        logits = network.deeplab_v3(tf.constant(colours()[np.newaxis], tf.float32),
                                    network.options_of(args), False,
                                    None)
        pseudo_random.assign(session)
        # Logits around 0: pictures have several classes, and none is sure.
        scale = 3 / session.run(logits).std(axis=(0, 1, 2)).max()
        weights, biases = [tf.global_variables('DeepLab_v3/logits/' + name)[0]
                           for name in ('weights', 'biases')]
        weights.load(session.run(weights) * scale, session)
        biases.load(-session.run(logits).mean(axis=(0, 1, 2)) + session.run(biases), session)
        tf.train.Saver().save(session, os.path.join(folder, 'model.ckpt-7'),
                              write_meta_graph=False)
    yield folder
    del architecture.MODELS[TINY]


def colours():
    """Returns upright RGB pixels of 200 colours, dark at the left, which a palette can hold."""
    pixels = noise(10, 20, seed=3)
    pixels[:, :10] //= 4
    return pixels.repeat(4, axis=0).repeat(2, axis=1)


def write_modes(folder):
    """Writes the same picture, and the same grey one, in modes that all can hold it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb = Image.fromarray(colours())
    grey = Image.fromarray(colours()[..., 0])
    palette = rgb.quantize(256)
    assert (np.array(palette.convert('RGB')) == colours()).all()
    for name, image, saving in [
            ('rgb/png.png', rgb, {}), ('rgb/rgba.png', rgb.convert('RGBA'), {}),
            ('rgb/palette.png', palette, {}), ('rgb/cmyk.tif', rgb.convert('CMYK'), {}),
            ('rgb/turned.png', rgb.transpose(Image.ROTATE_90), {'exif': exif}),
            ('rgb/bmp.bmp', rgb, {}), ('grey/8.png', grey, {}),
            ('grey/rgb.png', grey.convert('RGB'), {}), ('grey/la.png', grey.convert('LA'), {}),
            ('grey/16.png', Image.fromarray(np.array(grey).astype(np.uint16) * 257), {})]:
        (folder / name).parent.mkdir(exist_ok=True)
        image.save(str(folder / name), **saving)


def write_shapes(folder, shapes_dir):
    """Writes the pictures of the test split as the files they were."""
    info = descriptor.load(shapes_dir)
    folder.mkdir()
    for shard in descriptor.shard_paths(info, shapes_dir, 'test'):
        for record in tf.compat.v1.io.tf_record_iterator(shard):
            features = tf.train.Example.FromString(record).features.feature
            name = features[encoding.IMAGE_FILENAME].bytes_list.value[0].decode()
            (folder / name).write_bytes(features[encoding.IMAGE_ENCODED].bytes_list.value[0])


@pytest.fixture(scope='module')
def inputs(tmp_path_factory, shapes_dir):
    """A folder of pictures of all kinds, some of them bad."""
    folder = tmp_path_factory.mktemp('inputs')
    write_shapes(folder / 'shapes', shapes_dir)
    write_modes(folder)
    for height, width in ((1, 1), (1, 60), (60, 1), (33, 51)):
        (folder / ('%dx%d.png' % (height, width))).write_bytes(encoded(noise(height, width)))
    (folder / 'twins').mkdir()
    for index, extension in enumerate(('png', 'bmp')):
        (folder / 'twins' / ('a.' + extension)).write_bytes(
            encoded(noise(20, 30, seed=index), extension.upper()))
    bad = folder / 'bad'
    bad.mkdir()
    (bad / 'empty.png').write_bytes(b'')
    (bad / 'text.jpg').write_text('This is no picture.')
    (bad / 'cut.png').write_bytes(encoded(noise(40, 40))[:2000])
    Image.fromarray(np.zeros([4, 4], np.float32)).save(str(bad / 'float.tif'))
    return folder


@pytest.fixture(scope='module')
def results(run_dir, inputs, tmp_path_factory):
    """What predict.py writes for `inputs`, and the message it ends with."""
    folder = tmp_path_factory.mktemp('results')
    with pytest.raises(SystemExit) as stopped:
        predict.main(['--checkpoint', run_dir, '--input', str(inputs), '--output_dir',
                      str(folder), '--save_probabilities'])
    return folder, stopped.value.code


@pytest.fixture(scope='module')
def predictor(run_dir):
    with restored.Predictor(loading.load_run(run_dir)) as predictor:
        yield predictor


def read(path, mode='L'):
    with Image.open(str(path)) as image:
        assert image.mode == mode
        return np.array(image)


def read_json(folder):
    return json.loads((folder / 'predictions.json').read_text())


def below(folder, extension='.png'):
    """Returns the names of the files below a folder, which all have the extension."""
    names = [os.path.relpath(os.path.join(parent, name), str(folder))
             for parent, _, names in os.walk(str(folder)) for name in names]
    assert all(name.endswith(extension) for name in names)
    return sorted(name[:-len(extension)] for name in names)


def test_index_maps_are_those_of_test_py(run_dir, results, tmp_path):
    test.main(['--checkpoint', run_dir, '--output_dir', str(tmp_path), '--no_post_scores'])
    names = below(tmp_path / 'predictions')
    assert len(names) == 3
    for name in names:
        expected = read(tmp_path / 'predictions' / (name + '.png'), 'P')
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(
            read(results[0] / 'index' / 'shapes' / (name + '.png')), expected)


def test_every_good_input_has_an_index_a_palette_and_an_overlay(results, inputs):
    folder, _ = results
    names = below(folder / 'index')
    assert {'1x1', 'shapes/' + below(inputs / 'shapes')[0], 'grey/16', 'twins/a.png',
            'twins/a.bmp'} < set(names)
    assert len(names) == sum(map(len, (files for _, _, files in os.walk(str(inputs))))) - NUM_BAD
    for kind in ('palette', 'overlay'):
        assert below(folder / kind) == names
    assert below(folder / 'probabilities', '.npz') == names
    for name in names:
        index = read(folder / 'index' / (name + '.png'))
        np.testing.assert_array_equal(read(folder / 'palette' / (name + '.png'), 'P'), index)
        overlay = read(folder / 'overlay' / (name + '.png'), 'RGB')
        assert overlay.shape[0] > index.shape[0] and overlay.shape[1] >= index.shape[1]


@pytest.mark.parametrize('name', ['1x1', '1x60', '60x1', '33x51'])
def test_results_have_the_size_of_the_picture(results, name):
    index = read(results[0] / 'index' / (name + '.png'))
    assert '%dx%d' % index.shape == name


def probabilities_of(folder, name):
    with np.load(str(folder / 'probabilities' / (name + '.npz'))) as stored:
        return stored['probabilities']


@pytest.mark.parametrize('folder, reference', [('rgb', 'png'), ('grey', 'rgb')])
def test_a_picture_gives_the_same_in_every_mode_and_upright(results, folder, reference):
    expected = probabilities_of(results[0], folder + '/' + reference)
    assert expected.shape == (40, 40, 6)
    assert abs(expected - np.rot90(expected)).max() > 0.1
    names = below(results[0] / 'probabilities' / folder, '.npz')
    assert len(names) > 3
    for name in names:
        np.testing.assert_allclose(probabilities_of(results[0], folder + '/' + name), expected,
                                   atol=0.002)


def test_inputs_of_one_stem_are_both_written(results, inputs, predictor):
    for name in ('a.png', 'a.bmp'):
        image = media.read_picture(str(inputs / 'twins' / name))
        np.testing.assert_array_equal(
            read(results[0] / 'index' / 'twins' / (name + '.png')),
            predictor.predict(image[np.newaxis]).labels[0])


def test_probabilities_sum_to_1_and_are_largest_at_the_label(results):
    for name in ('33x51', '1x1', 'rgb/png'):
        probabilities = probabilities_of(results[0], name)
        index = read(results[0] / 'index' / (name + '.png'))
        assert probabilities.dtype == np.float16 and probabilities.shape == index.shape + (6,)
        np.testing.assert_allclose(probabilities.astype(np.float64).sum(axis=2), 1, atol=0.002)
        np.testing.assert_array_equal(probabilities.argmax(axis=2), index)


def test_predictions_json_has_sizes_and_shares_of_the_pixels(results, shapes_dir, inputs):
    written = read_json(results[0])
    names = descriptor.load(shapes_dir).class_names
    assert written['class_names'] == list(names)
    assert written['step'] == 7 and written['output_stride'] == 16
    entries = {entry['name']: entry for entry in written['pictures']}
    assert sorted(entries) == below(results[0] / 'index') and written['videos'] == []
    assert entries['grey/16']['input'] == str(inputs / 'grey' / '16.png')
    for name, entry in entries.items():
        index = read(results[0] / 'index' / (name + '.png'))
        assert (entry['height'], entry['width']) == index.shape
        assert sum(entry['class_shares'].values()) == pytest.approx(1)
        assert entry['class_shares'] == {
            class_name: pytest.approx((index == label).mean())
            for label, class_name in enumerate(names)}


def test_bad_files_are_listed_and_the_rest_go_on(results, inputs):
    folder, message = results
    # SystemExit of a text is exit status 1.
    assert message.startswith('%d of ' % NUM_BAD)
    failed = {os.path.basename(entry['input']): entry['error']
              for entry in read_json(folder)['failed']}
    assert set(failed) == {'empty.png', 'text.jpg', 'cut.png', 'float.tif'}
    for name, error in failed.items():
        assert str(inputs / 'bad' / name) in error and error in message
    assert not any(name.startswith('bad') for kind in ('index', 'palette', 'overlay')
                   for name in below(folder / kind))


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """A folder with a video, a GIF and a video that is cut short."""
    folder = tmp_path_factory.mktemp('clips')
    images = [Image.fromarray(noise(30, 42, seed=index)) for index in range(5)]
    videos.write(((image, 0.08) for image in images), str(folder / 'film.mp4'),
                 videos.Video(30, 42, ()))
    clip(folder / 'cut.mp4', '-movflags', '+faststart', count=25)
    data = (folder / 'cut.mp4').read_bytes()
    (folder / 'cut.mp4').write_bytes(data[:len(data) // 2])
    images = [image.crop((0, 0, 31, 21)) for image in images[:3]]
    images[0].save(str(folder / 'film.gif'), save_all=True, append_images=images[1:],
                   duration=[100, 250, 30], loop=0)
    return folder


@pytest.fixture(scope='module')
def films(run_dir, clips, tmp_path_factory):
    """What predict.py writes for `clips`, with other names of the classes."""
    folder = tmp_path_factory.mktemp('films')
    names = tmp_path_factory.mktemp('names') / 'names.txt'
    names.write_text('\n'.join('abcdef'))
    with pytest.raises(SystemExit, match='1 of 3 inputs failed'):
        predict.main(['--checkpoint', run_dir, '--input', str(clips / '*'), '--output_dir',
                      str(folder), '--save_frames', '--classes', str(names)])
    return folder


def opened(path):
    """Returns (height, width, frames, how long each is shown) of a video."""
    with videos.opened(str(path)) as video:
        frames, shown = zip(*video.frames)
    return video.height, video.width, frames, [float(seconds) for seconds in shown]


@pytest.mark.parametrize('name, written, num_frames', [
    ('film.mp4', 'film.mp4.mp4', 5), ('film.gif', 'film.gif.gif', 3)])
def test_videos_become_overlays_and_index_maps_of_each_frame(films, clips, predictor, name,
                                                             written, num_frames):
    height, width, frames, shown = opened(clips / name)
    expected = predictor.predict(np.stack(frames)).labels
    assert len(frames) == num_frames and len(np.unique(expected)) > 1
    folder = films / 'frames' / name
    assert below(folder) == ['%06d' % index for index in range(num_frames)]
    for index in range(num_frames):
        np.testing.assert_array_equal(read(folder / ('%06d.png' % index)), expected[index])
    overlay = opened(films / 'overlay' / written)
    assert overlay[3] == pytest.approx(shown, abs=1e-3) and len(overlay[3]) == num_frames
    assert overlay[0] > height and overlay[1] >= width
    entry = {entry['name']: entry for entry in read_json(films)['videos']}[name]
    assert (entry['height'], entry['width']) == expected.shape[1:]
    assert entry['num_frames'] == num_frames
    assert entry['seconds'] == pytest.approx(sum(shown))
    assert entry['frames_per_second'] == pytest.approx(num_frames / sum(shown))
    assert entry['class_shares'] == {letter: pytest.approx((expected == label).mean())
                                     for label, letter in enumerate('abcdef')}


def test_a_damaged_video_leaves_nothing(films, clips):
    assert [entry['input'] for entry in read_json(films)['failed']] == [str(clips / 'cut.mp4')]
    assert sorted(os.listdir(str(films))) == [JOURNAL, 'frames', 'overlay', 'predictions.json']
    assert sorted(os.listdir(str(films / 'overlay'))) == ['film.gif.gif', 'film.mp4.mp4']
    assert sorted(os.listdir(str(films / 'frames'))) == ['film.gif', 'film.mp4']


def test_other_names_of_classes_are_used(films):
    assert read_json(films)['class_names'] == list('abcdef')


RUN = loading.LoadedRun('x', '', None, descriptor.create('ab', ('a', 'b'), 255), None)


class CountingPredictor:
    """Labels everything as class 1 and notes what is asked."""

    def __init__(self, events):
        self.events = events

    def predict(self, images, with_probabilities=False):
        self.events.append('predict %d of %dx%d' % images.shape[:3])
        if images.shape[1] == 13:
            raise UserError('too large')
        return restored.Prediction(np.ones(images.shape[:3], np.uint8), None)


def events_of(tmp_path, monkeypatch, sizes, batch_size=None):
    """Returns what a labeller reads and predicts in turn, and what it returns."""
    events = []
    for index, size in enumerate(sizes):
        (tmp_path / ('%d.png' % index)).write_bytes(encoded(noise(*size)))
    read_picture = media.read_picture
    monkeypatch.setattr(media, 'read_picture',
                        lambda *args: events.append('read') or read_picture(*args))
    returned = labelling.Labeller(
        CountingPredictor(events), RUN, labelling.Outputs(OutputFolder(str(tmp_path / 'out'))),
        batch_size).label(
            media.find_inputs([str(tmp_path)], OutputFolder(str(tmp_path / 'out'))).items)
    return events, returned


def test_pictures_of_one_size_are_batched_and_no_more_is_read_than_that(tmp_path, monkeypatch):
    events, (pictures, _, failures) = events_of(
        tmp_path, monkeypatch, [(4, 5)] * 5 + [(5, 4)] * 2, 2)
    assert events == (['read'] * 2 + ['predict 2 of 4x5']) * 2 + [
        'read', 'read', 'predict 1 of 4x5', 'read', 'predict 2 of 5x4']
    assert [entry['name'] for entry in pictures] == list('0123456') and not failures
    assert not os.path.exists(str(tmp_path / 'out' / 'frames'))


def test_pictures_of_mixed_sizes_are_batched_by_size_and_listed_in_order(tmp_path, monkeypatch):
    (tmp_path / '00.png').write_bytes(b'nothing')
    (tmp_path / '6.png').write_bytes(b'')
    events, (pictures, _, failures) = events_of(
        tmp_path, monkeypatch, [(4, 5), (5, 4)] * 3, 3)
    assert [event for event in events if event != 'read'] == [
        'predict 3 of 4x5', 'predict 3 of 5x4']
    assert [entry['name'] for entry in pictures] == list('012345')
    assert [os.path.basename(path) for path, _ in failures] == ['00.png', '6.png']


def label(inputs, out, predictor=None, **outputs):
    """Labels inputs without a network; returns what `Labeller.label` does."""
    folder = OutputFolder(str(out))
    return labelling.Labeller(
        predictor or CountingPredictor([]), RUN,
        labelling.Outputs(folder, **outputs)).label(
            media.find_inputs([str(given) for given in inputs], folder).items)


def test_a_folder_that_is_input_and_output_keeps_its_files_run_after_run(tmp_path):
    names = ['a.png', 'frames/b.png', 'index/c.png', 'deep/index/d.png', 'c.png']
    for index, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(noise(4, 5, seed=index)))
    for _ in range(2):
        pictures, _, failures = label([tmp_path], tmp_path)
        # index/c.png is not the place of c.png's result, because it is somebody's.
        assert [entry['name'] for entry in pictures] == [
            'a', 'c-2', 'deep/index/d', 'frames/b', 'index/c'] and not failures
        for index, name in enumerate(names):
            assert (tmp_path / name).read_bytes() == encoded(noise(4, 5, seed=index))
        assert below(tmp_path / 'overlay') == sorted(entry['name'] for entry in pictures)


def test_the_folder_that_failed_is_labelled_whole(tmp_path):
    photos = str(tmp_path / 'photos')
    shutil.copytree(os.path.join(shared_case('own_frames_folder'), 'photos'), photos)
    pictures, _, failures = label([photos], photos)
    assert len(pictures) == 4 and not failures


def test_bad_inputs_fail_alone_and_are_named(tmp_path):
    (tmp_path / ('x' * 251 + '.png')).write_bytes(encoded(noise(4, 5)))
    (tmp_path / 'b.png').write_bytes(encoded(noise(4, 5)))
    (tmp_path / 'c.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(88))
    (tmp_path / 'd.mts').write_bytes(b'')
    os.symlink('nowhere', str(tmp_path / 'e.jpg'))
    (tmp_path / 'f.png').mkdir()
    os.symlink(str(tmp_path), str(tmp_path / 'f.png' / 'g.png'))
    (tmp_path / 'z.png').write_bytes(encoded(noise(4, 5)))
    pictures, videos_done, failures = label([tmp_path], tmp_path / 'out')
    assert [entry['name'] for entry in pictures] == ['b', 'x' * 200, 'z'] and not videos_done
    assert [os.path.basename(path) for path, _ in failures] == ['c.heic', 'd.mts', 'e.jpg']
    for path, error in failures:
        assert path in error


def test_a_result_that_cannot_be_written_is_the_fault_of_its_input_alone(tmp_path):
    for name in ('a.png', 'b.png', 'c.png', 'd.gif'):
        image = Image.fromarray(noise(4, 5))
        image.save(str(tmp_path / name), **(dict(save_all=True, append_images=[image.rotate(180)])
                                            if name == 'd.gif' else {}))

    class Full(OutputFolder):
        def place(self, *parts):
            if parts[-1] in ('b.png', 'd.gif'):
                raise OSError(36, 'File name too long', parts[-1])
            return super().place(*parts)

    folder = Full(str(tmp_path / 'out'))
    pictures, _, failures = labelling.Labeller(
        CountingPredictor([]), RUN,
        labelling.Outputs(folder)).label(media.find_inputs([str(tmp_path)], folder).items)
    assert [entry['name'] for entry in pictures] == ['a', 'c']
    assert [os.path.basename(path) for path, _ in failures] == ['b.png', 'd.gif']
    assert all('File name too long' in error and path in error for path, error in failures)


def test_a_full_disk_ends_the_run(tmp_path):
    class Full(OutputFolder):
        def place(self, *parts):
            raise OSError(28, 'No space left on device', parts[-1])

    for name in ('a.png', 'b.png'):
        (tmp_path / name).write_bytes(encoded(noise(4, 5)))
    folder, events = Full(str(tmp_path / 'out')), []
    with pytest.raises(OSError, match='No space left'):
        labelling.Labeller(CountingPredictor(events), RUN,
                           labelling.Outputs(folder), 1).label(
                               media.find_inputs([str(tmp_path)], folder).items)
    assert len(events) == 1


def test_pages_that_are_not_labelled_are_said(tmp_path, capsys):
    pages = [Image.fromarray(noise(4, 5, seed=seed)) for seed in range(3)]
    for name, more, tags in (('one.tif', [], {}), ('three.tif', pages[1:], {}),
                             ('small_copies.tif', pages[1:], {254: 1})):
        pages[0].save(str(tmp_path / name), save_all=True, append_images=more, tiffinfo=tags)
    pictures, _, _ = label([tmp_path], tmp_path / 'out')
    said = capsys.readouterr().err
    assert len(pictures) == 3 and '%s has 3 pages, of which the first is labelled' % (
        tmp_path / 'three.tif') in said
    assert 'one.tif' not in said and 'small_copies.tif' not in said


def write_bands(folder):
    """A TIFF of six bands of 12 bits, and a mask; returns what build_folder.py builds them with."""
    values = np.random.RandomState(5).randint(0, 4096, [9, 8, 6]).astype(np.uint16)
    return write_folders(folder, tiff_file(values), encoded(np.eye(9, 8, dtype=np.uint8)),
                         '.tif') + ['--split', 'train', '--output_dir', str(folder / 'data'),
                                    '--bands', '5', '3', '2', '--value_range', '0', '4095']


def test_pictures_are_labelled_by_the_pixels_that_were_trained_on(tmp_path):
    build_folder.main(write_bands(tmp_path))
    (_, trained, _), = read_examples(tmp_path / 'data')
    seen = []
    predictor = CountingPredictor([])
    predictor.predict = lambda images, more: (
        seen.append(images), CountingPredictor([]).predict(images))[1]
    folder = OutputFolder(str(tmp_path / 'out'))
    run = RUN._replace(info=descriptor.load(str(tmp_path / 'data')))
    _, _, failures = labelling.Labeller(predictor, run, labelling.Outputs(folder)).label(
        media.find_inputs([str(tmp_path / 'images')], folder).items)
    assert not failures
    np.testing.assert_array_equal(seen[0][0], trained)


def test_bands_of_the_data_set_are_those_of_the_run_unless_flags_say_others(
        run_dir, tmp_path, shapes_dir, capsys):
    run = tmp_path / 'run'
    shutil.copytree(run_dir, str(run))
    values = json.loads((run / 'config.json').read_text())
    values['dataset'].update(bands=[3, 2, 1], value_range=[0, 510])
    (run / 'config.json').write_text(json.dumps(values))
    swapped = colours()[..., ::-1]
    for name, pixels in (('a', colours()), ('b', swapped // 2 + swapped % 2)):
        (tmp_path / (name + '.png')).write_bytes(encoded(pixels))

    def labels(name, run, *flags):
        predict.main(['--checkpoint', str(run), '--input', str(tmp_path / (name + '.png')),
                      '--output_dir', str(tmp_path / 'out')] + list(flags))
        return np.array(Image.open(str(tmp_path / 'out' / 'index' / (name + '.png'))))

    plain = labels('b', run_dir)
    assert 'Pictures are read' not in capsys.readouterr().out
    np.testing.assert_array_equal(labels('a', run), plain)
    assert ('Pictures are read with --bands 3 2 1 --value_range 0 510, as the data set was.\n'
            in capsys.readouterr().out)
    np.testing.assert_array_equal(
        labels('b', run, '--bands', '1', '2', '3', '--value_range', '0', '255'), plain)
    # Names that a file gives leave bands and range what they are.
    (tmp_path / 'names.txt').write_text('\n'.join('abcdef'))
    np.testing.assert_array_equal(labels('a', run, '--classes', str(tmp_path / 'names.txt')), plain)
    with pytest.raises(SystemExit, match='--bands 1 2: give one band'):
        labels('a', run, '--bands', '1', '2')


def test_pictures_that_look_otherwise_than_their_values_are_said_once(tmp_path, capsys):
    values = np.random.RandomState(5).randint(0, 4096, [2, 6, 5]).astype(np.uint16)
    for name, pixels in zip('ab', values):
        Image.fromarray(pixels).save(str(tmp_path / (name + '.png')))
    label([tmp_path], tmp_path / 'out')
    said = capsys.readouterr().err
    assert said.count('nearly black. Give --value_range LOW HIGH, as 0 4095') == 1


def test_each_frame_is_predicted_once_and_keeps_its_time(tmp_path, capsys):
    # Bursts of 6 frames at 30 a second, one each second.
    clip(tmp_path / 'a.mkv', '-vf', "setpts='(floor(N/6)*30+mod(N,6))/30/TB'", '-vsync', 'vfr',
         count=24, rate='30')
    events = []
    _, (entry,), _ = label([tmp_path / 'a.mkv'], tmp_path / 'out', CountingPredictor(events),
                           frames=True)
    assert events == ['predict 8 of 30x40'] * 3
    assert entry['num_frames'] == 24 and entry['seconds'] == pytest.approx(3.2, abs=0.01)
    path = tmp_path / 'out' / 'overlay' / 'a.mp4'
    assert times_of(path) == pytest.approx(
        [second + index / 30 for second in range(4) for index in range(6)], abs=0.001)
    assert length_of(path) == pytest.approx(3.2, abs=0.01)
    assert len(below(tmp_path / 'out' / 'frames' / 'a')) == 24
    assert 'Warning' not in capsys.readouterr().err


@pytest.mark.parametrize('name', ['a.webp', 'b.png'])
def test_animations_become_videos_with_their_times(tmp_path, name):
    images = [Image.fromarray(noise(20, 30, seed=seed)) for seed in range(3)]
    images[0].save(str(tmp_path / name), save_all=True, append_images=images[1:],
                   duration=[100, 250, 1000])
    _, (entry,), _ = label([tmp_path / name], tmp_path / 'out')
    assert entry['num_frames'] == 3 and entry['seconds'] == 1.35
    path = tmp_path / 'out' / 'overlay' / (name[0] + '.mp4')
    assert times_of(path) == pytest.approx([0, 0.1, 0.35]) and length_of(path) == 1.35


def test_frames_of_a_video_and_of_one_in_a_folder_of_its_name_are_both_kept(tmp_path):
    for name, count in (('a.mp4', 3), ('a/000001.mp4', 4)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        clip(tmp_path / name, count=count)
    for _ in range(2):
        label([tmp_path], tmp_path / 'out', frames=True)
    assert below(tmp_path / 'out' / 'frames' / 'a') == [
        '000000', '000001', '000001/000000', '000001/000001', '000001/000002', '000001/000003',
        '000002']


def test_two_inputs_of_one_file_for_vocs_server_are_not_both_submitted(tmp_path):
    for folder in ('one', 'two'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / '2008_000006.png').write_bytes(encoded(noise(4, 5)))
    pictures, _, ((path, error),) = label([tmp_path], tmp_path / 'out',
                                          submission_dir='results')
    assert [entry['name'] for entry in pictures] == ['one/2008_000006']
    assert path.endswith('two/2008_000006.png') and 'results/2008_000006.png' in error


def test_batches_are_smaller_for_large_pictures_unless_told():
    assert [labelling.batch_limit(None, *size) for size in
            ((1, 1), (513, 513), (1000, 1000), (3000, 4000))] == [8, 4, 1, 1]
    flags = predict.parse_flags(['--checkpoint', 'x', '--input', 'x', '--output_dir', 'x',
                                 '--batch_size', '16'])
    assert labelling.batch_limit(flags.batch_size, 3000, 4000) == 16


def test_what_does_not_fit_into_memory_is_listed_and_the_rest_goes_on(tmp_path, monkeypatch):
    _, (pictures, _, failures) = events_of(tmp_path, monkeypatch, [(4, 5), (13, 4), (13, 4),
                                                                   (4, 5)])
    assert [entry['name'] for entry in pictures] == ['0', '3']
    assert failures == [(str(tmp_path / name), '%s: too large' % (tmp_path / name))
                        for name in ('1.png', '2.png')]


@pytest.mark.parametrize('error', [
    tf.errors.ResourceExhaustedError(None, None, 'OOM'),
    tf.errors.InternalError(None, None, 'Dst tensor is not initialized.')])
def test_out_of_memory_says_what_to_do(predictor, monkeypatch, error):
    def exhausted(*args):
        raise error
    monkeypatch.setattr(predictor._session, 'run', exhausted)
    with pytest.raises(UserError, match='2 image.* of 5x4 pixels.*batch_size'):
        predictor.predict(np.zeros([2, 4, 5, 3], np.uint8))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'picture.png'
    path.write_bytes(encoded(noise(48, 48)))
    return str(path)


def test_output_stride_can_be_another_and_results_replace_the_earlier(run_dir, picture, tmp_path,
                                                                      predictor, capsys):
    out = tmp_path / 'out'
    for parts in (('index', 'picture.png'), ('predictions.json',)):
        with open(OutputFolder(str(out)).place(*parts), 'wb') as old:
            old.write(b'old')
    predict.main(['--checkpoint', os.path.join(run_dir, 'model.ckpt-7.index'), '--input', picture,
                  '--output_dir', str(out), '--output_stride', '8'])
    printed = capsys.readouterr().out
    assert 'output stride 8' in printed and printed.count('Computing on ') == 1
    assert read_json(out)['output_stride'] == 8
    coarse = predictor.predict(media.read_picture(picture)[np.newaxis])
    index = read(out / 'index' / 'picture.png')
    assert index.shape == (48, 48) and (index != coarse.labels[0]).any()
    assert coarse.probabilities is None
    assert sorted(os.listdir(str(out))) == [JOURNAL, 'index', 'overlay', 'palette',
                                            'predictions.json']
    assert os.listdir(str(out / 'index')) == ['picture.png']


def link_weights(run_dir, folder, prefix):
    """Makes the run's checkpoint appear in another folder."""
    for extension in ('.index', '.data-00000-of-00001'):
        os.symlink(os.path.join(run_dir, 'model.ckpt-7' + extension),
                   str(folder / (prefix + extension)))


def test_a_run_of_the_post_is_predicted_as_its_code_does(run_dir, picture, tmp_path, monkeypatch,
                                                         capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'log' / 'train'
    folder.mkdir(parents=True)
    (folder / 'data.json').write_text(json.dumps(dict(
        number_of_classes=6, output_stride=16, resnet_model=TINY)))
    link_weights(run_dir, folder, 'model.ckpt')
    predict.main(['--checkpoint', 'log', '--input', picture, '--output_dir', 'out'])
    # Its logits are resized without aligned corners, and its images are read as they are.
    with restored.Predictor(loading.load_run('log')) as posts:
        small = posts._session.run(
            posts._images.graph.get_tensor_by_name('DeepLab_v3/logits/BiasAdd:0'),
            {posts._images: media.read_picture(picture)[np.newaxis]})
    assert small.shape[1:3] == (3, 3)
    with tf.Graph().as_default(), tf.Session() as session:
        expected = session.run(tf.image.resize_bilinear(small, [48, 48])).argmax(axis=3)[0]
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(read(tmp_path / 'out' / 'index' / 'picture.png'), expected)
    written = read_json(tmp_path / 'out')
    assert written['class_names'][5] == 'class 5' and written['step'] is None
    assert 'does not know the names of its 6 classes' in capsys.readouterr().err


def test_without_input_the_error_comes_before_tensorflow(tmp_path):
    code = ("import sys; sys.modules['tensorflow'] = None; import predict; "
            "predict.main(['--checkpoint', 'x', '--input', 'nowhere/*.jpg', '--output_dir', 'x'])")
    result = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, cwd=str(tmp_path),
                            env=dict(os.environ, PYTHONPATH=ROOT))
    assert result.returncode == 1
    assert result.stderr.decode().startswith('--input: nowhere/*.jpg is not there.')
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize('more, message', [
    (['--checkpoint', '/nowhere'], 'No checkpoint at /nowhere'),
    (['--output_stride', '32'], 'without atrous'),
    (['--classes', '/nowhere.txt'], '/nowhere.txt cannot be read'),
    (['--output_dir', __file__], 'test_predict.py')])
def test_bad_flags_end_in_one_message(run_dir, picture, tmp_path, more, message):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'predictions.json').write_text('{}')
    with pytest.raises(SystemExit, match=message):
        predict.main(['--checkpoint', run_dir, '--input', picture, '--output_dir',
                      str(tmp_path / 'out')] + more)
    assert os.listdir(str(tmp_path / 'out')) == ['predictions.json']


def test_a_checkpoint_that_does_not_fit_its_settings_is_refused(run_dir, picture, tmp_path):
    link_weights(run_dir, tmp_path, 'model.ckpt-7')
    args = config.load(run_dir)
    args.number_of_classes = 5
    config.save(args, str(tmp_path))
    with pytest.raises(SystemExit, match='names 6 classes, but number_of_classes is 5'):
        predict.main(['--checkpoint', str(tmp_path), '--input', picture, '--output_dir',
                      str(tmp_path / 'out')])


def test_predictions_json_of_an_earlier_run_does_not_stand_for_an_unfinished_one(
        run_dir, picture, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    with open(OutputFolder(str(out)).place('predictions.json'), 'w') as old:
        old.write('{}')

    def stopped(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(restored, 'Predictor', lambda *_: contextlib.closing(io.StringIO()))
    monkeypatch.setattr(labelling.Labeller, 'label', stopped)
    with pytest.raises(SystemExit, match='130'):
        predict.main(['--checkpoint', run_dir, '--input', picture, '--output_dir', str(out)])
    assert os.listdir(str(out)) == [JOURNAL]


def test_what_is_left_out_of_a_folder_is_said(tmp_path, capsys):
    for name in ('a.png', 'notes.txt', 'b.xcf'):
        (tmp_path / name).write_bytes(encoded(noise(4, 5)))
    with pytest.raises(SystemExit, match='No checkpoint'):
        predict.main(['--checkpoint', '/nowhere', '--input', str(tmp_path), '--output_dir',
                      str(tmp_path / 'out')])
    assert '2 files in the folders are neither pictures nor videos' in capsys.readouterr().err


def test_somebodys_predictions_json_is_kept(run_dir, picture, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'predictions.json').write_text('mine')
    with pytest.raises(SystemExit, match='predictions.json is there.*another --output_dir'):
        predict.main(['--checkpoint', run_dir, '--input', picture, '--output_dir', str(out)])
    assert (out / 'predictions.json').read_text() == 'mine'
    assert os.listdir(str(out)) == ['predictions.json']


def test_scales_flip_and_windows_are_those_of_the_predictor(run_dir, tmp_path):
    Image.fromarray(colours()).save(str(tmp_path / 'a.png'))
    predict.main(['--checkpoint', run_dir, '--input', str(tmp_path / 'a.png'), '--output_dir',
                  str(tmp_path / 'out'), '--scales', '1', '1.5', '--flip', '--window', '33',
                  '--overlap', '4'])
    passes = options.Passes((1.0, 1.5), True, 33, 4)
    with restored.Predictor(loading.load_run(run_dir), passes) as predictor:
        expected = predictor.predict(colours()[np.newaxis]).labels[0]
    np.testing.assert_array_equal(
        np.array(Image.open(str(tmp_path / 'out' / 'index' / 'a.png'))), expected)
    with open(str(tmp_path / 'out' / 'predictions.json')) as f:
        assert json.load(f)['passes'] == {'scales': [1, 1.5], 'flip': True, 'window': 33,
                                          'overlap': 4}
    assert not os.path.exists(str(tmp_path / 'out' / 'results'))


def test_a_submission_of_pictures_lies_where_vocs_server_looks(run_dir, tmp_path, monkeypatch):
    names = loading.load_run(run_dir).info.class_names
    monkeypatch.setattr(voc, 'CLASS_NAMES', names)
    Image.fromarray(colours()).save(str(tmp_path / '2008_000006.jpg'))
    predict.main(['--checkpoint', run_dir, '--input', str(tmp_path / '2008_000006.jpg'),
                  '--output_dir', str(tmp_path / 'out'), '--save_submission'])
    submitted, palette = (Image.open(str(tmp_path / 'out' / folder / '2008_000006.png'))
                          for folder in ('results/VOC2012/Segmentation/comp6_test_cls', 'palette'))
    assert submitted.mode == 'P' and submitted.getpalette() == voc.color_map().ravel().tolist()
    assert palette.getpalette()[:6] == [85, 85, 85, 230, 159, 0]  # the shapes'
    np.testing.assert_array_equal(np.array(submitted), np.array(palette))
