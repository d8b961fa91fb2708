"""Whatever is written where an address is expected, no connection is made to a private one, unless `insecure` names it.

The assembly's own transport is asked, with a resolver that is the system's for literals and hostile for names, and a
network that only writes down where a connection would have gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2
import msgspec
import pytest
from orders_shop import settings as shop_settings

from sellable.app import service as assembly
from sellable.app.wiring import private_hosts
from sellable.config import check, settings
from sellable.connectors import cin7_core
from sellable.connectors.cin7_core.client import Cin7Core
from sellable.connectors.cin7_core.translate import Places
from sellable.connectors.commercetools.client import Commercetools
from sellable.connectors.port import VendorError
from sellable.desk.alerts import Webhook
from sellable.runtime.clock import Clock
from sellable.runtime.database import Store
from sellable.runtime.http import ForbiddenUrl, HttpError, HttpPort, PinnedTransport
from sellable.runtime.ids import Ids

PUBLIC = ("93.184.216.34", "2606:4700::6810:84e5")
NAMES: dict[str, list[tuple[str, ...]]] = {
    "public.example": [PUBLIC[:1]],
    "six.example": [PUBLIC[1:]],
    "inside.example": [("10.0.0.7",)],
    "mixed.example": [(PUBLIC[0], "127.0.0.1")],
    "rebinding.example": [PUBLIC[:1], ("127.0.0.1",)],
    "rebound.example": [("169.254.169.254",), PUBLIC[:1]],
    "six-inside.example": [("::ffff:10.0.0.7",)],
    "oracle.example": [("192.0.0.192",)],
    "metadata.google.internal": [("169.254.169.254",)],
    "localtest.me": [("127.0.0.1",)],
    "127.0.0.1.nip.io": [("127.0.0.1",)],
    "nowhere.example": [()],
}
"""What each name resolves to, asked again and again; the last answer stays."""

PAYLOADS = (
    # IPv4 in every spelling.
    *("https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://0/", "https://0.0.0.0/", "https://127.0.0.1./"),
    *("https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://017700000001/", "https://0177.0.0.1/"),
    *("https://127.0.0.1:8080/", "https://%31%32%37.0.0.1/", "https://127%2e0.0.1/", "https://\u2460\u2461\u2466.0.0.1/"),
    *("https://127\u30020\u30020\u30021/", "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.0.1/"),
    *("https://100.64.0.1/", "https://198.18.0.1/", "https://224.0.0.1/", "https://240.0.0.1/", "https://255.255.255.255/"),
    # Metadata of clouds.
    *("https://169.254.169.254/", "https://2852039166/", "https://0xA9FEA9FE/", "https://0251.0376.0251.0376/"),
    *("https://100.100.100.200/", "https://192.0.0.192/", "https://168.63.129.16/", "https://[fd00:ec2::254]/"),
    "https://metadata.google.internal/",
    # IPv6, and IPv4 in IPv6 clothes.
    *("https://[::]/", "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/"),
    *("https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://[::ffff:0:127.0.0.1]/", "https://[64:ff9b::127.0.0.1]/"),
    *("https://[64:ff9b:1::127.0.0.1]/", "https://[2002:7f00:1::]/", "https://[2001:0:7f00:1::]/", "https://[fe80::1]/"),
    *("https://[fe80::1%25lo]/", "https://[fc00::1]/", "https://[fec0::1]/", "https://[ff02::1]/", "https://[5f00::1]/"),
    # Names that lead inside, at once, in part, or later.
    *("https://localhost/", "https://LOCALHOST./", "https://a.localhost/", "https://inside.example/", "https://localtest.me/"),
    *("https://mixed.example/", "https://rebinding.example/", "https://rebound.example/", "https://six-inside.example/"),
    *("https://oracle.example/", "https://127.0.0.1.nip.io/", "https://nowhere.example/"),
    # What parsers disagree on.
    *("https://public.example@127.0.0.1/", "https://user:pw@10.0.0.1/", "https://127.0.0.1\\@public.example/"),
    *("https://public.example\\@127.0.0.1/", "https://127.0.0.1#@public.example/", "https://127.0.0.1?@public.example/"),
    *("https://public.example:80@127.0.0.1/", "https://public.example\r\nHost: 127.0.0.1/", "https://public.example\t.localhost/"),
    *("https:///127.0.0.1/", "https:127.0.0.1/", "//127.0.0.1/", "127.0.0.1", "https://127.0.0.1%00.public.example/"),
    # Other schemes, and no encryption.
    *("http://public.example/", "http://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "ftp://127.0.0.1/"),
    *("dict://127.0.0.1:11211/", "ldap://127.0.0.1/", "unix:///run/docker.sock", "data:text/plain,x"),
    *("javascript:1", ""),
)  # fmt: skip


class World:
    """Names and addresses: `reached` is where connections went."""

    def __init__(self, answer: httpx2.Response | None = None) -> None:
        self.reached: list[str] = []
        self._asked: dict[str, int] = {}
        self._answer = answer

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """What the system says of a literal in any spelling, and the story of a name."""
        with contextlib.suppress(OSError):
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            return [str(info[4][0]) for info in found]
        story = NAMES.get(host.rstrip(".").lower())
        if story is None:
            if "localhost" in host.lower():
                return ["127.0.0.1"]
            raise OSError("no such name")
        times = self._asked.get(host, 0)
        self._asked[host] = times + 1
        return story[min(times, len(story) - 1)]

    def make(self) -> httpx2.AsyncBaseTransport:
        def connect(request: httpx2.Request) -> httpx2.Response:
            self.reached.append(request.url.host)
            date = {"date": "Sat, 21 Nov 2026 12:00:00 GMT"}
            return self._answer or httpx2.Response(
                200, json={"access_token": "t", "expires_in": 9, **BOTH}, headers=date
            )

        return httpx2.MockTransport(connect)

    def ask(self, given: settings.Settings, act: Callable[[HttpPort], Awaitable[Any]]) -> None:
        """Does something by the transport that the settings come to; what is refused is refused."""

        async def go() -> None:
            hosts = private_hosts(given)
            transport = PinnedTransport(hosts, resolve=self.resolve, make=self.make)
            async with httpx2.AsyncClient(transport=transport) as client:
                for _ in range(3):
                    with contextlib.suppress(HttpError, VendorError, httpx2.InvalidURL):
                        await act(HttpPort(client, Clock(), None))

        asyncio.run(go())


BOTH = {"results": [], "Webhooks": [], "Company": "x"}
SHOP, OFFICE = shop_settings().commercetools, shop_settings().cin7_core
GOOD = "https://public.example/"


def with_shop(**changes: Any) -> settings.Settings:
    shop = msgspec.structs.replace(SHOP, **({"api_url": GOOD, "auth_url": GOOD} | changes))
    return shop_settings(commercetools=shop)


def with_office(**changes: Any) -> settings.Settings:
    return shop_settings(cin7_core=msgspec.structs.replace(OFFICE, **({"base_url": GOOD} | changes)))


async def learn(port: HttpPort, given: settings.Settings) -> None:
    await Commercetools(port, None, given.commercetools).learn(lane="orders")


async def look(port: HttpPort, given: settings.Settings) -> None:
    client = Cin7Core(port, None, given.cin7_core, Places((), ()))
    await client.me(lane="reads")
    hook = given.cin7_core.webhook
    await cin7_core.registration.watch(client, f"{hook.public_url}/webhooks/cin7/x", "s", lane="repair")


async def tell(port: HttpPort, given: settings.Settings) -> None:
    port.allow(given.alerts.webhook_url, insecure=given.alerts.insecure)
    Webhook(port, Clock(), given.alerts.webhook_url, "whsec_" + "QUJD" * 10)
    await port.call("POST", given.alerts.webhook_url, lane="", credential="alerts", content=b"{}")


def alerting(url: str, insecure: bool = False) -> settings.Settings:
    return shop_settings(alerts=settings.Alerts(webhook_url=url, webhook_secret="x", insecure=insecure))


def hooked(url: str) -> settings.Settings:
    return with_office(webhook=settings.Webhook(path_token="t", secret="s", public_url=url))


INPUTS: dict[str, tuple[Callable[[str], settings.Settings], Any]] = {
    "commercetools.api_url": (lambda url: with_shop(api_url=url), learn),
    "commercetools.auth_url": (lambda url: with_shop(auth_url=url), learn),
    "cin7_core.base_url": (lambda url: with_office(base_url=url), look),
    "cin7_core.webhook.public_url": (hooked, look),
    "alerts.webhook_url": (alerting, tell),
}


@pytest.mark.parametrize("name", INPUTS)
def test_no_address_leads_inside(name: str) -> None:
    make, act = INPUTS[name]
    assert len(set(PAYLOADS)) >= 60
    for url in PAYLOADS:
        world, given = World(), make(url)
        world.ask(given, lambda port, given=given: act(port, given))  # type: ignore[misc]
        assert [host for host in world.reached if host not in PUBLIC] == [], f"{name} = {url!r}"


@pytest.mark.parametrize("name", INPUTS)
def test_a_public_address_is_reached(name: str) -> None:
    """Or else the test above would prove nothing."""
    make, act = INPUTS[name]
    for url in ("https://public.example/", "https://six.example/", "https://93.184.216.34/"):
        world, given = World(), make(url)
        world.ask(given, lambda port, given=given: act(port, given))  # type: ignore[misc]
        assert world.reached
        assert set(world.reached) <= set(PUBLIC)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_inside(status: int) -> None:
    for place in ("http://169.254.169.254/", "https://inside.example/", "//127.0.0.1/", "\\\\127.0.0.1\\"):
        world = World(httpx2.Response(status, headers={"location": place}))
        for make, act in INPUTS.values():
            given = make(GOOD)
            world.ask(given, lambda port, given=given, act=act: act(port, given))  # type: ignore[misc]
        assert set(world.reached) <= set(PUBLIC)


def test_insecure_opens_the_addresses_of_its_own_section_and_no_other() -> None:
    world, given = World(), with_office(base_url="http://10.0.0.7/v2/", insecure=True)
    world.ask(given, lambda port: look(port, given))
    assert set(world.reached) == {"10.0.0.7"}
    elsewhere = msgspec.structs.replace(given, alerts=alerting("https://10.0.0.8/").alerts)
    world = World()
    world.ask(elsewhere, lambda port: tell(port, elsewhere))
    assert world.reached == []


def test_a_name_that_moves_inside_is_not_followed() -> None:
    world, given = World(), alerting("https://rebinding.example/")
    world.ask(given, lambda port: tell(port, given))
    assert world.reached == [PUBLIC[0]], "once, while it was outside"


@pytest.mark.parametrize("key", ["commercetools.api_url", "cin7_core.base_url", "alerts.webhook_url"])
def test_the_settings_say_so_before_anything_runs(key: str) -> None:
    make, _ = INPUTS[key]
    for url in ("http://public.example/", "file:///etc/passwd", "gopher://127.0.0.1/", "127.0.0.1", "https://"):
        assert key in {problem.key for problem in check.check(make(url))}


def test_what_the_assembly_makes_is_pinned_and_knows_no_proxy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    given = msgspec.structs.replace(with_shop(), cin7_core=with_office().cin7_core)
    clock = Clock()
    outside = assembly.outside_of(given, store, clock, Ids(clock), None, "test")
    assert isinstance(outside.client._transport, PinnedTransport)
    assert outside.client._mounts == {}
    asyncio.run(outside.client.aclose())


def test_what_is_no_address_never_leaves_as_another_error() -> None:
    """What is refused is refused by that name; what is left has a host to be looked up, and is judged then."""
    port = HttpPort(httpx2.AsyncClient(transport=World().make()), Clock(), None)
    left = []
    for url in PAYLOADS:
        with contextlib.suppress(ForbiddenUrl):
            port.allow(url)
            left.append(httpx2.URL(url).host)
    assert 0 < len(left) < len(PAYLOADS)
    assert [host for host in left if _is_address(host)] == []


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False
