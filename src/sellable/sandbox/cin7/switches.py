"""The vendor's settings and the guesses a run can turn. Rule: each guess says so here, with its default."""

from decimal import Decimal
from typing import Any, Literal

import msgspec


class Switches(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Seconds are simulated.

    - calls_per_minute: calls per key in any 60 s (blueprint: 60); unlimited turns the limit off.
    - breach: how the limit speaks, by path, "*" for the rest (429 blueprint, 503 help page, 400 observed).
    - wrong_path_status: status of the HTML page for a wrong path (200 observed).
    - search_lag_seconds: how long saleList does not know a change (guess: real, length unknown).
    - availability_lag_seconds: productavailability shows the state of so long ago (guess).
    - allocation_lag_seconds: authorised sales are allocated so much later (guess: 0).
    - allocation_row: which bin rows carry Allocated: "spread" over stocked rows, or all on the "unbinned" row (guess).
    - stock_leaves_at: on hand falls when the shipment ("ship") or the pick ("pick") is authorised (guess).
    - tax_places: fraction digits of computed tax (guess); posted_tax: "recomputed" or "kept" (guess).
    - line_total_tolerance: largest accepted difference between a posted line Total and our product (guess).
    """

    calls_per_minute: int = 60
    unlimited: bool = False
    breach: dict[str, Literal["429", "503", "400"]] = msgspec.field(
        default_factory=lambda: {"*": "429", "purchase": "400", "advanced-purchase": "400"}
    )
    wrong_path_status: int = 200
    search_lag_seconds: float = 0.0
    availability_lag_seconds: float = 0.0
    allocation_lag_seconds: float = 0.0
    allocation_row: Literal["spread", "unbinned"] = "spread"
    stock_leaves_at: Literal["ship", "pick"] = "ship"
    tax_places: int = 4
    posted_tax: Literal["recomputed", "kept"] = "recomputed"
    line_total_tolerance: Decimal = Decimal("0.01")

    def turned(self, changes: dict[str, Any]) -> "Switches":
        """A copy with changes; raises msgspec.ValidationError on unknown names or values."""
        return msgspec.convert({**msgspec.to_builtins(self), **changes}, Switches)
