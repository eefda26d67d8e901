"""What computes: GPUs, threads, sessions, and what the build at hand can do."""
import contextlib
import functools
import os
from typing import NamedTuple, Optional

from common.errors import UserError
from runtime import machine, precision, standard_error_held, tf

# How GPUs say, as another error, that they have no room: for what is copied to them, and
# for a session where other processes hold their memory.
_MEMORY_TEXTS = ('Dst tensor is not initialized', 'CUDA_ERROR_OUT_OF_MEMORY',
                 'Status: out of memory')

_num_threads = None
# None, 'bf16' or 'fp16', see `precision`.
_mixed_precision = None
_has_xla = False


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
      gpu_id: str, a CUDA device list such as '0' or '0,1', as nvidia-smi numbers them; '-1' hides
        all GPUs and None leaves the environment as it is.
    """
    # Else CUDA counts the fastest first.
    os.environ.setdefault('CUDA_DEVICE_ORDER', 'PCI_BUS_ID')
    if gpu_id is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = str(gpu_id)


class Settings(NamedTuple):
    """The flags that say what computes, under their names.

    Attributes:
      gpu_id: as of `select_gpu`.
      num_threads: as of `limit_threads`.
      allow_unsupported_gpu: bool, whether to go on with a GPU that this TensorFlow is not built
        for.
      mixed_precision: str, one of `precision.CHOICES`.
      xla: bool, whether XLA compiles what it can.
    """
    gpu_id: Optional[str] = None
    num_threads: Optional[int] = None
    allow_unsupported_gpu: bool = False
    mixed_precision: str = 'off'
    xla: bool = False


def set_up(flags):
    """Chooses what computes; call before the first session.

    Args:
      flags: `Settings`, or parsed flags with some of its names; others have their defaults.

    Returns:
      str, a line that says what every later session computes on, and why a GPU that is there is
      not used.

    Raises:
      UserError: a GPU that this TensorFlow hangs on, or what this device cannot do.
    """
    global _mixed_precision, _has_xla
    settings = Settings(**{name: getattr(flags, name) for name in Settings._fields
                           if hasattr(flags, name)})
    select_gpu(settings.gpu_id)
    limit_threads(settings.num_threads)
    try:
        present, is_silent = machine.gpus(), False
    except machine.NvidiaSmiError:
        present, is_silent = [], True
    package = tensorflow_package()
    shown = machine.visible(present, os.environ.get('CUDA_VISIBLE_DEVICES'))
    is_cuda_build = tf.test.is_built_with_cuda()
    if is_cuda_build and not settings.allow_unsupported_gpu:
        check_supported(shown, package)
    # Without a GPU, TensorFlow 2 complains that there is none; with one, of what it lacks.
    quiet = contextlib.ExitStack() if present or is_silent else standard_error_held()
    try:
        with quiet, tf.Graph().as_default(), tf.Session(config=session_config()) as session:
            num_used = sum(device.device_type == 'GPU' for device in session.list_devices())
    except tf.errors.OpError as error:
        if not is_out_of_memory(error):
            raise
        raise UserError('The GPU has no room for a session (%s). nvidia-smi lists the processes '
                        'that hold its memory: end them, or give --gpu_id of another GPU, or -1.'
                        % first_line(error))
    if settings.xla and not num_used:
        raise UserError('--xla: only GPUs are faster with it, and none computes here. Leave it '
                        'out.')
    _mixed_precision, _has_xla = precision.choose(
        settings.mixed_precision, tf.__version__, machine.processor().features,
        (shown or [machine.UNKNOWN_GPU])[0] if num_used else None), settings.xla
    added = ' Mixed precision: %s.' % _mixed_precision if _mixed_precision else ''
    if is_silent and not num_used:
        return describe(0, [], [], package, False) + (
            ' nvidia-smi does not answer: `make doctor` says more.') + added
    return describe(num_used, shown, present, package, is_cuda_build, settings.gpu_id) + added


def mixed_precision():
    """Returns None for float32 alone, 'bf16' or 'fp16': what `set_up` chose."""
    return _mixed_precision


def loss_scale():
    """Returns None, or int, what the loss is multiplied by where gradients are computed."""
    return precision.FP16_LOSS_SCALE if _mixed_precision == 'fp16' else None


def tensorflow_package():
    """Returns (name, version) of the package that `tf` comes from, which tells builds apart."""
    # TensorFlow 2's compat.v1 lies deeper than its package.
    folder = os.path.abspath(tf.__file__)
    while folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        package = machine.tensorflow_package(machine.packages(folder))
        if package:
            return package
    return 'TensorFlow', tf.__version__


def check_supported(shown, package):
    """Raises `UserError` for a GPU on which stock TensorFlow 1.15 hangs or computes NaN.

    Args:
      shown: list of `machine.Gpu`, what CUDA shows this process.
      package: (name, version) of TensorFlow.
    """
    for gpu in machine.unsupported(shown, package)[:1]:
        raise UserError(
            'GPU %d (%s) has compute capability %d.%d; %s %s knows none above 7.5, and hangs or '
            'computes NaN on it. Ways on:\n'
            '  RUNTIME=tf2 GPU=1 make env    TensorFlow 2.21, which computes the same\n'
            '  --gpu_id -1                   the CPU\n'
            "  nvidia-tensorflow 1.15.5      NVIDIA's build of 1.15, from its own index or its "
            'containers\n'
            '  --allow_unsupported_gpu       try it all the same'
            % ((gpu.index, gpu.name) + gpu.capability + tuple(package)))


def describe(num_used, shown, present, package, is_cuda_build, gpu_id=None):
    """Says in a line what sessions compute on.

    Args:
      num_used: int, GPUs that TensorFlow opened.
      shown: list of `machine.Gpu`, what CUDA shows this process.
      present: list of `machine.Gpu`, those of the machine.
      package: (name, version) of TensorFlow.
      is_cuda_build: bool.
      gpu_id: as of `select_gpu`.

    Returns:
      str.
    """
    software = '%s %s' % tuple(package)
    if num_used:
        # Without names, nvidia-smi is not at hand; graphs are placed on the first.
        name = 'GPU %d: %s' % shown[0][:2] if shown else 'a GPU'
        rest = '; of %d that it sees, the first' % num_used if num_used > 1 else ''
        return 'Computing on %s (%s%s).' % (name, software, rest)
    cores = machine.processor().cores
    text = 'Computing on %s (%s).' % (
        '%d of %d CPU cores' % (_num_threads, cores) if _num_threads and _num_threads < cores
        else '%d CPU core%s' % (cores, '' if cores == 1 else 's'), software)
    return text + _why_no_gpu(shown, present, is_cuda_build, gpu_id)


def _why_no_gpu(shown, present, is_cuda_build, gpu_id):
    """Says, behind a blank, why no GPU is used, or '' where nobody would expect one."""
    if shown:
        return ' GPU %d (%s) is not used: %s' % (shown[0][:2] + (
            'TensorFlow cannot open it; `make doctor` looks for what is missing.' if is_cuda_build
            else 'this TensorFlow is built without CUDA; `GPU=1 make env` gives one with it.',))
    devices = os.environ.get('CUDA_VISIBLE_DEVICES') if gpu_id is None else str(gpu_id)
    option = ('CUDA_VISIBLE_DEVICES=%s' if gpu_id is None else '--gpu_id %s') % devices
    if present:
        return ' GPU %d (%s) is not used: %s %s.' % (present[0][:2] + (
            option, 'hides it' if devices in ('', '-1') else 'names none that is there'))
    if gpu_id is not None and devices != '-1':
        return ' %s: there is no GPU here.' % option
    return ' There is no GPU here.' if is_cuda_build and gpu_id is None else ''


def is_out_of_memory(error):
    """Whether a `tf.errors.OpError` says that memory ran out. Returns bool."""
    return (isinstance(error, tf.errors.ResourceExhaustedError)
            or any(text in error.message for text in _MEMORY_TEXTS))


def first_line(error):
    """What TensorFlow or another says first, without the heading of TensorFlow 2. Returns str."""
    lines = (getattr(error, 'message', None) or str(error)).splitlines()
    return next((line.strip() for line in lines if line and line != 'Graph execution error:'), '')


def session_config():
    """Returns the `tf.ConfigProto` that every session of this project uses."""
    config = tf.ConfigProto(allow_soft_placement=True)
    if _num_threads is not None:
        config.intra_op_parallelism_threads = _num_threads
        config.inter_op_parallelism_threads = _num_threads
    config.gpu_options.allow_growth = True
    rewrites = config.graph_options.rewrite_options
    if _mixed_precision == 'bf16':
        rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
    elif _mixed_precision == 'fp16':
        rewrites.auto_mixed_precision = rewrites.ON
    if _has_xla:
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_2
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
