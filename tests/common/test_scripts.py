"""scripts.py: what a user can mend ends in one message, all else keeps its traceback."""
import pytest

from common import scripts
from common.errors import UserError


@pytest.mark.parametrize('error, message', [
    (UserError('--a 1: give 2'), '--a 1: give 2'),
    (OSError(28, 'No space left on device'), '[Errno 28] No space left on device Make room.'),
    (OSError(122, 'Disk quota exceeded'), '[Errno 122] Disk quota exceeded Make room.'),
    (FileExistsError(17, 'File exists'), '[Errno 17] File exists')])
def test_what_a_user_can_mend_ends_the_process_with_its_message(error, message):
    with pytest.raises(SystemExit) as ended:
        with scripts.ending_in_one_message(no_room_hint=' Make room.'):
            raise error
    assert ended.value.code == message


@pytest.mark.parametrize('options', [{}, {'stopped': 'Stopped. Go on.'}])
def test_ctrl_c_ends_the_process_with_a_line_and_its_status(options, capsys):
    with pytest.raises(SystemExit) as ended:
        with scripts.ending_in_one_message(**options):
            raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == options.get('stopped', 'Stopped.') + '\n'


@pytest.mark.parametrize('error', [ValueError('a bug'), KeyError('a bug')])
def test_all_else_passes(error):
    with pytest.raises(type(error)):
        with scripts.ending_in_one_message():
            raise error
