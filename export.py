"""Exports a trained network for use without this project: SavedModel, frozen graph, ONNX.

    python export.py --checkpoint runs/deeplab_v3 --output_dir exports/deeplab_v3
    python export.py --checkpoint RUN --output_dir DIR --formats onnx --opset 13

Writes under --output_dir:
  saved_model/1/    for TensorFlow Serving (serving/README.md), signatures
                    serving_default: `images` -> `labels`, `probabilities`
                    encoded: `image_bytes`, JPEG or PNG files -> `labels_bytes`, PNG files
  frozen_graph.pb   a GraphDef of constants: images:0 -> labels:0, probabilities:0
  model.onnx        images -> labels, probabilities
  export.json       classes and their colours, ignore label, tensors, checkpoint, step,
                    versions, checksums
`images` is uint8 [batch, height, width, 3], RGB of any size; preprocessing is inside.
`labels` is uint8 [batch, height, width], the most probable class of each pixel;
`probabilities` is float32 [batch, height, width, classes].

Each format is loaded again in a process of its own and compared with the checkpoint.
Where labels differ, nothing is written and the exit status is 1.
"""
import os

import common.interpreter  # noqa: F401  before what may be missing
from common import command_line, flag_types, scripts
from experiment import loading
from inference import options
from runtime.devices import set_up
from serving import formats, layout, publishing, verification


def parse_flags(argv=None):
    """Parses the flags of `export.py`."""
    parser = command_line.Parser(__doc__)
    options.add_checkpoint_flags(parser)
    parser.add_argument('--output_dir', required=True,
                        help='a folder that is empty or not there yet')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace an earlier export in --output_dir')
    parser.add_argument('--formats', nargs='+', default=list(layout.FORMATS),
                        choices=layout.FORMATS, help='what to write (default: all)')
    options.add_classes_flag(parser)
    parser.add_argument('--opset', type=flag_types.whole_number, choices=layout.OPSETS,
                        help='version of the ONNX operators (default: %d)' % layout.DEFAULT_OPSET)
    flags = parser.parse_args(argv)
    if flags.opset and 'onnx' not in flags.formats:
        parser.error('--opset %d has no effect without --formats onnx' % flags.opset)
    flags.opset = flags.opset or layout.DEFAULT_OPSET
    # In the order of FORMATS, each once.
    flags.formats = [name for name in layout.FORMATS if name in flags.formats]
    return flags


def export(flags):
    """Writes and verifies what the flags ask for; returns how many bytes that are.

    Raises:
      UserError: a folder in use, a missing package, a checkpoint that cannot be restored, or a
        format that is not its checkpoint. Then nothing is written.
    """
    publishing.check_output_dir(flags.output_dir, flags.overwrite)
    if 'saved_model' in flags.formats:
        publishing.check_loadable(flags.output_dir)
    versions = publishing.versions_of(flags.formats)
    run = loading.named(loading.load_run(flags.checkpoint, flags.output_stride), flags.classes)
    print(set_up(flags), flush=True)
    with publishing.published(flags.output_dir) as folder:
        print('%s at output stride %d as %s.' % (
            run.checkpoint, run.args.output_stride, ', '.join(flags.formats)), flush=True)
        formats.write_formats(run, flags.formats, flags.opset, folder)
        checks = verification.verify(run, flags.formats, folder)
        tensors = layout.tensors_of(flags.formats, flags.opset)
        publishing.write_description(run, tensors, versions, checks, folder)
        return sum(os.path.getsize(os.path.join(folder, name))
                   for name in publishing.files_in(folder))


def main(argv=None):
    flags = parse_flags(argv)
    with scripts.ending_in_one_message():
        num_bytes = export(flags)
    print('%.1f MiB: %s' % (num_bytes / 2.0 ** 20, flags.output_dir))


if __name__ == '__main__':
    main()
