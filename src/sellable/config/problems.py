"""What is wrong with a settings file, and on which line. Rule: every problem comes with its mend."""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_PART = re.compile(r"""[ \t]*("(?:\\.|[^"\\\n])*"|'[^'\n]*'|[\w-]+)[ \t]*""", re.ASCII)
_SCALAR = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # Up to two quotes may touch the closing ones.
    r"|'''.*?'''(?:'{0,2})"
    r"""|"(?:\\.|[^"\\])*"|'[^']*'|[^,\]}\n#]+""",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that cannot work: `key` as in "channels[0].pool", `line` None when it stands in no file."""

    line: int | None
    key: str
    message: str
    mend: str


class ConfigError(Exception):
    """The settings cannot be used. `problems` are all that were found; str() is a line for each."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(self._text(problem) for problem in self.problems))

    def _text(self, problem: Problem) -> str:
        place = self.file if problem.line is None else f"{self.file}:{problem.line}"
        return f"{place}: {problem.key or 'the file'}: {problem.message}. {problem.mend}"


class Lines:
    """On which line each key of a file stands."""

    def __init__(self, found: Mapping[str, int] | None = None) -> None:
        self._found = found or {}

    @classmethod
    def of_toml(cls, text: str) -> Lines:
        """The lines of a text that tomllib has accepted; of a broken one nothing useful is promised."""
        return cls(_Scanner(text).scan())

    def of(self, key: str) -> int | None:
        """Line of a key or, when it is not written, of what it belongs to; None when there is no file."""
        while key and key not in self._found:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self._found.get(key, 1 if self._found else None)


def child(key: str, name: str) -> str:
    """The key of a table's entry."""
    return f"{key}.{name}" if key else name


class _Scanner:
    """Walks over the text only to see where keys stand; what the values mean is tomllib's business."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        self._found: dict[str, int] = {}
        self._last_index: dict[str, int] = {}

    def scan(self) -> dict[str, int]:
        table = ""
        while not self._skip(""):
            if self._next("[["):
                table = self._table(self._names(), array=True)
                self._skip("]]")
            elif self._next("["):
                table = self._table(self._names(), array=False)
                self._skip("]")
            else:
                self._pair(table)
        return self._found

    def _skip(self, mark: str) -> bool:
        """Pass blanks, comments and then `mark`; true at the end of the text."""
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
        self._next(mark)
        return self._at >= len(self._text)

    def _next(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) if found else 0
        return found

    def _names(self) -> list[str]:
        names: list[str] = []
        while match := _PART.match(self._text, self._at):
            self._at = match.end()
            part = match[1]
            names.append(tomllib.loads(f"name = {part}")["name"] if part[0] in "\"'" else part)
            if not self._next("."):
                break
        return names

    def _table(self, names: Sequence[str], *, array: bool) -> str:
        """Open a table. A name on the way that is an array of tables means its newest element."""
        key = ""
        for depth, name in enumerate(names, start=1):
            key = child(key, name)
            self._note(key)
            if array and depth == len(names):
                self._last_index[key] = self._last_index.get(key, -1) + 1
            if key in self._last_index:
                key = f"{key}[{self._last_index[key]}]"
        self._note(key)
        return key

    def _pair(self, table: str) -> None:
        before, key = self._at, table
        for name in self._names():
            key = child(key, name)
            self._found.setdefault(key, self._line(before))
        self._skip("=")
        self._skip("")
        self._value(key)

    def _value(self, key: str) -> None:
        if self._next("["):
            index = 0
            while not self._skip("") and not self._next("]"):
                self._note(f"{key}[{index}]")
                self._value(f"{key}[{index}]")
                self._skip(",")
                index += 1
        elif self._next("{"):
            while not self._skip("") and not self._next("}"):
                self._pair(key)
                self._skip(",")
        elif match := _SCALAR.match(self._text, self._at):
            self._at = match.end()
        else:
            self._at += 1  # Never reached on valid TOML; it only keeps the walk from standing still.

    def _note(self, key: str) -> None:
        self._found.setdefault(key, self._line(self._at))

    def _line(self, at: int) -> int:
        return bisect.bisect_left(self._breaks, at) + 1
