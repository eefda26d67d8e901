"""videos.py: each frame once, at its own time, in and out."""
import os
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from inference import media, videos
from tests.helpers.example_files import noise
from tests.helpers.example_videos import (
    clip, ffmpeg, header_of, length_of, shared_case, times_of)

# Bursts of 6 frames at 30 a second, one each second: 24 frames in 3.2 s.
BURSTS = ('-vf', "setpts='(floor(N/6)*30+mod(N,6))/30/TB'", '-vsync', 'vfr')
BURST_TIMES = [second + index / 30 for second in range(4) for index in range(6)]


def read(path):
    """Returns (`Video`, its frames, how long each is shown in seconds)."""
    with videos.opened(str(path)) as video:
        frames, shown = zip(*video.frames)
    return video, frames, [float(seconds) for seconds in shown]


def starts(shown):
    return np.cumsum([0] + list(shown))[:-1]


@pytest.mark.parametrize('extension, options', [
    ('mp4', ()), ('avi', ('-c:v', 'mpeg4')), ('mov', ()), ('webm', ('-c:v', 'libvpx')),
    ('mkv', ()), ('3gp', ('-c:v', 'mpeg4')), ('flv', ()), ('MTS', ('-f', 'mpegts')), ('ts', ()),
    ('wmv', ()), ('ogv', ('-c:v', 'libvpx'))])
def test_videos_of_all_kinds_are_read_frame_by_frame(tmp_path, monkeypatch, extension, options):
    # The colon is part of the name, not the end of a protocol's.
    path = os.path.basename(clip(tmp_path / ('a:b.' + extension), *options, count=25,
                                 rate='10'))
    monkeypatch.chdir(tmp_path)
    assert media.is_video(path)
    video, frames, shown = read(path)
    assert (video.height, video.width, video.pixel_aspect) == (30, 40, 1)
    assert {frame.shape for frame in frames} == {(30, 40, 3)}
    np.testing.assert_allclose([frame.mean() for frame in frames], np.arange(25) * 10, atol=6)
    np.testing.assert_allclose(shown, [0.1] * 25, atol=0.0011)  # of Matroska: milliseconds


@pytest.mark.parametrize('extension, options', [
    ('mp4', ()), ('mkv', ()), ('webm', ('-c:v', 'libvpx')), ('mov', ('-bf', '3'))])
def test_frames_come_once_and_at_their_own_times(tmp_path, extension, options):
    path = clip(tmp_path / ('a.' + extension), *BURSTS + options, count=24, rate='30')
    _, frames, shown = read(path)
    np.testing.assert_allclose([frame.mean() for frame in frames], np.arange(24) * 10, atol=6)
    np.testing.assert_allclose(starts(shown), BURST_TIMES, atol=0.001)
    assert sum(shown) == pytest.approx(3.2, abs=0.02)


def test_a_recording_of_a_browser_keeps_its_times(tmp_path):
    # Milliseconds without a pattern, no length and no frame rate in the header.
    times = [0, 31, 70, 95, 140, 1200, 1233, 1234, 2950]
    path = str(tmp_path / 'a.webm')
    expression = '+'.join('eq(N,%d)*%d' % pair for pair in enumerate(times))
    data = ffmpeg('-f', 'lavfi', '-i', 'testsrc=s=40x30:r=10:d=0.9', '-vf',
                  "settb=1/1000,setpts='%s'" % expression, '-vsync', 'passthrough',
                  '-enc_time_base', '1:1000', '-c:v', 'libvpx', '-f', 'webm', '-live', '1',
                  'pipe:1')
    with open(path, 'wb') as video_file:
        video_file.write(data)
    video, frames, shown = read(path)
    assert len(frames) == 9 and video.seconds is None
    np.testing.assert_allclose(starts(shown), np.array(times) / 1000, atol=1e-9)
    assert 2.95 < sum(shown) <= 2.95 + 1.716


def test_a_last_frame_that_stays_is_as_long_as_its_file_says(tmp_path):
    path = str(tmp_path / 'a.mp4')
    shown = [Fraction(1, 25)] * 4 + [Fraction(2)]
    videos.write(zip(pictures(5), shown), path, videos.Video(30, 40, iter(())))
    assert length_of(path) == 2.16
    assert read(path)[2] == pytest.approx([0.04] * 4 + [2], abs=1e-4)


