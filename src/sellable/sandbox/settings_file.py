"""The product's settings file for a made-up shop. Rule: every line a newcomer would ask about has its sentence."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sellable.sandbox.shop import (
    ACCOUNT,
    CARRIER,
    ORDER_KEY,
    ORGANISATION,
    READ_KEY,
    SECRET,
    SERVICE_CLIENT,
    SHIPPING_METHOD,
    toml,
)

if TYPE_CHECKING:
    from sellable.sandbox.shop import Shop


NO_BRAKE = """\
# The entries of a made-up shop begin at 0, so its first pass changes every one.
brake_keys_percent = 100
brake_units_percent = 100
"""


def settings_toml(
    shop: "Shop", where: Mapping[str, str], *, start_at: str, listen: str, tempo: Mapping[str, Any]
) -> str:
    """The file's text; see Shop.settings_toml. `where` has ct_url, cin7_url, house_url, data_dir, database_url and
    payload_key.
    """
    house = _house(shop, where["house_url"]) if any(place.house for place in shop.places) else ""
    return "\n".join((_systems(shop, where, start_at, listen, tempo), house, _layout(shop), _mapping(shop)))


def _systems(shop: "Shop", where: Mapping[str, str], start_at: str, listen: str, tempo: Mapping[str, Any]) -> str:
    faster = "\n".join(f"{name} = {toml(value)}" for name, value in tempo.items())
    restocks = "yes" if shop.restocks_on_cancel else "no"
    return f"""\
# Settings of a sandbox shop, made by its simulators. Secrets stand here in clear only because they open nothing real;
# on a live shop write "env:NAME" or "file:/path" in their place.

[service]
data_dir = {toml(where["data_dir"])}
# Empty for the embedded PostgreSQL.
database_url = {toml(where["database_url"])}
# Webhooks, health, metrics and the status page.
listen = {toml(listen)}
log = "json"
redaction_key = "sandbox-redaction-key"
# What arrives is encrypted with it in the database.
payload_key = {toml(where["payload_key"])}

[console]
# Who is on this machine may look without signing in; to act, sign in with a link from `sellable people add`.
open = true

[orders]
# Orders placed before this instant are never created at the back office.
start_at = {start_at}
trigger = "created"

[commercetools]
project = {toml(shop.project)}
client_id = {toml(SERVICE_CLIENT)}
client_secret = {toml(SECRET)}
api_url = {toml(where["ct_url"])}
auth_url = {toml(where["ct_url"])}
# A simulator on this machine: http and loopback addresses are allowed.
insecure = true
# Whether cancelling an order puts stock back; on a real project: unknown until measured.
restocks_on_cancel = "{restocks}"
# How often new messages are asked for: the delay before a sale is seen on sibling channels.
hot_poll_seconds = 2.0

[cin7_core]
account_id = {toml(ACCOUNT)}
# Two application keys: a limit of 60 calls a minute is kept per key, so reading never holds up orders.
key = {toml(ORDER_KEY)}
read_key = {toml(READ_KEY)}
base_url = {toml(where["cin7_url"] + "/ExternalApi/v2/")}
insecure = true
# Orders in any other currency need a [[rates]] section.
base_currency = {toml(shop.currency)}
{faster}
"""


def _house(shop: "Shop", url: str) -> str:
    return f"""\
[orderflow]
base_url = {toml(url + "/web")}
user = {toml(SERVICE_CLIENT)}
password = {toml(SECRET)}
channel = {toml(shop.project)}
organisation = {toml(ORGANISATION)}
time_zone = "UTC"
insecure = true
# Nothing is pushed to a replay, so it asks often; on a real warehouse agree on a number of calls.
calls_per_minute = 240
inventory_poll_seconds = 60.0
despatch_poll_seconds = 60.0
return_poll_seconds = 120.0
overlap_minutes = 5.0
visibility_lag_seconds = 5.0
search_settle_seconds = 5.0
"""


def _layout(shop: "Shop") -> str:
    parts = ["# --- where stock lies ------------------------------------------------------------------\n"]
    for place in shop.places:
        ships = "true" if place.ships else "false"
        master = "orderflow" if place.house else "cin7_core"
        location = f'name = {toml(place.name)}\nmaster = "{master}"\nremote = {toml(place.remote)}\nships = {ships}'
        parts.append(f"[[locations]]\n{location}\n")
    parts.append("# --- which of it may be sold: a bin nobody maps is not sellable ------------------------\n")
    for place in (each for each in shop.places if not each.house):
        parts.append(_state(place.name, "*", "available" if place.sellable else "inspection"))
        if place.inspects:
            parts.append(_state(place.name, "INSPECTION", "inspection"))
    parts.append("# --- who sells from where ---------------------------------------------------------------\n")
    for name, places in {channel.pool: channel.places for channel in shop.channels}.items():
        parts.append(f"[[pools]]\nname = {toml(name)}\nlocations = {toml(list(places))}\n")
    for channel in shop.channels:
        cap = "" if channel.cap is None else f"\ncap = {channel.cap}"
        rule = f"key = {toml(channel.key)}\npool = {toml(channel.pool)}\nbuffer = {channel.buffer}{cap}"
        parts.append(f"[[channels]]\n{rule}\n{NO_BRAKE}")
    for sku, units in shop.held_back.items():
        parts.append(f"[[buffers]]\nsku = {toml(sku)}\nunits = {units}\n")
    for item in shop.items:
        if item.known_as:
            parts.append(f"[[skus]]\nstorefront = {toml(item.sku)}\nmaster = {toml(item.known_as)}\n")
    return "\n".join(parts)


def _state(place: str, bin_name: str, state: str) -> str:
    return f"[[states]]\nlocation = {toml(place)}\nbin = {toml(bin_name)}\nstate = {toml(state)}\n"


def _mapping(shop: "Shop") -> str:
    parts = ["# --- how an order becomes a sale ---------------------------------------------------------\n"]
    for currency in dict.fromkeys((shop.currency, "EUR", "GBP")):
        parts.append(f'[[customers]]\ncustomer = "Web {currency}"\ncurrency = {toml(currency)}\n')
    for tax in shop.taxes:
        where = f"rate = {toml(tax.fraction)}\ncountry = {toml(tax.country)}\nrule = {toml(tax.rule)}"
        parts.append(f"[[taxes]]\n{where}\n")
    for route in shop.routes:
        target = "orderflow" if route.house else "cin7_core"
        asks = f"skus = {toml(list(route.skus))}\nchannels = {toml(list(route.channels))}"
        parts.append(f'[[routes]]\nname = {toml(route.name)}\ntarget = "{target}"\n{asks}\n')
    parts.append(f"[carriers]\n{toml(SHIPPING_METHOD)} = {toml(CARRIER)}\n")
    parts.append('# Every case has an owner.\n[[owners]]\nkind = "*"\nowner = "operations"\n')
    return "\n".join(parts)
