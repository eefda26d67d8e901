"""Reads the layers of a built network off its graph: windows, atrous rates, receptive fields.

What the notebooks show is so what the graph computes, not what its flags promise.
"""
from collections import namedtuple

from network import HEAD_SCOPE
from resnet import architecture
from runtime import tf

# block, unit: str. size: int, height and width of the window in taps. stride, rate: int.
# output: float32 tensor [1, height, width, channels]. receptive_field: int, height and
# width in pixels of what one output value depends on; None: the whole image.
Layer = namedtuple('Layer', ['block', 'unit', 'size', 'stride', 'rate', 'output',
                             'receptive_field'])

# Scope below ASPP_layer, and what the branch is called.
_ASPP_BRANCHES = (('conv_1x1_0', '1x1'), ('conv_3x3_1', '3x3, 1'), ('conv_3x3_2', '3x3, 2'),
                  ('conv_3x3_3', '3x3, 3'))


def read(graph, resnet_model, name_scope=''):
    """Lists the layers of a `network.deeplab_v3` that decide sizes and fields of view.

    Of a unit that is its 3x3 convolution; its others are 1x1. A window of k taps at a
    rate r widens the receptive field by (k - 1) * r times the stride so far, and with
    the gradient of a feature one sees that it does (tests/notebooks).

    Args:
      graph: `tf.Graph`.
      resnet_model: str, a key of `architecture.MODELS`.
      name_scope: str, the `tf.name_scope` in which the network was built, if any.

    Returns:
      List of `Layer`, from the input to the logits.

    Raises:
      KeyError: the graph has no such network.
    """
    prefix = name_scope + '/' if name_scope else ''
    found, field, spacing = [], 1, 1
    for block, unit, window, output in _backbone(prefix + resnet_model,
                                                 architecture.MODELS[resnet_model].units):
        size, stride, rate = _window(graph, window)
        field += (size - 1) * rate * spacing
        spacing *= stride
        found.append(Layer(block, unit, size, stride, rate,
                           graph.get_tensor_by_name(output + ':0'), field))
    return found + _head(graph, prefix + HEAD_SCOPE, field, spacing)


def _backbone(scope, units):
    """Yields (block, unit, name of the op with the window, name of the op with the output)."""
    yield 'conv1', '', scope + '/conv1/Conv2D', scope + '/conv1/Conv2D'
    yield 'pool1', '', scope + '/pool1/MaxPool', scope + '/pool1/MaxPool'
    for block, num_units in enumerate(units, start=1):
        for unit in range(1, num_units + 1):
            inside = '%s/block%d/unit_%d/bottleneck_v2' % (scope, block, unit)
            yield 'block%d' % block, str(unit), inside + '/conv2/Conv2D', inside + '/add'


def _head(graph, scope, field, spacing):
    """The layers behind the backbone, whose receptive field and output stride are given."""
    aspp = scope + '/ASPP_layer/'
    image_level = graph.get_tensor_by_name(aspp + 'ResizeBilinear:0')
    found = [Layer('ASPP', 'image level', None, 1, 1, image_level, None)]
    for branch, title in _ASPP_BRANCHES:
        size, stride, rate = _window(graph, aspp + branch + '/Conv2D')
        found.append(Layer('ASPP', title, size, stride, rate, _output(graph, aspp + branch),
                           field + (size - 1) * rate * spacing))
    projection, logits = _output(graph, aspp + 'conv_1x1_output'), _output(graph, scope + '/logits')
    upsampled = graph.get_tensor_by_name(scope + '/upsampled_logits:0')
    return found + [Layer('ASPP', 'projection', 1, 1, 1, projection, None),
                    Layer('logits', '', 1, 1, 1, logits, None),
                    Layer('logits', 'resized', None, 1, 1, upsampled, None)]


def _window(graph, name):
    """Returns (taps, stride, atrous rate) of a convolution or a pooling."""
    op = graph.get_operation_by_name(name)
    stride = op.get_attr('strides')[1]
    if op.type == 'MaxPool':
        return op.get_attr('ksize')[1], stride, 1
    rate = op.get_attr('dilations')[1]
    if op.inputs[0].op.type == 'SpaceToBatchND':  # slim's way to compute it
        rate = int(tf.get_static_value(op.inputs[0].op.inputs[1])[0])
    return op.inputs[1].shape[0].value, stride, rate


def _output(graph, scope):
    """The tensor that the convolution of a scope computes."""
    op = graph.get_operation_by_name(scope + '/Conv2D')
    after = op.outputs[0].consumers()[0]
    return (after if after.type == 'BatchToSpaceND' else op).outputs[0]


def as_markdown(found, shapes):
    """Writes layers as a table.

    Args:
      found: list of `Layer`.
      shapes: list of [1, height, width, channels], the shape of each layer's output.

    Returns:
      str, a Markdown table.
    """
    lines = ['| block | unit | window | stride | rate | output | receptive field |',
             '| --- | --- | --- | --- | --- | --- | --- |']
    for layer, (_, height, width, channels) in zip(found, shapes):
        window = '%dx%d' % (layer.size, layer.size) if layer.size else ''
        field = 'whole image'
        if layer.receptive_field:
            field = '%d x %d' % (layer.receptive_field, layer.receptive_field)
        lines.append('| %s | %s | %s | %d | %d | %d x %d x %d | %s |'
                     % (layer.block, layer.unit, window, layer.stride, layer.rate, height, width,
                        channels, field))
    return '\n'.join(lines)