def test_the_stream_of_pictures_that_comes_first_is_read_and_not_a_cover(tmp_path):
    first, second = clip(tmp_path / 'a.mp4', count=4), clip(tmp_path / 'b.mp4', count=9, width=80)
    both = str(tmp_path / 'both.mkv')
    ffmpeg('-i', first, '-i', second, '-map', '0', '-map', '1', '-c', 'copy', both)
    video, frames, shown = read(both)
    assert (video.height, video.width, len(frames)) == (30, 40, 4)
    assert sum(shown) == pytest.approx(0.32, abs=0.003)
    Image.fromarray(noise(60, 60)).save(str(tmp_path / 'cover.png'))
    ffmpeg('-i', str(tmp_path / 'cover.png'), '-i', first, '-map', '0', '-map', '1', '-c', 'copy',
           '-disposition:v:0', 'attached_pic', str(tmp_path / 'covered.mp4'))
    assert len(read(tmp_path / 'covered.mp4')[1]) == 4


def test_a_video_that_stands_on_its_side_is_read_upright(tmp_path):
    path, turned = clip(tmp_path / 'a.mp4', '-vf', 'setsar=4/3'), str(tmp_path / 'turned.mov')
    with open(path, 'rb') as video_file:
        data = bytearray(video_file.read())
    # The matrix of the track's header: by 90 degrees.
    at = data.index(b'tkhd') + 44
    one, zero = b'\x00\x01\x00\x00', bytes(4)
    data[at:at + 36] = (zero + one + zero + b'\xff\xff\x00\x00' + zero * 4 + b'\x40\x00\x00\x00')
    with open(turned, 'wb') as video_file:
        video_file.write(data)
    video, frames, _ = read(turned)
    assert (video.height, video.width) == (40, 30) and frames[0].shape == (40, 30, 3)
    assert video.pixel_aspect == Fraction(3, 4)


