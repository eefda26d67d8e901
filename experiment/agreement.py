"""What the workers of a job must have in common, and how a script joins them. No TensorFlow."""
import contextlib
import hashlib
import os
import platform
import sys

from common.interpreter import ROOT
from dataset import descriptor
from runtime import workers

# What differs from machine to machine; of the data, the fingerprint is compared.
_OWN_FLAGS = ('dataset_dir', 'model_dir', 'gpu_id', 'num_threads', 'allow_unsupported_gpu')


def _code():
    """Returns a dict from the project's modules to hashes of them."""
    found = {}
    for room in [''] + sorted(os.listdir(ROOT)):
        folder = os.path.join(ROOT, room)
        if room == 'tests' or (room and not os.path.exists(os.path.join(folder, '__init__.py'))):
            continue
        for parent, folders, names in os.walk(folder):
            folders[:] = folders if room else []
            for name in names:
                if name.endswith('.py'):
                    path = os.path.join(parent, name)
                    with open(path, 'rb') as source:
                        found[os.path.relpath(path, ROOT)] = hashlib.sha256(
                            source.read()).hexdigest()[:12]
    return found


@contextlib.contextmanager
def joined(flags, dataset_dir, stop=None, checkpoint=None):
    """Joins the workers that TF_CONFIG names; other workers than the chief print nothing.

    Args:
      flags: dict from name to value, of a script; `worker_timeout` is among them.
      dataset_dir: str.
      stop: `stopping.StopRequest`, or None.
      checkpoint: str, the prefix of one that all read, or None.

    Yields:
      `workers.Alone` or `workers.Workers`.

    Raises:
      UserError: a worker is missing, or differs; says which and in what.
    """
    def about():
        values = {'--' + name: str(value) for name, value in flags.items()
                  if name not in _OWN_FLAGS}
        values.update(_code(), Python='%d.%d' % sys.version_info[:2],
                      machine=platform.machine())
        values['the data set of --dataset_dir'] = descriptor.fingerprint(dataset_dir)[:12]
        if checkpoint:
            with open(checkpoint + '.index', 'rb') as index:  # it holds a checksum of each tensor
                values['the checkpoint'] = hashlib.sha256(index.read()).hexdigest()[:12]
        return values

    with workers.joined(os.environ.get('TF_CONFIG'), about, flags['worker_timeout'],
                        stop) as group, contextlib.ExitStack() as quiet:
        if not group.is_chief:
            quiet.enter_context(contextlib.redirect_stdout(
                quiet.enter_context(open(os.devnull, 'w'))))
        yield group
