"""Troubles that no error reports and no message tells: found by looking at the facts, counted, cleared when over.

Rule: a look claims no more than lasting facts show. What may still be on its way (units subtracted twice knowingly, a
number that waits for proof, a list that was not read to its end) is no trouble yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from sellable.app.desk import CaseDesk
from sellable.app.layout import masters_of
from sellable.book import book
from sellable.config.settings import Settings
from sellable.desk import cases
from sellable.orders.rules import WAREHOUSE
from sellable.runtime import telemetry
from sellable.runtime.database import Row, Tx
from sellable.runtime.queries import queries
from sellable.runtime.wanted import want
from sellable.stock import catalogue, numbers, observe
from sellable.stock.availability import Layout

sql = queries("sellable.app")
MANY_SHARE, MANY_FLOOR = 100, 20
"""More than one number in a hundred, and more than twenty, is no accident of single numbers."""
DRIFT_WINDOW = timedelta(minutes=15)
"""One judging: the time within which numbers that sell are compared once."""
EXAMPLES = 20
ROUTINE = 3
CATALOGUE_AGAIN = timedelta(hours=1)
LAG = timedelta(seconds=20)
"""How long the storefront's own lag, and our decision, may keep an order of one channel from lowering another."""

oversold_units = telemetry.gauge("oversold_units", "Units sold that the master cannot ship.", ["cause"])
differing = telemetry.gauge(
    "stock_differs", "Numbers of commercetools' own that the warehouse counts otherwise.", ["channel"]
)
mismatches = telemetry.gauge("catalogue_mismatches", "SKUs that storefront and master do not agree on.", ["kind"])


# --- Many numbers differ at once -------------------------------------------------------------------------------------