@pytest.mark.parametrize('damage, message', [
    (lambda data: data[:len(data) * 2 // 3], '(?i)partial file|corrupt|invalid'),
    (lambda data: b'', 'cannot be decoded as a video'),
    (lambda data: b'a text', 'cannot be decoded as a video')])
def test_damaged_videos_are_refused(tmp_path, damage, message):
    path = tmp_path / 'a.mp4'
    clip(path, '-movflags', '+faststart', count=25)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('name, content', [
    ('a.txt', b'a text that ffmpeg would draw\n'), ('a.m3u8', b'#EXTM3U\n#EXTINF:1,\nb.mp4\n'),
    ('a', b'ffconcat version 1.0\nfile b.mp4\n'), ('a.mp4', b'P6 2 2 255 abcdefghijkl')])
def test_texts_playlists_and_pictures_are_no_videos(tmp_path, name, content):
    clip(tmp_path / 'b.mp4')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match='cannot be decoded as a video'):
        read(tmp_path / name)


def test_sound_alone_is_no_video(tmp_path):
    ffmpeg('-f', 'lavfi', '-i', 'sine=d=0.2', str(tmp_path / 'a.mp4'))
    with pytest.raises(UserError, match='a.mp4 cannot be decoded as a video: .*no streams'):
        read(tmp_path / 'a.mp4')


def test_sound_neither_lengthens_a_video_nor_loses_its_fit(tmp_path):
    path = str(tmp_path / 'a.mkv')
    ffmpeg('-f', 'lavfi', '-i', 'sine=d=3', '-itsoffset', '0.5', '-i', clip(tmp_path / 'a.mp4'),
           '-map', '0', '-map', '1', '-c:a', 'pcm_s16le', path)
    _, frames, shown = read(path)
    assert len(frames) == 7 and length_of(path) > 2.9
    # The first frame is shown from the start of the sound on. (ffmpeg encodes again, at its rate.)
    assert times_of(path)[0] == 0.48
    assert shown == pytest.approx([0.56] + [0.08] * 6, abs=0.002)


def test_a_video_that_is_left_ends_ffmpeg(tmp_path, monkeypatch):
    processes, start = [], videos._start
    monkeypatch.setattr(videos, '_start', lambda *arguments, **pipes: processes.append(
        start(*arguments, **pipes)) or processes[-1])
    # More than a pipe holds: ffmpeg waits to be read.
    with videos.opened(clip(tmp_path / 'a.mp4', count=25, height=200, width=300)) as video:
        next(video.frames)
        assert len(processes) == 1 and processes[0].poll() is None
    assert processes[0].poll() is not None


def test_videos_without_ffmpeg_are_refused_saying_what_to_install(tmp_path, monkeypatch):
    def none():
        raise RuntimeError('No ffmpeg exe')

    monkeypatch.setattr(imageio_ffmpeg, 'get_ffmpeg_exe', none)
    with pytest.raises(UserError, match='a.mp4: videos need ffmpeg.*imageio-ffmpeg'):
        read(tmp_path / 'a.mp4')


def animation(path, count=4, durations=(100, 250, 30, 70), **options):
    frames = [Image.fromarray(noise(20, 30, seed=index) // 64 * 64) for index in range(count)]
    frames[0].save(str(path), save_all=True, append_images=frames[1:],
                   duration=list(durations[:count]), **options)
    return str(path)


@pytest.mark.parametrize('name, options', [
    ('a.gif', {'loop': 3}), ('a.webp', {'lossless': True}), ('a.png', {})])
def test_an_animation_is_a_video_with_its_own_timing(tmp_path, name, options):
    video, frames, shown = read(animation(tmp_path / name, **options))
    assert (video.height, video.width) == (20, 30)
    assert shown == [0.1, 0.25, 0.03, 0.07]
    assert videos.extension(video) == ('.gif' if name == 'a.gif' else '.mp4')
    assert name != 'a.gif' or video.loop == 3
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, noise(20, 30, seed=index) // 64 * 64)


def test_the_picture_for_viewers_without_animations_is_no_frame(tmp_path):
    path = animation(tmp_path / 'a.png', default_image=True)
    _, frames, shown = read(path)
    assert len(frames) == 3 and len(shown) == 3
    np.testing.assert_array_equal(frames[0], noise(20, 30, seed=1) // 64 * 64)


def test_frames_of_no_length_are_shown_as_browsers_do(tmp_path):
    path = animation(tmp_path / 'a.webp', 3, (0, 10, 20), lossless=True)
    assert read(path)[2] == [0.1, 0.1, 0.02]


def test_transparent_parts_of_a_gif_are_white(tmp_path):
    frames = [Image.new('RGBA', (8, 6), (200, 0, 0, 255)) for _ in range(2)]
    for index, frame in enumerate(frames):
        frame.paste((0, 0, 0, 0), (index, 0, index + 2, 2))
    path = str(tmp_path / 'a.gif')
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, disposal=2)
    for index, frame in enumerate(read(path)[1]):
        assert tuple(frame[0, index + 1]) == (255, 255, 255)
        assert tuple(frame[5, 5]) == (200, 0, 0)


def test_damaged_gif_is_refused_naming_it(tmp_path):
    path = tmp_path / 'a.gif'
    animation(path)
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])
    with pytest.raises(UserError, match='a.gif cannot be decoded'):
        read(path)


def pictures(count, size=(31, 21)):
    return (Image.new('RGB', size, (20 * index,) * 3) for index in range(count))


@pytest.mark.parametrize('shown', [
    [Fraction(1, 12)] * 7, [Fraction(1001, 30000)] * 7, [Fraction(1, 3), Fraction(2, 1000),
                                                         1, Fraction(1, 7), 3]])
def test_a_video_is_written_with_even_sides_and_its_frames_times(tmp_path, monkeypatch, shown):
    monkeypatch.chdir(tmp_path)
    videos.write(zip(pictures(len(shown)), shown), 'b:c.mp4',
                 videos.Video(30, 40, iter(()), pixel_aspect=Fraction(4, 3)))
    assert times_of('b:c.mp4') == pytest.approx(starts(map(float, shown)), abs=2e-5)
    assert length_of('b:c.mp4') == pytest.approx(float(sum(shown)), abs=0.011)
    assert '32x22 [SAR 4:3' in header_of('b:c.mp4')
    _, frames, _ = read('b:c.mp4')
    np.testing.assert_allclose([frame[:20, :30].mean() for frame in frames],
                               np.arange(len(shown)) * 20, atol=6)
    assert (frames[0][:, 31] > 200).all() and (frames[0][21] > 200).all()


def test_a_video_of_one_frame_keeps_its_length_and_colours(tmp_path):
    path = str(tmp_path / 'a.mp4')
    videos.write([(Image.new('RGB', (40, 30), (200, 120, 40)), Fraction(3))], path,
                 videos.Video(30, 40, iter(())))
    assert times_of(path) == [0] and length_of(path) == 3
    _, (frame,), shown = read(path)
    assert shown == [3]
    np.testing.assert_allclose(frame.mean(axis=(0, 1)), (200, 120, 40), atol=5)


def test_gif_is_written_with_the_timing_it_had(tmp_path):
    video, _, shown = read(animation(tmp_path / 'a.gif', loop=0))
    videos.write(zip(pictures(4), shown), str(tmp_path / 'b.gif'), video)
    written, frames, durations = read(tmp_path / 'b.gif')
    assert (written.height, written.width, written.loop) == (21, 31, 0)
    assert durations == [0.1, 0.25, 0.03, 0.07]
    for index, frame in enumerate(frames):
        assert (frame == 20 * index).all()


@pytest.mark.parametrize('is_gif', [False, True])
def test_a_video_that_was_not_finished_is_not_there(tmp_path, is_gif):
    def stopped():
        yield from zip(pictures(2), [Fraction(1)] * 2)
        raise UserError('stopped')

    with pytest.raises(UserError, match='stopped'):
        videos.write(stopped(), str(tmp_path / 'a'), videos.Video(30, 40, (), is_gif=is_gif))
    assert os.listdir(str(tmp_path)) == []


def test_a_video_that_ffmpeg_did_not_finish_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, 'count_packets', lambda path: 7)
    with pytest.raises(UserError, match='does not hold the 7 frames'):
        videos.write(zip(pictures(7), [1] * 7), str(tmp_path / 'b.mp4'),
                     videos.Video(30, 40, ()))
    assert os.listdir(str(tmp_path)) == []


