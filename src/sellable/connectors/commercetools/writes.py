"""Differences as requests, and answers as outcomes. One rule: what is not proved is unknown.

Applied is an entry shown at its new version; not applied is a version conflict or a documented refusal. Everything
else, above all a lost answer, a 5xx or an alias that says nothing, leaves the outcome to reading back.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.connectors.commercetools import wire
from sellable.connectors.kit.decode import decode, lenient
from sellable.connectors.port import StockWrite, Written

CONFLICT = "ConcurrentModification"
TOO_COMPLEX = "QueryComplexityLimitExceeded"
REFUSALS = frozenset(
    {
        *("DuplicateField", "DuplicateFieldWithConflictingResource", "FeatureRemoved", "InvalidField", "InvalidInput"),
        *("InvalidJsonInput", "InvalidOperation", "MaxResourceLimitExceeded", "MissingRoleOnChannel"),
        *("ReferencedResourceNotFound", "RequiredField", "ResourceNotFound", "ResourceSizeLimitExceeded"),
        *("SyntaxError", "insufficient_scope", TOO_COMPLEX),
    }
)
"""Codes that prove that nothing was written and never will be (API description, Error)."""


def rest_actions(write: StockWrite, marking: Container[str]) -> list[dict[str, Any]]:
    """The update actions of POST /inventory/{id}. `marking` are ids of custom types with our marker field."""
    return [{"action": name, **fields} for name, fields in _actions(write, marking)]


def graph_mutation(writes: Sequence[StockWrite], marking: Container[str]) -> tuple[str, dict[str, Any]]:
    """One mutation with an alias w0, w1 ... for each write, and its variables. Custom values are escaped JSON there."""
    declared: list[str] = []
    aliases: list[str] = []
    variables: dict[str, Any] = {}
    for place, write in enumerate(writes):
        declared.append(f"$i{place}:String!,$v{place}:Long!,$a{place}:[InventoryEntryUpdateAction!]!")
        aliases.append(
            f"w{place}:updateInventoryEntry(id:$i{place},version:$v{place},actions:$a{place})"
            "{id version quantityOnStock}"
        )
        actions = [{name: _escaped(fields)} for name, fields in _actions(write, marking)]
        variables |= {f"i{place}": write.remote_id, f"v{place}": write.version, f"a{place}": actions}
    return f"mutation({','.join(declared)}){{{' '.join(aliases)}}}", variables


def _actions(write: StockWrite, marking: Container[str]) -> list[tuple[str, dict[str, Any]]]:
    """The difference, and the marker where the entry can carry it: a merchant's own type is never replaced."""
    name = "addQuantity" if write.difference > 0 else "removeQuantity"
    quantity = (name, {"quantity": abs(write.difference)})
    if write.typed is None:
        fields = {wire.MARKER: write.op_id}
        return [quantity, ("setCustomType", {"type": {"typeId": "type", "key": wire.OUR_TYPE}, "fields": fields})]
    if write.typed in marking:
        return [quantity, ("setCustomField", {"name": wire.MARKER, "value": write.op_id})]
    return [quantity]


def _escaped(fields: dict[str, Any]) -> dict[str, Any]:
    """An action's fields as GraphQL wants them: custom values as JSON in a text (CustomFieldInput in the schema)."""
    if "fields" in fields:
        custom = [{"name": name, "value": _json(value)} for name, value in fields["fields"].items()]
        return {"typeKey": fields["type"]["key"], "fields": custom}
    return fields | {"value": _json(fields["value"])} if "value" in fields else fields


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# --- Outcomes --------------------------------------------------------------------------------------------------------


def unapplied(write: StockWrite, cause: str, after_seconds: float) -> Written:
    """Surely not sent or not let in: may be sent later."""
    return Written(op_id=write.op_id, status="limited", cause=cause, after_seconds=after_seconds)


def unknown(write: StockWrite, cause: str) -> Written:
    """Applied or not: only reading back will tell."""
    return Written(op_id=write.op_id, status="unknown", cause=cause)


def failed(write: StockWrite, code: str, message: str, *, refused: bool = False) -> Written:
    """The outcome an error code stands for; `refused` when the status says already that nothing was written."""
    cause = f"{code}: {message}"
    if code == CONFLICT:
        return Written(op_id=write.op_id, status="conflict", cause=cause)
    if refused or code in REFUSALS:
        return Written(op_id=write.op_id, status="refused", cause=cause)
    return unknown(write, cause)


def applied(write: StockWrite, body: bytes | msgspec.Raw, at: datetime | None) -> Written:
    """The outcome an entry in the answer stands for; it must be this entry, and newer than what was written on."""
    try:
        entry = decode(body, wire.WrittenEntry)
    except ValueError as error:
        return unknown(write, f"the answer is not understood: {error}")
    if entry.id != write.remote_id or entry.version <= write.version:
        return unknown(write, f"the answer shows {entry.id} at version {entry.version}")
    return Written(op_id=write.op_id, status="applied", version=entry.version, quantity=entry.quantity_on_stock, at=at)


def graph_outcomes(writes: Sequence[StockWrite], body: bytes, at: datetime | None) -> list[Written]:
    """The outcome of each alias; errors without an alias count only when there is no data: nothing was executed."""
    found = lenient(body, wire.GraphAnswer, wire.GraphAnswer())
    errors = found.errors or []
    if isinstance(found.data, msgspec.UnsetType):
        first = errors[0] if errors else wire.GraphProblem(message="the answer is not understood")
        return [failed(write, first.code, first.message) for write in writes]
    aliases = lenient(bytes(found.data), dict[str, msgspec.Raw], {})
    problems = {error.path[0]: error for error in errors if error.path}
    return [
        _alias(write, aliases.get(f"w{place}"), problems.get(f"w{place}"), at) for place, write in enumerate(writes)
    ]


def _alias(
    write: StockWrite, shown: msgspec.Raw | None, problem: wire.GraphProblem | None, at: datetime | None
) -> Written:
    if shown is not None and bytes(shown) != b"null":
        return applied(write, shown, at)
    if problem is not None:
        return failed(write, problem.code, problem.message)
    return unknown(write, "the answer says nothing of this write")


def is_too_complex(body: bytes) -> bool:
    """Whether GraphQL executed nothing because the request was too much at once."""
    found = lenient(body, wire.GraphAnswer, wire.GraphAnswer())
    codes = {error.code for error in found.errors or ()}
    return isinstance(found.data, msgspec.UnsetType) and TOO_COMPLEX in codes
