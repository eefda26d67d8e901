"""`tf.train.Example` messages without TensorFlow, whose import takes seconds.

The same bytes on the wire (tests/dataset/records/test_writing.py): three small messages,
declared here to the protobuf library.
"""
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_FIELD = descriptor_pb2.FieldDescriptorProto


def _add_message(parent, name, fields):
    """Adds a message; `fields` are (name, number, label, type, type name or None)."""
    message = parent.add(name=name)
    for field_name, number, label, kind, type_name in fields:
        message.field.add(name=field_name, number=number, label=label, type=kind,
                          type_name=type_name)
    return message


def _declare():
    """Returns the message class of Example, declared as TensorFlow's example.proto does."""
    one, many, message = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED, _FIELD.TYPE_MESSAGE
    package = descriptor_pb2.FileDescriptorProto(
        name='dataset/example.proto', package='dataset', syntax='proto3')
    for name, kind in (('BytesList', _FIELD.TYPE_BYTES), ('FloatList', _FIELD.TYPE_FLOAT),
                       ('Int64List', _FIELD.TYPE_INT64)):
        _add_message(package.message_type, name, [('value', 1, many, kind, None)])
    feature = _add_message(package.message_type, 'Feature', [
        ('bytes_list', 1, one, message, '.dataset.BytesList'),
        ('float_list', 2, one, message, '.dataset.FloatList'),
        ('int64_list', 3, one, message, '.dataset.Int64List')])
    feature.oneof_decl.add(name='kind')
    for field in feature.field:
        field.oneof_index = 0
    features = _add_message(package.message_type, 'Features', [
        ('feature', 1, many, message, '.dataset.Features.FeatureEntry')])
    entry = _add_message(features.nested_type, 'FeatureEntry', [
        ('key', 1, one, _FIELD.TYPE_STRING, None),
        ('value', 2, one, message, '.dataset.Feature')])
    entry.options.map_entry = True
    _add_message(package.message_type, 'Example', [
        ('features', 1, one, message, '.dataset.Features')])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(package)
    described = pool.FindMessageTypeByName('dataset.Example')
    # protobuf 4.22 put the one in place of the other, and 5 took the other away.
    if hasattr(message_factory, 'GetMessageClass'):
        return message_factory.GetMessageClass(described)
    return message_factory.MessageFactory(pool).GetPrototype(described)


_Example = _declare()


def serialize(values):
    """Serializes a dict from feature name to one bytes or int each.

    Returns bytes of a `tf.train.Example`, the same for the same values.
    """
    example = _Example()
    for name, value in values.items():
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    return example.SerializeToString(deterministic=True)


def parse(record):
    """Reads the features of a serialized `tf.train.Example`.

    Returns a dict from feature name to a list of bytes, int or float; raises ValueError on
    bytes that are no such message.
    """
    try:
        features = _Example.FromString(record).features.feature
    except DecodeError as error:
        raise ValueError('the record is no tf.train.Example (%s)' % error)
    values = {}
    for name, feature in features.items():
        kind = feature.WhichOneof('kind')
        values[name] = list(getattr(feature, kind).value) if kind else []
    return values
