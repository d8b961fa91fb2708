"""Order messages as the storefront makes them, as many as wanted: a few real ones copied under fresh ids."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

import msgspec

from bench.stage import CT, Storefront
from sellable.sandbox.shop import SECRET, SHOPPER_CLIENT, Shop, dice
from sellable.sandbox.shopper import Basket, BasketLine
from sellable.sandbox.shopper import Storefront as Shopper


async def patterns(storefront: Storefront, shop: Shop, *, orders: int = 30, lines: int = 3) -> list[bytes]:
    """Bodies of OrderCreated messages, each with so many lines of different SKUs."""
    die, shopper = dice(1, "bench"), Shopper(storefront.client, CT, shop)
    goods = [item for item in shop.items if not item.recipe and not item.known_as]
    for n in range(orders):
        chosen = tuple(BasketLine(sku=item.sku, quantity=1) for item in die.sample(goods, lines))
        await shopper.order(Basket(number=f"BENCH-{n}", channel="web-eu", country="DE", lines=chosen))
    signed = await storefront.client.post(
        f"{CT}/oauth/token", data={"grant_type": "client_credentials"}, auth=(SHOPPER_CLIENT, SECRET)
    )
    answer = await storefront.client.get(
        f"{CT}/{shop.project}/messages",
        params={"where": 'type="OrderCreated"', "limit": "500"},
        headers={"authorization": f"Bearer {signed.json()['access_token']}"},
    )
    return [msgspec.json.encode(message) for message in answer.json()["results"]]


def copies(bodies: list[bytes]) -> Iterator[tuple[str, str, bytes]]:
    """(message id, order id, body) without end, every one a new order."""
    known = []
    for body in bodies:
        document = msgspec.json.decode(body)
        names = (document["id"], document["resource"]["id"], f'"{document["order"]["orderNumber"]}"')
        known.append((body, *(name.encode() for name in names)))
    for n, (body, message, order, number) in enumerate(itertools.cycle(known)):
        new, new_order = str(uuid.uuid4()), str(uuid.uuid4())
        text = body.replace(message, new.encode()).replace(order, new_order.encode())
        yield new, new_order, text.replace(number, f'"B{n}"'.encode())


def notification(body: bytes) -> bytes:
    """A message as a subscription delivers it (Platform format)."""
    return b'{"notificationType":"Message","projectKey":"sandbox-home",' + body[1:]
