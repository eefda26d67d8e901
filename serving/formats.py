"""Writes a trained network as SavedModel, frozen graph and ONNX; what export.py is made of.

All formats take uint8 RGB of any size and hold the preprocessing. exported.py reads them.
"""
import logging
import os
from collections import namedtuple

import network
from common.errors import UserError
from experiment import weights
from inference import multiscale
from runtime import slim, tf
from runtime.devices import session_config
from serving import runners

# image_bytes: string placeholder [batch], JPEG or PNG files of one size. images: uint8
# [batch, height, width, 3], RGB, what `image_bytes` decodes to unless it is fed itself.
# labels: uint8 [batch, height, width]. probabilities: float32 [batch, height, width, classes].
# labels_bytes: string [batch], `labels` as 8-bit grey PNG files. variables: list, those of the
# network; saver: of them, which the SavedModel keeps.
ExportGraph = namedtuple('ExportGraph', ['graph', 'image_bytes', 'images', 'labels',
                                         'probabilities', 'labels_bytes', 'variables', 'saver'])


def decode_images(image_bytes):
    """Decodes JPEG and PNG files as records are decoded.

    Args:
      image_bytes: string [batch]; running fails where the sizes differ, and says so.

    Returns:
      uint8 [batch, height, width, 3], RGB. EXIF is not looked at, and alpha is dropped.
    """
    def decode(data):
        # As in preprocessing.inputs: the pixels that Pillow sees, of JPEG and PNG.
        return tf.image.decode_jpeg(data, channels=3, dct_method='INTEGER_ACCURATE')

    first_shape = tf.shape(decode(image_bytes[0]))

    def decode_alike(data):
        image = decode(data)
        same = tf.debugging.assert_equal(
            tf.shape(image), first_shape,
            message='The images of one request must have one height and width: send those of '
                    'another size in a request of their own.')
        with tf.control_dependencies([same]):
            return tf.identity(image)

    return tf.map_fn(decode_alike, image_bytes, dtype=tf.uint8)


def build_export_graph(network_options):
    """Builds the network over images or encoded files, in evaluation mode.

    Atrous convolutions are native, whatever the build: ONNX has them too, and no
    SpaceToBatchND (tests/test_export.py).

    Args:
      network_options: `network.NetworkOptions`.

    Returns:
      `ExportGraph`.

    Raises:
      ValueError: a setting that cannot be built.
    """
    network_options = network_options._replace(
        architecture=network_options.architecture._replace(native_atrous=True))
    graph = tf.Graph()
    with graph.as_default():
        image_bytes = tf.placeholder(tf.string, [None], name='image_bytes')
        # One network for both inputs: what is fed here is not decoded.
        images = tf.placeholder_with_default(decode_images(image_bytes),
                                             [None, None, None, 3], name='images')
        logits = network.deeplab_v3(tf.cast(images, tf.float32), network_options, is_training=False,
                                    reuse=None)
        labels = tf.identity(multiscale.label_map(logits), name='labels')
        probabilities = tf.nn.softmax(logits, name='probabilities')
        labels_bytes = tf.identity(
            tf.map_fn(tf.image.encode_png, labels[..., tf.newaxis], dtype=tf.string),
            name='labels_bytes')
        variables = slim.get_model_variables()
        saver = tf.train.Saver(variables)
    return ExportGraph(graph, image_bytes, images, labels, probabilities, labels_bytes,
                       variables, saver)


def restored_session(export_graph, checkpoint):
    """Opens a session with the weights that an evaluation reads.

    Args:
      export_graph: `ExportGraph`.
      checkpoint: str, a prefix.

    Returns:
      `tf.Session`; close it.

    Raises:
      UserError: the checkpoint does not fit, or is damaged.
    """
    with export_graph.graph.as_default():
        # The averages of --ema_decay, where the checkpoint has them.
        saver = weights.saver_for(checkpoint, export_graph.variables)
    session = tf.Session(graph=export_graph.graph, config=session_config())
    try:
        weights.restore(saver, session, checkpoint)
    except UserError:
        session.close()
        raise
    return session


