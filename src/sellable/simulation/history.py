"""A shop's real order history as a plan: what is ordered, cancelled, sent back, lost and delivered, and when.

Rule: pure; the same rows give the same plan.

The file has one row a line: InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country.
Its order is kept, its pauses are not: orders are packed to a rate, and all else happens between the orders it stood
between. Stock is not in the file, so it is made up from the demand, scarce enough that things sell out.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sellable.sandbox.shop import SHELF, Item, Place, Route, SalesChannel, Shop, TaxRate
from sellable.sandbox.shopper import Basket, BasketLine, Extra

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
NO_PRODUCT = re.compile(r"(?i)^(POST|DOT|M|C2|D|S|B|BANK CHARGES|AMAZONFEE|CRUK|GIFT_.*)$")
HOME = "United Kingdom"
CODES = {
    "United Kingdom": "GB", "EIRE": "IE", "Germany": "DE", "France": "FR", "Spain": "ES", "Netherlands": "NL",
    "Belgium": "BE", "Switzerland": "CH", "Portugal": "PT", "Australia": "AU", "Norway": "NO", "Italy": "IT",
    "Finland": "FI", "Sweden": "SE", "Austria": "AT", "Denmark": "DK", "Japan": "JP", "Poland": "PL",
}  # fmt: skip
ELSEWHERE = "NL"
"""Country of orders from a country whose code is not listed above."""

MAIN, SECOND = "main", "second"
HOUSE, ANNEX = "house", "annex"
"""Sites of a warehouse run with OrderFlow: what it keeps for all channels, and what it keeps for one of its own."""
WHOLE = "whole"
"""The channel of orders that go to that warehouse as a whole."""


class BadHistory(ValueError):
    """The file cannot be read as a history; the message names line and column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file; price in cents (or the like)."""

    invoice: str
    code: str
    text: str
    quantity: int
    at: datetime
    cents: int
    customer: str
    country: str


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """An earlier order is called off; where it is too late for that, its lines come back."""

    number: str
    lines: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Back:
    """Units by SKU come back, of an earlier order or (None) of one before this history."""

    number: str | None
    lines: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What happens at the warehouse: word is write_off or receive."""

    word: str
    sku: str
    place: str
    units: int


@dataclass(frozen=True, kw_only=True)
class Split:
    """What goes to a second back office, a warehouse run with OrderFlow: so many percent of the SKUs, whatever order
    they are in, and so many percent of the orders, whole. Which ones follows from their names."""

    lines: int = 0
    orders: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.lines <= 100 and 0 <= self.orders <= 100):
            raise BadHistory("lines and orders are percentages from 0 to 100")

    def keeps(self, sku: str) -> bool:
        """Whether a SKU, as the back office spells it, lies in that warehouse."""
        return zlib.crc32(f"{HOUSE} {sku}".encode()) % 100 < self.lines

    def takes(self, invoice: str) -> bool:
        """Whether an order goes there whole."""
        return zlib.crc32(f"{WHOLE} {invoice}".encode()) % 100 < self.orders


ONE_OFFICE = Split()


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happens `minute` simulated minutes after the start."""

    minute: float
    what: Basket | Cancel | Back | Shelf


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A shop, and all that happens to it."""

    shop: Shop
    events: list[Event]
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def orders(self) -> int:
        return sum(isinstance(event.what, Basket) for event in self.events)

    @property
    def minutes(self) -> float:
        """Simulated minutes from the first event to the last."""
        return self.events[-1].minute if self.events else 0.0


