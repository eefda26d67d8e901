"""devices.py: what computes is chosen, said, and refused where it would compute NaN."""
import os

import pytest

from common.errors import UserError
from runtime import devices, machine, tf
from tests.helpers.fake_machine import (AMPERE, TURING, answer,
                                        put_nvidia_smi_on_path)

STOCK = ('tensorflow-gpu', '1.15.0')
CPU_BUILD = ('intel-tensorflow', '1.15.2')


@pytest.fixture(autouse=True)
def unchanged(monkeypatch):
    """What is set here ends with the test."""
    for name in ('CUDA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER', 'OMP_NUM_THREADS'):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    for name in ('_num_threads', '_mixed_precision', '_has_xla'):
        monkeypatch.setattr(devices, name, getattr(devices, name))
    monkeypatch.setattr(devices, '_num_threads', None)
    monkeypatch.setattr(machine, 'processor', lambda: machine.Processor('', 4, frozenset()))


def test_a_gpu_that_stock_1_15_hangs_on_is_refused_with_the_ways_on():
    with pytest.raises(UserError) as refused:
        devices.check_supported([TURING, AMPERE], STOCK)
    text = str(refused.value)
    assert text.startswith('GPU 1 (NVIDIA A100-SXM4-40GB) has compute capability 8.0; '
                           'tensorflow-gpu 1.15.0 knows none above 7.5')
    for way in ('RUNTIME=tf2 GPU=1 make env', '--gpu_id -1', 'nvidia-tensorflow',
                '--allow_unsupported_gpu'):
        assert way in text
    devices.check_supported([TURING], STOCK)


@pytest.mark.parametrize('flags', [{'gpu_id': '-1'}, {'gpu_id': '0'},
                                   {'allow_unsupported_gpu': True}])
def test_set_up_refuses_only_what_is_shown_and_not_allowed(monkeypatch, tmp_path, flags):
    put_nvidia_smi_on_path(str(tmp_path), monkeypatch, answer(TURING, AMPERE))
    monkeypatch.setattr(tf.test, 'is_built_with_cuda', lambda: True)
    monkeypatch.setattr(devices, 'tensorflow_package', lambda: STOCK)
    with pytest.raises(UserError, match='GPU 1 '):
        devices.set_up(devices.Settings(gpu_id='1'))
    assert devices.set_up(devices.Settings(**flags)).startswith(
        'Computing on 4 CPU cores (tensorflow-gpu 1.15.0).')


def test_set_up_says_what_this_process_computes_on(monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    name, version = devices.tensorflow_package()
    assert name in machine.TENSORFLOWS and version.startswith(tf.__version__)
    text = devices.set_up(devices.Settings('7', num_threads=1))
    assert text == ('Computing on 1 of 4 CPU cores (%s %s). --gpu_id 7: there is no GPU here.'
                    % (name, version))
    assert os.environ['CUDA_VISIBLE_DEVICES'] == '7' and os.environ['OMP_NUM_THREADS'] == '1'
    assert os.environ['CUDA_DEVICE_ORDER'] == 'PCI_BUS_ID'


def test_nvidia_smi_that_fails_stops_no_run(monkeypatch, tmp_path):
    put_nvidia_smi_on_path(str(tmp_path), monkeypatch, 'exit 9')
    assert devices.set_up(devices.Settings('-1')).startswith('Computing on 4 CPU cores (')


CPU = 'Computing on 4 CPU cores (%s %s).'
T4 = ' GPU 0 (Tesla T4) is not used: '


@pytest.mark.parametrize('arguments, expected', [
    # num_used, shown, present, package, is_cuda_build, gpu_id
    ((1, [TURING], [TURING], STOCK, True), 'Computing on GPU 0: Tesla T4 (tensorflow-gpu 1.15.0).'),
    ((2, [AMPERE, TURING], [TURING, AMPERE], STOCK, True, '1,0'),
     'Computing on GPU 1: NVIDIA A100-SXM4-40GB (tensorflow-gpu 1.15.0; of 2 that it sees, the '
     'first).'),
    ((1, [], [], STOCK, True), 'Computing on a GPU (tensorflow-gpu 1.15.0).'),
    ((0, [], [], CPU_BUILD, False), CPU % CPU_BUILD),
    ((0, [], [], CPU_BUILD, False, '-1'), CPU % CPU_BUILD),
    ((0, [], [], STOCK, True), CPU % STOCK + ' There is no GPU here.'),
    ((0, [], [], STOCK, True, '7'), CPU % STOCK + ' --gpu_id 7: there is no GPU here.'),
    ((0, [], [TURING], STOCK, True, '7'),
     CPU % STOCK + T4 + '--gpu_id 7 names none that is there.'),
    ((0, [], [TURING], STOCK, True, '-1'), CPU % STOCK + T4 + '--gpu_id -1 hides it.'),
    ((0, [TURING], [TURING], CPU_BUILD, False), CPU % CPU_BUILD + T4 + 'this TensorFlow is built '
     'without CUDA; `GPU=1 make env` gives one with it.'),
    ((0, [TURING], [TURING], STOCK, True), CPU % STOCK + T4 + 'TensorFlow cannot open it; `make '
     'doctor` looks for what is missing.')])
def test_a_line_says_what_is_computed_on_and_why_not_on_a_gpu(arguments, expected):
    assert devices.describe(*arguments) == expected


def test_a_gpu_that_the_environment_hides_is_said(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert devices.describe(0, [], [TURING], STOCK, True).endswith(
        'Tesla T4) is not used: CUDA_VISIBLE_DEVICES= hides it.')


def test_mixed_precision_is_a_rewrite_of_every_later_session(monkeypatch):
    for chosen, switch in (('fp16', 'auto_mixed_precision'),
                           ('bf16', 'auto_mixed_precision_onednn_bfloat16')):
        monkeypatch.setattr(devices.precision, 'choose', lambda *_, **__: chosen)
        if chosen == 'bf16' and tf.__version__.startswith('1.'):
            continue
        text = devices.set_up(devices.Settings('-1', mixed_precision=chosen))
        assert text.endswith(' Mixed precision: %s.' % chosen)
        assert devices.mixed_precision() == chosen
        rewrites = devices.session_config().graph_options.rewrite_options
        assert getattr(rewrites, switch) == rewrites.ON
        assert devices.loss_scale() == {'fp16': 1024, 'bf16': None}[chosen]
    monkeypatch.undo()
    devices.set_up(devices.Settings('-1'))
    assert not devices.session_config().graph_options.rewrite_options.auto_mixed_precision


@pytest.mark.parametrize('said', [' No room\n\t [[node save]]', 'No room',
                                  'Graph execution error:\n\nNo room\n\t [[{{node save}}]]'])
def test_the_first_line_of_an_error_is_not_the_heading_of_tensorflow_2(said):
    assert devices.first_line(tf.errors.UnknownError(None, None, said)) == 'No room'
    assert devices.first_line(OSError(said)) == 'No room'


def test_xla_without_a_gpu_is_refused(monkeypatch):
    with pytest.raises(UserError, match='--xla: only GPUs are faster'):
        devices.set_up(devices.Settings('-1', xla=True))
    monkeypatch.setattr(devices, '_has_xla', True)
    options = devices.session_config().graph_options.optimizer_options
    assert options.global_jit_level == tf.OptimizerOptions.ON_2
