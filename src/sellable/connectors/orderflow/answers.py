"""What an answer of OrderFlow means. One rule: success is whole XML that is no error, whatever the status says.

Errors have six dialects: a status with free text or a web page; 200 with a page whose heading says ERROR; an
<exception> in the document; <error> as its root (these four here); a failure for one entity of an import; a <message>
that nothing was done (those two where imports and cancellations are read).
"""

from __future__ import annotations

import html
import re

from sellable.connectors.kit import answers as kit
from sellable.connectors.orderflow import wire
from sellable.connectors.orderflow.wire import TITLE, Cut, Garbled, Node
from sellable.connectors.port import LimitReached, Misconfigured, Refused, Unavailable, VendorError
from sellable.runtime.http import Answer

NOT_FOUND = "not_found"
# A wrong path is 404 too, and what no method serves is 405; an order that is not there says so in a document.
TABLE: kit.Table = {(404, NOT_FOUND): Refused, (404, ""): Misconfigured, (405, ""): Misconfigured}

_ABSENT = re.compile(r"not (?:be )?found|does not exist|\bno (?:such )?order\b|unknown order", re.I)
_DENIED = re.compile(r"access (?:is )?denied|not authori[sz]ed|unauthori[sz]ed|forbidden|bad credentials", re.I)
_STATUS = re.compile(r"\b(?:HTTP|status|error|code)\b[\s:=-]{0,4}(?:status|error|code)?[\s:=-]{0,4}([45]\d\d)\b", re.I)
_TAG = re.compile(r"<[^>]*>")
_PAGE = re.compile(rb"<!doctype\s+html|<html[\s>]", re.I)
_HEADING = re.compile(r"<h2[^>]*>[^<]*ERROR", re.I)
SENTENCE_MAX = 300
PAUSE_SECONDS = 60.0


def document(answer: Answer, *, write: bool) -> Node:
    """The root of an answer. Raises the VendorError that it is instead.

    Of a write that was answered with something unreadable nobody knows whether it was done: Unavailable. Of a read what
    is cut off is Unavailable, and what is whole but nothing we take is Refused.
    """
    if not 200 <= answer.status < 300:
        refusal = kit.verdict(answer, vendor=TITLE, table=TABLE, says=lambda body: _said(answer.status, body))
        assert refusal is not None
        raise refusal
    if _PAGE.search(answer.body[:2048]):
        raise _page(answer.body, write=write)
    try:
        root = wire.parse(answer.body)
    except Garbled as error:
        if answer.body and not wire.is_xml(answer.body):
            raise _unexpected("a text", answer.body, write=write) from None
        raise of_shape(error, write=write) from error
    if found := _error_in(root):
        raise found
    return root


def of_shape(error: Garbled, *, write: bool) -> VendorError:
    """What a document that is not whole, or of another shape, is."""
    if write or isinstance(error, Cut):
        return Unavailable(f"{TITLE}'s answer is not understood: {error}", code="garbled")
    return Refused(f"{TITLE}'s document is not understood: {error}", code="unreadable")


def pause(answer: Answer) -> float:
    """Seconds of Retry-After; a minute where there is none, as no limit is published."""
    return kit.pause(answer.headers, answer.date, PAUSE_SECONDS)


def says_absent(sentence: str) -> bool:
    """Whether a sentence says that there is no such order."""
    return _ABSENT.search(sentence) is not None


def denies(error: VendorError, ref: str) -> bool:
    """Whether an error is the word that there is no order of this reference.

    A page or a text with an error status counts only where it names the order: a wrong path is not found either.
    """
    text = str(error.detail.get("text", ""))
    named = re.compile(
        rf"\bno (?:such )?order\b.*{re.escape(ref)}|\border\b[^/]*{re.escape(ref)}[^/]*{_ABSENT.pattern}", re.I
    )
    return error.code == NOT_FOUND or (not isinstance(error, LimitReached) and named.search(text) is not None)


def _page(body: bytes, *, write: bool) -> VendorError:
    """A web page with success: an error where its heading says so, else a wrong path or a proxy's sign-in."""
    text = body[:16_384].decode(errors="replace")
    if _HEADING.search(text):
        return _of_sentence(_plain(text), Unavailable, "error_page")
    return _unexpected("a page", body, write=write)


def _unexpected(what: str, body: bytes, *, write: bool) -> VendorError:
    said = _plain(body[:4096].decode(errors="replace"))
    if write:
        return Unavailable(f"{TITLE} answered a write with {what}: {said}", code="html")
    return Misconfigured(f"{TITLE} answered with {what}: wrong path", code="html", detail={"text": said})


def _error_in(root: Node) -> VendorError | None:
    """<error> is the vendor's own check of a request; <exception> is a failure inside."""
    if root.tag == "error":
        return _of_sentence(root.words(), Refused, "error")
    found = root if root.tag == "exception" else root.first("exception")
    return None if found is None else _of_sentence(found.words(), Unavailable, "exception")


def _of_sentence(sentence: str, family: kit.Family, code: str) -> VendorError:
    """The error a sentence is: by the status it repeats, by what it says of the order or of us, else `family`."""
    said = sentence[:SENTENCE_MAX]
    if found := _STATUS.search(said):
        family, code = kit.family_of(int(found[1]), "", TABLE), found[1]
        family = Unavailable if family is LimitReached else family
    elif _DENIED.search(said):
        family, code = Misconfigured, "denied"
    elif _ABSENT.search(said):
        family, code = Refused, NOT_FOUND
    return family(f"{TITLE} answered: {said}", code=code, detail={"text": said})


def _said(status: int, body: bytes) -> kit.Said:
    """The sentence of an error body; only a document, no web page, can say that an order is not there."""
    sentence = _plain(body[:16_384].decode(errors="replace"))[:SENTENCE_MAX]
    about_an_order = status == 404 and wire.is_xml(body) and not _PAGE.search(body[:2048]) and says_absent(sentence)
    return kit.Said(code=NOT_FOUND if about_an_order else "", message=sentence, detail={"text": sentence})


def _plain(text: str) -> str:
    """Text without its tags and escapes, on one line."""
    return " ".join(wire.clean(html.unescape(_TAG.sub(" ", text)).replace("\n", " ")).split())