def write_saved_model(export_graph, session, folder):
    """Writes a SavedModel with the signatures `serving_default` and `encoded`.

    TensorFlow Serving's REST interface writes bytes as {"b64": ...} where a name ends in
    `_bytes`.

    Args:
      export_graph: `ExportGraph`.
      session: `tf.Session` of it with its weights.
      folder: str, where the export is written.
    """
    def signature(inputs, outputs):
        return tf.saved_model.predict_signature_def(
            {name: getattr(export_graph, name) for name in inputs},
            {name: getattr(export_graph, name) for name in outputs})

    builder = tf.saved_model.Builder(os.path.join(folder, runners.SAVED_MODEL))
    with export_graph.graph.as_default():  # what the builder saves
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.SERVING],
            {runners.DEFAULT_SIGNATURE: signature(runners.INPUTS, runners.OUTPUTS),
             runners.ENCODED_SIGNATURE: signature(['image_bytes'], ['labels_bytes'])},
            saver=export_graph.saver, clear_devices=True, strip_default_attrs=True)
    builder.save()


def frozen_graph_def(export_graph, session):
    """Makes a graph of constants from images to labels and probabilities.

    Args:
      export_graph, session: as in `write_saved_model`.

    Returns:
      `tf.GraphDef`, whose tensors have the names of `exported`.
    """
    outputs = [export_graph.labels.op.name, export_graph.probabilities.op.name]
    # From Python's graph: rewrites for MKL or a GPU happen to copies inside the session.
    graph_def = tf.graph_util.convert_variables_to_constants(
        session, export_graph.graph.as_graph_def(), outputs)
    for node in graph_def.node:
        node.device = ''
        if node.name == export_graph.images.op.name:
            node.op = 'Placeholder'  # cuts off the decoder
            del node.input[:]
    graph_def = tf.graph_util.extract_sub_graph(graph_def, outputs)
    # Identities that read variables: without them tf2onnx takes a quarter of the time.
    return tf.graph_util.remove_training_nodes(graph_def, outputs)


def write_frozen_graph(graph_def, folder):
    """Writes a `tf.GraphDef` as protocol buffer."""
    with open(os.path.join(folder, runners.FROZEN_GRAPH), 'wb') as graph_file:
        graph_file.write(graph_def.SerializeToString())


def write_onnx(graph_def, folder, opset):
    """Converts a frozen graph to ONNX, with dynamic batch, height and width.

    Args:
      graph_def: `tf.GraphDef` of `frozen_graph_def`.
      folder: str, where the export is written.
      opset: int, at least 11, the first with aligned corners.
    """
    import onnx
    import tf2onnx
    logging.getLogger('tf2onnx').setLevel(logging.ERROR)
    names = runners.INPUTS + runners.OUTPUTS
    model, _ = tf2onnx.convert.from_graph_def(
        graph_def, name='deeplab_v3', opset=opset,
        input_names=[name + ':0' for name in runners.INPUTS],
        output_names=[name + ':0' for name in runners.OUTPUTS],
        tensors_to_rename={name + ':0': name for name in names})
    for node in model.graph.node:
        _pad_explicitly(node)
    for value in list(model.graph.input) + list(model.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, ('batch', 'height', 'width')):
            axis.dim_param = name
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(folder, runners.ONNX))


def _pad_explicitly(node):
    """Gives an atrous convolution the padding that SAME means: onnxruntime does not work it out.

    At stride 1 it is the same on both sides, whatever the size of the image.
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type != 'Conv' or 'auto_pad' not in attributes:
        return
    dilations, strides, kernel = (
        list(attributes[name].ints) if name in attributes else [1, 1]
        for name in ('dilations', 'strides', 'kernel_shape'))
    if max(dilations) == 1 or max(strides) > 1:
        return
    padding = [rate * (size - 1) // 2 for rate, size in zip(dilations, kernel)]
    node.attribute.remove(attributes['auto_pad'])
    if 'pads' in attributes:
        node.attribute.remove(attributes['pads'])
    pads = node.attribute.add(name='pads')
    pads.type = pads.INTS
    pads.ints.extend(padding * 2)
