"""Who and what the tenant knows: people, organisations, channels, sites, products. Rule: names match exactly."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from sellable.sandbox.orderflow.wire import ItemRefused, Refused, Scope

LIMITS = {
    **dict.fromkeys(("description", "type", "barcode"), 120),
    "thirdPartyReference": 100,
    **dict.fromkeys(("harmonisedSystemCode", "customsDescription", "productComposition", "packagingDescription"), 255),
}
REFERENCE_MAX = 120


@dataclass(slots=True, eq=False)
class Product:
    """A product of one organisation; `fields` is what was imported."""

    id: int
    reference: str
    organisation: str
    type: str = "default"
    active: bool = True
    fields: dict[str, str] = field(default_factory=dict)
    barcodes: list[str] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class Channel:
    reference: str
    organisation: str
    site: str


@dataclass(slots=True, frozen=True)
class User:
    """A login; with `channels` it may name only those (and their organisations)."""

    password: str
    channels: tuple[str, ...] = ()


class Book:
    """All of it, by name."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.organisations: list[str] = []
        self.sites: list[str] = []
        self.products: dict[tuple[str, str], Product] = {}

    def load(self, seed: dict[str, Any]) -> None:
        """users, sites, channels, products; raises ValueError or KeyError on what does not fit together."""
        for row in seed.get("users", []):
            self.users[row["user"]] = User(row["password"], tuple(row.get("channels", ())))
        self.sites += [site for site in seed.get("sites", []) if site not in self.sites]
        for row in seed.get("channels", []):
            channel = Channel(row["reference"], row["organisation"], self.site(row.get("site") or self.sites[0]))
            self.channels[channel.reference] = channel
            if channel.organisation not in self.organisations:
                self.organisations.append(channel.organisation)
        for row in seed.get("products", []):
            product = self.new_product(row["reference"], self.organisation(row.get("organisation")))
            product.type, product.active = row.get("type", "default"), row.get("active", True)

    def new_product(self, reference: str, organisation: str) -> Product:
        product = Product(len(self.products) + 1, reference, organisation)
        self.products[organisation, reference] = product
        return product

    def site(self, name: str) -> str:
        """A site by name; raises ValueError."""
        if name not in self.sites:
            raise ValueError(f"unknown site {name!r}")
        return name

    def organisation(self, name: str | None) -> str:
        """An organisation by name, the first one by default; raises ValueError."""
        if name is None and self.organisations:
            return self.organisations[0]
        if name not in self.organisations:
            raise ValueError(f"unknown organisation {name!r}")
        return str(name)

    def product(self, organisation: str, reference: str) -> Product:
        """For imports. Raises ItemRefused when the organisation has no such product."""
        found = self.products.get((organisation, reference))
        if found is None:
            raise ItemRefused("Product not found", f"No product with external reference '{reference}'")
        return found

    def known(self, reference: str, organisation: str | None = None) -> Product:
        """For staff. Raises ValueError."""
        found = self.products.get((self.organisation(organisation), reference))
        if found is None:
            raise ValueError(f"unknown product {reference!r}")
        return found

    def login(self, headers: dict[str, str]) -> User | None:
        """Whoever the headers prove: Basic, or `user` with a password in Base64 (both documented)."""
        name, password = _credentials(headers)
        user = self.users.get(name)
        return user if user is not None and password is not None and user.password == password else None

    def channel(self, user: User, scope: Scope) -> Channel:
        """The channel of a call. Raises Refused."""
        if not scope.channel:
            raise Refused("No sales channel specified", "missing_scope")
        found = self.channels.get(scope.channel)
        if found is None:
            raise Refused(f"No sales channel with reference '{scope.channel}'", "missing_scope")
        if user.channels and found.reference not in user.channels:
            raise Refused("Access is denied", "forbidden", 403)
        return found

    def owner(self, user: User, scope: Scope, *, by_channel: bool = False) -> str:
        """The organisation of a call, or of its channel where that is allowed too. Raises Refused."""
        if by_channel and scope.channel:
            return self.channel(user, scope).organisation
        if not scope.organisation:
            raise Refused("No organisation specified", "missing_scope")
        if scope.organisation not in self.organisations:
            raise Refused(f"No organisation with reference '{scope.organisation}'", "missing_scope")
        mine = {self.channels[name].organisation for name in user.channels if name in self.channels}
        if user.channels and scope.organisation not in mine:
            raise Refused("Access is denied", "forbidden", 403)
        return scope.organisation


def _credentials(headers: dict[str, str]) -> tuple[str, str | None]:
    try:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
            return name, password
        if "password" in headers:
            return headers.get("user", ""), base64.b64decode(headers["password"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        pass
    return "", None
