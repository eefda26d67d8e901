"""How scripts end: one message instead of a traceback for what a user can mend."""
import contextlib
import errno

from common.errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def ending_in_one_message(stopped=None, no_room_hint=''):
    """Within it, errors that a user can mend end the process with their message and status 1.

    Args:
      stopped: str, the message where Ctrl-C ends the process; None to let it pass.
      no_room_hint: str, what follows the message of a full disk or quota.

    Raises:
      SystemExit: after a `UserError`, an OSError, or Ctrl-C with `stopped`.
    """
    try:
        yield
    except UserError as error:
        raise SystemExit(str(error))
    except OSError as error:
        raise SystemExit('%s%s' % (error, no_room_hint if error.errno in _NO_ROOM else ''))
    except KeyboardInterrupt:
        if stopped is None:
            raise
        raise SystemExit(stopped)
