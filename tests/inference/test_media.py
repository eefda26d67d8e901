"""media.py: which inputs are meant, what they are called, frames in and videos out."""
import os
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from inference import media
from tests.helpers.example_files import encoded, noise


def make(folder, *names):
    """Writes files that only have a name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')


def names_of(inputs, own_folders=()):
    return [item.name for item in media.find_inputs([str(given) for given in inputs],
                                                    [str(folder) for folder in own_folders])]


def test_folders_are_searched_for_pictures_and_videos_and_keep_relative_paths(tmp_path):
    make(tmp_path, 'b.JPG', 'a.png', 'day/2/c.tiff', 'day/clip.mp4', 'notes.txt', '.hidden.png',
         '.git/d.png', 'Thumbs.db')
    items = media.find_inputs([str(tmp_path)])
    assert [item.name for item in items] == ['a', 'b', 'day/clip', 'day/2/c']
    assert [os.path.relpath(item.path, str(tmp_path)) for item in items] == [
        'a.png', 'b.JPG', 'day/clip.mp4', 'day/2/c.tiff']


def test_patterns_keep_the_path_behind_their_fixed_part(tmp_path):
    make(tmp_path, 'a/1.jpg', 'a/x/2.jpg', 'a/x/3.png', 'b/4.jpg')
    assert names_of([tmp_path / 'a' / '**' / '*.jpg']) == ['1', 'x/2']
    assert names_of([tmp_path / '*' / '?.jpg']) == ['a/1', 'b/4']
    assert names_of([tmp_path / '[a]']) == ['a/1', 'a/x/2', 'a/x/3']


def test_a_file_is_taken_whatever_it_is_called_also_with_brackets(tmp_path):
    make(tmp_path, 'scan[1]', 'b.dat')
    assert names_of([tmp_path / 'scan[1]', tmp_path / 'b.dat']) == ['scan[1]', 'b']


def test_inputs_of_one_stem_get_names_of_their_own(tmp_path):
    make(tmp_path, 'one/a.jpg', 'one/a.png', 'one/b.jpg', 'two/a.jpg', 'two/b-2.jpg',
         'three/b-2.jpg', 'three/a.jpg.tif')
    names = names_of([tmp_path / folder for folder in ('one', 'two', 'three')])
    assert names == ['a.jpg', 'a.png', 'b', 'a.jpg-2', 'b-2.jpg', 'a.jpg-3', 'b-2.jpg-2']


def test_a_file_that_two_inputs_name_is_predicted_once(tmp_path, monkeypatch):
    make(tmp_path, 'a.jpg', 'b.jpg')
    monkeypatch.chdir(tmp_path)
    assert names_of(['a.jpg', '.', tmp_path, '*.jpg']) == ['a', 'b']


def test_links_that_lead_back_are_not_followed_for_ever(tmp_path):
    make(tmp_path, 'x/a.jpg')
    os.symlink(str(tmp_path), str(tmp_path / 'x' / 'back'))
    assert names_of([tmp_path]) == ['x/a']


def test_results_of_an_earlier_run_are_no_inputs(tmp_path):
    make(tmp_path, 'a.jpg', 'index/a.png', 'overlay/a.png')
    own = [tmp_path / 'index', tmp_path / 'overlay']
    assert names_of([tmp_path], own) == ['a']
    for given in ('overlay/a.png', 'index', 'overlay/*'):
        with pytest.raises(UserError, match='a.png is in a folder of results.*output_dir'):
            names_of([tmp_path / given], own)


def test_inputs_that_are_not_there_are_all_named(tmp_path):
    make(tmp_path, 'a.jpg', 'folder/notes.txt')
    with pytest.raises(UserError) as error:
        names_of([tmp_path / 'a.jpg', tmp_path / 'b.jpg', tmp_path / '*.png', tmp_path / 'folder'])
    assert 'b.jpg is not there' in str(error.value) and '*.png is not there' in str(error.value)
    assert 'folder holds no picture and no video' in str(error.value)
    assert 'a.jpg is' not in str(error.value)


def clip(path, count=7, height=30, width=40, fps=12.5, **options):
    """Writes a video whose frames are grey, brighter by 20 from each to the next."""
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=fps, macro_block_size=2,
                                         ffmpeg_log_level='error', **options)
    writer.send(None)
    for index in range(count):
        writer.send(np.full([height, width, 3], 20 * index, np.uint8).tobytes())
    writer.close()
    return str(path)


@pytest.mark.parametrize('extension, codec', [('mp4', 'libx264'), ('avi', 'mpeg4'),
                                              ('mov', 'libx264')])
def test_videos_are_read_frame_by_frame(tmp_path, monkeypatch, extension, codec):
    # The colon is part of the name, not the end of a protocol's.
    path = os.path.basename(clip(tmp_path / ('a:b.' + extension), codec=codec))
    monkeypatch.chdir(tmp_path)
    assert media.is_video(path)
    video = media.open_video(path)
    assert (video.height, video.width, video.num_frames) == (30, 40, 7)
    assert video.frames_per_second == 12.5 and video.durations is None
    frames = list(video.frames)
    assert len(frames) == 7 and {frame.shape for frame in frames} == {(30, 40, 3)}
    np.testing.assert_allclose([frame.mean() for frame in frames], np.arange(7) * 20, atol=6)


def test_a_video_that_stands_on_its_side_is_read_upright(tmp_path):
    path, turned = clip(tmp_path / 'a.mp4'), str(tmp_path / 'turned.mp4')
    subprocess.check_call([imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-i', path, '-c',
                           'copy', '-metadata:s:v:0', 'rotate=90', turned])
    video = media.open_video(turned)
    assert (video.height, video.width) == (40, 30)
    assert next(video.frames).shape == (40, 30, 3)
    video.frames.close()


@pytest.mark.parametrize('damage, message', [
    (lambda data: data[:len(data) * 2 // 3], 'partial file|corrupt'),
    (lambda data: b'', 'cannot be decoded as a video'),
    (lambda data: b'a text', 'cannot be decoded as a video')])
def test_damaged_videos_are_refused_before_any_frame_is_read(tmp_path, damage, message):
    path = tmp_path / 'a.mp4'
    clip(path, count=60, output_params=['-movflags', '+faststart'])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        media.open_video(str(path))
    assert str(path) in str(error.value)


def test_videos_without_ffmpeg_are_refused_saying_what_to_install(tmp_path, monkeypatch):
    def none():
        raise RuntimeError('No ffmpeg exe')

    monkeypatch.setattr(imageio_ffmpeg, 'get_ffmpeg_exe', none)
    with pytest.raises(UserError, match='a.mp4: videos need ffmpeg.*imageio-ffmpeg'):
        media.open_video(str(tmp_path / 'a.mp4'))


def gif(path, count=4, durations=(100, 250, 30, 70), **options):
    frames = [Image.fromarray(noise(20, 30, seed=index) // 64 * 64) for index in range(count)]
    frames[0].save(str(path), save_all=True, append_images=frames[1:],
                   duration=list(durations[:count]), **options)
    return str(path)


def test_gif_of_several_frames_is_a_video_with_its_own_timing(tmp_path):
    path = gif(tmp_path / 'a.gif', loop=3)
    assert media.is_video(path)
    video = media.open_video(path)
    assert video[:3] == (20, 30, 4) and video.frames_per_second is None
    assert video.durations == [100, 250, 30, 70] and video.loop == 3
    assert media.video_extension(video) == '.gif'
    for index, frame in enumerate(video.frames):
        np.testing.assert_array_equal(frame, noise(20, 30, seed=index) // 64 * 64)


def test_gif_of_one_frame_is_a_picture(tmp_path):
    path = gif(tmp_path / 'a.gif', 1)
    assert not media.is_video(path)
    np.testing.assert_array_equal(media.read_picture(path), noise(20, 30) // 64 * 64)


def test_transparent_parts_of_a_gif_are_white(tmp_path):
    frames = [Image.new('RGBA', (8, 6), (200, 0, 0, 255)) for _ in range(2)]
    for index, frame in enumerate(frames):
        frame.paste((0, 0, 0, 0), (index, 0, index + 2, 2))
    path = str(tmp_path / 'a.gif')
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, disposal=2)
    for index, frame in enumerate(media.open_video(path).frames):
        assert tuple(frame[0, index + 1]) == (255, 255, 255)
        assert tuple(frame[5, 5]) == (200, 0, 0)


def test_damaged_gif_is_refused_naming_it(tmp_path):
    path = tmp_path / 'a.gif'
    gif(path)
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    with pytest.raises(UserError, match='a.gif cannot be decoded'):
        list(media.open_video(str(path)).frames)
    path.write_bytes(b'GIF89a')
    with pytest.raises(UserError, match='a.gif cannot be decoded'):
        media.is_video(str(path))


def pictures(count, size=(31, 21)):
    return (Image.new('RGB', size, (20 * index,) * 3) for index in range(count))


def test_video_is_written_with_even_sides_and_the_timing_it_had(tmp_path, monkeypatch):
    video = media.open_video(clip(tmp_path / 'a.mp4'))
    video.frames.close()
    monkeypatch.chdir(tmp_path)
    media.write_video(pictures(7), 'b:c.mp4', video)
    written = media.open_video('b:c.mp4')
    assert (written.height, written.width, written.num_frames) == (22, 32, 7)
    assert written.frames_per_second == 12.5
    frames = list(written.frames)
    np.testing.assert_allclose([frame[:20, :30].mean() for frame in frames], np.arange(7) * 20,
                               atol=6)
    assert (frames[0][:, 31] > 200).all() and (frames[0][21] > 200).all()


def test_gif_is_written_with_the_timing_it_had(tmp_path):
    media.write_video(pictures(4), str(tmp_path / 'b.gif'),
                      media.open_video(gif(tmp_path / 'a.gif', loop=0)))
    written = media.open_video(str(tmp_path / 'b.gif'))
    assert (written.height, written.width, written.num_frames) == (21, 31, 4)
    assert written.durations == [100, 250, 30, 70] and written.loop == 0
    for index, frame in enumerate(written.frames):
        assert (frame == 20 * index).all()


@pytest.mark.parametrize('make_input, name', [(clip, 'a.mp4'), (gif, 'a.gif')])
def test_a_video_that_was_not_finished_is_not_there(tmp_path, make_input, name):
    def stopped():
        yield from pictures(2)
        raise UserError('stopped')

    video = media.open_video(make_input(tmp_path / name))
    folder = tmp_path / 'out'
    folder.mkdir()
    with pytest.raises(UserError, match='stopped'):
        media.write_video(stopped(), str(folder / name), video)
    assert os.listdir(str(folder)) == []


def test_a_video_that_ffmpeg_did_not_finish_is_not_kept(tmp_path, monkeypatch):
    video = media.open_video(clip(tmp_path / 'a.mp4'))
    video.frames.close()
    monkeypatch.setattr(media, 'count_frames', lambda path: 6)
    with pytest.raises(UserError, match='does not hold the 7 frames'):
        media.write_video(pictures(7), str(tmp_path / 'b.mp4'), video)
    assert os.listdir(str(tmp_path)) == ['a.mp4']


def test_a_video_goes_to_ffmpeg_frame_by_frame(tmp_path, monkeypatch):
    events = []

    class Watched:
        def __init__(self, *args, **options):
            self.writer = write_frames(*args, **options)
            self.close = self.writer.close

        def send(self, frame):
            if frame is not None:
                events.append('written')
            self.writer.send(frame)

    def told():
        for picture in pictures(3):
            events.append('made')
            yield picture

    video = media.open_video(clip(tmp_path / 'a.mp4', count=3))
    video.frames.close()
    write_frames = imageio_ffmpeg.write_frames
    monkeypatch.setattr(imageio_ffmpeg, 'write_frames', Watched)
    media.write_video(told(), str(tmp_path / 'b.mp4'), video)
    assert events == ['made', 'written'] * 3


def test_pictures_of_any_mode_are_read_upright_as_rgb(tmp_path):
    pixels = noise(5, 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / 'a.png').write_bytes(encoded(np.rot90(pixels), exif=exif))
    np.testing.assert_array_equal(media.read_picture(str(tmp_path / 'a.png')), pixels)
