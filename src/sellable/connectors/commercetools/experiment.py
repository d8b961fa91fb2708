"""What only a write can tell: an order's decrement, its version, its lag, and what a cancel gives back.

On a stock entry of its own: a supply channel that nobody sells from is made for it, and everything made is deleted
again, whatever happens. Its orders carry a number that the rest of the product passes over. Nothing of the SKU's own
entries is read or written. One rule: an answer is given only when it was seen; else it says what stood in the way.

Sources of the questions: API description and release note of 2026-01-19 (stock shows up to 10 s late).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from sellable.connectors.commercetools import wire
from sellable.connectors.commercetools.session import VENDOR, Session
from sellable.connectors.kit.decode import document
from sellable.connectors.port import Conflict, Refused, VendorError
from sellable.domain.orders import EXPERIMENT
from sellable.runtime.http import HttpError

LANE = "repair"
LAG_SECONDS = 12.0
"""The published 10 s, and a little: what has not shown by then does not come."""
LOOK_SECONDS = 1.0
START, ORDERED = 10, 2


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One question with what was seen: `answer` is yes | no | unknown, or a number of seconds."""

    question: str
    answer: str
    evidence: str
    setting: str = ""


class Port(Protocol):
    """What this needs of the client."""

    @property
    def session(self) -> Session: ...


Sleep = Callable[[float], Awaitable[None]]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    id: str
    version: int
    quantity_on_stock: int


