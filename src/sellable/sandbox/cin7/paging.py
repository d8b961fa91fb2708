"""Pages and the ways they lie. Rule: there is no cursor; a page is cut from the rows as they are at that moment."""

import random
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from sellable.sandbox.cin7.wire import Listing, Request, decode, encode

# Vendor effects of the fault menu that change values in an answer.
VALUE_FAULTS = ("fractional_quantity", "huge_number", "sku_case", "unknown_enum")
HUGE = 10**24
_QUANTITIES = ("OnHand", "Available", "Quantity", "TransferQuantity")


def cut(listing: Listing, request: Request, dice: random.Random) -> bytes:
    """{"Total", "Page", key: rows} for Page (from 1) and Limit (default 100; clamped to 1..1000: a guess)."""
    page, limit = max(_whole(request, "page", 1), 1), min(max(_whole(request, "limit", 100), 1), 1000)
    start = (page - 1) * limit + (1 if "shifted_page" in request.faults else 0)
    rows: Sequence[dict[str, Any] | bytes] = listing.rows[start : start + limit]
    faults = request.faults.keys()
    if rows and faults:
        rows = _broken(list(rows), faults, dice)
    body = b",".join([row if isinstance(row, bytes) else encode(row) for row in rows])
    return b'{"Total":%d,"Page":%d,"%s":[%s]}' % (len(listing.rows), page, listing.key.encode(), body)


def _whole(request: Request, name: str, default: int) -> int:
    try:
        return int(request.query.get(name, default))
    except ValueError:
        return default


def _broken(
    rows: list[dict[str, Any] | bytes], faults: Iterable[str], dice: random.Random
) -> list[dict[str, Any] | bytes]:
    at = dice.randrange(len(rows))
    if "missing_row" in faults:
        del rows[at]
    if "duplicate_row" in faults and len(rows) > 1:
        rows[at - 1] = rows[at % len(rows)]
    wrong = [fault for fault in faults if fault in VALUE_FAULTS]
    if rows and wrong:
        at %= len(rows)
        row = rows[at]
        rows[at] = with_wrong_values(decode(row) if isinstance(row, bytes) else dict(row), wrong, dice)
    return rows


def with_wrong_values(row: dict[str, Any], faults: Iterable[str], dice: random.Random) -> dict[str, Any]:
    """A row with the values such a fault promises; rows without the field stay as they are."""
    for fault in faults:
        if fault == "fractional_quantity":
            row |= {name: row[name] + Decimal("0.5") for name in _QUANTITIES if name in row}
        elif fault == "huge_number":
            row |= {name: HUGE for name in _QUANTITIES if name in row}
        elif fault == "sku_case" and row.get("SKU"):
            row["SKU"] = dice.choice([row["SKU"].swapcase(), f" {row['SKU']}", f"{row['SKU']} "])
        elif fault == "unknown_enum":
            row |= {name: "ON THE MOON" for name in row if name.endswith("Status")}
    return row
