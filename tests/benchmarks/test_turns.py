import json
import os
import subprocess
import sys

from benchmarks import turns
from tests.helpers import ROOT

PROGRAM = """
import os, sys
sys.path.insert(0, %r)
from benchmarks import turns
def step():
    with open(%%r, 'a') as log:
        log.write(%%r)
print('a library says this')
turns.serve(step, {'letter': %%r})
""" % ROOT
# Killed at its second timed step.
DYING = PROGRAM.replace('turns.serve(step, ', """steps = iter([step] * 3)
turns.serve(lambda: next(steps, lambda: os.kill(os.getpid(), 9))(), """)
# Holds so many MiB, as does a process that it starts.
HOLDING = """
import subprocess, sys
sys.path.insert(0, %r)
from benchmarks import turns
len(bytearray(%d << 20).upper())
subprocess.check_call([sys.executable, '-c', 'len(bytearray(%d << 20).upper())'])
turns.serve(lambda: None, {})
"""
STARTED = """
import sys
sys.path.insert(0, %r)
from benchmarks import turns
timed, _ = turns.take_turns({'a': [sys.executable, %r]}, 1, %r)
print(timed['a'].peak_mib)
"""


def program(path, letter, text=PROGRAM):
    return [sys.executable, '-c', text % (str(path), letter, letter)]


def test_steps_of_warm_processes_are_run_in_turn(tmp_path, capsys):
    steps, log = tmp_path / 'steps', str(tmp_path / 'log')
    timed, failed = turns.take_turns({
        'first': program(steps, 'a'), 'second': program(steps, 'b'),
        'broken': [sys.executable, '-c', 'raise SystemExit("no torch")'],
        'absent': [str(tmp_path / 'python')]}, 3, log)
    assert steps.read_text() == 'aabb' + 'ababab'
    assert set(timed) == {'first', 'second'} and timed['second'].about == {'letter': 'b'}
    assert len(timed['first'].seconds) == 3 and min(timed['first'].seconds) > 0
    assert failed['broken'] == 'it ended with status 1' and 'No such file' in failed['absent']
    printed = capsys.readouterr().out
    assert 'broken: ' in printed and 'absent: ' in printed and log in printed
    assert 'no torch' in open(log).read()


def test_who_dies_in_a_round_is_left_out_and_the_others_go_on(tmp_path):
    steps = tmp_path / 'steps'
    timed, failed = turns.take_turns({'dying': program(steps, 'a', DYING),
                                      'living': program(steps, 'b')}, 3, str(tmp_path / 'log'))
    assert steps.read_text() == 'aabb' + 'ab' + 'b' + 'b'
    assert failed == {'dying': 'it was killed by signal 9, as where memory runs out'}
    assert set(timed) == {'living'} and len(timed['living'].seconds) == 3


def test_peak_memory_is_that_of_the_process_without_its_children(tmp_path):
    peaks = []
    # Started from a small process: a child's peak begins at the size of its parent.
    for own, of_child in ((1, 1), (1, 200), (200, 1)):
        path = tmp_path / 'program.py'
        path.write_text(HOLDING % (ROOT, own, of_child))
        peaks.append(float(subprocess.check_output(
            [sys.executable, '-c', STARTED % (ROOT, str(path), str(tmp_path / 'log'))])))
    small, beside, large = peaks
    assert 1 < small < 100 and abs(beside - small) < 50 and 150 < large - small < 500


def test_a_program_answers_each_line_and_ends_with_its_input_and_its_peak(tmp_path):
    answered = subprocess.run(program(tmp_path / 'steps', 'a'), input='\n\n',
                              stdout=subprocess.PIPE, universal_newlines=True, check=True)
    about, *numbers = answered.stdout.splitlines()[1:]
    assert json.loads(about) == {'letter': 'a'} and len(numbers) == 3
    assert float(numbers[-1]) > 1
    assert os.path.getsize(str(tmp_path / 'steps')) == turns.WARM_UP_STEPS + 2
