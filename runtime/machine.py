"""What the machine has: processor, GPUs, memory, disks, and the packages of an environment.

Standard library only, and for every Python 3: `runtime/doctor.py` asks where nothing is installed.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

# index: int, as nvidia-smi counts. capability: (major, minor), or None where the driver is too
# old to tell. driver: str. memory_mib: int, or None.
Gpu = namedtuple('Gpu', ['index', 'name', 'capability', 'driver', 'memory_mib', 'uuid'])
UNKNOWN_GPU = Gpu(0, 'a GPU', None, '', None, '')  # nvidia-smi is not at hand
# total, available: bytes that this process may use, or None where the system does not tell.
Memory = namedtuple('Memory', ['total', 'available'])
# name: str. cores: int, those that this process may use. features: frozenset of str.
Processor = namedtuple('Processor', ['name', 'cores', 'features'])

ANSWER_SECONDS = 20
# Of the processor, in the words of Linux and of macOS: what TensorFlow's wheels need, and what
# makes it fast.
FEATURES = {'avx': 'AVX', 'avx1.0': 'AVX', 'avx2': 'AVX2', 'fma': 'FMA', 'avx512f': 'AVX-512',
            'amx_tile': 'AMX', 'avx512_bf16': 'bf16', 'amx_bf16': 'bf16', 'bf16': 'bf16',
            'feat_bf16': 'bf16', 'asimd': 'NEON', 'neon': 'NEON', 'sve': 'SVE'}
_GPU_FIELDS = ('index', 'name', 'compute_cap', 'driver_version', 'memory.total', 'uuid')
# The packages that bring the module `tensorflow`, the more telling names first.
TENSORFLOWS = ('nvidia-tensorflow', 'intel-tensorflow', 'tensorflow-gpu', 'tensorflow-rocm',
               'tensorflow-macos', 'tensorflow-cpu', 'tensorflow')


class NvidiaSmiError(Exception):
    """nvidia-smi is there but does not answer; the text is its own."""


def _output(command):
    """Returns the standard output of a command as str, or None where it fails."""
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, timeout=ANSWER_SECONDS
                                       ).decode('utf-8', 'replace')
    except (OSError, subprocess.SubprocessError):
        return None


def gpus():
    """Lists the GPUs that nvidia-smi knows; costs nothing where there is none.

    Returns:
      List of `Gpu`.

    Raises:
      NvidiaSmiError: it is there, but fails or hangs.
    """
    if shutil.which('nvidia-smi') is None:
        return []
    # Drivers before 470 or so do not know compute_cap.
    for fields in (_GPU_FIELDS, tuple(name for name in _GPU_FIELDS if name != 'compute_cap')):
        try:
            run = subprocess.run(
                ['nvidia-smi', '--query-gpu=' + ','.join(fields),
                 '--format=csv,noheader,nounits'],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=ANSWER_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise NvidiaSmiError(str(error))
        text = run.stdout.decode('utf-8', 'replace').strip()
        if run.returncode == 0:
            return [_gpu(dict(zip(fields, [value.strip() for value in line.split(',')])))
                    for line in text.splitlines() if line.count(',') == len(fields) - 1]
        if 'No devices were found' in text:
            return []
        if 'not a valid field' not in text:
            break
    raise NvidiaSmiError(text or 'exit status %d' % run.returncode)


def _gpu(values):
    """Makes a `Gpu` of the fields of nvidia-smi, a dict of str."""
    capability = re.match(r'(\d+)\.(\d+)\Z', values.get('compute_cap', ''))
    memory = re.match(r'\d+\Z', values['memory.total'])  # "[N/A]" where it is the computer's own
    return Gpu(int(values['index']), values['name'],
               capability and tuple(int(part) for part in capability.groups()),
               values['driver_version'], memory and int(memory.group()), values['uuid'])


def visible(found, devices):
    """Chooses the GPUs that CUDA shows a process, in its order.

    Args:
      found: list of `Gpu`.
      devices: str or None, CUDA_VISIBLE_DEVICES.

    Returns:
      List of `Gpu`.
    """
    if devices is None:
        return list(found)
    chosen = []
    for name in devices.split(','):
        matching = [gpu for gpu in found if name.strip() == str(gpu.index)
                    or name.strip().startswith('GPU-') and gpu.uuid.startswith(name.strip())]
        if not matching:
            break  # what follows a device that is not there is hidden too
        chosen += matching[:1]
    return chosen


def processor():
    """Returns the `Processor` of this machine."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    if sys.platform == 'darwin':
        name = (_output(['sysctl', '-n', 'machdep.cpu.brand_string']) or '').strip()
        return Processor(name, cores, _features(_words_of_sysctl(
            _output(['sysctl', 'machdep.cpu', 'hw.optional']) or '')))
    text = _read('/proc/cpuinfo')
    name = re.search(r'^model name\s*:\s*(.*)', text, re.MULTILINE)
    flags = re.search(r'^(?:flags|Features)\s*:\s*(.*)', text, re.MULTILINE)
    return Processor(name.group(1) if name else '', cores,
                     _features(flags.group(1).split() if flags else ()))


