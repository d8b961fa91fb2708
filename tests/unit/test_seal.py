"""Sealing: a body opens in its own row, with its own key, unchanged; else it says which of these failed."""

from __future__ import annotations

import os

import pytest

from sellable.runtime.seal import DEFLATE_BYTES_MIN, IN_THE_OPEN, Broken, KeyAbsent, Seal, name_of

OLD, NEW = b"o" * 32, b"n" * 32
BODY = b'{"order": "CRUNCHY-ARMCHAIR"}'


@pytest.mark.parametrize("size", [0, 1, DEFLATE_BYTES_MIN - 1, DEFLATE_BYTES_MIN, 3 * DEFLATE_BYTES_MIN])
@pytest.mark.parametrize("make", [os.urandom, lambda size: b"[1] " * (size // 4) + b"x" * (size % 4)])
def test_what_was_closed_opens_as_it_was(make: object, size: int) -> None:
    assert callable(make)
    seal, body = Seal(NEW), make(size)
    stored = seal.close("shop", "M-1", body)
    assert seal.open(seal.newest, "shop", "M-1", stored) == body


def test_lists_shrink_and_no_two_closings_are_alike() -> None:
    seal, page = Seal(NEW), b'{"sku": "ARMCHAIR", "available": 10},' * 1000
    assert len(seal.close("erp", "page", page)) < len(page) / 10
    assert seal.close("shop", "M-1", BODY) != seal.close("shop", "M-1", BODY)
    assert BODY not in seal.close("shop", "M-1", BODY)


def test_a_changed_bit_anywhere_is_refused() -> None:
    seal = Seal(NEW)
    stored = seal.close("shop", "M-1", BODY)
    for place in range(len(stored)):
        changed = bytearray(stored)
        changed[place] ^= 1
        with pytest.raises(Broken):
            seal.open(seal.newest, "shop", "M-1", bytes(changed))


@pytest.mark.parametrize("length", [0, 1, 12, 13, 28, -1])
def test_a_cut_body_is_refused(length: int) -> None:
    seal = Seal(NEW)
    with pytest.raises(Broken):
        seal.open(seal.newest, "shop", "M-1", seal.close("shop", "M-1", BODY)[:length])


@pytest.mark.parametrize(("source", "message_id"), [("shop", "M-2"), ("erp", "M-1"), ("shopM", "-1"), ("sho", "pM-1")])
def test_a_body_opens_in_its_own_row_only(source: str, message_id: str) -> None:
    seal = Seal(NEW)
    with pytest.raises(Broken):
        seal.open(seal.newest, source, message_id, seal.close("shop", "M-1", BODY))


def test_the_newest_key_closes_and_the_one_before_still_opens() -> None:
    old, both = Seal(OLD), Seal(NEW, OLD)
    stored = old.close("shop", "M-1", BODY)
    assert (both.newest, both.older) == (name_of(NEW), [name_of(OLD)])
    assert both.open(old.newest, "shop", "M-1", stored) == BODY
    with pytest.raises(KeyAbsent, match=name_of(NEW)):
        old.open(both.newest, "shop", "M-1", both.close("shop", "M-1", BODY))
    with pytest.raises(KeyAbsent) as missing:
        Seal(NEW).open(old.newest, "shop", "M-1", stored)
    assert missing.value.key_id == name_of(OLD)
    assert Seal(NEW, NEW).older == []


def test_another_key_under_the_same_name_does_not_open() -> None:
    with pytest.raises(Broken):
        Seal(NEW).open(name_of(NEW), "shop", "M-1", Seal(OLD).close("shop", "M-1", BODY))


def test_a_body_in_the_open_is_not_believed() -> None:
    with pytest.raises(Broken, match="never sealed"):
        Seal(NEW).open(IN_THE_OPEN, "shop", "M-1", BODY)


def test_a_keys_name_does_not_tell_the_key() -> None:
    assert name_of(OLD) != name_of(NEW)
    assert len(name_of(OLD)) == 8
    assert OLD.hex()[:8] not in name_of(OLD)
