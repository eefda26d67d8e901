"""The folder of an export: what it may replace, how it gets its name, and its export.json."""
import contextlib
import importlib
import os
import platform

from common import files
from common.errors import UserError
from dataset import palette
from experiment import checkpoints, weights
from runtime import tf
from serving import layout

FORMAT_VERSION = 1


def check_output_dir(output_dir, overwrite):
    """Makes sure that writing an export loses nothing else.

    Raises:
      UserError: the folder holds something that may not be replaced.
    """
    if os.path.exists(output_dir) and not os.path.isdir(output_dir):
        raise UserError('--output_dir %s is a file.' % output_dir)
    present = files_in(output_dir)
    if not present:
        return
    if not overwrite:
        raise UserError('--output_dir %s is not empty: give another, or --overwrite to replace '
                        'an earlier export.' % output_dir)
    try:
        known = files.read_json(os.path.join(output_dir, layout.DESCRIPTION))['files']
        foreign = sorted(set(present) - set(known) - {layout.DESCRIPTION})
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError('--overwrite: %s holds no export.json, so it is not an earlier export: '
                        'give another --output_dir.' % output_dir)
    if foreign:
        raise UserError('--overwrite: %s holds files that export.py did not write, such as %s: '
                        'move them, or give another --output_dir.' % (output_dir, foreign[0]))


def files_in(folder):
    """Returns the paths of all files below a folder, relative to it, in order."""
    return sorted(os.path.relpath(os.path.join(parent, name), folder)
                  for parent, _, names in os.walk(folder) for name in names)


def check_loadable(output_dir):
    """Makes sure that a SavedModel can be loaded from where it will be.

    Raises:
      UserError: TensorFlow would take the path for a pattern.
    """
    path = os.path.realpath(output_dir)
    if files.TENSORFLOW_PATTERN & set(path):
        raise UserError('--output_dir %s: TensorFlow loads no SavedModel from a path with * ? [ ] '
                        'or \\. Give another, or --formats without saved_model.' % path)


@contextlib.contextmanager
def published(output_dir):
    """Gives a folder beside `output_dir` that takes its name when the block ends well.

    Yields:
      str, the path of an empty folder; it is gone where the block raises.
    """
    output_dir = os.path.realpath(output_dir)
    parent, name = os.path.split(output_dir)
    os.makedirs(parent, exist_ok=True)
    with files.temporary_folder(parent, '.exporting-%s-' % name) as temporary:
        # Private as it is made, a server under another user could not read it.
        new = os.path.join(temporary, 'new')
        os.mkdir(new)
        yield new
        if os.path.exists(output_dir):
            os.rename(output_dir, os.path.join(temporary, 'old'))
        os.rename(new, output_dir)


def versions_of(formats):
    """Returns the versions of what writes an export, a dict.

    Raises:
      UserError: a package that a format needs is not there.
    """
    versions = {'python': platform.python_version(), 'tensorflow': tf.__version__}
    if 'onnx' in formats:
        try:
            versions.update((name, importlib.import_module(name).__version__)
                            for name in ('onnx', 'onnxruntime', 'tf2onnx'))
        except ImportError as error:
            raise UserError('--formats onnx needs tf2onnx, onnx and onnxruntime (%s): run '
                            '`make env`, or leave onnx out of --formats.' % error)
    return versions


def write_description(run, tensors, versions, checks, folder):
    """Writes export.json, the last file of an export.

    Args:
      run: `loading.LoadedRun`.
      tensors, versions: as `layout.tensors_of` and `versions_of` return them.
      checks: list of `verification.Check`.
      folder: str, the export.
    """
    paths = {name: os.path.join(folder, name) for name in files_in(folder)}
    files.write_json({
        'format_version': FORMAT_VERSION,
        'class_names': run.info.class_names, 'ignore_label': run.info.ignore_label,
        'colors': palette.of_classes(run.info),
        'bands': run.info.bands, 'value_range': run.info.value_range,
        'formats': tensors,
        'checkpoint': run.checkpoint, 'step': checkpoints.step_of(run.checkpoint),
        'averaged_weights': weights.is_averaged(run.checkpoint),
        'resnet_model': run.args.resnet_model, 'output_stride': run.args.output_stride,
        'versions': versions,
        'checks': [check._asdict() for check in checks],
        'files': {name: {'bytes': os.path.getsize(path), 'sha256': files.hash_file(path)}
                  for name, path in paths.items()}}, os.path.join(folder, layout.DESCRIPTION))
