"""How scripts end: one message instead of a traceback for what a user can mend."""
import contextlib

from common.errors import UserError


@contextlib.contextmanager
def ending_in_one_message(stopped=None, os_error_hint=''):
    """Within it, errors that a user can mend end the process with their message and status 1.

    Args:
      stopped: str, the message where Ctrl-C ends the process; None to let it pass.
      os_error_hint: str, what follows the message of an OSError.

    Raises:
      SystemExit: after a `UserError`, an OSError, or Ctrl-C with `stopped`.
    """
    try:
        yield
    except UserError as error:
        raise SystemExit(str(error))
    except OSError as error:
        raise SystemExit('%s%s' % (error, os_error_hint))
    except KeyboardInterrupt:
        if stopped is None:
            raise
        raise SystemExit(stopped)
