"""Exports a trained network for use without this project: SavedModel, frozen graph, ONNX.

    python export.py --checkpoint runs/deeplab_v3 --output_dir exports/deeplab_v3
    python export.py --checkpoint RUN --output_dir DIR --formats onnx --opset 13

Writes under --output_dir:
  saved_model/1/    for TensorFlow Serving (serving/README.md), signatures
                    serving_default: `images` -> `labels`, `probabilities`
                    encoded: `image_bytes`, JPEG or PNG files -> `labels_bytes`, PNG files
  frozen_graph.pb   a GraphDef of constants: images:0 -> labels:0, probabilities:0
  model.onnx        images -> labels, probabilities
  export.json       classes, ignore label, tensors, checkpoint, step, versions, checksums
`images` is uint8 [batch, height, width, 3], RGB of any size; preprocessing is inside.
`labels` is uint8 [batch, height, width], the most probable class of each pixel;
`probabilities` is float32 [batch, height, width, classes].

Each format is loaded again in a process of its own and compared with the checkpoint.
Where labels differ, nothing is written and the exit status is 1.
"""
import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import namedtuple

import numpy as np
from PIL import Image

import network
from common import files
from common.errors import UserError
from inference import options
from serving import runners

FORMATS = tuple(runners.RUNNERS)
OPSETS = (11, 12, 13, 14, 15)  # older ones have no aligned corners, onnxruntime 1.10 no newer
DEFAULT_OPSET = 13
FORMAT_VERSION = 1

# Height and width of the images on which exports are compared with their checkpoint, two of
# each: square, wide, and high with odd sides.
CHECKED_SIZES = ((128, 128), (96, 160), (173, 121))
SMALLEST_AGREEMENT = 0.9999  # of the labels
# Of a probability. Two libraries add up in different orders, and `restored.Predictor`
# rounds to float16; a wrong weight shows far above.
LARGEST_DIFFERENCE = 0.01

# name: str, the format, with the signature where it has two. size: (height, width).
# agreement: float, the share of pixels with the checkpoint's label. difference: float, the
# largest of the probabilities, or None where there are none.
Check = namedtuple('Check', ['name', 'size', 'agreement', 'difference'])