def read(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Rows of a CSV file (also .gz); `columns` maps our names to the file's. Raises BadHistory."""
    names = {name: (columns or {}).get(name, name) for name in COLUMNS}
    unknown = set(columns or {}) - set(COLUMNS)
    if unknown:
        raise BadHistory(f"unknown column {', '.join(sorted(unknown))}; known are {', '.join(COLUMNS)}")
    opener = gzip.open if path.suffix == ".gz" else open
    # Spreadsheets put a byte order mark in front, which is no part of the first column's name.
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            missing = set(names.values()) - set(reader.fieldnames or ())
            if missing:
                raise BadHistory(f"column {', '.join(sorted(missing))} is missing; name it with --columns")
            for record in reader:
                yield _row({name: record[column] for name, column in names.items()})
        except (ValueError, ArithmeticError, csv.Error, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadHistory(f"{path}, line {reader.line_num}: {error}") from error


def _row(r: Mapping[str, str | None]) -> Row:
    if short := [name for name, text in r.items() if text is None]:
        raise BadHistory(f"there is no {', '.join(short)}")
    return _told({name: text or "" for name, text in r.items()})


def _told(r: Mapping[str, str]) -> Row:
    at = datetime.fromisoformat(r["InvoiceDate"])
    cents = int((Decimal(r["UnitPrice"]) * 100).quantize(Decimal(1)))
    words = (r["InvoiceNo"].strip(), r["StockCode"].strip(), r["Description"].strip(), int(r["Quantity"]), at, cents)
    return Row(*words, r["CustomerID"].strip(), r["Country"].strip())


def within(rows: Iterable[Row], first: date | None, last: date | None) -> Iterator[Row]:
    """Rows from `first` to `last`, both included."""
    return (
        row for row in rows if (first is None or row.at.date() >= first) and (last is None or row.at.date() <= last)
    )


# --- from rows to a plan ---------------------------------------------------------------------------------------------


def plan(rows: Iterable[Row], *, rate: float, limit: int | None = None, split: Split = ONE_OFFICE) -> Plan:
    """What happens; `rate` is orders per simulated minute, `limit` the most orders."""
    kept = list(rows)
    spelled = spellings(kept)
    teller = _Teller(spelled, rate, split)
    for invoice in _invoices(kept):
        if limit is not None and teller.orders >= limit:
            break
        teller.tell(invoice)
    shop, deliveries = _shop(teller)
    events = sorted([*teller.events, *deliveries], key=lambda event: event.minute)
    return Plan(shop=shop, events=events, skipped=teller.skipped)


def _invoices(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows by invoice, in the order of their first rows."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.invoice, []).append(row)
    yield from found.values()


def spellings(rows: Iterable[Row]) -> dict[str, str]:
    """Upper-case code -> the one spelling the back office has: the most frequent, then the first in the alphabet."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row.code.upper()][row.code] += 1
    return {code: min(seen, key=lambda spelling: (-seen[spelling], spelling)) for code, seen in counts.items()}


class _Teller:
    """Turns invoices into events, one after the other, remembering what each customer could still send back."""

    def __init__(self, spelled: Mapping[str, str], rate: float, split: Split) -> None:
        self._spelled, self._rate, self.split = spelled, rate, split
        self.events: list[Event] = []
        self.twins: dict[str, str] = {}
        self.skipped: Counter[str] = Counter()
        self.orders = 0
        self.names: dict[str, str] = {}
        self.prices: dict[str, int] = {}
        self.demand: Counter[str] = Counter()
        self.largest: Counter[str] = Counter()
        self.whole_demand: Counter[str] = Counter()
        self.whole_largest: Counter[str] = Counter()
        self.countries: set[str] = {"GB", ELSEWHERE}
        self._bought: dict[str, list[tuple[str, Counter[str]]]] = defaultdict(list)
        self._whole: dict[str, Counter[str]] = {}

    @property
    def minute(self) -> float:
        return self.orders / self._rate

    def tell(self, rows: list[Row]) -> None:
        """One invoice."""
        kind = rows[0].invoice[:1]
        goods = [row for row in rows if not NO_PRODUCT.match(row.code)]
        if kind == "C":
            self._back([row for row in goods if row.quantity < 0])
        elif kind.isdigit():
            for row in goods:
                if row.quantity < 0:
                    sku = self._card(row)
                    self._event(Shelf(word="write_off", sku=sku, place=self.home(sku), units=-row.quantity))
                elif row.cents == 0 and not row.customer:
                    # Found at a stock take, as its texts say.
                    sku = self._card(row)
                    self._event(Shelf(word="receive", sku=sku, place=self.home(sku), units=row.quantity))
            self._sale(rows, [row for row in goods if row.quantity > 0 and (row.cents or row.customer)])
        else:
            self.skipped["bad debts"] += 1

    def _event(self, what: Basket | Cancel | Back | Shelf) -> None:
        self.events.append(Event(minute=self.minute, what=what))

    def home(self, sku: str) -> str:
        """Where a SKU lies, but for what is set aside for whole orders."""
        return HOUSE if self.split.keeps(sku) else MAIN

    def _card(self, row: Row) -> str:
        """The SKU as the back office spells it, whose name and price are remembered."""
        sku = self._spelled[row.code.upper()]
        if row.text:
            self.names.setdefault(sku, row.text.title())
        if row.cents > 0:
            self.prices.setdefault(sku, row.cents)
        return sku

    def _sale(self, rows: list[Row], goods: list[Row]) -> None:
        if not goods:
            self.skipped["invoices without goods"] += rows[0].quantity > 0
            return
        first = rows[0]
        whole = self.split.takes(first.invoice)
        demand, largest = (self.whole_demand, self.whole_largest) if whole else (self.demand, self.largest)
        lines, bought = [], Counter[str]()
        for row in goods:
            sku = self._card(row)
            if row.code != sku:
                self.twins[row.code] = sku
            demand[sku] += row.quantity
            largest[sku] = max(largest[sku], row.quantity)
            bought[sku] += row.quantity
            lines.append(BasketLine(sku=row.code, quantity=row.quantity, price_cents=row.cents))
        extras = [
            Extra(name=row.text or row.code, quantity=abs(row.quantity), price_cents=_signed(row))
            for row in rows
            if NO_PRODUCT.match(row.code) and row.quantity and row.cents
        ]
        country = CODES.get(first.country, ELSEWHERE)
        self.countries.add(country)
        channel = WHOLE if whole else "uk" if first.country == HOME else "row"
        self._event(
            Basket(number=first.invoice, channel=channel, country=country, lines=tuple(lines), extras=tuple(extras))
        )
        self.orders += 1
        self._whole[first.invoice] = Counter(bought)
        if first.customer:
            self._bought[first.customer].append((first.invoice, bought))

    def _back(self, rows: list[Row]) -> None:
        """Goods of a C invoice: matched with the customer's latest purchase that has enough of the SKU left."""
        found: dict[str | None, Counter[str]] = defaultdict(Counter)
        for row in rows:
            sku = self._card(row)
            found[self._match(row.customer, sku, -row.quantity)][sku] += -row.quantity
        for number, lines in found.items():
            if number is not None and lines == self._whole[number]:
                self._event(Cancel(number=number, lines=dict(lines)))
            else:
                self._event(Back(number=number, lines=dict(lines)))

    def _match(self, customer: str, sku: str, units: int) -> str | None:
        for number, left in reversed(self._bought[customer] if customer else []):
            if left[sku] >= units:
                left[sku] -= units
                return number
        return None


def _signed(row: Row) -> int:
    return row.cents if row.quantity > 0 else -row.cents


# --- the shop --------------------------------------------------------------------------------------------------------


def _shop(teller: _Teller) -> tuple[Shop, list[Event]]:
    """A shop whose shelves hold part of the demand at first, and the deliveries of most of the rest.

    Half to all of a SKU's demand is there in the beginning, for most SKUs at least enough for the largest line; two
    deliveries bring up to 85 % of what is missing, a third and two thirds of the way through. What is for orders that
    go to the second back office whole lies apart from what it keeps for all.
    """
    home = TaxRate(country="GB", name="VAT", percent=20, rule="UK 20%")
    away = (TaxRate(country=c, name="VAT", percent=19, rule="Export 19%") for c in sorted(teller.countries - {"GB"}))
    stock: list[tuple[str, str, str, int]] = []
    deliveries: list[Event] = []
    counted = {e.what.sku for e in teller.events if isinstance(e.what, Shelf)}
    returned = {sku for e in teller.events if isinstance(e.what, Back | Cancel) for sku in e.what.lines}
    known = sorted({*teller.demand, *teller.whole_demand, *counted, *returned})
    for sku in known:
        luck = zlib.crc32(sku.encode())
        places = (HOUSE, HOUSE) if teller.split.keeps(sku) else (MAIN, SECOND)
        found, late = _shelved(sku, luck, teller.demand[sku], teller.largest[sku], places, teller.minute)
        stock += found
        deliveries += late
    for sku, demand in sorted(teller.whole_demand.items()):
        luck = zlib.crc32(f"{ANNEX} {sku}".encode())
        found, late = _shelved(sku, luck, demand, teller.whole_largest[sku], (ANNEX, ANNEX), teller.minute)
        stock += found
        deliveries += late
    kept = tuple(sku for sku in sorted({*known, *teller.twins}) if teller.split.keeps(teller.twins.get(sku, sku)))
    shop = Shop(
        project="history",
        currency="GBP",
        items=tuple(
            Item(
                sku=sku,
                name=teller.names.get(teller.twins.get(sku, sku)) or sku,
                price_cents=teller.prices.get(teller.twins.get(sku, sku), 100),
                known_as=teller.twins.get(sku, ""),
            )
            for sku in sorted({*known, *teller.twins})
        ),
        **_layout(kept, whole=bool(teller.whole_demand)),
        taxes=(home, *away),
        stock=tuple(stock),
    )
    return shop, deliveries


def _shelved(
    sku: str, luck: int, demand: int, largest: int, places: tuple[str, str], minutes: float
) -> tuple[list[tuple[str, str, str, int]], list[Event]]:
    """What of a SKU is there at first, at two places, and its deliveries."""
    main, second = places
    first = max(demand * (50 + luck % 51) // 100, largest if luck % 8 else 0)
    there = first * 3 // 10 if luck % 3 and main != second else 0
    stock = [(sku, main, SHELF, first - there), *([(sku, second, SHELF, there)] if main != second else [])]
    rest = max(0, demand - first) * 85 // 100
    deliveries = []
    for part, share in ((1, rest // 2), (2, rest - rest // 2)):
        if share:
            at = minutes * (part + (luck % 97) / 97 - 0.5) / 3
            what = Shelf(word="receive", sku=sku, place=second if luck % 4 == 0 else main, units=share)
            deliveries.append(Event(minute=max(at, 0.0), what=what))
    return stock, deliveries


def _layout(kept: tuple[str, ...], *, whole: bool) -> dict[str, Any]:
    """Places, channels and routes: `kept` are SKUs of the second back office, `whole` is whether orders go there."""
    house = (HOUSE,) if kept else ()
    places = [Place(name=MAIN, remote="Main Warehouse"), Place(name=SECOND, remote="Second Warehouse")]
    places += [Place(name=HOUSE, remote="House Site", house=True)] if kept else []
    channels = [
        SalesChannel(key="uk", name="United Kingdom", pool="uk", places=(MAIN, SECOND, *house), countries=("GB",)),
        SalesChannel(key="row", name="Rest of world", pool="row", places=(MAIN, *house), countries=(ELSEWHERE,)),
    ]
    routes = [Route(name="kept there", house=True, skus=kept)] if kept else []
    if whole:
        places.append(Place(name=ANNEX, remote="Annex Site", house=True))
        channels.append(SalesChannel(key=WHOLE, name="Whole orders", pool=WHOLE, places=(ANNEX,), countries=("GB",)))
        routes.insert(0, Route(name="whole orders", house=True, channels=(WHOLE,)))
    if routes:
        routes.append(Route(name="the rest", house=False))
    return {"places": tuple(places), "channels": tuple(channels), "routes": tuple(routes)}
