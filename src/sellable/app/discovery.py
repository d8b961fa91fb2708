"""The first look at both vendors: what settings must name is read from them, so that nobody has to type it.

Reads only, without a database: a few dozen calls, one after the other. What is said with certainty here (a location's
spelling) and what is a guess (a bin's state by its name) are kept apart; guesses are marked where they are written.
"""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

import httpx2
import msgspec

from sellable.app.wiring import private_hosts
from sellable.config.settings import Settings
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.commercetools import survey
from sellable.connectors.commercetools.client import Commercetools
from sellable.connectors.commercetools.survey import Survey
from sellable.connectors.port import CatalogueItem, TaxRule
from sellable.domain.stock import State
from sellable.runtime.clock import Clock
from sellable.runtime.http import HttpPort, PinnedTransport

LANE = "reads"
CATALOGUE_PAGES = 10
GUESSES = (
    (("quarantine", "blocked", "hold"), State.QUARANTINE),
    (("damage", "defect", "broken", "scrap"), State.DAMAGED),
    (("inspect", "return", "quality", "qc"), State.INSPECTION),
    (("receiv", "inbound", "dock"), State.RECEIVING),
)
"""Parts of names of places whose stock is most likely not for sale."""


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """A bin; `staging` ones are left out of availability by Cin7 Core itself."""

    name: str
    staging: bool


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A location as spelled there."""

    remote: str
    bins: tuple[Bin, ...]


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """Both vendors as found."""

    shop: Survey
    company: str
    currency: str
    time_zone: str
    places: tuple[Place, ...]
    rules: tuple[TaxRule, ...]
    carriers: tuple[str, ...]
    customers: tuple[tuple[str, str], ...]  # (name, currency)
    services: tuple[str, ...]
    products: int
    kits: tuple[str, ...]

    @property
    def channels(self) -> list[str]:
        """Keys of what sells: supply channels, and "" where entries have none."""
        bare = [""] if self.shop.channelless_entries or not self.shop.supply_channels else []
        return [*bare, *self.shop.supply_channels]

    @property
    def currencies(self) -> list[str]:
        """Currencies orders come in: those seen, else those of the project, else the company's."""
        found = self.shop.currencies_ordered or self.shop.currencies or (self.currency,)
        return sorted(found, key=lambda code: (code != self.currency, code))

    @property
    def for_sale(self) -> list[str]:
        """Locations whose name does not tell that their stock is held back."""
        return [place.remote for place in self.places if state_of(place.remote) is State.AVAILABLE]


def state_of(name: str) -> State:
    """What stock in a place of this name most likely is; a guess."""
    for parts, state in GUESSES:
        if any(part in name.casefold() for part in parts):
            return state
    return State.AVAILABLE


def is_zone(name: str) -> bool:
    """Whether a time zone is told by its IANA name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


async def products_of(office: Cin7Core) -> list[CatalogueItem]:
    """A call a page: the first products, enough to see services and bundles by."""
    items: list[CatalogueItem] = []
    for number in range(1, CATALOGUE_PAGES + 1):
        page = await office.catalogue_page(number, since=None, lane=LANE)
        items += page.items
        if not page.received or len(items) >= page.total:
            break
    return items


async def discover(settings: Settings, clock: Clock, client: httpx2.AsyncClient | None = None) -> Discovery:
    """Looks at both vendors with the credentials of these settings. `client` replaces the network."""
    client = client or httpx2.AsyncClient(transport=PinnedTransport(private_hosts(settings)))
    try:
        http = HttpPort(client, clock, None)
        shop = await survey.look(Commercetools(http, None, settings.commercetools))
        office = Cin7Core(http, None, settings.cin7_core, Places((), ()))
        me = await office.me(lane=LANE)
        places = await office.locations(lane=LANE)
        rules = await office.tax_rules(lane=LANE)
        carriers = await office.carriers(lane=LANE)
        customers = await office.customers("", lane=LANE)
        items = await products_of(office)
    finally:
        await client.aclose()
    return Discovery(
        shop=shop,
        company=me.company or "",
        currency=me.currency or "",
        time_zone=me.time_zone or "",
        places=tuple(
            Place(
                remote=row.name,
                bins=tuple(
                    Bin(name=held.name, staging=bool(held.is_staging))
                    for held in row.bins or ()
                    if held.name and not held.is_deprecated
                ),
            )
            for row in places
            if row.name and not row.is_deprecated
        ),
        rules=tuple(rule for rule in rules if rule.active),
        carriers=tuple(row.description for row in carriers if row.description),
        customers=tuple((row.name, row.currency or "") for row in customers if row.name),
        services=tuple(item.name for item in items if item.service),
        products=len(items),
        kits=tuple(item.sku for item in items if item.kit),
    )


# --- Which belongs to which; pure ------------------------------------------------------------------------------------


ALSO_KNOWN_AS = {"GB": "UK", "GR": "EL"}
"""Countries whose everyday code, or that of their VAT numbers, is not the ISO one."""


def names_country(rule: str, country: str) -> bool:
    """Whether a rule's name has the country's code as a word."""
    return not {country, ALSO_KNOWN_AS.get(country, country)}.isdisjoint(rule.replace("(", " ").split())


def rule_for(tax: survey.Tax, rules: Iterable[TaxRule]) -> tuple[str, list[str]]:
    """(the rule with a storefront tax's percentage, others that have it too); "" when none has.

    Of several, one that names the country goes first, then one that agrees whether tax is included.
    """
    percent = survey.fraction_of(tax) * 100
    found = sorted(
        (rule for rule in rules if rule.percent == percent),
        key=lambda rule: (not names_country(rule.name, tax.country), rule.included is not tax.included, rule.name),
    )
    return (found[0].name, [rule.name for rule in found[1:]]) if found else ("", [])


def carrier_for(method: str, carriers: Iterable[str]) -> str:
    """A carrier that a shipping method's name tells, or the only one there is; "" when nobody can tell."""
    known = list(carriers)
    named = [carrier for carrier in known if carrier.casefold() in method.casefold()]
    if len(named) == 1:
        return named[0]
    return known[0] if len(known) == 1 else ""


def customer_for(currency: str, customers: Iterable[tuple[str, str]]) -> str:
    """The customer that web orders in a currency are most likely booked on; "" when more than one may be meant."""
    fitting = [name for name, code in customers if code == currency]
    web = [name for name in fitting if "web" in name.casefold() or "online" in name.casefold()]
    for found in (web, fitting):
        if len(found) == 1:
            return found[0]
    return ""
