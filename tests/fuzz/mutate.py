"""Hostile bytes made from good ones: the same seeds and number give the same mutants, so that a failure repeats."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

DEPTH = 3_000
STRANGE_WORDS = (
    *(b"null", b"true", b"[]", b"{}", b'""', b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e-400"),
    *(b"0", b"-0", b"-1", b"0.5", b"00", b"1E+999999999", b"9" * 30, b"9" * 5000, b"-9223372036854775809"),
    *(b'"NaN"', b'"sNaN"', b'"Infinity"', b'"1E+999999999"', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"'),
    *(b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59.999999-14:00"', b'"2026-02-30T25:61:61Z"', b'"now"'),
    *(b'"' + b"A" * 4000 + b'"', b'"\xc3\x28"', b'"\xed\xa0\x80"', b'"\xf0\x9f\x92\xa9"', b'"a\\"b"', b'"\\\\u0000"'),
    *(b'"\\u001b[2J"', b'"[/bold]"', b'"\xef\xbb\xbf"', b'"%00"', b'"\'; DROP TABLE inbox; --"'),
)
SPLINTERS = (
    *(b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"\r", b"\n", b"\t", b"\x1b", b"\x7f", b"\x80", b"\xff"),
    *(b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"=", b"#", b";", b"%s", b"%n"),
    *(b"<!doctype html><title>Sign in</title>", b"9" * 400, b"-", b"+", b".", b"e9", b" " * 300, b"\xe2\x80\xae"),
)
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|\btrue\b|\bfalse\b|\bnull\b')

Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def _span(chance: random.Random, data: bytes, most: int = 64) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.randint(0, most))


def _flip(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    if not data:
        return bytes([chance.randrange(256)])
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _cut(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data[: chance.randint(0, len(data))]


def _drop(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 2, 50)) + data[end:]


def _splinter(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(SPLINTERS) + data[at:]


def _strange_value(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    found = [match.span() for match in _VALUE.finditer(data)]
    if not found:
        return _splinter(chance, data, seeds)
    start, end = chance.choice(found)
    return data[:start] + chance.choice(STRANGE_WORDS) + data[end:]


def _swap_values(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    found = [match.group() for match in _VALUE.finditer(chance.choice(seeds))]
    spans = [match.span() for match in _VALUE.finditer(data)]
    if not found or not spans:
        return data
    start, end = chance.choice(spans)
    return data[:start] + chance.choice(found) + data[end:]


def _splice(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = chance.choice(seeds)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _bury(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Nested deeper than any reader should follow, in place of a value or around everything."""
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = chance.choice((90, 400, 700, DEPTH))
    deep = opening * depth + b"1" + closing * (depth if chance.random() < 0.8 else 0)
    spans = [match.span() for match in _VALUE.finditer(data)]
    if not spans:
        return deep
    start, end = chance.choice(spans)
    return data[:start] + deep + data[end:]


_OFTEN: tuple[Change, ...] = (_strange_value, _strange_value, _flip, _cut, _drop, _repeat, _splinter, _swap_values)
_ALL: tuple[Change, ...] = (*_OFTEN, *_OFTEN, *_OFTEN, _splice, _bury)


def mutants(seeds: Sequence[bytes], count: int, number: int) -> Iterator[bytes]:
    """The seeds, a few plain horrors, then `count` mutants of one to four changes each."""
    yield from seeds
    yield from (b"", b"\x00", b"\xff" * 64, b" " * 5000, b"[" * DEPTH, b'{"a":' * DEPTH, *STRANGE_WORDS)
    chance = random.Random(number)
    for _ in range(count):
        data = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 2, 4))):
            data = chance.choice(_ALL)(chance, data, seeds)
        yield data
