"""The exception for errors that a user can fix: one line that says what happened and what to do."""

import re

_BREAKS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_LONGEST, _HEAD, _TAIL = 2000, 1500, 300


class WholebodyError(Exception):
    """Something the user can act on. The message is one line: what happened, and what to do about it.

    The command line prints it without a traceback and exits with status 1. The text may come from a file, so line
    breaks are escaped, and the middle of a very long text is left out.
    """

    def __init__(self, message: str = "") -> None:
        message = _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), message)
        super().__init__(message if len(message) <= _LONGEST else f"{message[:_HEAD]} ... {message[-_TAIL:]}")


# Limits of the machine, and text that is invalid or endlessly nested: not bugs in the program.
REFUSALS = (OSError, UnicodeError, RecursionError, MemoryError)


def refusal(error: BaseException) -> str:
    """One line about one of REFUSALS: what happened, and what to do about it."""
    if isinstance(error, MemoryError):
        return "there is not enough memory. Close other programs, or process less at a time."
    if isinstance(error, RecursionError):
        return "a file is nested too deeply to be read. Check where it comes from."
    if isinstance(error, UnicodeError):
        return f"a text is not valid ({' '.join(str(error).split())}). Save it again as UTF-8."
    name = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return f"{'' if name is None else f'{name}: '}{reason}. Check the name, its permissions and the space on the disk."
