import json
import os
import resource
import subprocess
import sys

from benchmarks import turns
from tests.helpers import ROOT

PROGRAM = """
import sys
sys.path.insert(0, %r)
from benchmarks import turns
def step():
    with open(%%r, 'a') as log:
        log.write(%%r)
print('a library says this')
turns.serve(step, {'letter': %%r})
""" % ROOT


def program(path, letter):
    return [sys.executable, '-c', PROGRAM % (str(path), letter, letter)]


def test_steps_of_warm_processes_are_run_in_turn(tmp_path, capsys):
    steps, log = tmp_path / 'steps', str(tmp_path / 'log')
    timed = turns.take_turns({'first': program(steps, 'a'), 'second': program(steps, 'b'),
                              'broken': [sys.executable, '-c', 'raise SystemExit("no torch")'],
                              'absent': [str(tmp_path / 'python')]}, 3, log)
    assert steps.read_text() == 'aabb' + 'ababab'
    assert set(timed) == {'first', 'second'} and timed['second'].about == {'letter': 'b'}
    assert len(timed['first'].seconds) == 3 and min(timed['first'].seconds) > 0
    # Linux counts what the process that starts them held at that moment, too.
    own_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 1 < timed['first'].peak_mib < 1000 + own_mib
    printed = capsys.readouterr().out
    assert 'broken: ' in printed and 'absent: ' in printed and log in printed
    assert 'no torch' in open(log).read()


def test_a_program_answers_each_line_and_ends_with_its_input(tmp_path):
    answered = subprocess.run(program(tmp_path / 'steps', 'a'), input='\n\n',
                              stdout=subprocess.PIPE, universal_newlines=True, check=True)
    about, *seconds = answered.stdout.splitlines()[1:]
    assert json.loads(about) == {'letter': 'a'} and len(seconds) == 2
    assert os.path.getsize(str(tmp_path / 'steps')) == turns.WARM_UP_STEPS + 2
