"""run_dir.py: one process at a time. The rest of it is tested where train.py is."""
import os
import subprocess
import sys

import pytest

from common.errors import UserError
from experiment import run_dir
from tests.helpers import ROOT


def test_second_process_is_refused_naming_the_first(tmp_path):
    with run_dir.locked(str(tmp_path)):
        for _ in range(2):
            with pytest.raises(UserError, match='is in use: process %d trains' % os.getpid()):
                with run_dir.locked(str(tmp_path)):
                    pass
    with run_dir.locked(str(tmp_path)):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path):
    code = ('import sys, time; sys.path.insert(0, %r); from experiment import run_dir\n'
            'with run_dir.locked(%r):\n    print("held", flush=True); time.sleep(60)'
            % (ROOT, str(tmp_path)))
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'held\n'
    with pytest.raises(UserError, match='process %d' % process.pid):
        with run_dir.locked(str(tmp_path)):
            pass
    process.kill()
    process.wait()
    with run_dir.locked(str(tmp_path)):
        pass
