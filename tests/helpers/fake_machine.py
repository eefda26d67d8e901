"""Fakes of what a machine has: nvidia-smi on the path, environments, processors."""
import os

from runtime import machine

TURING = machine.Gpu(0, 'Tesla T4', (7, 5), '418.87', 15109, 'GPU-aaaa')
AMPERE = machine.Gpu(1, 'NVIDIA A100-SXM4-40GB', (8, 0), '525.105.17', 40960, 'GPU-bbbb')


def write_script(path, text):
    """Writes an executable shell script."""
    with open(path, 'w') as script:
        script.write('#!/bin/sh\n' + text)
    os.chmod(path, 0o755)


def put_nvidia_smi_on_path(folder, monkeypatch, text):
    """Makes a shell script the nvidia-smi of this process."""
    write_script(os.path.join(folder, 'nvidia-smi'), text)
    monkeypatch.setenv('PATH', folder + os.pathsep + os.environ['PATH'])


def answer(*gpus):
    """A shell script that answers as nvidia-smi does where it has these `machine.Gpu`s."""
    return 'cat <<END\n%s\nEND\n' % '\n'.join(
        '%d, %s, %d.%d, %s, %d, %s' % (gpu[:2] + gpu.capability + gpu[3:]) for gpu in gpus)


def make_environment(root, name, packages, answers, is_complete=True):
    """Makes a folder that looks like an environment.

    Args:
      root, name: str, `name` below `root`.
      packages: list of str, such as 'tensorflow_gpu-1.15.0'.
      answers: str, the shell script that its Python is.
    """
    for package in packages:
        os.makedirs(os.path.join(root, name, 'lib', 'python3.7', 'site-packages',
                                 package + '.dist-info'))
    os.makedirs(os.path.join(root, name, 'bin'))
    write_script(os.path.join(root, name, 'bin', 'python'), answers)
    if is_complete:
        open(os.path.join(root, name, 'complete'), 'w').close()
