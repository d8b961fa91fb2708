"""OrderFlow's XML is read like a stranger's file, and its lines of key=value are written so that nothing breaks out."""

from __future__ import annotations

import pytest

from sellable.connectors.orderflow import wire
from sellable.connectors.orderflow.wire import Cut, Entity, Garbled, Node

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><inventory>&c;</inventory>'
)


def test_a_field_is_an_attribute_or_an_element() -> None:
    root = wire.parse(b'<order state="ready"><courier> DPD </courier><lines><line n="1"/><line n="2"/></lines></order>')
    assert (root.get("state"), root.get("courier"), root.get("nothing")) == ("ready", "DPD", None)
    assert [line.get("n") for line in root.all("lines", "line")] == ["1", "2"]
    assert root.first("lines", "nothing") is None


def test_what_is_new_to_us_is_kept_and_harms_nothing() -> None:
    root = wire.parse(b'<v:inventory xmlns:v="urn:x" colour="red"><!-- note --><?do it?><new>1</new></v:inventory>')
    assert (root.tag, root.attributes, root.children[0].tag) == ("inventory", {"colour": "red"}, "new")


def test_text_in_pieces_is_one_text() -> None:
    assert wire.parse(b"<a>one &amp; <![CDATA[<two>]]> three</a>").text == "one & <two> three"
    assert wire.parse(b"<a>one<b>two</b>three</a>").words() == "onethree two"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (BOMB, "declares a document type or entities"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "declares a document type"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "http://169.254.169.254/">]><a>&x;</a>', "declares a document type"),
        (b"<!DOCTYPE html><html/>", "declares a document type"),
        (b'<?xml version="1.0" encoding="utf-16"?><a/>', "in the encoding utf-16"),
        (b'<?xml version="1.0" encoding="windows-1252"?><a>\x80</a>', "in the encoding windows-1252"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "in the encoding utf-7"),
        ("<a/>".encode("utf-16"), "two bytes"),
        (b"<a>" * 40 + b"</a>" * 40, "nested deeper than 32"),
        (b"<a>" + b"<b/>" * 1000 + b"</a>", "more than 1000 elements"),
        (b"<a>" + b" " * 9000 + b"</a>", "larger than 9000 bytes"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else "",
)
def test_what_is_refused_whole(body: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ELEMENTS_MAX", 1000)
    with pytest.raises(Garbled, match=says) as refused:
        wire.parse(body, most=9000)
    assert not isinstance(refused.value, Cut)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a",
        b"<a><b></a>",
        b"<a>\xff</a>",
        b"<a>&#0;</a>",
        b"<a>&nope;</a>",
        b'<a x="1" x="2"/>',
        b"{}",
        b"<a/><b/>",
    ],
)
def test_what_is_cut_off_may_be_whole_the_next_time(body: bytes) -> None:
    with pytest.raises(Cut, match="no XML"):
        wire.parse(body)


def test_latin_text_is_understood_where_it_says_so() -> None:
    assert wire.parse(b'<?xml version="1.0" encoding="ISO-8859-1"?><a>M\xfcller</a>').text == "Müller"
    assert wire.parse("\ufeff<a>Müller</a>".encode()).text == "Müller"


@pytest.mark.parametrize(
    ("text", "units"), [("5", 5), ("0", 0), (" 7 ", 7), ("5.0", 5), ("5.", 5), ("false", 0), ("+3", 3)]
)
def test_counts(text: str, units: int) -> None:
    assert wire.count(Node("product", {"total": text}, []), "total") == units


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("5.5", "not a whole number"),
        ("-1", "total is -1"),
        ("true", "not a whole number"),
        ("1e3", "not a whole number"),
        ("٣", "not a whole number"),
        ("9999999999", "total is 9999999999"),
        ("", "no total"),
        ("NaN", "not a whole number"),
    ],
)
def test_counts_that_are_none_are_never_clipped(text: str, says: str) -> None:
    with pytest.raises(Garbled, match=says):
        wire.count(Node("product", {"total": text}, []), "total")


def test_a_count_that_need_not_be_there() -> None:
    product = Node("product", {"damaged": "2", "frozen": "x"}, [])
    assert (wire.optional(product, "damaged"), wire.optional(product, "inspection")) == (2, None)
    assert wire.optional(Node("product", {"available": "-4"}, []), "available", least=-10) == -4
    with pytest.raises(Garbled):
        wire.optional(product, "frozen")


def test_lines_of_key_and_value() -> None:
    fields = (("totalTax", "0.00"), ("note", "one\r\ntwo\nthree\rfour"), ("equals", "a=b"), ("empty", ""))
    assert wire.lines(fields) == "totalTax=0.00\nnote=one[BR]two[BR]three[BR]four\nequals=a=b\nempty=\n"
    assert wire.fields_of({"zero": "0", "absent": None, "empty": ""}, "p.") == [("p.zero", "0"), ("p.empty", "")]


def test_nothing_breaks_out_of_an_import() -> None:
    hostile = 'x]]></import><import type="order"/>\x00\x1b&"'
    entity = Entity(type="order", operation="insert", ref='a"<b>&', fields=(("note", hostile),))
    body = wire.imports([entity])
    root = wire.parse(body)
    assert [child.tag for child in root.children] == ["import"]
    (sent,) = root.children
    assert sent.attributes == {"type": "order", "operation": "insert", "externalReference": 'a"<b>&'}
    assert sent.text.strip() == 'note=x]]></import><import type="order"/>  &"'
    assert b"]]>" not in body
