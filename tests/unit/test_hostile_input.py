"""Inputs that once stopped something, minimised; each is told by what it would have done."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import struct
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import psycopg
import pytest
from test_commercetools_translate import CHANNELS, document, line, message, money, order

from sellable.config.load import load
from sellable.config.problems import ConfigError
from sellable.connectors.cin7_core import answers as cin7_answers
from sellable.connectors.cin7_core import webhooks as cin7_webhooks
from sellable.connectors.cin7_core import wire as cin7_wire
from sellable.connectors.commercetools import session, translate, webhooks
from sellable.connectors.kit import answers
from sellable.connectors.kit.decode import decode
from sellable.connectors.kit.decode import document as read_document
from sellable.connectors.port import Refused, Unavailable
from sellable.domain.orders import UNITS_MAX
from sellable.runtime import audit, http, telemetry
from sellable.runtime.calls import CallLog
from sellable.runtime.clock import Clock, Dial
from sellable.runtime.database import Store, Tx
from sellable.runtime.http import Answer, Exchange, ForbiddenUrl, HttpPort
from sellable.simulation import chaos, history
from sellable.sync import masters

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
NUL = b"\\u0000"


# --- Documents -------------------------------------------------------------------------------------------------------


def test_what_is_nested_too_deeply_is_refused_like_any_other_garbage() -> None:
    for read in (webhooks.recognise, translate.message, translate.order, translate.raw_order):
        with pytest.raises(ValueError):
            read(DEEP, CHANNELS) if read is translate.order else read(DEEP)  # type: ignore[operator]
    with pytest.raises(Unavailable):
        read_document(DEEP, cast(Any, object), vendor="x")
    with pytest.raises(cin7_wire.Garbled):
        cin7_wire.decode(DEEP, cast(Any, object))
    assert cin7_wire.errors_of(b'{"ErrorCode":' + DEEP + b"}") == []


def test_a_nul_in_a_shoppers_name_does_not_keep_the_order_out_of_the_book() -> None:
    body = msgspec.json.encode(document(shippingAddress={"firstName": "A\x00da", "country": "DE"}))
    assert NUL in body
    found = translate.order(body, CHANNELS)
    assert found.shipping_address.name == "A\ufffdda"
    assert NUL not in msgspec.json.encode(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [(rb'"\u0000"', "\ufffd"), (rb'"\\u0000"', r"\u0000"), (rb'"\\\u0000\""', '\\\ufffd"'), (rb'"a\n"', "a\n")],
)
def test_only_a_nul_is_replaced(text: bytes, value: str) -> None:
    assert decode(text, str) == value


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "-1", "1E+999999999", "1E-999999999", "10"])
def test_a_rate_that_is_none_leaves_the_order_captured_and_held(rate: str) -> None:
    strange = {"name": "x", "amount": rate, "includedInPrice": True}
    found = order(lineItems=[line(taxRate=strange)])
    assert found.lines[0].tax is None
    assert found.lines[0].quantity == 2


HUGE = (10**9, 2**63, 10**19, 10**30)


@pytest.mark.parametrize("units", HUGE)
def test_a_quantity_beyond_all_quantities_leaves_the_order_captured_and_held(units: int) -> None:
    found = order(lineItems=[line(quantity=units, totalPrice=money(100 * units))], totalPrice=money(100 * units))
    assert found.lines[0].quantity == UNITS_MAX
    assert f"{units} units on line line-1" in found.impossible
    assert not found.lines[0].moves_entry, "nobody knows what the storefront made of it"
    assert found.total <= translate.MINOR_MAX
    assert order().impossible == ()


@pytest.mark.parametrize("cents", [10**19, -(10**19), 10**30])
def test_an_amount_beyond_all_amounts_leaves_the_order_captured_and_held(cents: int) -> None:
    found = order(totalPrice=money(cents))
    assert abs(found.total) == translate.MINOR_MAX
    assert found.impossible == (f"{cents} minor units in all",)
    dear = order(lineItems=[line(price={"value": money(cents)}, quantity=10**8)])
    assert dear.impossible == (f"{cents} minor units on line line-1",), "no arithmetic is tried with it"


@pytest.mark.parametrize(
    "price", [{"currencyCode": "EUR", "preciseAmount": 1, "fractionDigits": 10**30}, money(1, digits=10**9)]
)
def test_money_beyond_all_amounts_is_no_order(price: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        order(totalPrice=price)
    body = msgspec.json.encode(message(order=document(totalPrice=price)))
    assert translate.order_of_message(body, CHANNELS) is None


def test_the_evidence_of_an_error_is_flat() -> None:
    said = session.says(b'{"errors":[{"code":"InvalidField","message":"no","extra":' + b"[" * 500 + b"]" * 500 + b"}]}")
    assert said.detail == {"errors": [{"code": "InvalidField", "message": "no"}]}


# --- Strangers at the door -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Basic \xff", "Basic dTpw\xe9", "Basic ====", "Basic", "Bearer \xff", ""])
def test_a_header_that_is_no_header_is_not_let_in(header: str) -> None:
    assert cin7_webhooks.verify({"authorization": header}, "s3cret") is False


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("9" * 400, 3600), ("99999999999", 3600), ("Fri, 31 Dec 9999 23:59:59 GMT", 3600), ("1 Jan 1 00:00 +2359", 0)],
)
def test_nobody_stays_away_for_years_on_one_word(header: str, seconds: float) -> None:
    assert answers.pause({"retry-after": header}, NOW) in (seconds, answers.PAUSE_SECONDS)


@pytest.mark.parametrize("code", ['"42r9"', '"' + "4" * 5000 + '"', '""', "-1", '"\u0664\u0662\u0669"'])
def test_an_error_model_with_a_strange_code_is_an_error_still(code: str) -> None:
    for status in (200, 404, 500):
        body = f'{{"ErrorCode":{code},"Exception":"no"}}'.encode()
        at: dict[str, Any] = {"sent_at": NOW, "answered_at": NOW, "date": None, "seconds": 0.0}
        assert cin7_answers.verdict(Answer(status=status, headers={}, body=body, **at), write=False) is not None


@pytest.mark.parametrize(
    "header", ["Mon, 01 Jan 2001 00:00:00 +99999999999999", "Mon, 01 Jan 99999999999999999999 00:00:00 +0000"]
)
def test_a_date_beyond_dates_is_none(header: str) -> None:
    assert http.date_of(header) is None
    assert answers.pause({"retry-after": header}, NOW) == answers.PAUSE_SECONDS


@pytest.mark.parametrize("url", ["https://.xn--nxasmq6b/", "http://[::1", "https://\ud800/", "https://\x00/"])
def test_what_is_no_address_is_forbidden(url: str) -> None:
    port = HttpPort(cast(Any, None), Clock(), None)
    for use in (port.allow, port._allowed):
        with pytest.raises(ForbiddenUrl):
            use(url)


@pytest.mark.parametrize("stamp", ["x", "", "9999-12-31T00:00:00Z", "2027-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_stamp_that_is_none_moves_no_mark(stamp: str) -> None:
    """From such a mark on no change would ever be found again."""
    mark = "2026-11-21T00:00:00.000Z"
    assert masters.newest_of(mark, [stamp, "2026-11-21T11:00:00.000Z"], NOW) == "2026-11-21T11:00:00.000Z"
    assert masters.newest_of(mark, [stamp], NOW) == mark


# --- What we keep ----------------------------------------------------------------------------------------------------


class Kept(Tx):
    """A transaction that keeps the rows it was given."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def run(self, query: Any, **values: Any) -> int:
        self.rows += values["request"]
        return len(self.rows)

    def after_commit(self, act: Any) -> None:
        act()