def drift(tx: Tx, desk: CaseDesk, layout: Layout, now: datetime) -> None:
    """Opens `drift_many`, which stops raises, when too many numbers were changed by nobody we know.

    Of the numbers judged of late those that drifted, or of all numbers those that drifted or were written by others.
    What is explained is left out: orders of the last seconds before a look, units we assumed put back by a cancel; and
    channels where others write too: below mode full, and where commercetools is the master of stock.
    """
    if desk.raises_stopped(tx):
        return
    since = now - DRIFT_WINDOW
    others = sorted({*layout.in_mode("shadow", "lowers"), *layout.counted})
    found = tx.one(sql.strange_numbers, since=since, others=others)
    if found is None or found.strange <= MANY_FLOOR:
        return
    size = tx.one(sql.compared_numbers, since=since, others=others)
    assert size is not None
    if found.drifted > max(MANY_FLOOR, size.judged // MANY_SHARE) or found.strange > size.keys // MANY_SHARE:
        actual = {
            "drifted": found.drifted, "written_by_others": found.strange - found.drifted, "judged": size.judged,
            "of": size.keys, "examples": found.examples,
        }  # fmt: skip
        desk.open_case(tx, "drift_many", "storefront", now, expected={"drifted": 0}, actual=actual)


# --- Sold more than there is -----------------------------------------------------------------------------------------


class _Seen(msgspec.Struct):
    """What was short when complete sets looked: by those of `sweep`, one for each master, and by the ones before."""

    sweep: str = ""
    short: dict[str, int] = {}
    before: dict[str, int] = {}


def oversold(tx: Tx, desk: CaseDesk, settings: Settings, now: datetime) -> None:
    """Opens `oversold` for each SKU whose units the master lacked over two complete sets, and clears what is over."""
    newest = [observe.last_applied(tx, master) for master in sorted(masters_of(settings))]
    if None in newest:
        return
    sweeps = [each.id for each in newest]
    row = tx.one(sql.recall, name="oversold")
    seen = msgspec.json.decode(row.value, type=_Seen) if row else _Seen()
    live = {c.subject.removeprefix("sku:"): c.actual for c in cases.listing(tx, kind="oversold", limit=10_000)}
    another = not set(sweeps) & set(seen.sweep.split())  # Every master was read whole since.
    short: dict[str, int] = {}
    if another or live or seen.short:
        places = [place.name for place in settings.locations]
        short = {r.sku: r.short for r in tx.all(sql.short_skus, locations=places)}
    if another:
        # What is claimed next time was then seen by a reading of its own, as far as there are not too many.
        pairs = [
            (r.order_id, r.location) for r in tx.all(sql.short_parts, skus=sorted(short.keys() - live.keys()), limit=20)
        ]
        for target, sales in book.sales_of(tx, pairs).items():
            want(tx, target, "sale", sales, ROUTINE, now)
        seen = _Seen(sweep=" ".join(sweeps), short=short, before=seen.short)
    else:
        seen = msgspec.structs.replace(seen, short=short)
    tx.run(sql.remember, name="oversold", value=msgspec.json.encode(seen).decode(), at=now)
    lasting = {sku: min(units, seen.before[sku]) for sku, units in short.items() if sku in seen.before}
    inherent = 0
    for sku, units in sorted(lasting.items()):
        known = None if another else live.get(sku)
        told = known or _tell(tx, desk, settings, sku, units, now)
        inherent += min(units, told["taken_elsewhere"] + told["sold_beside"])
    for sku in live.keys() - lasting.keys():
        desk.clear_cases(tx, ["oversold"], f"sku:{sku}", now)
    oversold_units.labels("inherent").set(inherent)
    oversold_units.labels("unexplained").set(sum(lasting.values()) - inherent)


def _tell(tx: Tx, desk: CaseDesk, settings: Settings, sku: str, units: int, now: datetime) -> dict[str, Any]:
    """Opens or renews one SKU's case; returns what it says."""
    orders = tx.all(sql.short_orders, sku=sku, limit=EXAMPLES)
    # The newest lack the units: what an older order had is no excuse for a younger one.
    lacking = [o for n, o in enumerate(orders) if sum(younger.units for younger in orders[:n]) < units]
    actual = {
        "units": units,
        "taken_elsewhere": _taken_elsewhere(tx, settings, sku, lacking),
        "sold_beside": _sold_beside(tx, settings, sku, lacking),
        "orders": [[o.label, o.units, o.channel, o.placed_at.isoformat()] for o in orders],
    }
    evidence = [f"order:{o.order_id}" for o in orders]
    desk.open_case(tx, "oversold", f"sku:{sku}", now, expected={"units": 0}, actual=actual, evidence=evidence)
    return actual


def _taken_elsewhere(tx: Tx, settings: Settings, sku: str, orders: Sequence[Row]) -> int:
    """Units of these orders, newest first, that the master lost to others so late that nobody could have known."""
    slowest = max((age.read_every_seconds for age in settings.ages.values()), default=0)
    bound = timedelta(seconds=2 * slowest) + LAG
    found = 0
    for order in orders:
        since = order.placed_at - bound
        lost = int(tx.value(sql.taken_elsewhere, sku=sku, since=since, sales_since=since - bound))
        found += max(0, min(order.units, lost - found))
    return found


def _sold_beside(tx: Tx, settings: Settings, sku: str, orders: Sequence[Row]) -> int:
    """Units that other channels sold so shortly before these orders that together they exceed what was shown then."""
    bound = timedelta(seconds=settings.commercetools.hot_poll_seconds) + LAG
    found = 0
    for order in orders:
        shown = numbers.past(tx, sku, order.channel, order.placed_at - bound)
        left = shown[1]["explanation"]["target"] - order.units if shown else -1
        if left >= 0:
            others = int(tx.value(
                sql.sold_beside, sku=sku, channel=order.channel, since=order.placed_at - bound, until=order.placed_at
            ))  # fmt: skip
            found = max(found, others - left)
    return found


# --- Where commercetools is the master of stock, the warehouse counts otherwise --------------------------------------


class _Compared(msgspec.Struct):
    """What differed when complete sets looked, in units by channel and SKU: by that of `sweep`, and before."""

    sweep: str = ""
    units: dict[str, dict[str, int]] = {}
    before: dict[str, dict[str, int]] = {}


def counted(tx: Tx, desk: CaseDesk, layout: Layout, now: datetime) -> None:
    """Opens `stock_differs` for each channel whose own numbers two complete readings of the warehouse differ from.

    A difference counts as far as both show it in one direction: what is on its way is gone by the next. Nothing is
    written.
    """
    channels = sorted(layout.counted)
    newest = observe.last_applied(tx, WAREHOUSE) if channels else None
    if newest is None:
        return
    row = tx.one(sql.recall, name="compared")
    seen = msgspec.json.decode(row.value, type=_Compared) if row else _Compared()
    another = seen.sweep != newest.id
    if another:
        units: dict[str, dict[str, int]] = {channel: {} for channel in channels}
        places = [layout.pools[layout.channels[channel].pool][0] for channel in channels]
        for found in tx.all(sql.stock_that_differs, channel=channels, location=places):
            units[found.channel][found.sku] = found.units
        seen = _Compared(sweep=newest.id, units=units, before=seen.units)
        tx.run(sql.remember_anew, name="compared", value=msgspec.json.encode(seen).decode(), at=now)
    for channel in channels:
        lasting = _lasting(seen.units.get(channel, {}), seen.before.get(channel, {}))
        differing.labels(channel).set(len(lasting))
        if not another:
            continue  # The case says so already.
        if lasting:
            worst = sorted(lasting.items(), key=lambda each: (-abs(each[1]), each[0]))[:EXAMPLES]
            desk.open_case(
                tx, "stock_differs", f"channel:{channel}", now, expected={"count": 0},
                actual={"count": len(lasting), "commercetools has more by": worst},
            )  # fmt: skip
        else:
            desk.clear_cases(tx, ["stock_differs"], f"channel:{channel}", now)


def _lasting(now: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    both = {sku: (units, before[sku]) for sku, units in now.items() if sku in before}
    return {sku: min(pair, key=abs) for sku, pair in both.items() if (pair[0] > 0) == (pair[1] > 0)}


# --- Catalogues differ -----------------------------------------------------------------------------------------------

CLASSES = ("only_at_storefront", "only_at_master", "twins", "bundle_without_recipe")


def catalogues(tx: Tx, desk: CaseDesk, now: datetime) -> None:
    """Compares the storefront's entries with the master's products after each whole walk of them, one case for a class.

    While a case is open it is looked at hourly, so that it ends soon after it was mended. Nothing is compared with a
    list of which a page was not read, or not understood, yet.
    """
    walked = tx.one(sql.catalogue_walked)
    if walked is None or walked.whole is None:
        return
    row = tx.one(sql.recall, name="catalogue")
    opened = {case.subject: case.actual["count"] for case in cases.listing(tx, kind="catalogue_mismatch")}
    for kind in CLASSES:
        mismatches.labels(kind).set(opened.get(f"catalogue:{kind}", 0))
    if row is not None and row.value == walked.whole and not (opened and now - row.at >= CATALOGUE_AGAIN):
        return
    tx.run(sql.remember_anew, name="catalogue", value=walked.whole, at=now)
    entries = [r.sku for r in tx.all(sql.entries_unknown, whole=walked.whole)]
    twins = {sku: others for sku, others in catalogue.known(tx, entries).twins.items() if others}
    spelled = {other for others in twins.values() for other in others}
    unoffered = [r.sku for r in tx.all(sql.products_unoffered, whole=walked.whole)]
    found: tuple[Sequence[Any], ...] = (
        [sku for sku in entries if sku not in twins],
        [sku for sku in unoffered if sku not in spelled],
        [[sku, *others] for sku, others in sorted(twins.items())],
        [r.sku for r in tx.all(sql.kits_without_recipe)],
    )
    for kind, skus in zip(CLASSES, found, strict=True):
        if skus:
            actual = {"count": len(skus), "examples": skus[:EXAMPLES]}
            desk.open_case(tx, "catalogue_mismatch", f"catalogue:{kind}", now, expected={"count": 0}, actual=actual)
        else:
            desk.clear_cases(tx, ["catalogue_mismatch"], f"catalogue:{kind}", now)