def parse_flags(argv=None):
    """Parses the flags of `export.py`."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_checkpoint_flags(parser)
    parser.add_argument('--output_dir', required=True,
                        help='a folder that is empty or not there yet')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace an earlier export in --output_dir')
    parser.add_argument('--formats', nargs='+', default=list(FORMATS), choices=FORMATS,
                        help='what to write (default: all)')
    options.add_classes_flag(parser)
    parser.add_argument('--opset', type=int, choices=OPSETS,
                        help='version of the ONNX operators (default: %d)' % DEFAULT_OPSET)
    flags = parser.parse_args(argv)
    if flags.opset and 'onnx' not in flags.formats:
        parser.error('--opset %d has no effect without --formats onnx' % flags.opset)
    flags.opset = flags.opset or DEFAULT_OPSET
    # In the order of FORMATS, each once.
    flags.formats = [name for name in FORMATS if name in flags.formats]
    return flags


def check_output_dir(output_dir, overwrite):
    """Makes sure that writing an export loses nothing else.

    Raises:
      UserError: the folder holds something that may not be replaced.
    """
    if not os.path.exists(output_dir):
        return
    if not os.path.isdir(output_dir):
        raise UserError('--output_dir %s is a file.' % output_dir)
    files = files_in(output_dir)
    if not files:
        return
    if not overwrite:
        raise UserError('--output_dir %s is not empty: give another, or --overwrite to replace '
                        'an earlier export.' % output_dir)
    try:
        with open(os.path.join(output_dir, runners.DESCRIPTION)) as description:
            known = set(json.load(description)['files']) | {runners.DESCRIPTION}
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError('--overwrite: %s holds no export.json, so it is not an earlier export: '
                        'give another --output_dir.' % output_dir)
    foreign = sorted(set(files) - known)
    if foreign:
        raise UserError('--overwrite: %s holds files that export.py did not write, such as %s: '
                        'move them, or give another --output_dir.' % (output_dir, foreign[0]))


def files_in(folder):
    """Returns the paths of all files below a folder, relative to it, in order."""
    return sorted(os.path.relpath(os.path.join(parent, name), folder)
                  for parent, _, names in os.walk(folder) for name in names)


@contextlib.contextmanager
def published(output_dir):
    """Gives a folder beside `output_dir` that takes its name when the block ends well.

    Yields:
      str, the path of an empty folder; it is gone where the block raises.
    """
    output_dir = os.path.realpath(output_dir)
    parent, name = os.path.split(output_dir)
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.%s-' % name, dir=parent) as temporary:
        # Private as it is made, a server under another user could not read it.
        new, old = os.path.join(temporary, 'new'), os.path.join(temporary, 'old')
        os.mkdir(new)
        yield new
        if os.path.exists(output_dir):
            os.rename(output_dir, old)
        try:
            os.rename(new, output_dir)
        except OSError:
            if os.path.exists(old):
                os.rename(old, output_dir)
            raise


def checked_images():
    """Draws smooth images for the comparison, the same ones each time.

    Returns:
      List of uint8 [2, height, width, 3], one for each of `CHECKED_SIZES`.
    """
    random = np.random.RandomState(0)

    def draw(height, width):
        coarse = Image.fromarray(random.randint(0, 256, [6, 7, 3]).astype(np.uint8))
        return np.array(coarse.resize((width, height), Image.BICUBIC))

    return [np.stack([draw(*size), draw(*size)]) for size in CHECKED_SIZES]


def write_formats(run, flags, folder):
    """Builds the network once and writes all formats that are asked for.

    Args:
      run: `restored.Run`.
      flags: of this script.
      folder: str, an empty folder.

    Raises:
      UserError: the checkpoint does not fit its settings, or is damaged.
      ValueError: a setting that cannot be built.
      UserError: TensorFlow cannot write.
    """
    from runtime import tf
    from serving import formats
    export_graph = formats.build_export_graph(network.options_of(run.args))
    with formats.restored_session(export_graph, run.checkpoint) as session:
        try:
            if 'saved_model' in flags.formats:
                formats.write_saved_model(export_graph, session, folder)
        except tf.errors.OpError as error:
            raise UserError('saved_model: %s' % error.message.splitlines()[0])
        if flags.formats == ['saved_model']:
            return
        graph_def = formats.frozen_graph_def(export_graph, session)
    if 'frozen_graph' in flags.formats:
        formats.write_frozen_graph(graph_def, folder)
    if 'onnx' in flags.formats:
        formats.write_onnx(graph_def, folder, flags.opset)


def answers_of(format_name, folder, images):
    """Runs an exported format in a fresh process, which knows nothing but the files.

    Args:
      format_name: str, one of `FORMATS`.
      folder: str, the export.
      images: list of uint8 [batch, height, width, 3].

    Returns:
      List of dicts, see `runners.run_saved_model`.

    Raises:
      UserError: it cannot be loaded or run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        paths = [os.path.join(temporary, name) for name in ('images.npz', 'answers.npz')]
        np.savez(paths[0], **{str(index): batch for index, batch in enumerate(images)})
        child = subprocess.run(
            [sys.executable, os.path.abspath(runners.__file__), format_name, folder] + paths,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if child.returncode:
            lines = child.stdout.decode(errors='replace').strip().splitlines()
            raise UserError('%s: what was written cannot be used (exit status %d): %s'
                            % (format_name, child.returncode, lines[-1] if lines else ''))
        answers = [{} for _ in images]
        with np.load(paths[1]) as stored:
            for key in stored.files:
                name, index = key.split('/')
                answers[int(index)][name] = stored[key]
    return answers


def compare(format_name, answers, expected):
    """Compares what a format answers with what the checkpoint says.

    Args:
      format_name: str.
      answers: list of dicts, see `answers_of`.
      expected: list of `restored.Prediction` with probabilities.

    Returns:
      List of `Check`.
    """
    checks = []
    for answer, predicted in zip(answers, expected):
        size = predicted.labels.shape[1:]
        difference = largest_difference(answer['probabilities'], predicted.probabilities)
        checks.append(Check(format_name, size, share_equal(answer['labels'], predicted.labels),
                            difference))
        if 'encoded_labels' in answer:
            checks.append(Check('%s (%s)' % (format_name, runners.ENCODED_SIGNATURE), size,
                                share_equal(answer['encoded_labels'], predicted.labels), None))
    return checks


def share_equal(labels, expected):
    """Returns the share of equal values, 0 where the shapes differ."""
    return float((labels == expected).mean()) if labels.shape == expected.shape else 0.0


def largest_difference(probabilities, expected):
    """Returns the largest absolute difference, infinite where shapes differ or NaN occurs."""
    if probabilities.shape != expected.shape:
        return float('inf')
    largest = float(np.abs(probabilities - expected.astype(np.float32)).max())
    return largest if np.isfinite(largest) else float('inf')


def describe(check):
    """Says how a format agrees with its checkpoint at one size. Returns str."""
    text = '%s at %dx%d pixels: %.4f%% of the labels agree' % (
        check.name, check.size[1], check.size[0], 100 * check.agreement)
    if check.difference is not None:
        text += ', probabilities differ by at most %.1e' % check.difference
    return text


def require_agreement(checks):
    """Raises `UserError` for the first check in which a format is not its checkpoint."""
    for check in checks:
        if (check.agreement < SMALLEST_AGREEMENT
                or check.difference is not None and check.difference > LARGEST_DIFFERENCE):
            raise UserError(
                '%s. It must be %.2f%%, and at most %g: nothing was written.'
                % (describe(check), 100 * SMALLEST_AGREEMENT, LARGEST_DIFFERENCE))


def verify(run, flags, folder):
    """Compares every written format with the checkpoint.

    Args:
      run: `restored.Run`.
      flags: of this script.
      folder: str, the export.

    Returns:
      List of `Check`.

    Raises:
      UserError: a format cannot be used, or does not agree.
    """
    from inference import restored
    images = checked_images()
    with restored.Predictor(run) as predictor:
        expected = [predictor.predict(batch, with_probabilities=True) for batch in images]
    all_checks = []
    for name in flags.formats:
        checks = compare(name, answers_of(name, folder, images), expected)
        for check in checks:
            print(describe(check), flush=True)
        require_agreement(checks)
        all_checks += checks
    return all_checks


def tensors_of(flags):
    """Returns what export.json says about the inputs and outputs of each format, a dict."""
    plain = {'inputs': runners.INPUTS, 'outputs': runners.OUTPUTS}
    frozen = {kind: [name + ':0' for name in names] for kind, names in plain.items()}
    tensors = {
        'saved_model': {'path': runners.SAVED_MODEL, 'signatures': {
            runners.DEFAULT_SIGNATURE: plain,
            runners.ENCODED_SIGNATURE: {'inputs': ['image_bytes'],
                                        'outputs': ['labels_bytes']}}},
        'frozen_graph': dict(frozen, path=runners.FROZEN_GRAPH),
        'onnx': dict(plain, path=runners.ONNX, opset=flags.opset)}
    return {name: tensors[name] for name in flags.formats}


def versions_of(flags):
    """Returns the versions of what wrote an export, a dict."""
    from runtime import tf
    versions = {'python': platform.python_version(), 'tensorflow': tf.__version__}
    if 'onnx' in flags.formats:
        import onnx
        import onnxruntime
        import tf2onnx
        versions.update((module.__name__, module.__version__)
                        for module in (onnx, onnxruntime, tf2onnx))
    return versions


def write_description(run, flags, folder, checks):
    """Writes export.json, the last file of an export."""
    from common import http
    from experiment import checkpoints, weights
    files.write_json({
        'format_version': FORMAT_VERSION,
        'class_names': run.class_names, 'ignore_label': run.ignore_label,
        'formats': tensors_of(flags),
        'checkpoint': run.checkpoint, 'step': checkpoints.step_of(run.checkpoint),
        'averaged_weights': weights.is_averaged(run.checkpoint),
        'resnet_model': run.args.resnet_model, 'output_stride': run.args.output_stride,
        'versions': versions_of(flags),
        'checks': [check._asdict() for check in checks],
        'files': {name: {'bytes': os.path.getsize(os.path.join(folder, name)),
                         'sha256': http.hash_file(os.path.join(folder, name))}
                  for name in files_in(folder)}}, os.path.join(folder, runners.DESCRIPTION))


def check_packages(flags):
    """Raises `UserError` where a package that a format needs is not there."""
    try:
        versions_of(flags)
    except ImportError as error:
        raise UserError('--formats onnx needs tf2onnx, onnx and onnxruntime (%s): run '
                        '`make env`, or leave onnx out of --formats.' % error)


def main(argv=None):
    flags = parse_flags(argv)
    try:
        check_output_dir(flags.output_dir, flags.overwrite)
        # TensorFlow takes seconds to import; what is wrong with the folder is said before.
        from inference import restored
        from runtime.devices import select_gpu
        select_gpu(flags.gpu_id)
        check_packages(flags)
        run = restored.load_run(flags.checkpoint, flags.output_stride, flags.classes)
        with published(flags.output_dir) as folder:
            print('%s at output stride %d as %s.' % (
                run.checkpoint, run.args.output_stride, ', '.join(flags.formats)), flush=True)
            write_formats(run, flags, folder)
            write_description(run, flags, folder, verify(run, flags, folder))
            num_bytes = sum(os.path.getsize(os.path.join(folder, name))
                            for name in files_in(folder))
    except (ValueError, OSError) as error:
        raise SystemExit(str(error))
    print('%.1f MiB: %s' % (num_bytes / 2.0 ** 20, flags.output_dir))


if __name__ == '__main__':
    main()