@pytest.mark.parametrize("body", [DEEP, b"[" * 700 + b"]" * 700, b"1e400", b'{"sku":1e308}', b"\xff", b'"\\u0000"'])
def test_no_body_stops_the_log_of_calls(body: bytes) -> None:
    log, kept = CallLog(b"key"), Kept()
    call: dict[str, Any] = {"method": "POST", "host": "h", "path": "/", "operation": "POST sale", "credential": "cin7"}
    log.note(
        Exchange(**call, correlation="o1", status=500, error=None, sent_at=NOW, seconds=0.1, request=body, answer=None)
    )
    assert log.flush(kept) == 1
    assert log.flush(kept) == 0
    assert NUL.decode() not in kept.rows[0]
    json.loads(kept.rows[0])


def test_redaction_ends() -> None:
    deep: Any = "Ada"
    for _ in range(900):
        deep = [deep]
    assert "Ada" not in json.dumps(audit.redact(deep, b"key"))


# --- Files of people -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "1" * 5000, "a" * 10 + "\x00"])
def test_a_settings_file_beyond_reading_is_told_by_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sellable.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"sellable\.toml:1: the file: is not valid TOML"):
        load(path)


HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"


@pytest.mark.parametrize(
    "row",
    [
        *("1,A,x,1,2010-12-01", "1,A,x,1,2010-12-01,1E+999999999,1,EIRE", "1,A,x,1,2010-12-01,NaN,1,EIRE"),
        "1,A," + "x" * 200_000 + ",1,2010-12-01,1,1,EIRE",
    ],
)
def test_a_history_that_cannot_be_read_names_the_line(tmp_path: Path, row: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(f"{HEAD}\n1,B,x,1,2010-12-01,1,1,EIRE\n{row}\n")
    with pytest.raises(history.BadHistory, match="line"):
        list(history.read(path))


def test_a_history_that_is_no_text_or_no_archive_is_bad(tmp_path: Path) -> None:
    for name, content in (("history.csv", b"\xff\xfe"), ("history.csv.gz", b"PK"), ("short.csv.gz", b"\x1f\x8b\x08")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(history.BadHistory):
            list(history.read(tmp_path / name))


def test_a_history_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(f"\ufeff{HEAD}\r\n1,B,x,1,2010-12-01,1.10,1,EIRE\r\n".encode())
    [row] = history.read(path)
    assert (row.invoice, row.code, row.cents) == ("1", "B", 110)


@pytest.mark.parametrize(
    "text", ["[" * 5000, "3", "[1]", '[{"at":[],"do":"cin7_down"}]', '[{"at":1e400,"do":"cin7_down"}]']
)
def test_a_timetable_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trouble.json"
    path.write_text(text)
    with pytest.raises(ValueError):
        chaos.load(path)


@pytest.mark.parametrize("text", ["origin=nan", "start=inf", "start=1e18", "speed=1e400", "origin=-1"])
def test_a_clock_that_could_not_tell_the_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="clock"):
        Clock.parse(text)


def test_a_dial_whose_writer_died_is_told_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dial, "PATIENCE_SECONDS", 0.01)
    path = tmp_path / "dial"
    path.write_bytes(struct.pack("<Qddd", 3, 60.0, 1.7e9, 1.2e9))
    with pytest.raises(OSError, match="never written to its end"):
        Dial(path)
    path.write_bytes(struct.pack("<Qddd", 2, float("nan"), 1.7e9, 1.2e9))
    with pytest.raises(ValueError, match="speed"):
        Dial(path)


