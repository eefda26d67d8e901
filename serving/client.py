"""Labels pictures through TensorFlow Serving, on a machine without TensorFlow.

    python serving/client.py --url http://localhost:8501/v1/models/deeplab \
        --input photo.jpg --output_dir answers --export_json exports/deeplab_v3/export.json

Sends each picture to the signature `encoded` of what export.py wrote, and writes under
--output_dir, for each picture at its own size (upright, as EXIF says):
  index/NAME.png     8-bit grey, each value a class id: what predict.py writes
  overlay/NAME.png   the classes' colours over the picture, with a legend
NAME is the path in the folder that was given. JPEG and PNG files that TensorFlow and Pillow
read alike are sent as they are; all else is sent as an upright RGB PNG. What fails is
reported and left out; the exit status is then 1. serving/README.md starts a server.
"""
import argparse
import base64
import errno
import io
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from common import (command_line, files, flag_types, pictures,  # noqa: E402
                    progress, scripts)
from common.errors import UserError  # noqa: E402
from dataset import descriptor, voc  # noqa: E402
from dataset.sources import class_lists, decoding, views  # noqa: E402
from inference import drawing, media, output_folder  # noqa: E402
from serving import layout  # noqa: E402

CONNECT_SECONDS = 10
_TEXT_SHOWN = 300  # characters of a server's message


class ServerError(UserError):
    """The server cannot be asked at all, so that other pictures would fail as well."""


def parse_flags(argv=None):
    """Parses the flags of `client.py`."""
    parser = command_line.Parser(__doc__)
    parser.add_argument('--url', required=True, type=model_url,
                        help='of the model, http://HOST:8501/v1/models/NAME, maybe with '
                             '/versions/N')
    parser.add_argument('--input', required=True, nargs='+', metavar='PATH',
                        help='pictures, folders of them (subfolders included), and patterns such '
                             'as "photos/**/*.jpg"')
    parser.add_argument('--output_dir', required=True, help='where the results are written')
    names = parser.add_mutually_exclusive_group()
    names.add_argument('--export_json', metavar='FILE',
                       help='export.json of the export: names and colours of the classes, and how '
                            'pictures are read')
    names.add_argument('--classes', metavar='FILE',
                       help='text file, one class name per line, class 0 first (default: class '
                            '0, class 1 and so on)')
    views.add_band_flags(parser, ' (default: those of --export_json)')
    parser.add_argument('--timeout', type=flag_types.positive_float, default=120.0,
                        metavar='SECONDS',
                        help='how long to wait for an answer (default: %(default)g)')
    return parser.parse_args(argv)


def model_url(text):
    """argparse type: the address of a model, without what follows it in a request."""
    match = re.fullmatch(r'(https?://[^/?#]+(?:/[^?#]*)?/v1/models/[^/:?#]+(?:/versions/\d+)?)'
                         r'(?::predict|/)?', text)
    if not match:
        raise argparse.ArgumentTypeError('%s is not http://HOST:PORT/v1/models/NAME' % text)
    return match.group(1)


def read_classes(flags):
    """Reads the names of the classes, and from an export their colours too.

    Returns `descriptor.DatasetInfo`.

    Raises:
      UserError: a file cannot be read, or does not name classes.
    """
    path = flags.export_json or flags.classes
    if path is None:
        return descriptor.create(
            'unknown', ['class %d' % label for label in range(voc.IGNORE_LABEL)], voc.IGNORE_LABEL)
    option = '--export_json' if flags.export_json else '--classes'
    names = None if flags.export_json else class_lists.read(path)
    try:
        if flags.export_json:
            description = files.read_json(path)
            return descriptor.create(
                os.path.basename(path), description['class_names'], description['ignore_label'],
                None,  # exports of earlier commits have none of these
                *[description.get(name) for name in ('colors', 'bands', 'value_range')])
        return descriptor.create(os.path.basename(path), names, voc.IGNORE_LABEL)
    except (KeyError, TypeError):
        raise UserError('%s %s was not written by export.py: "class_names" or '
                        '"ignore_label" is missing.' % (option, path))
    except (OSError, ValueError) as error:
        raise UserError('%s %s cannot be used: %s' % (option, path, error))