def _features(words):
    return frozenset(FEATURES[word] for word in words if word in FEATURES)


def _words_of_sysctl(text):
    """Reads lists such as `machdep.cpu.features: FPU AVX1.0` and `hw.optional.neon: 1`."""
    words = set()
    for line in text.lower().splitlines():
        key, _, value = line.partition(': ')
        words.update(value.split() if key.endswith('features') else
                     [key.split('.')[-1]] * (value.strip() == '1'))
    return words


def _read(path):
    """Returns the text of a small file, '' where there is none."""
    try:
        with open(path, encoding='utf-8', errors='replace') as opened:
            return opened.read()
    except OSError:
        return ''


def memory():
    """Returns `Memory`, within the limit of the container where there is one."""
    if sys.platform == 'darwin':
        total = (_output(['sysctl', '-n', 'hw.memsize']) or '').strip()
        return Memory(int(total) if total.isdigit() else None, None)
    values = {name: 1024 * int(number) for name, number in re.findall(
        r'^(\w+):\s*(\d+) kB', _read('/proc/meminfo'), re.MULTILINE)}
    total, available = values.get('MemTotal'), values.get('MemAvailable')
    for folder, limit, usage in (('/sys/fs/cgroup', 'memory.max', 'memory.current'),
                                 ('/sys/fs/cgroup/memory', 'memory.limit_in_bytes',
                                  'memory.usage_in_bytes')):
        allowed, used = (_read(os.path.join(folder, name)).strip() for name in (limit, usage))
        if total and allowed.isdigit() and int(allowed) < total:
            total = int(allowed)
            if available and used.isdigit():
                available = min(available, max(0, total - int(used)))
    return Memory(total, available)


def free_bytes(folder):
    """Returns how many bytes can be written in a folder, or None where it is not there."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def site_packages(environment):
    """Returns the folder of an environment's packages, or None."""
    found = glob.glob(os.path.join(glob.escape(environment), 'lib', 'python3*', 'site-packages'))
    return found[0] if found else None


def packages(folder):
    """Returns the packages that are installed in a folder, a dict from name to version.

    Names are written with hyphens, in lower case.
    """
    found = {}
    for path in glob.glob(os.path.join(glob.escape(folder), '*.dist-info')):
        name, _, version = os.path.basename(path)[:-len('.dist-info')].partition('-')
        found[re.sub('[-_.]+', '-', name).lower()] = version
    return found


def tensorflow_package(installed):
    """Returns (name, version) of the package that brings TensorFlow, or None.

    Args:
      installed: dict as `packages` returns it.
    """
    return next(((name, installed[name]) for name in TENSORFLOWS if name in installed), None)


def is_stock_1_15(package):
    """Whether a (name, version) is a TensorFlow 1.15 of Google's, which knows no GPU after Turing.

    NVIDIA's own builds of 1.15, nvidia-tensorflow and that of its containers (+nv), know Ampere.
    """
    name, version = package
    return version.startswith('1.15') and not name.startswith('nvidia') and '+nv' not in version


def unsupported(found, package):
    """Returns those of the GPUs on which a TensorFlow hangs or computes NaN, as a list of `Gpu`.

    Source: compute capability 8.0 is Ampere; stock 1.15 is built for CUDA 10.0, which ends at 7.5.
    """
    return [gpu for gpu in found
            if is_stock_1_15(package) and gpu.capability and gpu.capability >= (8, 0)]


def libraries(name, site=None):
    """Looks for a shared library where TensorFlow's loader does.

    Args:
      name: str, such as 'cudart' of libcudart.so.10.0.
      site: str or None, a folder of packages: NVIDIA's wheels have their libraries in nvidia/.

    Returns:
      Sorted list of str, the versions found, such as '10.0'.
    """
    folders = os.environ.get('LD_LIBRARY_PATH', '').split(os.pathsep)
    folders += glob.glob('/usr/local/cuda*/lib64') + glob.glob('/usr/lib/*-linux-gnu')
    folders += ['/usr/lib64', '/usr/lib', '/usr/lib/wsl/lib']
    if site:
        folders += glob.glob(os.path.join(glob.escape(site), 'nvidia', '*', 'lib'))
    found = {os.path.basename(path)[len('lib%s.so.' % name):] for folder in filter(None, folders)
             for path in glob.glob(os.path.join(glob.escape(folder), 'lib%s.so.*' % name))}
    return sorted(found)