def test_prices_keep_their_exactness() -> None:
    """The bounds above leave what is real alone."""
    assert translate.minor(decode(msgspec.json.encode(money(10**17)), translate.wire.Money), 2) == 10**17
    assert order(lineItems=[line(taxRate={"name": "x", "amount": 0.08875, "includedInPrice": False})]).lines[0].tax
    assert Decimal("0.08875").as_tuple().exponent == -5


# --- What is said of it ----------------------------------------------------------------------------------------------


def test_a_traceback_does_not_quote_the_row(store: Store) -> None:
    told = io.StringIO()
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stderr", told)
            telemetry.configure("debug", "json")
            insert = (
                "INSERT INTO wanted (system, kind, key, priority, seq) VALUES ('erp', 'k', 'ada@example.com', 1, 1)"
            )
            with psycopg.connect(store.url) as connection, contextlib.suppress(RuntimeError):
                try:
                    connection.execute(insert.encode())
                except psycopg.Error as error:
                    try:
                        raise RuntimeError("could not") from error
                    except RuntimeError:
                        logging.getLogger("sellable.test").exception("it went wrong")
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    assert "(23502)" in told.getvalue()
    assert "could not" in told.getvalue()
    assert "ada@example.com" not in told.getvalue()


def test_an_error_says_nothing_of_the_person_it_is_about() -> None:
    words = {"Ada", "Lovelace Lane 1", "Lovelace", "x", ""}
    error = Refused("ADA of Lovelace Lane 1 (x)", code="400", detail={"errors": ["400: Ada (Lovelace)"]}).without(words)
    assert (str(error), error.code) == ("(hidden) of (hidden) (x)", "400")
    assert error.detail == {"errors": ["400: (hidden) ((hidden))"]}


def test_an_answer_that_repeats_our_secret_says_it_no_more() -> None:
    sent = {"authorization": "Bearer long-secret-word", "api-auth-applicationkey": "another-secret"}
    found = http._without_secrets(b"<pre>Bearer long-secret-word another-secret</pre>", sent)
    assert found == b"<pre>Bearer (hidden) (hidden)</pre>"