def ask(url, timeout, data):
    """Sends one picture and returns the server's labels.

    Args:
      url: str, of the model.
      timeout: float, seconds to wait for the answer.
      data: bytes of a JPEG or PNG file.

    Returns:
      uint8 [height, width], class ids.

    Raises:
      ServerError: the server is not reached, does not answer in time, or has no such model.
      UserError: it answers with an error about the picture, or with something else.
    """
    import requests  # takes 0.2 s; --help does without
    picture = {'b64': base64.b64encode(data).decode('ascii')}
    request = {'signature_name': layout.ENCODED_SIGNATURE,
               'instances': [{layout.ENCODED_INPUT: picture}]}
    url += ':predict'
    try:
        response = requests.post(url, json=request, timeout=(CONNECT_SECONDS, timeout))
    except requests.exceptions.ReadTimeout:
        raise ServerError('%s did not answer within %g seconds: give a larger --timeout, or '
                          'smaller pictures.' % (url, timeout))
    except requests.exceptions.RequestException as error:
        raise ServerError('%s is not reached (%s). Is the server running, and --url right?'
                          % (url, _reason(error)))
    if response.status_code == requests.codes.not_found:
        raise ServerError('%s: HTTP status 404: %s' % (url, _message(response)))
    if response.status_code != requests.codes.ok:
        raise UserError('%s: HTTP status %d: %s' % (url, response.status_code, _message(response)))
    return decode_answer(response)


def _reason(error):
    """Returns the innermost cause of an error of requests, which wraps several. Returns str."""
    match = re.search(r"\[Errno -?\d+\] ([^')]+)", str(error))
    return match.group(1) if match else type(error).__name__


def _message(response):
    """Returns what the server says is wrong, on one line. Returns str."""
    try:
        text = response.json()['error']
    except (ValueError, KeyError, TypeError):
        text = response.text
    return ' '.join(str(text).split())[:_TEXT_SHOWN] or '(no message)'


def decode_answer(response):
    """Returns the label map in a `requests.Response`, uint8 [height, width].

    Raises:
      UserError: there is none.
    """
    try:
        png = base64.b64decode(response.json()['predictions'][0]['b64'], validate=True)
        with Image.open(io.BytesIO(png)) as image:
            labels = np.array(image)
    except (ValueError, KeyError, IndexError, TypeError, OSError):
        raise UserError('%s did not answer with a label map but with %s: does the server hold an '
                        'export of export.py?'
                        % (response.url, ' '.join(response.text.split())[:_TEXT_SHOWN]))
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise UserError('%s answered with a picture of %s %s instead of a label map.'
                        % (response.url, labels.dtype, labels.shape))
    return labels


def check_labels(labels, size, info):
    """Raises `UserError` for labels that do not belong to the picture or to the classes.

    Args:
      labels: uint8 [height, width].
      size: (width, height) of the picture.
      info: `descriptor.DatasetInfo`.
    """
    if labels.shape != size[::-1]:
        raise UserError('the answer has %dx%d pixels, the picture %dx%d.'
                        % (labels.shape[::-1] + tuple(size)))
    if labels.max() >= info.number_of_classes:
        raise UserError('the answer holds class %d, but %d classes are named: give --classes or '
                        '--export_json of the export that is served.'
                        % (labels.max(), info.number_of_classes))


def label_picture(item, flags, output, info):
    """Sends a picture, a `media.Item`, and writes its results to an `OutputFolder`.

    Raises:
      UserError: it cannot be read, or as `ask`.
    """
    if media.is_video(item.path):
        raise UserError('it is a video: predict.py labels videos')
    data, _, size = decoding.read_image(
        decoding.Example(item.path, item.path, None, views.of_info(info)))
    labels = ask(flags.url, flags.timeout, data)
    check_labels(labels, size, info)
    with Image.open(io.BytesIO(data)) as picture:
        image = np.array(picture.convert('RGB'))
    overlay = drawing.overlay(image, labels, info)
    for folder, result in (('index', Image.fromarray(labels)), ('overlay', overlay)):
        pictures.save_png(result, output.place(folder, item.name + '.png'))


def label_pictures(items, flags, output, info):
    """Labels one picture after the other; returns a list of str, what failed."""
    failures = []
    for item in progress.bar(items, unit='picture', leave=False):
        try:
            label_picture(item, flags, output, info)
            remark = media.remark_on_pages(item.path)
            if remark:
                progress.write(remark)
        except ServerError:
            raise
        except (UserError, OSError) as error:
            if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
                raise  # all others would fail as well
            text = str(error)
            failures.append(text if item.path in text else '%s: %s' % (item.path, text))
            progress.write('Failed: ' + failures[-1])
    return failures


def main(argv=None):
    flags = parse_flags(argv)
    with scripts.ending_in_one_message():
        output = output_folder.OutputFolder(flags.output_dir)
        items, notes = media.find_inputs(flags.input, output)
        for note in notes:
            print(note, file=sys.stderr)
        info = views.chosen(read_classes(flags), flags)
        os.makedirs(flags.output_dir, exist_ok=True)
        failures = label_pictures(items, flags, output, info)
    print('%d pictures: %s' % (len(items) - len(failures), flags.output_dir))
    if failures:
        raise SystemExit('%d of %d pictures failed:\n%s' % (
            len(failures), len(items), '\n'.join('  ' + failure for failure in failures)))


if __name__ == '__main__':
    main()
