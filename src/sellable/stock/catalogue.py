"""What the master's catalogue knows: which SKUs exist exactly, and what kits are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sellable.domain.stock import Priority, normal_sku
from sellable.runtime.database import ReadTx, Tx
from sellable.runtime.queries import queries
from sellable.stock import dirty

sql = queries("sellable.stock")


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product of the master; `recipe` is component -> units of a kit, empty for anything else."""

    sku: str
    name: str
    sellable: bool
    service: bool
    kit: bool
    recipe: Mapping[str, int]
    fault: str = ""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a boundary check needs: exact products, and twins that differ only by case or blanks."""

    exact: Mapping[str, Any]
    twins: Mapping[str, tuple[str, ...]]
    anything: bool


def put(tx: Tx, products: Sequence[Product], now: datetime) -> list[str]:
    """Stores catalogue rows; a changed recipe gets a new version. Returns the kits whose recipe changed."""
    rows = list({p.sku: p for p in products}.values())
    tx.run(
        sql.put_products,
        sku=[p.sku for p in rows],
        normal=[normal_sku(p.sku) for p in rows],
        name=[p.name for p in rows],
        sellable=[p.sellable for p in rows],
        service=[p.service for p in rows],
        kit=[p.kit for p in rows],
        fault=[p.fault for p in rows],
        at=now,
    )
    changed = [p.sku for p in rows if (p.kit or p.recipe) and not p.fault and _put_recipe(tx, p)]
    dirty.mark(tx, changed, Priority.LOWER, "recipe", now)
    return changed


def note(tx: Tx, skus: Sequence[str], now: datetime) -> None:
    """Stores SKUs that a warehouse has, where no catalogue says more about them."""
    tx.run(sql.note_products, sku=list(skus), normal=[normal_sku(sku) for sku in skus], at=now)


def _put_recipe(tx: Tx, product: Product) -> bool:
    stored = tx.all(sql.recipe_now, sku=product.sku)
    if {r.component: r.units for r in stored} == dict(product.recipe):
        return False
    tx.run(sql.drop_recipe, sku=product.sku)
    components = sorted(product.recipe)
    tx.run(
        sql.put_recipe,
        sku=product.sku,
        version=max((r.version for r in stored), default=0) + 1,
        components=components,
        units=[product.recipe[c] for c in components],
    )
    return True


def spell(tx: Tx, storefront_to_master: Mapping[str, str], now: datetime) -> list[str]:
    """Takes over which SKUs the settings say are spelled otherwise at the master. Returns those whose map changed."""
    spelled = sorted(storefront_to_master.items())
    changed = [
        row.storefront
        for row in tx.all(sql.put_sku_map, storefront=[s for s, _ in spelled], master=[m for _, m in spelled])
    ]
    dirty.mark(tx, changed, Priority.LOWER, "spelling", now)
    return changed


def known(tx: ReadTx, skus: Sequence[str]) -> Known:
    """What the catalogue says about these SKUs; `anything` is False while no catalogue was ever read."""
    normal = {sku: normal_sku(sku) for sku in skus}
    rows = tx.all(sql.products_of, skus=list(skus), normal=sorted(set(normal.values())))
    exact = {r.sku: r for r in rows if r.sku in normal}
    twins = {
        sku: tuple(sorted(r.sku for r in rows if r.normal == norm and r.sku != sku)) for sku, norm in normal.items()
    }
    anything = bool(rows) or bool(tx.value(sql.count_products))
    return Known(exact=exact, twins=twins, anything=anything)