def test_what_ffmpeg_cannot_write_is_said(tmp_path):
    with pytest.raises(UserError, match='b.mp4.tmp cannot be written: .+'):
        # More than H.264 takes.
        videos.write(zip(pictures(2, (40000, 2)), [1] * 2), str(tmp_path / 'b.mp4'),
                     videos.Video(30, 40, ()))
    assert os.listdir(str(tmp_path)) == []


def test_a_video_goes_to_ffmpeg_frame_by_frame(tmp_path, monkeypatch):
    events, send = [], videos._send

    def told():
        for picture in pictures(3):
            events.append('made')
            yield picture, 1

    monkeypatch.setattr(videos, '_send', lambda process, data, *more: (
        events.append('written'), send(process, data, *more)))
    videos.write(told(), str(tmp_path / 'b.mp4'), videos.Video(30, 40, ()))
    # The header goes before the first frame, and what ends the last one behind it.
    assert events == ['made', 'written'] + ['written', 'made'] * 2 + ['written'] * 2


@pytest.mark.parametrize('case, name, num_frames, seconds', [
    ('variable_frame_rate', 'vfr.mp4', 24, 3.2), ('two_video_streams', 'two.mkv', 20, 2.0),
    ('phone_folder', 'phone/cam.MTS', 60, 6.0), ('phone_folder', 'phone/old.3gp', 20, 2.0),
    ('phone_folder', 'clip.flv', 20, 2.0), ('several_frames', 'anim.webp', 5, 0.5)])
def test_videos_that_failed_keep_their_frames_and_length(tmp_path, case, name, num_frames,
                                                         seconds):
    video, frames, shown = read(os.path.join(shared_case(case), name))
    assert len(frames) == num_frames and sum(shown) == pytest.approx(seconds, abs=0.003)
    path = str(tmp_path / 'a.mp4')
    videos.write(zip(map(Image.fromarray, frames), map(Fraction, shown)), path, video)
    assert times_of(path) == pytest.approx(starts(shown), abs=2e-5)
    assert length_of(path) == pytest.approx(seconds, abs=0.011)
