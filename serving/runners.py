"""Runs an exported network as its users do: without the code and the checkpoint behind it.

    python serving/runners.py saved_model EXPORT images.npz answers.npz

is how export.py looks at what it wrote, in a process of its own.
"""
import io
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import common.interpreter  # noqa: E402,F401  before what may be missing

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from common import pictures  # noqa: E402
from runtime import tf  # noqa: E402
from runtime.devices import session_config  # noqa: E402
from serving import layout  # noqa: E402


def run_saved_model(folder, batches):
    """Answers with both signatures of the SavedModel.

    Args:
      folder: str, an export.
      batches: list of uint8 [batch, height, width, 3], RGB.

    Yields:
      Dict for each batch: `labels` uint8 [batch, height, width], `probabilities` float32
      [batch, height, width, classes], and `encoded_labels`, as `labels`, of the same images
      sent as PNG files.
    """
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        signatures = tf.saved_model.load(session, [tf.saved_model.SERVING],
                                         os.path.join(folder, layout.SAVED_MODEL)).signature_def
        plain, encoded = signatures[layout.DEFAULT_SIGNATURE], signatures[layout.ENCODED_SIGNATURE]
        for images in batches:
            answer = session.run({name: plain.outputs[name].name for name in layout.OUTPUTS},
                                 {plain.inputs[layout.INPUTS[0]].name: images})
            files = [pictures.png(Image.fromarray(image)) for image in images]
            pngs = session.run(encoded.outputs[layout.ENCODED_OUTPUT].name,
                               {encoded.inputs[layout.ENCODED_INPUT].name: files})
            answer['encoded_labels'] = np.stack(
                [np.array(Image.open(io.BytesIO(png))) for png in pngs])
            yield answer


def run_frozen_graph(folder, batches):
    """Answers with the frozen graph; as `run_saved_model`, without `encoded_labels`."""
    graph_def = tf.GraphDef()
    with open(os.path.join(folder, layout.FROZEN_GRAPH), 'rb') as graph_file:
        graph_def.ParseFromString(graph_file.read())
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        tf.import_graph_def(graph_def, name='')
        for images in batches:
            yield session.run({name: name + ':0' for name in layout.OUTPUTS},
                              {layout.INPUTS[0] + ':0': images})


def run_onnx(folder, batches):
    """Answers with ONNX; as `run_saved_model`, without `encoded_labels`."""
    # Of the three formats this one alone needs it, and no TensorFlow.
    import onnxruntime
    session = onnxruntime.InferenceSession(os.path.join(folder, layout.ONNX),
                                           providers=['CPUExecutionProvider'])
    for images in batches:
        yield dict(zip(layout.OUTPUTS, session.run(layout.OUTPUTS, {layout.INPUTS[0]: images})))


RUNNERS = {'saved_model': run_saved_model, 'frozen_graph': run_frozen_graph, 'onnx': run_onnx}


def main(argv=None):
    format_name, folder, images_path, answers_path = argv or sys.argv[1:]
    with np.load(images_path) as stored:
        batches = [stored[str(index)] for index in range(len(stored.files))]
    answers = {}
    for index, answer in enumerate(RUNNERS[format_name](folder, batches)):
        answers.update(('%s/%d' % (name, index), value) for name, value in answer.items())
    np.savez(answers_path, **answers)


if __name__ == '__main__':
    main()
