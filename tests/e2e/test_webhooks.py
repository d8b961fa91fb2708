"""Webhooks into a running product: stored once whichever way they come, hints followed, registrations kept awake."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
from tests.e2e.world import World, run

from sellable.desk import cases
from sellable.runtime import feeds, inbox
from sellable.runtime.database import Store
from sellable.runtime.inbox import Arrival
from sellable.runtime.queries import Query
from sellable.runtime.seal import Seal, name_of
from sellable.web.server import application

US = "http://us.test"
KEY, LOST = b"the key of every test, 32 bytes ", b"a key that somebody left at home"
HOOK = {"path_token": "path", "secret": "s3cret", "public_url": ""}
WATCHDOG = "cin7_core.webhooks"
EVER = ("open", "acknowledged", "resolved")
MESSAGES = Query(
    package="test", name="test", purpose="test", text="SELECT count(*) FROM inbox WHERE message_id = %(message_id)s"
)


async def push(world: World, source: str, body: Any, *, secret: str = "s3cret", path: str = "path") -> httpx2.Response:
    transport = httpx2.ASGITransport(application(world.service.face()))
    async with httpx2.AsyncClient(transport=transport, base_url=US) as client:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"authorization": f"Bearer {secret}"}
        return await client.post(f"/webhooks/{source}/{path}", content=content, headers=headers)


def test_a_pushed_message_is_the_polled_one(store: Store) -> None:
    async def story(world: World) -> None:
        await world.until_shown(ARMCHAIR__web_eu=14)
        order = await world.buy({"ARMCHAIR": 1})
        await world.until_stage(order["id"], "exported")
        found = await world.ct("GET", '/messages?where=type="OrderCreated"&limit=500')
        message = next(m for m in found["results"] if m["resource"]["id"] == order["id"])

        async def polled() -> bool:
            return await world.store.read(lambda tx: tx.value(MESSAGES, message_id=message["id"])) == 1

        # The sweep of changed orders may have brought the order before the poll brought its message.
        await world.until(polled, "the poll has brought the message")
        plain = {"notificationType": "Message", "projectKey": "shop", **message}
        event = {"specversion": "1.0", "id": "x", "type": "com.commercetools.order.message.OrderCreated", "data": plain}
        for body in (plain, event, [plain, event]):
            answer = await push(world, "commercetools", body)
            assert (answer.status_code, answer.json()) == (200, {"stored": 0})
        assert await world.store.read(lambda tx: tx.value(MESSAGES, message_id=message["id"])) == 1
        new = await push(world, "commercetools", [{**plain, "id": "pushed-first"}, {**event, "data": plain}])
        assert new.json() == {"stored": 1}
        for bad in (b"", b"<html>", b"{}", b"[1]"):
            assert (await push(world, "commercetools", bad)).status_code == 400
        for wrong in ({"secret": "other"}, {"path": "other"}):
            assert (await push(world, "commercetools", plain, **wrong)).status_code == 401
            assert (await push(world, "cin7", {}, **wrong)).status_code == 401
        assert len(await world.sales()) == 1

    run(story, store, settings={"commercetools": {"webhook": HOOK}, "cin7_core": {"webhook": HOOK}})


def test_webhooks_that_fell_asleep_are_woken_and_owned(store: Store) -> None:
    def hooks(world: World) -> list[Any]:
        return list(world.company.vendor.webhooks.hooks.values())

    async def states(world: World) -> list[str]:
        """Of every case there ever was about them: one that is over by the time we look was there all the same."""
        found = await world.store.read(lambda tx: cases.listing(tx, states=EVER, kind="webhook_inactive"))
        return [case.state for case in found]

    async def story(world: World) -> None:
        async def first_turn() -> bool:
            rows = await world.store.read(feeds.states)
            return any(row.name == WATCHDOG and row.cursor is not None for row in rows)

        await world.until(first_turn, "the watchdog's first turn is committed")
        assert [h["IsActive"] for h in hooks(world)] == [True] * 8
        assert await states(world) == []
        for hook in hooks(world):
            hook["IsActive"] = False
        await world.store.write(feeds.poke, WATCHDOG)
        await world.until(lambda: states(world), "a case about sleeping webhooks")
        assert [h["IsActive"] for h in hooks(world)] == [True] * 8
        await world.store.write(feeds.poke, WATCHDOG)

        async def over() -> bool:
            return await states(world) == ["resolved"]

        await world.until(over, "the one case is over once they stay awake")

    run(story, store, settings={"cin7_core": {"webhook": {**HOOK, "public_url": US}}})


STATES = Query(
    package="test", name="test", purpose="test",
    text="SELECT message_id, state, sealed_with FROM inbox WHERE source = 'test' ORDER BY id",
)  # fmt: skip
IN_THE_OPEN = Query(
    package="test", name="test", purpose="test",
    text="UPDATE inbox SET sealed_with = '', body = 'SKU'::bytea WHERE message_id = 'older version'",
)  # fmt: skip


def hint(message_id: str) -> Arrival:
    return Arrival(source="test", message_id=message_id, kind="cin7.hook", lane="", body=b'{"SKU": "ARMCHAIR"}')


def test_a_lost_key_is_a_case_and_a_key_that_is_back_ends_it(store: Store) -> None:
    """What an older version stored in the open is sealed at the start; what lacks its key waits until it is here."""
    lost = Store(store.url, store.clock, seal=Seal(LOST))
    lost.write_now(inbox.put, [hint("lost key")], store.clock.now())
    store.write_now(inbox.put, [hint("older version")], store.clock.now())
    store.write_now(lambda tx: tx.run(IN_THE_OPEN))
    lost.close()
    assert store.seal is not None
    ours = store.seal.newest

    async def found(world: World) -> dict[str, tuple[str, str]]:
        rows = await world.store.read(lambda tx: tx.all(STATES))
        return {row.message_id: (row.state, row.sealed_with) for row in rows}

    async def story(world: World) -> None:
        async def parked() -> bool:
            seen = await found(world)
            return seen == {"lost key": ("quarantined", name_of(LOST)), "older version": ("done", ours)}

        await world.until(parked, "the row without its key is parked, the other is sealed and handled")
        (case,) = [c for c in await world.store.read(cases.listing) if c.kind == "payload_locked"]
        assert case.subject == f"key:{name_of(LOST)}"
        await world.until_shown(ARMCHAIR__web_eu=14)

        await world.service.stop()
        world.store.seal = Seal(KEY, LOST)
        await world.serve().start()

        async def over() -> bool:
            open_kinds = {c.kind for c in await world.store.read(cases.listing)}
            return "payload_locked" not in open_kinds and (await found(world))["lost key"] == ("done", ours)

        await world.until(over, "the key is back: the row is handled, the case is over, the newest key seals it")

    run(story, store)
