"""precision.py: 16 bits where the device has them fast, and a refusal where it has them not."""
import pytest

from common.errors import UserError
from runtime import precision
from tests.helpers.fake_machine import AMPERE, TURING

AMX, BF16, NONE = frozenset(['AMX', 'bf16']), frozenset(['bf16']), frozenset(['AVX2'])
choose = precision.choose
PASCAL = TURING._replace(name='Tesla P100', capability=(6, 0))


@pytest.mark.parametrize('choice, version, features, gpu, expected', [
    ('off', '2.21.0', AMX, AMPERE, None),
    ('auto', '2.21.0', AMX, None, 'bf16'),
    ('auto', '2.21.0', BF16, None, 'bf16'),
    ('auto', '2.21.0', NONE, None, None),
    ('auto', '2.21.0', AMX, AMPERE, None),
    ('auto', '1.15.2', AMX, None, None),
    ('auto', '1.15.0', AMX, TURING, None),
    ('fp16', '1.15.0', NONE, TURING, 'fp16'),
    ('fp16', '2.21.0', AMX, AMPERE._replace(capability=None), 'fp16'),
    ('bf16', '2.21.0', BF16, None, 'bf16')])
def test_what_is_computed_in(choice, version, features, gpu, expected):
    assert choose(choice, version, features, gpu) == expected


@pytest.mark.parametrize('choice, version, gpu, why', [
    ('bf16', '1.15.2', None, 'TensorFlow 1.15.2 has it for no device; RUNTIME=tf2 make env'),
    ('bf16', '2.21.0', None, 'this CPU has no bf16'),
    ('bf16', '2.21.0', AMPERE, 'on a GPU TensorFlow has fp16'),
    ('fp16', '2.21.0', None, 'it takes a GPU of compute capability 7.0 or later'),
    ('fp16', '1.15.0', PASCAL, 'it takes a GPU of compute capability 7.0 or later')])
def test_what_a_device_lacks_is_refused_with_a_way_out(choice, version, gpu, why):
    with pytest.raises(UserError, match='--mixed_precision %s: %s.*auto' % (choice, why)):
        choose(choice, version, NONE, gpu)
    assert choose('auto', version, NONE, gpu) is None
