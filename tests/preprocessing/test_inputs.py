"""preprocessing/inputs.py: exact pixels, whole epochs, and streams that resume bit by bit."""
import io
import os

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from dataset import build_folder, descriptor
from dataset.records import encoding, writing
from dataset.sources import decoding
from preprocessing import augmentation, inputs
from runtime import tf

INFO = descriptor.create('toy', ('ground', 'cat', 'dog'), 255)
OPTIONS = augmentation.Augmentation(crop_size=9, min_scale=0.5, max_scale=2.0, random_flip=True,
                                    color_jitter=True, ignore_label=255,
                                    padding_color=(123.68, 116.78, 103.94))
NUM_TRAIN, NUM_VALIDATION = 13, 5


def picture(index):
    """Returns random pixels, blurred: uint8 [height, width, 3]."""
    random = np.random.RandomState(index)
    coarse = Image.fromarray(random.randint(0, 256, [4, 4, 3]).astype(np.uint8))
    return np.array(coarse.resize((10 + index % 4, 12 + index % 3), Image.BILINEAR))


def mask(index):
    return np.random.RandomState(100 + index).choice(
        [0, 1, 2, 255], picture(index).shape[:2]).astype(np.uint8)


def encoded(pixels, image_format='PNG', **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def example(index):
    """Images of even index are PNG, the others JPEG."""
    image = encoded(picture(index), 'JPEG', quality=90) if index % 2 else encoded(picture(index))
    return decoding.Example('%02d' % index, image, encoded(mask(index)))


def decoded(data):
    """Returns the pixels that Pillow sees in an image file: int [height, width, 3]."""
    return np.array(Image.open(io.BytesIO(data))).astype(int)


@pytest.fixture(scope='module')
def dataset_dir(tmp_path_factory):
    """13 training examples in 6 shards and 5 for validation in 2."""
    directory = str(tmp_path_factory.mktemp('data') / 'toy')
    for split, count, num_shards in (('train', NUM_TRAIN, 6), ('validation', NUM_VALIDATION, 2)):
        writing.write_split(map(example, range(count)), count, INFO, directory, split, num_shards)
    return directory


def take(make_dataset, count=None):
    """Returns the first batches of a data set, or all, as a list of `Example`s of arrays."""
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = make_dataset()
        if count is not None:
            dataset = dataset.take(count)
        batch = tf.data.make_one_shot_iterator(dataset).get_next()
        batches = []
        while True:
            try:
                batches.append(inputs.Example(*session.run(batch)))
            except tf.errors.OutOfRangeError:
                return batches


def train_batches(dataset_dir, count, batch_size=4, seed=0, start_step=0, options=OPTIONS,
                  share=None):
    info = descriptor.load(dataset_dir)
    return take(lambda: inputs.train_dataset(info, dataset_dir, options, batch_size, seed,
                                             start_step, share=share), count)


@pytest.fixture(scope='module')
def whole(dataset_dir):
    """The first 13 batches of 4 of seed 5: 4 epochs."""
    return train_batches(dataset_dir, NUM_TRAIN, seed=5)


@pytest.fixture(scope='module')
def singles(dataset_dir):
    """The first 4 epochs of seed 5 in batches of 1."""
    return train_batches(dataset_dir, 4 * NUM_TRAIN, batch_size=1, seed=5)


def names_of(batches):
    return [name.decode() for batch in batches for name in batch.name]


def assert_equal_streams(stream, other):
    assert len(stream) == len(other)
    for batch, other_batch in zip(stream, other):
        for value, other_value in zip(batch, other_batch):
            np.testing.assert_array_equal(value, other_value)


def parse(serialized):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(inputs.parse_example(tf.constant(serialized)))


@pytest.mark.parametrize('index', [0, 2])
def test_png_record_gives_the_exact_pixels_and_labels(index):
    name, image, labels = parse(encoding.encode(example(index), INFO)[0])
    assert name == b'%02d' % index
    assert image.dtype == np.uint8 and labels.dtype == np.int32
    np.testing.assert_array_equal(image, picture(index))
    np.testing.assert_array_equal(labels, mask(index))


@pytest.mark.parametrize('subsampling', [0, 2])
def test_jpeg_record_gives_the_pixels_that_pillow_decodes(subsampling):
    data = encoded(picture(1), 'JPEG', quality=85, subsampling=subsampling)
    record, _ = encoding.encode(decoding.Example('a', data, encoded(mask(1))), INFO)
    _, image, labels = parse(record)
    assert np.abs(image - decoded(data)).max() <= 1
    np.testing.assert_array_equal(labels, mask(1))


def test_grey_image_becomes_three_equal_channels():
    grey = picture(0)[:, :, 0]
    record, _ = encoding.encode(decoding.Example('a', encoded(grey), encoded(mask(0))), INFO)
    _, image, _ = parse(record)
    np.testing.assert_array_equal(image, np.stack([grey] * 3, axis=2))


def test_eval_dataset_yields_every_example_once_in_order_at_its_own_size(dataset_dir):
    info = descriptor.load(dataset_dir)
    batches = take(lambda: inputs.eval_dataset(info, dataset_dir, 'validation'))
    assert names_of(batches) == ['%02d' % index for index in range(NUM_VALIDATION)]
    for index, batch in enumerate(batches):
        assert batch.image.dtype == np.float32 and batch.labels.dtype == np.int32
        assert batch.image.shape == (1,) + picture(index).shape
        np.testing.assert_array_equal(batch.labels[0], mask(index))
        assert np.abs(batch.image[0] - decoded(example(index).image)).max() <= index % 2


def test_folder_of_palette_masks_comes_out_as_class_ids(tmp_path):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    for index in (0, 2):
        Image.fromarray(picture(index)).save(str(tmp_path / 'images' / ('%d.png' % index)))
        palette_mask = Image.fromarray(mask(index), mode='P')
        palette_mask.putpalette(list(range(255, -1, -1)) * 3)
        palette_mask.save(str(tmp_path / 'masks' / ('%d.png' % index)))
    (tmp_path / 'classes.txt').write_text('ground\ncat\ndog\n')
    out = str(tmp_path / 'out')
    build_folder.main(['--images', str(tmp_path / 'images'), '--masks', str(tmp_path / 'masks'),
                       '--classes', str(tmp_path / 'classes.txt'), '--split', 'val',
                       '--output_dir', out])
    batches = take(lambda: inputs.eval_dataset(descriptor.load(out), out, 'validation'))
    assert names_of(batches) == ['0.png', '2.png']
    for index, batch in zip((0, 2), batches):
        np.testing.assert_array_equal(batch.image[0], picture(index))
        np.testing.assert_array_equal(batch.labels[0], mask(index))


def test_train_batches_have_the_shapes_and_types_that_the_network_takes(whole):
    batch = whole[0]
    assert batch.name.shape == (4,)
    assert batch.image.shape == (4, 9, 9, 3) and batch.image.dtype == np.float32
    assert batch.labels.shape == (4, 9, 9) and batch.labels.dtype == np.int32
    assert set(np.unique(batch.labels)) == {0, 1, 2, 255}


def test_shapes_of_train_batches_are_known_before_they_run(dataset_dir):
    with tf.Graph().as_default():
        dataset = inputs.train_dataset(descriptor.load(dataset_dir), dataset_dir, OPTIONS, 4, 0)
        shapes = tf.compat.v1.data.get_output_shapes(dataset)
    assert [shape.as_list() for shape in shapes] == [[4], [4, 9, 9, 3], [4, 9, 9]]


def test_each_epoch_visits_every_example_once_in_an_order_of_its_own(singles):
    names = names_of(singles)
    epochs = [names[start:start + NUM_TRAIN] for start in range(0, len(names), NUM_TRAIN)]
    for epoch in epochs:
        assert sorted(epoch) == ['%02d' % index for index in range(NUM_TRAIN)]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert all(epoch != sorted(epoch) for epoch in epochs)


def test_batches_run_across_the_epoch_border_without_losing_an_example(whole):
    assert sorted(names_of(whole)) == sorted(['%02d' % index for index in range(NUM_TRAIN)] * 4)


def test_equal_seeds_give_equal_streams(dataset_dir, whole):
    assert_equal_streams(train_batches(dataset_dir, NUM_TRAIN, seed=5), whole)


def test_another_seed_gives_another_order_and_other_distortions(dataset_dir, singles):
    stream = singles[:NUM_TRAIN]
    other = train_batches(dataset_dir, NUM_TRAIN, batch_size=1, seed=4)
    assert names_of(stream) != names_of(other)
    by_name = [{batch.name[0]: batch.image.tobytes() for batch in batches}
               for batches in (stream, other)]
    assert all(by_name[0][name] != by_name[1][name] for name in by_name[0])


def test_an_example_is_distorted_differently_in_each_epoch(singles):
    images = {}
    for batch in singles:
        images.setdefault(batch.name[0], set()).add(batch.image.tobytes())
    assert {len(different) for different in images.values()} == {4}


# 13 examples in batches of 4: batch 3 spans the first epoch border, batch 6 the second.
@pytest.mark.parametrize('start_step', [1, 3, 7])
def test_resumed_stream_equals_the_uninterrupted_one_bit_by_bit(dataset_dir, whole,
                                                                start_step):
    resumed = train_batches(dataset_dir, NUM_TRAIN - start_step, seed=5, start_step=start_step)
    assert_equal_streams(resumed, whole[start_step:])


def test_stream_resumed_exactly_at_an_epoch_border_equals_the_whole_one(dataset_dir, singles):
    resumed = train_batches(dataset_dir, NUM_TRAIN, batch_size=1, seed=5, start_step=NUM_TRAIN)
    assert_equal_streams(resumed, singles[NUM_TRAIN:2 * NUM_TRAIN])


@pytest.mark.parametrize('num_workers, accumulate_steps', [(2, 1), (3, 1), (1, 3), (2, 3)])
def test_workers_share_out_the_stream_of_one_process_bit_by_bit(dataset_dir, num_workers,
                                                                accumulate_steps):
    # Steps of 6, the first two epochs and more, and the same from within the second one on.
    part_size = 6 // num_workers // accumulate_steps
    for start_step, num_steps in ((0, 6), (3, 3)):
        stream = train_batches(dataset_dir, num_steps, 6, start_step=start_step)
        shares = [train_batches(dataset_dir, num_steps * accumulate_steps, part_size,
                                start_step=start_step * accumulate_steps,
                                share=inputs.share_of(rank, num_workers, 6))
                  for rank in range(num_workers)]
        joined = [inputs.Example(*map(np.concatenate, zip(*[
            part for share in shares
            for part in share[step * accumulate_steps:(step + 1) * accumulate_steps]])))
            for step in range(num_steps)]
        assert_equal_streams(joined, stream)
    assert inputs.share_of(0, 1, 6) is None


def test_workers_share_out_a_split_to_evaluate(dataset_dir):
    info = descriptor.load(dataset_dir)
    for num_examples in (None, 4):
        whole = take(lambda: inputs.eval_dataset(info, dataset_dir, 'train', num_examples))
        for rank in range(3):
            assert_equal_streams(take(lambda: inputs.eval_dataset(
                info, dataset_dir, 'train', num_examples, inputs.share_of(rank, 3, 3))),
                whole[rank::3])


def test_options_reach_the_batches(dataset_dir):
    plain = OPTIONS._replace(crop_size=16, min_scale=1.0, max_scale=1.0, random_flip=False,
                             color_jitter=False)
    for batch in train_batches(dataset_dir, 6, batch_size=1, options=plain):
        index = int(batch.name[0])
        labels = batch.labels[0]
        rows, columns = picture(index).shape[:2]
        # Scale 1 in a larger crop: all of the mask is there, somewhere.
        assert any((labels[top:top + rows, left:left + columns] == mask(index)).all()
                   for top in range(17 - rows) for left in range(17 - columns))


def test_only_file_names_and_serialized_records_are_shuffled(dataset_dir, monkeypatch):
    shuffled = []
    shuffle = tf.data.Dataset.shuffle

    def spy(dataset, buffer_size, *args, **kwargs):
        shuffled.append((tf.compat.v1.data.get_output_types(dataset),
                         tf.compat.v1.data.get_output_shapes(dataset).as_list(), buffer_size))
        return shuffle(dataset, buffer_size, *args, **kwargs)

    monkeypatch.setattr(tf.data.Dataset, 'shuffle', spy)
    train_batches(dataset_dir, 1)
    assert {kind for kind, _, _ in shuffled} == {tf.string}
    assert all(shape == [] for _, shape, _ in shuffled)
    assert sorted(size for _, _, size in shuffled) == [6, inputs.SHUFFLE_BUFFER_RECORDS]


@pytest.mark.parametrize('make', [
    lambda info, directory: inputs.eval_dataset(info, directory, 'train'),
    lambda info, directory: inputs.train_dataset(info, directory, OPTIONS, 2, 0),
])
def test_missing_shard_is_named(tmp_path, make):
    directory = str(tmp_path / 'toy')
    writing.write_split(map(example, range(4)), 4, INFO, directory, 'train', 2)
    info = descriptor.load(directory)
    os.remove(os.path.join(directory, info.splits['train']['shards'][1]))
    with tf.Graph().as_default(), pytest.raises(ValueError, match='train-00001-of-00002'):
        make(info, directory)


def test_unknown_split_is_named_with_those_that_there_are(dataset_dir):
    info = descriptor.load(dataset_dir)
    with tf.Graph().as_default(), pytest.raises(ValueError, match="'test'.*train, validation"):
        inputs.eval_dataset(info, dataset_dir, 'test')


def test_a_split_that_is_not_there_is_one_line_with_those_that_are():
    info = INFO._replace(splits={'validation': {'num_examples': 2, 'shards': []}})
    with pytest.raises(UserError, match='toy has the splits validation and needs train too'):
        inputs.epoch_size(info, 'train')
