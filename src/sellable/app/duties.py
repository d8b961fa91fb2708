"""What a vendor's answer means to an operation that was on its way: one table for every kind of operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from sellable.connectors.port import Conflict, LimitReached, Misconfigured, Refused, Unavailable
from sellable.runtime.dispatcher import CarryTogether
from sellable.runtime.http import NotSent, OutcomeLost, correlated
from sellable.runtime.operations import Done, Later, NotApplied, Operation, Outcome, Rejected, Unknown

Carry = Callable[[Operation], Awaitable[Outcome]]
AWAY_SECONDS = 15.0
MISCONFIGURED_SECONDS = 60.0
ATTEMPTS_MAX = 40
"""With the dispatcher's backoff (capped at 300 s) about three hours of trying before a person is asked."""


FAILURES = (LimitReached, NotSent, Misconfigured, Conflict, Refused, Unavailable, OutcomeLost)


def carried(send: Carry) -> Carry:
    """`send` with every refusal of the vendor turned into what is known about its effect."""

    async def carry(op: Operation) -> Outcome:
        try:
            with correlated(op.correlation or op.id):
                return await send(op)
        except FAILURES as error:
            return _known(error)

    return carry


def _known(error: Exception) -> Outcome:
    match error:
        case LimitReached():
            return Later(error.after_seconds, str(error))
        case NotSent():
            return Later(AWAY_SECONDS, str(error))
        case Misconfigured():
            return Later(MISCONFIGURED_SECONDS, str(error))
        case Conflict():
            return NotApplied(str(error))
        case Refused():
            return Rejected(str(error), {"code": error.code, **error.detail})
        case _:
            return Unknown(str(error) or type(error).__name__)


class Document(Protocol):
    """A kind of operation whose documents may go together in one call; each has its own answer."""

    async def prepare(self, op: Operation) -> Any:
        """What is to be sent, or the outcome where nothing is."""

    async def call(self, system: str, documents: Sequence[Any]) -> Sequence[Any]:
        """One call; an answer for each document, in their order."""

    async def answered(self, op: Operation, answer: Any) -> Outcome:
        """What an answer means to its operation."""


def alone(kind: Document) -> Carry:
    """A call for each operation."""

    async def send(op: Operation) -> Outcome:
        document = await _prepared(kind, op)
        if isinstance(document, Outcome):
            return document
        (answer,) = await kind.call(op.system, [document])
        return await kind.answered(op, answer)

    return send


def together(kind: Document) -> CarryTogether:
    """One call for several operations. Where the vendor refuses it as a whole nobody knows because of which of them, so
    each goes again by itself; an answer that is lost leaves each open by itself. The call is told of the first one that
    is in it, and each other that is settled by it says whose call it went with.
    """
    single = carried(alone(kind))

    async def carry(ops: Sequence[Operation]) -> dict[str, Outcome]:
        found: dict[str, Outcome] = {}
        documents: dict[str, Any] = {}
        for op in ops:
            made = await _caught(partial(_prepared, kind), op)
            (found if isinstance(made, Outcome) else documents)[op.id] = made
        sent = [op for op in ops if op.id in documents]
        if not sent:
            return found
        first = sent[0]
        try:
            with correlated(first.id):
                answers = await kind.call(first.system, list(documents.values()))
        except Refused:
            return found | {op.id: await single(op) for op in sent}
        except FAILURES as error:
            return found | {op.id: _known(error) for op in sent}
        for op, answer in zip(sent, answers, strict=True):
            outcome = await _caught(kind.answered, op, answer)
            found[op.id] = outcome if op is first else _with(outcome, first)
        return found

    return carry


async def _prepared(kind: Document, op: Operation) -> Any:
    """What is to be sent. A look that fails before leaves nothing open: no copy has left."""
    try:
        return await kind.prepare(op)
    except (Unavailable, OutcomeLost) as error:
        return NotApplied(str(error) or type(error).__name__)


async def _caught(step: Callable[..., Awaitable[Any]], op: Operation, *more: Any) -> Any:
    try:
        with correlated(op.correlation or op.id):
            return await step(op, *more)
    except FAILURES as error:
        return _known(error)


def _with(outcome: Outcome, first: Operation) -> Outcome:
    match outcome:
        case Done(result=result):
            return Done({**result, "with": first.id})
        case Rejected(cause=cause, detail=detail):
            return Rejected(cause, {**detail, "with": first.id})
        case _:
            return outcome


def looked(resolve: Carry | None) -> Carry | None:
    """`resolve` with every failure to look turned into: still unknown, look again."""
    if resolve is None:
        return None
    find = resolve

    async def look(op: Operation) -> Outcome:
        try:
            with correlated(op.correlation or op.id):
                return await find(op)
        except LimitReached as error:
            return Later(error.after_seconds, str(error))
        except NotSent as error:
            return Later(AWAY_SECONDS, str(error))
        except Misconfigured as error:
            return Later(MISCONFIGURED_SECONDS, str(error))
        except (Conflict, Unavailable, OutcomeLost, Refused) as error:
            return Unknown(str(error) or type(error).__name__)

    return look
