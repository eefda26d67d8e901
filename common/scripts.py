"""How scripts end: one message instead of a traceback for what a user can mend."""
import contextlib
import errno
import signal
import sys

from common.errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def ending_in_one_message(stopped='Stopped.', no_room_hint=''):
    """Within it, errors that a user can mend end the process with their message and status 1.

    Ctrl-C ends it with status 130, as shells have it.

    Args:
      stopped: str, the message where Ctrl-C ends the process.
      no_room_hint: str, what follows the message of a full disk or quota.

    Raises:
      SystemExit: after a `UserError`, an OSError, or Ctrl-C.
    """
    try:
        yield
    except UserError as error:
        raise SystemExit(str(error))
    except OSError as error:
        raise SystemExit('%s%s' % (error, no_room_hint if error.errno in _NO_ROOM else ''))
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT)
