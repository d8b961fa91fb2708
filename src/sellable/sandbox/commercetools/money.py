"""Amounts and tax as the vendor computes them: integer minor units, Decimal rates, three roundings, two levels.

Source: API description, types RoundingMode, TaxCalculationMode, TaxedPrice. Guess: gross is rounded when the price is
net, and net when it is gross; tax is the difference of the two (visible only on exact halves).
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any

from sellable.sandbox.commercetools.errors import invalid_json, need
from sellable.sandbox.commercetools.wire import Doc

ROUNDINGS = {"HalfEven": ROUND_HALF_EVEN, "HalfUp": ROUND_HALF_UP, "HalfDown": ROUND_HALF_DOWN}
FRACTION_DIGITS = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3}
_ONE = Decimal(1)


def money(cents: int, currency: str) -> Doc:
    """A centPrecision amount of integer minor units."""
    digits = FRACTION_DIGITS.get(currency, 2)
    return {"type": "centPrecision", "currencyCode": currency, "centAmount": cents, "fractionDigits": digits}


def round_cents(amount: Decimal, mode: str) -> int:
    """A whole number of minor units under HalfEven, HalfUp or HalfDown."""
    return int(amount.quantize(_ONE, rounding=ROUNDINGS[mode]))


def parse_money(draft: Any) -> Doc:
    """A money draft as a stored amount; highPrecision keeps its preciseAmount. Raises InvalidJsonInput."""
    currency: str = need(draft, "currencyCode", str)
    if draft.get("type") != "highPrecision":
        return money(need(draft, "centAmount", int), currency)
    precise, digits = need(draft, "preciseAmount", int), need(draft, "fractionDigits", int)
    if not FRACTION_DIGITS.get(currency, 2) < digits <= 20:
        raise invalid_json(f"fractionDigits: {digits} is out of range")
    stored = {"type": "highPrecision", "currencyCode": currency, "preciseAmount": precise, "fractionDigits": digits}
    return {**stored, "centAmount": round_cents(unit_cents(stored), "HalfEven")}


def unit_cents(price: Doc) -> Decimal:
    """An amount in minor units, with the fraction that a highPrecision price has."""
    if price["type"] != "highPrecision":
        return Decimal(price["centAmount"])
    spare = price["fractionDigits"] - FRACTION_DIGITS.get(price["currencyCode"], 2)
    return Decimal(price["preciseAmount"]).scaleb(-spare)


def split(total: int, quantity: int, unit: Decimal, rate: Doc, calculation: str, rounding: str) -> tuple[int, int]:
    """(net, gross) of a line in minor units under its own tax rate.

    LineItemLevel rounds once, after multiplying; UnitPriceLevel rounds one unit and multiplies that (1.08 x 3 at 19 %
    is 3.86 or 3.87).
    """
    by_unit = calculation == "UnitPriceLevel" and quantity > 0
    base = unit if by_unit else Decimal(total)
    times = quantity if by_unit else 1
    factor = 1 + Decimal(rate["amount"])
    if rate["includedInPrice"]:
        return round_cents(base / factor, rounding) * times, total
    return total, round_cents(base * factor, rounding) * times


def taxed(net: int, gross: int, portions: Iterable[Doc], currency: str) -> Doc:
    """A taxedPrice with its tax portions."""
    return {
        "totalNet": money(net, currency),
        "totalGross": money(gross, currency),
        "taxPortions": list(portions),
        "totalTax": money(gross - net, currency),
    }


def taxed_line(net: int, gross: int, rate: Doc, currency: str) -> Doc:
    """The taxedPrice of one line, custom line or shipping cost: its tax in one portion, or one for each sub rate."""
    return taxed(net, gross, _portions(gross - net, rate, currency), currency)


def _portions(tax: int, rate: Doc, currency: str) -> list[Doc]:
    shares = rate.get("subRates") or []
    if not shares:
        return [{"rate": rate["amount"], "amount": money(tax, currency), "name": rate["name"]}]
    portions, left = [], tax
    for share in shares[:-1]:
        part = round_cents(tax * Decimal(share["amount"]) / Decimal(rate["amount"]), "HalfEven")
        left -= part
        portions.append({"rate": share["amount"], "amount": money(part, currency), "name": share["name"]})
    last = shares[-1]
    return [*portions, {"rate": last["amount"], "amount": money(left, currency), "name": last["name"]}]


def sum_taxed(parts: Iterable[Doc], currency: str) -> Doc:
    """The total of taxed prices; portions merge by rate and name."""
    net = gross = 0
    merged: dict[tuple[Any, Any], int] = {}
    for part in parts:
        net += part["totalNet"]["centAmount"]
        gross += part["totalGross"]["centAmount"]
        for portion in part["taxPortions"]:
            key = (portion["rate"], portion.get("name"))
            merged[key] = merged.get(key, 0) + portion["amount"]["centAmount"]
    portions = [{"rate": r, "amount": money(tax, currency), "name": name} for (r, name), tax in merged.items()]
    return taxed(net, gross, portions, currency)
