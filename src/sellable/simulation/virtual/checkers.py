"""Judges of a run, from outside: the vendors' records and the database, never the product's memory.

Rule: a checker states what CORRECTNESS calls an invariant, and is not made milder to let a run pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sellable.runtime import audit
from sellable.runtime.database import ReadTx
from sellable.runtime.queries import queries
from sellable.sandbox.shop import CANCELLED, ORDER_KEY, READ_KEY, SECRET, SERVICE_CLIENT
from sellable.simulation.oracle import LIVE, Verdict, judge
from sellable.simulation.picture import Key, cancelled_by, order_of
from sellable.simulation.rules import Declared
from sellable.simulation.virtual.world import World

sql = queries("sellable.simulation.virtual")
CANARIES = f"({SECRET}|{READ_KEY}|{ORDER_KEY}|shopper@example|Sam Shopper|Lindenallee)"
DOOR_CALLS_MAX = 60
"""Calls a minute and key that the back office publishes as its limit."""
AUDIT_SECONDS = 60.0
EVERYDAY = frozenset({"cancel_too_late", "change_too_late", "refund_due", "backordered", "oversold"})
"""Kinds of case that shoppers and a shop's counter alone can bring about."""
CAUSES: Mapping[str, tuple[str, ...]] = {
    "foreign_writer": ("foreign write",),
    "sale_changed_by_staff": ("staff undo", "staff void", "staff reduce"),
    "stock_row_invalid": ("cin7-fractional", "cin7-huge", "cin7-wrong-type", "cin7-sku-case"),
}
"""What alone explains some kinds; of all others any trouble does."""
NEVER = frozenset({"two_sales_one_order", "over_shipped", "over_returned", "return_unmatched"})
HAPPENED = frozenset({"order_accepted", "order_cancelled", "order_deleted", "stock", "sale_authorised"})
"""Words of a journal after which a number may be too low for a while."""
EXPLAINS_NOTHING = frozenset({"replayed by a person", "decided by a person", "hint lost", "returned", "inspected"})
"""What happens and makes no case; nor does whatever becomes of a message that is pushed."""
NOT_OURS = ("restockableInDays", "expectedDelivery", "minCartQuantity", "maxCartQuantity", "stockLevels",
            "reservationExpirationInMinutes")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Broken:
    """An invariant that did not hold, first seen at `at` virtual seconds."""

    invariant: str
    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at:.1f} s: {self.what}"


