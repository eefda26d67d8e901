"""Writes a trained network as SavedModel, frozen graph and ONNX.

All formats take uint8 RGB of any size and hold the preprocessing.
"""
import logging
import os

import network
from common.errors import UserError
from experiment import weights
from inference import multiscale
from resnet.architecture import Convolutions
from runtime import slim, tf
from runtime.devices import first_line, session_config
from serving import layout


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
      `tf.Graph` with the tensors
      image_bytes: string placeholder [batch], JPEG or PNG files of one size.
      images: uint8 [batch, height, width, 3], RGB, what `image_bytes` decodes to unless it
        is fed itself.
      labels: uint8 [batch, height, width].
      probabilities: float32 [batch, height, width, classes].
      labels_bytes: string [batch], `labels` as 8-bit grey PNG files.

    Raises:
      UserError: a setting that cannot be built.
    """
    network_options = network_options._replace(
        architecture=network_options.architecture._replace(convolutions=Convolutions.NATIVE))
    with tf.Graph().as_default() as graph:
        image_bytes = tf.placeholder(tf.string, [None], name='image_bytes')
        # One network for both inputs: what is fed here is not decoded.
        images = tf.placeholder_with_default(decode_images(image_bytes),
                                             [None, None, None, 3], name='images')
        logits = network.deeplab_v3(tf.cast(images, tf.float32), network_options, is_training=False,
                                    reuse=None)
        labels = tf.identity(multiscale.label_map(logits), name='labels')
        tf.nn.softmax(logits, name='probabilities')
        tf.identity(tf.map_fn(tf.image.encode_png, labels[..., tf.newaxis], dtype=tf.string),
                    name='labels_bytes')
    return graph


def write_formats(run, formats, opset, folder):
    """Builds the network once and writes all formats that are asked for.

    Args:
      run: `loading.LoadedRun`.
      formats: list of str of `layout.FORMATS`.
      opset: int, of the ONNX operators.
      folder: str, an empty folder.

    Raises:
      UserError: the checkpoint does not fit its settings, or is damaged; a setting that
        cannot be built; or TensorFlow cannot write.
    """
    graph = build_export_graph(network.options_of(run.args))
    # Not `weights.restored_session`: its graph is finalized, and a SavedModel changes collections.
    with tf.Session(graph=graph, config=session_config()) as session:
        saver = weights.saver_for(run.checkpoint, slim.get_model_variables())
        weights.restore(saver, session, run.checkpoint)
        if 'saved_model' in formats:
            write_saved_model(session, folder)
        if formats == ['saved_model']:
            return
        graph_def = frozen_graph_def(session)
    if 'frozen_graph' in formats:
        write_frozen_graph(graph_def, folder)
    if 'onnx' in formats:
        write_onnx(graph_def, folder, opset)


def write_saved_model(session, folder):
    """Writes a SavedModel with the signatures of `layout.SIGNATURES`.

    Args:
      session: `tf.Session` of `build_export_graph` with weights, within its `with` statement.
      folder: str, the export.

    Raises:
      UserError: TensorFlow cannot write.
    """
    signatures = {
        signature: tf.saved_model.predict_signature_def(*(
            {name: session.graph.get_tensor_by_name(name + ':0') for name in names[kind]}
            for kind in ('inputs', 'outputs')))
        for signature, names in layout.SIGNATURES.items()}
    try:
        builder = tf.saved_model.Builder(os.path.join(folder, layout.SAVED_MODEL))
        builder.add_meta_graph_and_variables(
            session, [tf.saved_model.SERVING], signatures, clear_devices=True,
            saver=tf.train.Saver(slim.get_model_variables()), strip_default_attrs=True)
        builder.save()
    except tf.errors.OpError as error:
        raise UserError('saved_model: %s' % first_line(error))


def frozen_graph_def(session):
    """Makes a graph of constants from `layout.INPUTS` to `layout.OUTPUTS`.

    Args:
      session: as in `write_saved_model`.

    Returns:
      `tf.GraphDef`.
    """
    outputs = list(layout.OUTPUTS)
    # From Python's graph: rewrites for MKL or a GPU happen to copies inside the session. Without
    # what is default: an older TensorFlow refuses attributes that it does not know.
    graph_def = tf.graph_util.convert_variables_to_constants(
        session, tf.train.export_meta_graph(
            graph=session.graph, collection_list=[], clear_devices=True,
            strip_default_attrs=True).graph_def, outputs)
    for node in graph_def.node:
        if node.name in layout.INPUTS:
            node.op = 'Placeholder'  # cuts off the decoder
            del node.input[:]
    graph_def = tf.graph_util.extract_sub_graph(graph_def, outputs)
    # Identities that read variables: without them tf2onnx takes a quarter of the time.
    return tf.graph_util.remove_training_nodes(graph_def, outputs)


def write_frozen_graph(graph_def, folder):
    """Writes a `tf.GraphDef` as protocol buffer."""
    with open(os.path.join(folder, layout.FROZEN_GRAPH), 'wb') as graph_file:
        graph_file.write(graph_def.SerializeToString())


def write_onnx(graph_def, folder, opset):
    """Converts the `tf.GraphDef` of `frozen_graph_def`, with dynamic batch, height and width."""
    import onnx  # takes a second, which --help and the other formats do without
    import tf2onnx  # likewise
    logging.getLogger('tf2onnx').setLevel(logging.ERROR)
    names = layout.INPUTS + layout.OUTPUTS
    model, _ = tf2onnx.convert.from_graph_def(
        graph_def, name='deeplab_v3', opset=opset,
        input_names=[name + ':0' for name in layout.INPUTS],
        output_names=[name + ':0' for name in layout.OUTPUTS],
        tensors_to_rename={name + ':0': name for name in names})
    for node in model.graph.node:
        _pad_explicitly(node)
    for value in list(model.graph.input) + list(model.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, ('batch', 'height', 'width')):
            axis.dim_param = name
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(folder, layout.ONNX))


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
