"""What computes: GPUs, threads, sessions, and what the build at hand can do."""
import functools
import os

from runtime import tf

# How GPUs say, as another error, that they have no room: for what is copied to them, and
# for a session where other processes hold their memory.
_MEMORY_TEXTS = ('Dst tensor is not initialized', 'CUDA_ERROR_OUT_OF_MEMORY')

_num_threads = None


def limit_threads(num_threads):
    """Makes every later session compute with so many threads; call before the first session.

    With 1, equal runs give equal results bit for bit on a CPU: with more, sums are
    added up in the order in which threads finish.

    Args:
      num_threads: int, or None for as many as there are cores.
    """
    global _num_threads
    _num_threads = num_threads
    if num_threads is not None:
        # MKL's own threads.
        os.environ['OMP_NUM_THREADS'] = str(num_threads)


def select_gpu(gpu_id):
    """Makes only the named GPUs visible; call before the first session.

    Args:
      gpu_id: str, a CUDA device list such as '0' or '0,1'; '-1' hides all
        GPUs and None leaves the environment as it is.
    """
    if gpu_id is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = str(gpu_id)


def is_out_of_memory(error):
    """Whether a `tf.errors.OpError` says that memory ran out. Returns bool."""
    return (isinstance(error, tf.errors.ResourceExhaustedError)
            or any(text in error.message for text in _MEMORY_TEXTS))


def session_config():
    """Returns the `tf.ConfigProto` that every session of this project uses."""
    config = tf.ConfigProto(allow_soft_placement=True)
    if _num_threads is not None:
        config.intra_op_parallelism_threads = _num_threads
        config.inter_op_parallelism_threads = _num_threads
    config.gpu_options.allow_growth = True
    return config


@functools.lru_cache(maxsize=None)
def has_native_dilated_gradient():
    """Whether this build differentiates `tf.nn.conv2d(dilations=...)` where it runs.

    The MKL build and GPUs do; the stock CPU wheel does not ("do not yet support
    dilation rates larger than 1"). Asked once per process by running a 5x5
    gradient (tests/resnet/test_resnet_utils.py pins that the answer changes no result).

    Returns:
      bool.
    """
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        images, filters = tf.ones([1, 5, 5, 1]), tf.ones([3, 3, 1, 1])
        outputs = tf.nn.conv2d(images, filters, strides=[1, 1, 1, 1], padding='SAME',
                               dilations=[1, 2, 2, 1])
        try:
            session.run(tf.gradients(outputs, [images, filters]))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
    return True
