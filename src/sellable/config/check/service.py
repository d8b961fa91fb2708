"""The service itself: owners, addresses, keys, who may sign in, intervals and limits, alerts."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Collection

import msgspec

from sellable.config.addresses import is_loopback, only_here, scheme_and_host
from sellable.config.calls import CIN7_CALLS_PER_MINUTE_MAX
from sellable.config.check.found import Found, twice, unknown
from sellable.config.problems import child
from sellable.config.secrets import key_of
from sellable.config.settings import Cin7Core, Settings

MAY_BE_ZERO = {"visibility_lag_seconds", "search_settle_seconds", "adopt_minutes_after_birth"}
ABOVE_ZERO = ("_seconds", "_minutes", "_hours", "_days", "_per_second", "_per_minute", "concurrency", "write_batch")


def owners(settings: Settings, case_kinds: Collection[str]) -> Found:
    owned = {owner.kind for owner in settings.owners if owner.owner.strip()}
    if "*" not in owned and (missing := [kind for kind in case_kinds if kind not in owned]):
        says = f"nobody owns the cases {', '.join(missing)}"
        yield "owners", says, 'Add an [[owners]] section with kind = "*" for every kind not named.'
    for index, owner in enumerate(settings.owners):
        if not owner.owner.strip():
            yield f"owners[{index}].owner", f'the owner of "{owner.kind}" has no name', "Name a person or a team."
        if case_kinds and owner.kind != "*" and owner.kind not in case_kinds:
            yield (f"owners[{index}].kind", *unknown("kind of case", owner.kind, case_kinds))
    for index, _, kind in twice(owner.kind for owner in settings.owners):
        yield f"owners[{index}].kind", f'cases of kind "{kind}" have two owners', "Keep the one who acts."


def addresses(settings: Settings) -> Found:
    shop, office, alerts, traces = settings.commercetools, settings.cin7_core, settings.alerts, settings.traces
    written = [
        ("commercetools.api_url", shop.api_url, shop.insecure),
        ("commercetools.auth_url", shop.auth_url, shop.insecure),
        ("commercetools.webhook.public_url", shop.webhook.public_url, shop.insecure),
        ("cin7_core.base_url", office.base_url, office.insecure),
        ("cin7_core.webhook.public_url", office.webhook.public_url, office.insecure),
        ("alerts.webhook_url", alerts.webhook_url, alerts.insecure),
        ("traces.endpoint", traces.endpoint, traces.insecure or is_loopback(scheme_and_host(traces.endpoint)[1])),
    ]
    if (house := settings.orderflow) is not None:
        written += [
            ("orderflow.base_url", house.base_url, house.insecure),
            ("orderflow.webhook.public_url", house.webhook.public_url, house.insecure),
        ]
    for key, url, insecure in written:
        optional = key.endswith(("public_url", "webhook_url", "endpoint"))
        if not url and optional:
            continue
        scheme, host = scheme_and_host(url)
        if scheme not in ("http", "https") or not host:
            yield key, "is no address", "Write https://, the host and the path."
        elif scheme == "http" and not insecure:
            section = key.split(".")[0]
            mend = f"Write https://, or set `insecure = true` in [{section}] for a simulator."
            yield key, "http would carry secrets and orders in the open", mend


def keys(settings: Settings) -> Found:
    service = settings.service
    if not service.payload_key:
        mend = (
            "Run `sellable config key`, keep what it prints in a safe place too, and name it in [service]: "
            'payload_key = "env:PAYLOAD_KEY" or "file:/path".'
        )
        yield "service.payload_key", "is missing, and what arrives is stored only encrypted", mend
    for name, written in (("payload_key", service.payload_key), ("payload_key_before", service.payload_key_before)):
        try:
            if written:
                key_of(written)
        except ValueError as error:
            yield f"service.{name}", f"is no key: it {error}", "Write it as `sellable config key` printed it."


def console(settings: Settings) -> Found:
    console = settings.console
    scheme, host = scheme_and_host(console.public_url)
    if console.open and not only_here(settings.service.listen):
        says = f"everybody who reaches {settings.service.listen} could read without signing in"
        mend = "Leave `open` out, or listen on 127.0.0.1; `sellable people add` lets people sign in."
        yield "console.open", says, mend
    if console.open and (console.public_url or console.proxies):
        says = "everybody behind the proxy could read without signing in"
        yield "console.open", says, "Leave `open` out, or `public_url` and `proxies`."
    if console.public_url and (scheme not in ("http", "https") or not host):
        yield "console.public_url", "is no address", "Write https://, the host and the path."
    elif scheme == "http" and not is_loopback(host):
        mend = "Write https://; your proxy ends the encryption."
        yield "console.public_url", "http would carry passwords in the open", mend
    for index, proxy in enumerate(console.proxies):
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            says, mend = f'"{proxy}" is no address', "Write the IP address or network of the proxy itself."
            yield f"console.proxies[{index}]", says, mend


def numbers(section: msgspec.Struct, key: str) -> Found:
    """Intervals and limits, wherever they stand."""
    for field in msgspec.structs.fields(section):
        name, value = child(key, field.name), getattr(section, field.name)
        if isinstance(value, msgspec.Struct):
            yield from numbers(value, name)
        elif field.name in MAY_BE_ZERO and not 0 <= value < math.inf:
            yield name, f"{value} is no time to wait", "Write 0 or more."
        elif field.name not in MAY_BE_ZERO and field.name.endswith(ABOVE_ZERO) and not 0 < value < math.inf:
            yield name, f"with {value} this would never happen", "Write a number above 0."


def rest(settings: Settings) -> Found:
    if settings.orderflow is None and settings.cin7_core == Cin7Core(account_id="", key=""):
        yield "cin7_core", "there is no back office, so no order could go anywhere", "Add a [cin7_core] section."
    if settings.cin7_core.calls_per_minute > CIN7_CALLS_PER_MINUTE_MAX:
        says = f"the vendor allows {CIN7_CALLS_PER_MINUTE_MAX} calls a minute for each key"
        yield "cin7_core.calls_per_minute", says, f"Write {CIN7_CALLS_PER_MINUTE_MAX} or less; 50 leaves room."
    if settings.orders.start_at.tzinfo is None:
        mend = "Add the offset, as in 2026-01-31T00:00:00Z."
        yield "orders.start_at", "is a local time, which means another instant on another machine", mend
    if not 0 < settings.traces.percent <= 100:
        says = f"{settings.traces.percent} of a hundred cannot be"
        yield "traces.percent", says, "Write a number above 0, up to 100; leave `endpoint` empty for none."
    host, _, port = settings.service.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        yield "service.listen", "is no address with a port", 'Write for example "127.0.0.1:8080".'
    alerts = settings.alerts
    if alerts.webhook_url and not alerts.webhook_secret:
        mend = "Set `webhook_secret`, so that the receiver can tell them from forged ones."
        yield "alerts.webhook_url", "alerts would be sent unsigned", mend
    if alerts.smtp_url and not alerts.mail_from:
        yield "alerts.smtp_url", "alert mails have no sender", "Set `mail_from`."
