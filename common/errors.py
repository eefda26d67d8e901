"""The one error of this project that is meant for the person at the keyboard."""


class UserError(ValueError):
    """What a user can mend: the message names the file or flag, the value, and the way out.

    Raised everywhere; scripts turn it into their last line (`common.scripts`), notebooks show
    it as it is.
    """