class Checkers:
    """Looks again and again, notes what is broken and how often each invariant was looked at."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.broken: list[Broken] = []
        self.checked: Counter[str] = Counter()
        self._fields = world.fields(NOT_OURS)
        self._bases: dict[tuple[str, str, str], int] = {}
        self._restored = 0
        self._scanned = 0.0
        self._scan_every = 300.0

    def say(self, invariant: str, what: str, at: float | None = None) -> None:
        """Note something broken, once for each sentence."""
        if not any(b.invariant == invariant and b.what == what for b in self.broken):
            moment = self._world.loop.time() if at is None else at
            self.broken.append(Broken(invariant=invariant, at=moment, what=what))

    def step(self) -> None:
        """At each look: what is cheap; every five minutes: everything."""
        self._door()
        if self._world.loop.time() - self._scanned >= self._scan_every:
            self._scanned = self._world.loop.time()
            self.scan()

    def scan(self) -> None:
        """Every row of the database."""
        self._world.store.read_now(self._scan)

    # --- while it runs -----------------------------------------------------------------------------------------------

    def _door(self) -> None:
        """I11: calls as the vendor's door counted them."""
        self.checked["I11"] += 1
        peaks = self._world.back_office.stats.report()["peaks"]
        for key, most in peaks.items():
            if most > DOOR_CALLS_MAX:
                self.say("I11", f"{most} calls of {key} in a minute at Cin7 Core's door")

    def _scan(self, tx: ReadTx) -> None:
        found: dict[str, list[Any]] = {
            "I1": [*tx.all(sql.balances_off), *tx.all(sql.skus_off)],
            "I6": tx.all(sql.lines_off),
            "I8": tx.all(sql.shadows_off),
            "I9": tx.all(sql.doubled_operations),
        }
        for invariant, rows in found.items():
            self.checked[invariant] += 1
            for row in rows:
                self.say(invariant, str(row._asdict()))
        self.checked["I17"] += 1
        if self._restored != self._world.restored:
            # What the database knew since its backup is gone, bases among it.
            self._bases, self._restored = {}, self._world.restored
        for row in tx.all(sql.bases):
            key = (row.sku, row.location, row.part)
            if row.a0 < self._bases.get(key, 0):
                self.say("I17", f"the base of {key} moved back from {self._bases[key]} to {row.a0}")
            self._bases[key] = row.a0

    # --- at the end --------------------------------------------------------------------------------------------------

    async def finish(self, declared: Declared, at_rest: bool, what: str) -> Verdict:
        """The whole run: oracle, convergence, orders, audit."""
        world = self._world
        self.scan()
        verdict = judge(await world.watch.close(), world.rules, declared)
        if not at_rest:
            self.say("convergence", f"not at rest: {what}")
        self._oversold(verdict)
        self._undersold(verdict)
        self._numbers(verdict)
        self._orders(verdict)
        if at_rest:
            self._units(verdict)
            self._returns()
        self._staff_alone()
        world.store.read_now(self._ended)
        return verdict

    def _oversold(self, verdict: Verdict) -> None:
        """I3, I4."""
        began = self._world.clock.time() - self._world.loop.time()
        self.checked["I4"] += len(verdict.acceptances)
        for judged in verdict.oversold_by_us:
            a = judged.acceptance
            self.say(
                "I4", f"order {a.number} took {a.units} of {a.key[0]} on {a.key[1]}, {judged.ours} too many",
                a.t - began,
            )  # fmt: skip

    def _undersold(self, verdict: Verdict) -> None:
        """Too safe is a failure as well: where nothing was sold, moved or counted all day, nothing was ever too low."""
        world = self._world
        rows = [*world.watch.storefront, *world.watch.back_office]
        if any(row["what"] in HAPPENED and row["t"] >= world.watch.began for row in rows):
            return
        self.checked["caution"] += 1
        if verdict.undersell_unit_seconds:
            self.say("caution", f"{verdict.undersell_unit_seconds:.0f} unit seconds too low and nothing had happened")

    def _numbers(self, verdict: Verdict) -> None:
        """Convergence: published = truth for every key."""
        self.checked["convergence"] += verdict.keys
        for wrong in verdict.wrong:
            self.say(
                "convergence",
                f"{wrong.sku} on {wrong.channel} counts {wrong.counter}, shows {wrong.visible},"
                f" should be {wrong.should[0]} to {wrong.should[1]}",
            )

    def _orders(self, verdict: Verdict) -> None:
        """I5, I7, I16: each order once at the back office, or waiting with its owner; each delivery told once."""
        tie = verdict.tie
        self.checked["I5"] += tie.captured
        waiting = {row.order_id: row for row in self._world.store.read_now(lambda tx: tx.all(sql.waiting_orders))}
        for order in tie.missing:
            row = waiting.get(order)
            if row is None:
                self.say("I5", f"order {order} is at neither place")
            elif not row.owned:
                self.say("I5", f"order {order} is {row.stage} ({row.hold_cause}) and nobody owns it")
        for order in tie.doubled:
            self.say("I5", f"order {order} is at the back office twice")
        for order in tie.cancelled_but_live:
            self.say("I7", f"order {order} is cancelled and its sale lives")
        for (order, sku), units in tie.deliveries_missing.items():
            self.say("I7", f"{units} of {sku} of order {order} left the warehouse untold")
        for (order, sku), units in tie.deliveries_extra.items():
            self.say("I7", f"{units} of {sku} of order {order} are told as delivered and never left")
        announced = self._announced()
        for words in tie.unbalanced:
            # Of units that a shopper announced together and that are looked at singly there are items besides theirs.
            if words.split()[0] not in announced:
                self.say("I6", words)
        for order in tie.totals_differ:
            self.say("I16", f"order {order} has other totals at the back office")
        self._taxes(tie.exported_once)

    def _units(self, verdict: Verdict) -> None:
        """I6 against both records: of each line of an order that lives, ordered = open + shipped + cancelled as its
        sales and the storefront have it, and what is back is what was taken back."""
        told, sold, left = self._cancelled_at_the_storefront(), Counter[Key](), Counter[Key]()
        for sale in self._world.back_office.vendor.truth()["sales"]:
            order = order_of(sale["external_id"], self._world.shop.project)
            if order is not None and sale["order_status"] == LIVE:
                for line in sale["lines"]:
                    sold[order, line["sku"]] += line["quantity"]
                    left[order, line["sku"]] += line["shipped"]
        back = self._taken_back()
        unsold = {*verdict.tie.missing, *verdict.tie.doubled}
        for row in self._world.store.read_now(lambda tx: tx.all(sql.book_lines)):
            key = row.order_id, row.sku
            self.checked["I6"] += 1
            if key[0] not in unsold and sold[key] != row.ordered - row.cancelled:
                self.say("I6", f"{row._asdict()} and {sold[key]} on its sales")
            if row.shipped != left[key] or row.returned != back[key] or row.cancelled > told[key]:
                self.say("I6", f"{row._asdict()}: {left[key]} left, {back[key]} came back, {told[key]} are cancelled")

    def _cancelled_at_the_storefront(self) -> Counter[Key]:
        project = self._world.storefront.vendor.truth()["projects"][self._world.shop.project]
        found: Counter[Key] = Counter()
        for order in project["orders"]:
            for line in order["lines"]:
                found[order["id"], self._world.rules.card(line["sku"])] += line["in_state"].get(CANCELLED, 0)
        return found

    def _taken_back(self) -> Counter[Key]:
        """Units by order and SKU that the back office credited."""
        found: Counter[Key] = Counter()
        for row in self._world.watch.back_office:
            order = order_of(row.get("external_id"), self._world.shop.project)
            if row["what"] == "goods_returned" and order is not None:
                for line in row["lines"]:
                    found[order, line["sku"]] += line["quantity"]
        return found

    def _announced(self) -> set[str]:
        """Numbers of the orders of which somebody else has told a return."""
        project = self._world.storefront.vendor.truth()["projects"][self._world.shop.project]
        return {
            order["orderNumber"]
            for order in project["orders"]
            for info in order.get("returnInfo", [])
            if any("key" not in item for item in info["items"])
        }

    def _returns(self) -> None:
        """I7: what came back is told once, and as what it was found to be. Goods that a shopper announced have an item
        already, of which ours may be the state."""
        world = self._world
        told: Counter[tuple[Key, bool, str]] = Counter()
        project = world.storefront.vendor.truth()["projects"][world.shop.project]
        for order in project["orders"]:
            cards = {line["line"]: world.rules.card(line["sku"]) for line in order["lines"]}
            for item in (item for info in order.get("returnInfo", []) for item in info["items"]):
                key = order["id"], cards[item["lineItemId"]]
                told[key, "key" in item, item["shipmentState"]] += item["quantity"]
        back = self._taken_back()
        for key in sorted({*back, *(key for key, _, _ in told)}):
            self.checked["I7"] += 1
            mine = {state: n for (k, keyed, state), n in told.items() if k == key and keyed}
            theirs = sum(n for (k, keyed, _), n in told.items() if k == key and not keyed)
            ours = sum(mine.values())
            if not back[key] - theirs <= ours <= back[key]:
                self.say("I7", f"{back[key]} of {key} came back; told are {mine}, announced were {theirs}")
            fate = world.after_sale.fates.get(key)
            wrong = {state: n for state, n in mine.items() if state != fate}
            if fate is not None and wrong:
                self.say("I7", f"what came back of {key} was found to be {fate} and is told as {wrong}")

    def _staff_alone(self) -> None:
        """What staff take off a sale is cancelled at the storefront by us only where the settings say so."""
        world = self._world
        ours = cancelled_by(SERVICE_CLIENT, world.watch.storefront, world.rules)
        self.checked["I6"] += 1
        if ours and not world.plan.staff_cancels:
            self.say("I6", f"we cancelled {ours} at the storefront, and nobody had said that staff may")

    def _taxes(self, exported: Sequence[str]) -> None:
        """I16: the tax of an order is the tax of its sales, to the minor unit; the oracle has compared the gross."""
        project = self._world.storefront.vendor.truth()["projects"][self._world.shop.project]
        wanted = {order["id"]: order["taxedPrice"] for order in project["orders"]}
        found: dict[str, Decimal] = {}
        for sale in self._world.back_office.vendor.truth()["sales"]:
            order = order_of(sale["external_id"], self._world.shop.project)
            if order is not None and sale["order_status"] == LIVE:
                found[order] = found.get(order, Decimal(0)) + Decimal(sale["tax"])
        for order in exported:
            tax = wanted[order]["totalGross"]["centAmount"] - wanted[order]["totalNet"]["centAmount"]
            self.checked["I16"] += 1
            if found.get(order, Decimal(0)) * 100 != tax:
                self.say("I16", f"order {order} has a tax of {tax} at the storefront, {found.get(order)} in its sales")

    def _ended(self, tx: ReadTx) -> None:
        world = self._world
        self.checked["convergence"] += 1
        for row in tx.all(sql.unfinished):
            self.say("convergence", f"{row.n} {row.what} at the end")
        for row in tx.all(sql.not_published):
            self.say("convergence", f"T of {row.sku} on {row.channel} is {row.t}, E is {row.e}")
        self.checked["I13"] += 1
        held = max(world.shop.held_back.values(), default=0)
        open_ended = {c.key: c.buffer + held for c in world.shop.channels if c.cap is None}
        for row in tx.all(sql.bundles_off, channels=list(open_ended), slacks=list(open_ended.values())):
            self.say("I13", str(row._asdict()))
        self.checked["I20"] += 1
        for row in tx.all(sql.unaudited, before=world.clock.now() - timedelta(seconds=AUDIT_SECONDS)):
            self.say("I20", f"{row.kind} {row.id} is not in the audit")
        for broken in audit.verify(tx):
            self.say("I20", f"the audit's chain {broken.segment} is broken: {broken.what}")
        self._cases(tx)
        self.checked["I23"] += 1
        for before, after in zip(self._fields, world.fields(NOT_OURS), strict=True):
            if before != after:
                self.say("I23", f"fields of an entry that are not ours changed from {before} to {after}")
        self.checked["I19"] += 1
        for row in tx.all(sql.canaries, pattern=CANARIES):
            self.say("I19", f"row {row.row} of {row.place} holds a secret or a name")

    def _cases(self, tx: ReadTx) -> None:
        """Convergence: every case traces to a cause; where nothing was injected there is none."""
        fired, plan = +self._world.all_fired(), self._world.plan
        # Where nobody has measured whether cancelling restocks, a wrong guess is corrected as drift.
        guessed = {"drift"} if plan.restocks == "unknown" else set()
        trouble = [name for name in fired if name not in EXPLAINS_NOTHING and not name.startswith("push ")]
        self.checked["cases"] += 1
        for row in tx.all(sql.case_kinds):
            if row.kind in NEVER:
                self.say("I5", f"a case {row.kind} about {row.subject}")
            elif row.kind in EVERYDAY or row.kind in guessed:
                continue
            elif not (any(fired[name] for name in CAUSES[row.kind]) if row.kind in CAUSES else trouble):
                self.say("cases", f"{row.kind} about {row.subject}, and nothing that was injected explains it")

    def quiet(self, writes_before: int, writes_after: int) -> None:
        """I21: at rest nothing is written."""
        self.checked["I21"] += 1
        if writes_after != writes_before:
            self.say("I21", f"{writes_after - writes_before} stock writes although nothing had changed")

    def writes(self) -> int:
        """Direct writes of the product's client until now."""
        rows = self._world.storefront.journal.since(0, 1_000_000_000)
        return sum(
            r["what"] == "entry_written" and r["cause"] == "direct" and r["client"] == SERVICE_CLIENT for r in rows
        )
