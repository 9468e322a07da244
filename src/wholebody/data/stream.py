"""Reading annotation files of gigabytes object by object, so that only arrays stay in memory."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

_CHUNK = 2**20


_SPACE = re.compile(r"[ \t\r\n]*")


_decode = json.JSONDecoder().raw_decode


class Layout(Exception):
    """The file is JSON, but not in COCO's layout."""


class Stream:
    """The members of the top-level object in a file; potentially long lists are returned element by element."""

    def __init__(self, file: Any, progress: Callable[[int], None]) -> None:
        self.file, self.progress = file, progress
        self.text, self.at, self.before = "", 0, 0
        self.seen: set[str] = set()

    def members(self, lists: Sequence[str]) -> Iterator[tuple[str, Any]]:
        if self._peek() != "{":
            raise Layout("the top level is not an object" if self._peek() else "the file is empty")
        for _ in self._separated("{", "}"):
            name = self._value()
            if not isinstance(name, str):
                raise ValueError(f"a name is missing at character {self.before + self.at}")
            self._take(":")
            if name in self.seen and name in lists:
                raise Layout(f"{name} occurs twice")
            self.seen.add(name)
            if name not in lists:
                self._value()
            elif self._peek() == "[":
                for _ in self._separated("[", "]"):
                    yield name, self._value()
            else:
                raise Layout(f"{name} is not a list")
        if self._peek():
            raise Layout("something follows the end of the object")

    def _separated(self, start: str, end: str) -> Iterator[None]:
        """Stop before each of the values between two brackets."""
        self._take(start)
        if self._peek() == end:
            self.at += 1
            return
        while True:
            yield
            if self._peek() == end:
                self.at += 1
                return
            self._take(",")

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                raise ValueError(f"{error.msg} at character {self.before + error.pos}") from None
            # A number at the end of the chunk may continue in the next one.
            if end < len(self.text) or not self._more():
                self.at = end
                return value

    def _take(self, character: str) -> None:
        found = self._peek()
        if found != character:
            what = repr(found) if found else "the end of the file"
            raise ValueError(f"{what} instead of {character!r} at character {self.before + self.at}")
        self.at += 1

    def _peek(self) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        # Double the buffer, so that an endless value is not parsed too often.
        chunk = self.file.read(max(_CHUNK, len(self.text) - self.at))
        self.before += self.at
        self.text, self.at = self.text[self.at :] + chunk, 0
        self.progress(self.file.buffer.tell())
        return bool(chunk)


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
