"""The one exception a user is meant to see: a single line that says what happened and what to do."""


class WholebodyError(Exception):
    """Something the user can act on. The message is one line: what happened, and what to do about it.

    The command line prints it without a traceback and exits with status 1.
    """