class Experiment:
    """One run. `left` names what could not be deleted."""

    def __init__(self, port: Port, sku: str, name: str, sleep: Sleep) -> None:
        """`name` makes keys unique, 8 letters or so."""
        self._session = port.session
        self._sku = sku
        self._name = f"{EXPERIMENT}{name}"
        self._sleep = sleep
        self._made: list[tuple[str, str]] = []
        self._count = 0
        self._entry_id = ""
        self._channel: dict[str, str] = {}
        self._project: wire.Project | None = None
        self.left: list[str] = []

    async def run(self) -> list[Answer]:
        """Every question, in half a minute to two. Raises what the first preparation raises."""
        found: list[Answer] = []
        try:
            await self._prepare()
            for ask in (
                self._order_and_cancel,
                self._set_or_late,
                self._difference,
                self._all_or_nothing,
                self._delete,
            ):
                found += await self._asked(ask)
        finally:
            await self._clear()
        return found

    async def _asked(self, ask: Callable[[], Awaitable[list[Answer]]]) -> list[Answer]:
        try:
            return await ask()
        except (VendorError, HttpError) as error:
            question = (ask.__doc__ or "").split("\n")[0]
            return [Answer(question=question, answer="unknown", evidence=f"{type(error).__name__}: {error}"[:300])]

    # --- The questions ------------------------------------------------------------------------------------------------

    async def _order_and_cancel(self) -> list[Answer]:
        """Does an order bump the entry's version, and does cancelling it put stock back?"""
        before = await self._read()
        order = await self._order(ORDERED)
        fell = await self._until(lambda e: e.quantity_on_stock == before.quantity_on_stock - ORDERED)
        if fell is None:
            says = f"{before.quantity_on_stock} before and {LAG_SECONDS:g} s after an order of {ORDERED}"
            return [Answer(question="Does an order lower the entry?", answer="no", evidence=says)]
        after, seconds = fell
        bump = "yes" if after.version > before.version else "no"
        found = [
            Answer(question="Does an order lower the entry?", answer="yes", evidence=f"seen after about {seconds:g} s"),
            Answer(
                question="Does an order bump the entry's version?", answer=bump,
                evidence=f"version {before.version} before, {after.version} after; either is safe",
            ),
        ]  # fmt: skip
        cancel = {"action": "changeOrderState", "orderState": "Cancelled"}
        await self._call("POST", f"orders/{order['id']}", {"version": order["version"], "actions": [cancel]})
        back = await self._until(lambda e: e.quantity_on_stock == before.quantity_on_stock)
        says = f"{after.quantity_on_stock} before the cancel, "
        says += f"{before.quantity_on_stock} after about {back[1]:g} s" if back else f"the same {LAG_SECONDS:g} s after"
        word = "yes" if back else "no"
        setting = f'[commercetools] restocks_on_cancel = "{word}"'
        found.append(
            Answer(question="Does cancelling put stock back?", answer=word, evidence=says, setting=setting)
        )  # fmt: skip
        return found

    async def _set_or_late(self) -> list[Answer]:
        """Does setting a number swallow a decrement that does not show yet?"""
        question = "Does setting a number swallow a decrement that does not show yet?"
        seen = await self._beside_an_order({"action": "changeQuantity", "quantity": START * 3})
        if seen is None:
            return [
                Answer(question=question, answer="unknown", evidence="each decrement showed before the number was set")
            ]
        _, shown = seen
        word = {START * 3: "yes", START * 3 - 1: "no"}.get(shown, "unknown")
        says = f"set to {START * 3} right after an order of 1, {shown} later; we never set numbers"
        return [Answer(question=question, answer=word, evidence=says)]

    async def _difference(self) -> list[Answer]:
        """Do differences and late decrements add up?"""
        question = "Do differences and late decrements add up?"
        seen = await self._beside_an_order({"action": "addQuantity", "quantity": 5})
        if seen is None:
            return [
                Answer(question=question, answer="unknown", evidence="each decrement showed before units were added")
            ]
        before, shown = seen
        says = f"{before}, an order of 1 and 5 added at once: {shown} where {before + 4} is right"
        return [Answer(question=question, answer="yes" if shown == before + 4 else "no", evidence=says)]

    async def _beside_an_order(self, action: Mapping[str, Any]) -> tuple[int, int] | None:
        """The number before an order of 1 that a change follows at once, and once both must show; None when the order
        always showed first."""
        for _ in range(3):
            before = await self._read()
            await self._order(1)
            try:
                await self._change(action, before.version)
            except Conflict:
                await self._sleep(LAG_SECONDS)
                continue
            await self._sleep(LAG_SECONDS)
            return before.quantity_on_stock, (await self._read()).quantity_on_stock
        return None

    async def _all_or_nothing(self) -> list[Answer]:
        """Is one update with several actions all or nothing?"""
        question = "Is one update with several actions all or nothing?"
        before = await self._read()
        actions = [
            {"action": "addQuantity", "quantity": 3},
            {"action": "setCustomField", "name": "noSuchField", "value": "x"},
        ]
        try:
            body = {"version": before.version, "actions": actions}
            await self._call("POST", f"inventory/{self._entry_id}", body)
        except Refused as refusal:
            shown = (await self._read()).quantity_on_stock
            word = "yes" if shown == before.quantity_on_stock else "no"
            says = f"the second of two was refused ({refusal.code}); {before.quantity_on_stock} before, {shown} after"
            return [Answer(question=question, answer=word, evidence=says)]
        return [Answer(question=question, answer="unknown", evidence="an unknown custom field was not refused")]

    async def _delete(self) -> list[Answer]:
        """Does deleting an order put stock back?"""
        question = "Does deleting an order put stock back?"
        order = await self._order(1)
        await self._sleep(LAG_SECONDS)
        before = await self._read()
        await self._remove("orders", order["id"])
        back = await self._until(lambda e: e.quantity_on_stock == before.quantity_on_stock + 1)
        says = (
            f"{before.quantity_on_stock} before, {'one more' if back else 'the same'} after; drift is judged either way"
        )
        return [Answer(question=question, answer="yes" if back else "no", evidence=says)]

    # --- What is made, and deleted again ------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        answer = await self._session.call("GET", "", lane=LANE)
        self._project = document(answer.body, wire.Project, vendor=VENDOR)
        draft = {"key": self._name, "roles": ["InventorySupply"], "name": {"en": "Experiment of sellable doctor"}}
        channel = await self._make("channels", draft)
        self._channel = {"typeId": "channel", "id": channel["id"]}
        entry = {"sku": self._sku, "supplyChannel": self._channel, "quantityOnStock": START}
        self._entry_id = (await self._make("inventory", entry))["id"]

    async def _order(self, units: int) -> Mapping[str, Any]:
        assert self._project is not None
        country = (self._project.countries or ["DE"])[0]
        cart = await self._make(
            "carts",
            {
                "currency": (self._project.currencies or ["EUR"])[0],
                "country": country,
                "shippingAddress": {"country": country},
                "inventoryMode": "ReserveOnOrder",
                "lineItems": [{"sku": self._sku, "quantity": units, "supplyChannel": self._channel}],
            },
        )
        self._count += 1
        draft = {
            "cart": {"typeId": "cart", "id": cart["id"]}, "version": cart["version"],
            "orderNumber": f"{self._name}-{self._count}",
        }  # fmt: skip
        return await self._make("orders", draft)

    async def _make(self, path: str, draft: Mapping[str, Any]) -> Mapping[str, Any]:
        made = await self._call("POST", path, draft)
        self._made.append((path, made["id"]))
        return made

    async def _clear(self) -> None:
        """Orders first, then the entry, then its channel. What was made unseen is looked for."""
        for place in range(self._count + 1):
            path, key = ("orders", f"order-number={self._name}-{place}") if place else ("channels", f"key={self._name}")
            with suppress(VendorError, HttpError):
                answer = await self._session.call("GET", f"{path}/{key}", lane=LANE)
                head = document(answer.body, wire.Versioned, vendor=VENDOR)
                if (path, head.id) not in self._made:
                    self._made.append((path, head.id))
        for path, resource in reversed(self._made[:]):
            try:
                await self._remove(path, resource)
            except (VendorError, HttpError) as error:
                self.left.append(f"{path}/{resource}: {error}"[:200])

    async def _remove(self, path: str, resource: str) -> None:
        try:
            body = (await self._session.call("GET", f"{path}/{resource}", lane=LANE)).body
            version = document(body, wire.Versioned, vendor=VENDOR).version
            await self._session.call("DELETE", f"{path}/{resource}", lane=LANE, params=[("version", str(version))])
        except Refused as refusal:
            if refusal.code != "ResourceNotFound":
                raise
        self._made.remove((path, resource))

    # --- Looking ------------------------------------------------------------------------------------------------------

    async def _read(self) -> _Entry:
        answer = await self._session.call("GET", f"inventory/{self._entry_id}", lane=LANE)
        return document(answer.body, _Entry, vendor=VENDOR)

    async def _until(self, holds: Callable[[_Entry], bool]) -> tuple[_Entry, float] | None:
        """The entry once it holds, and after how many seconds; None when it does not within the published lag."""
        waited = 0.0
        while True:
            entry = await self._read()
            if holds(entry):
                return entry, waited
            if waited >= LAG_SECONDS:
                return None
            await self._sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS

    async def _change(self, action: Mapping[str, Any], version: int) -> _Entry:
        body = {"version": version, "actions": [action]}
        answer = await self._session.call("POST", f"inventory/{self._entry_id}", lane=LANE, body=body)
        return document(answer.body, _Entry, vendor=VENDOR)

    async def _call(self, method: str, path: str, body: Any) -> Mapping[str, Any]:
        answer = await self._session.call(method, path, lane=LANE, body=body)
        found: Mapping[str, Any] = document(answer.body, dict[str, Any], vendor=VENDOR)
        return found
