"""Names in an export: its files, and the inputs and outputs of each format. No TensorFlow."""
import os

# Where export.py writes each format, below its --output_dir. TensorFlow Serving wants a
# folder for each version.
SAVED_MODEL = os.path.join('saved_model', '1')
FROZEN_GRAPH = 'frozen_graph.pb'
ONNX = 'model.onnx'
DESCRIPTION = 'export.json'
FORMATS = ('saved_model', 'frozen_graph', 'onnx')

OPSETS = (11, 12, 13, 14, 15)  # older ones have no aligned corners, onnxruntime 1.10 no newer
DEFAULT_OPSET = 13

# Names in the signature, of the operations in the frozen graph, and in ONNX.
INPUTS = ('images',)
OUTPUTS = ('labels', 'probabilities')
# TensorFlow Serving's REST interface writes bytes as {"b64": ...} where a name ends in `_bytes`.
ENCODED_INPUT = 'image_bytes'
ENCODED_OUTPUT = 'labels_bytes'

DEFAULT_SIGNATURE = 'serving_default'
ENCODED_SIGNATURE = 'encoded'
SIGNATURES = {DEFAULT_SIGNATURE: {'inputs': INPUTS, 'outputs': OUTPUTS},
              ENCODED_SIGNATURE: {'inputs': (ENCODED_INPUT,), 'outputs': (ENCODED_OUTPUT,)}}


def tensors_of(formats, opset):
    """Returns {format: dict of where it is and what its inputs and outputs are called}."""
    plain = SIGNATURES[DEFAULT_SIGNATURE]
    tensors = {
        'saved_model': {'path': SAVED_MODEL, 'signatures': SIGNATURES},
        'frozen_graph': {'path': FROZEN_GRAPH, **{
            kind: [name + ':0' for name in names] for kind, names in plain.items()}},
        'onnx': {'path': ONNX, 'opset': opset, **plain}}
    return {name: tensors[name] for name in formats}
