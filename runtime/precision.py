"""Mixed precision: which 16 bits the device at hand computes with, if any.

TensorFlow's own graph rewrite moves convolutions, products and what lies between them to 16 bits;
variables, optimizer, loss and batch-norm statistics stay float32, and checkpoints do not change.
`auto` takes what was measured to learn the same (docs/precision.md): bf16 on CPUs. Free of
TensorFlow.
"""
from common.errors import UserError

CHOICES = ('off', 'auto', 'bf16', 'fp16')
# bf16 has the range of float32. fp16 has not: small gradients become 0 unless the loss is scaled,
# by a power of two, which changes no digit.
FP16_LOSS_SCALE = 1024
# In which GPUs multiply fp16 matrices by tensor cores, which the rewrite asks for.
FIRST_CAPABILITY = (7, 0)


def choose(choice, version, features, gpu=None):
    """Decides what a session computes in.

    Args:
      choice: str, one of `CHOICES`.
      version: str, TensorFlow's.
      features: frozenset of str, those of `machine.processor()`.
      gpu: None where the CPU computes, or the `machine.Gpu` that does; its capability may be
        None.

    Returns:
      None for float32 alone, 'bf16' or 'fp16'.

    Raises:
      UserError: this device or TensorFlow cannot do what is asked for.
    """
    is_tf1 = version.startswith('1.')
    if choice == 'auto':
        return 'bf16' if gpu is None and not is_tf1 and 'bf16' in features else None
    if choice == 'bf16':
        missing = ('TensorFlow %s has it for no device; RUNTIME=tf2 make env gives one that has'
                   % version if is_tf1 else
                   'on a GPU TensorFlow has fp16' if gpu is not None else
                   None if 'bf16' in features else 'this CPU has no bf16')
    else:
        is_tensor_gpu = gpu is not None and (gpu.capability or FIRST_CAPABILITY) >= FIRST_CAPABILITY
        missing = None if choice == 'off' or is_tensor_gpu else (
            'it takes a GPU of compute capability %d.%d or later' % FIRST_CAPABILITY)
    if missing:
        raise UserError('--mixed_precision %s: %s. --mixed_precision auto takes what is there.'
                        % (choice, missing))
    return None if choice == 'off' else choice
