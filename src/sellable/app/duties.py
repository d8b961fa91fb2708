"""What a vendor's answer means to an operation that was on its way: one table for every kind of operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sellable.connectors.port import Conflict, LimitReached, Misconfigured, Refused, Unavailable
from sellable.runtime.http import NotSent, OutcomeLost, correlated
from sellable.runtime.operations import Later, NotApplied, Operation, Outcome, Rejected, Unknown

Carry = Callable[[Operation], Awaitable[Outcome]]
AWAY_SECONDS = 15.0
MISCONFIGURED_SECONDS = 60.0
ATTEMPTS_MAX = 40
"""With the dispatcher's backoff (capped at 300 s) about three hours of trying before a person is asked."""


def carried(send: Carry) -> Carry:
    """`send` with every refusal of the vendor turned into what is known about its effect."""

    async def carry(op: Operation) -> Outcome:
        try:
            with correlated(op.correlation or op.id):
                return await send(op)
        except LimitReached as error:
            return Later(error.after_seconds, str(error))
        except NotSent as error:
            return Later(AWAY_SECONDS, str(error))
        except Misconfigured as error:
            return Later(MISCONFIGURED_SECONDS, str(error))
        except Conflict as error:
            return NotApplied(str(error))
        except Refused as error:
            return Rejected(str(error), {"code": error.code, **error.detail})
        except (Unavailable, OutcomeLost) as error:
            return Unknown(str(error) or type(error).__name__)

    return carry


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
