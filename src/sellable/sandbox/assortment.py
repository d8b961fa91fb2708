"""The demo's home-ware shop: names, prices, bundles and an opening stock with many scarce SKUs.

Rule: everything follows from the seed.
"""

import random

from sellable.sandbox.shop import INSPECTION, SHELF, Item, Place, SalesChannel, Shop, TaxRate, dice

# Kind, code, lowest and highest price in euros, sold at the reduced rate.
KINDS = (
    ("Dining Chair", "CHR", 49, 189, False), ("Table Lamp", "LMP", 25, 119, False),
    ("Cushion", "CSH", 12, 45, False), ("Wool Throw", "THR", 35, 99, False), ("Vase", "VAS", 14, 79, False),
    ("Mug", "MUG", 7, 19, False), ("Dinner Plate", "PLT", 9, 29, False), ("Carafe", "CRF", 18, 49, False),
    ("Mirror", "MIR", 39, 249, False), ("Side Table", "SDT", 59, 219, False),
    ("Candle Holder", "CND", 8, 39, False), ("Storage Box", "BOX", 11, 35, False),
    ("Picture Frame", "FRM", 9, 45, False), ("Bath Towel", "TWL", 12, 39, False),
    ("Cutting Board", "CTB", 15, 59, False), ("Wall Clock", "CLK", 25, 89, False), ("Rug", "RUG", 79, 399, False),
    ("Tea Tin", "TEA", 6, 18, True), ("Cook Book", "BOK", 15, 45, True), ("Coffee Beans", "COF", 8, 22, True),
)  # fmt: skip
STYLES = (
    "Alma", "Bergen", "Cortina", "Delft", "Elba", "Falster", "Gotland", "Havana", "Ibiza", "Jura", "Kyoto", "Lund",
    "Marais", "Napoli", "Oslo", "Porto",
)  # fmt: skip
COLOURS = (
    ("Amber", "AMB"), ("Blue", "BLU"), ("Coral", "COR"), ("Ecru", "ECR"), ("Forest", "FOR"), ("Grey", "GRY"),
    ("Ochre", "OCH"), ("Rose", "ROS"),
)  # fmt: skip

PLACES = (
    Place(name="north", remote="Hamburg Warehouse"),
    Place(name="south", remote="Munich Warehouse"),
    Place(name="store", remote="Berlin Store", counter=True),
    # Cin7 calls these goods available; that they still have to be inspected is known to our configuration only.
    Place(name="returns", remote="Returns Centre", ships=False, inspects=False, sellable=False),
)
MOSTLY = (("ReserveOnOrder", 0.94), ("TrackOnly", 0.04), ("None", 0.02))
CHANNELS = (
    SalesChannel(key="web-eu", name="Web EU", pool="eu", places=("north", "south", "returns"),
                 countries=("DE", "FR", "AT"), weight=5, modes=MOSTLY),
    SalesChannel(key="web-uk", name="Web UK", pool="uk", places=("south",),
                 countries=("GB",), buffer=1, weight=2, modes=MOSTLY),
    SalesChannel(key="pickup", name="Click and collect", pool="city", places=("store", "north"),
                 countries=("DE",), cap=20, weight=2),
)  # fmt: skip
TAXES = (
    TaxRate(country="DE", name="19 % VAT", percent=19, rule="DE 19%"),
    TaxRate(country="DE", name="7 % VAT", percent=7, rule="DE 7%", reduced=True),
    TaxRate(country="FR", name="20 % TVA", percent=20, rule="FR 20%"),
    TaxRate(country="AT", name="20 % USt", percent=20, rule="AT 20%"),
    TaxRate(country="AT", name="10 % USt", percent=10, rule="AT 10%", reduced=True),
    TaxRate(country="GB", name="20 % VAT", percent=20, rule="UK 20%"),
)


def demo(seed: int, skus: int, bundles: int) -> Shop:
    """See Shop.demo; bundles come on top of `skus`."""
    goods = _goods(dice(seed, "goods"), skus)
    parts = goods[: max(bundles * 3 // 2, 3)]
    sets = _bundles(dice(seed, "bundles"), parts, bundles)
    stock = _stock(dice(seed, "stock"), goods, {item.sku for item in parts})
    held_back = {item.sku: 1 for item in dice(seed, "buffers").sample(goods, max(1, skus // 100))}
    return Shop(
        project="sandbox-home",
        currency="EUR",
        items=(*goods, *sets),
        places=PLACES,
        channels=CHANNELS,
        taxes=TAXES,
        stock=tuple(stock),
        held_back=held_back,
    )


def _goods(die: random.Random, skus: int) -> tuple[Item, ...]:
    combinations = [(kind, style, colour) for kind in KINDS for style in STYLES for colour in COLOURS]
    most = len(combinations)
    found = []
    for n in range(skus):
        (kind, code, low, high, reduced), style, (colour, short) = combinations[(n * 7919) % most]
        size = f" {n // most + 1}" if n >= most else ""
        cents = die.randrange(low, high) * 100 + die.choice((0, 50, 90, 95, 99))
        sku = f"{code}-{style[:3].upper()}{n // most or ''}-{short}"
        found.append(Item(sku=sku, name=f"{kind} {style}{size}, {colour}", price_cents=cents, reduced=reduced))
    return tuple(found)


def _bundles(die: random.Random, parts: tuple[Item, ...], bundles: int) -> list[Item]:
    found = []
    for n in range(1, bundles + 1):
        chosen = die.sample(parts, die.choice((2, 2, 3)))
        recipe = {item.sku: die.choice((1, 1, 2, 4)) for item in chosen}
        price = sum(item.price_cents * recipe[item.sku] for item in chosen) * 9 // 10
        found.append(Item(sku=f"SET-{n:03d}", name=f"Set {n} of {chosen[0].name}", price_cents=price, recipe=recipe))
    return found


def _stock(die: random.Random, goods: tuple[Item, ...], parts: set[str]) -> list[tuple[str, str, str, int]]:
    """A seventh sold out, nearly half with one to five, the rest up to 200; components of bundles are well stocked."""
    rows = []
    for item in goods:
        ((low, high),) = die.choices(((0, 0), (1, 5), (6, 40), (40, 200)), (15, 45, 30, 10))
        if item.sku in parts:
            low, high = 10, 60
        # A location with a row of 0 keeps the shelf first in the back office's list of bins.
        shares = [(name, die.randint(low, high) // (1 + (name == "store"))) for name in ("north", "south", "store")]
        if high <= 5:
            lucky = die.randrange(3)
            kept = [n == lucky or die.random() < 0.4 for n in range(3)]
            shares = [(name, units * keep) for (name, units), keep in zip(shares, kept, strict=True)]
        rows += [(item.sku, name, SHELF, units) for name, units in shares]
        if die.random() < 0.08:
            rows.append((item.sku, die.choice(("north", "south", "store")), INSPECTION, die.randint(1, 4)))
        if die.random() < 0.05:
            rows.append((item.sku, "returns", SHELF, die.randint(1, 6)))
    return rows
