"""What a seed decides before a run begins: the shop, the vendors' unconfirmed behaviour, traffic, and all trouble.

Rule: a plan is a value. The same plan is the same run, and a plan with something taken out is a smaller one, which is
how a failure is made short.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sellable.config.settings import Settings
from sellable.sandbox.shop import Shop, dice
from sellable.sandbox.traffic import Tempo
from sellable.simulation.virtual.menu import ALL, CIN7, CT, TROUBLES

SKUS = 12
"""And a bundle for every four of them."""
MODES = (
    (("ReserveOnOrder", 1.0),),
    (("ReserveOnOrder", 0.8), ("TrackOnly", 0.15), ("None", 0.05)),
    (("ReserveOnOrder", 0.5), ("TrackOnly", 0.2), ("None", 0.3)),
    (("ReserveOnOrder", 0.5), ("ReserveOnCart", 0.4), ("TrackOnly", 0.1)),
)
CART_MINUTES = 2
"""A hold ends so long after a cart was filled; some minutes later where the storefront is late with it."""


CALM = Tempo(orders=6.0, counter_sales=1.0, deliveries=1.5, cancelled=0.08, reduced=0.1, sold_out_seconds=15.0)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How lively and how troubled a run is. `rates` are chances for each call by trouble, `episodes` how many times an
    hour a vendor has a bad time, `kills` and `pauses` how many times an hour a process does, `restores` how many times
    an hour a backup is put back."""

    says: str
    tempo: Tempo = CALM
    rate: float = 0.0
    episodes: float = 0.0
    kills: float = 0.0
    pauses: float = 0.0
    staff: float = 0.0
    foreign: float = 0.0
    cuts: float = 0.0
    lost_hints: float = 0.0
    workers: tuple[int, ...] = (1,)
    flash: float = 0.0
    restores: float = 0.0
    returns: float = 12.0
    skew: float = 0.0
    pushes: float = 0.0


PROFILES: Mapping[str, Profile] = {
    "quiet": Profile(says="no trouble at all"),
    "day": Profile(
        says="an ordinary day: a call in two hundred fails, staff undo sales, a process dies now and then",
        rate=0.0004, kills=1.0, staff=4.0, foreign=1.0, cuts=2.0, lost_hints=0.02, workers=(1, 1, 2),
        skew=20.0, pushes=0.5,
    ),
    "flash": Profile(
        says="eight times the orders, nearly all on few SKUs", rate=0.0004, flash=8.0, workers=(1, 2), kills=1.0,
        pushes=0.5,
    ),
    "black-friday": Profile(
        says="many orders for hours, vendors that limit and falter",
        tempo=replace(CALM, orders=16.0, counter_sales=3.0, deliveries=5.0, sold_out_seconds=10.0),
        rate=0.001, episodes=6.0, kills=2.0, staff=4.0, workers=(1, 2), lost_hints=0.05, returns=24.0, pushes=0.5,
    ),
    "vendor-outage": Profile(
        says="each vendor is away for minutes, again and again", rate=0.0004, episodes=12.0, kills=1.0, workers=(1, 2)
    ),
    "chaos": Profile(
        says="everything on the menu, all the time",
        rate=0.002, episodes=10.0, kills=12.0, pauses=3.0, staff=15.0, foreign=4.0, cuts=10.0, lost_hints=0.1,
        workers=(1, 2, 2), flash=2.0, restores=0.5, returns=24.0, skew=300.0, pushes=0.7,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Episode:
    """From `at` (seconds after doors open) and for `seconds`, a trouble strikes with `rate`."""

    at: float
    seconds: float
    trouble: str
    rate: float


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What befalls a process: `what` is kill or pause, for `seconds`; or restore, which puts a backup of `seconds` ago
    into the database, with every process dead meanwhile."""

    at: float
    what: str
    worker: int
    seconds: float


PARTS = ("cuts", "lost_hints", "foreign", "pushes", "skew", "returns", "staff", "staff_cancels")
"""Fields of a plan of which each can be left out by itself."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything about a run but its code. `patience` is how many times as long as usual an idle loop waits for a hint:
    fewer looks at nothing let more simulated time fit into a second. `skew` is by how many seconds each vendor's clock
    is ahead of ours; `pushes` how vendors push what happened, as the storefront's simulator says it, empty for not."""

    seed: int
    profile: str
    minutes: float
    tempo: Tempo
    rates: Mapping[str, float] = field(default_factory=dict)
    episodes: tuple[Episode, ...] = ()
    deeds: tuple[Deed, ...] = ()
    workers: int = 1
    ct: Mapping[str, Any] = field(default_factory=dict)
    cin7: Mapping[str, Any] = field(default_factory=dict)
    restocks: str = "unknown"
    patience: float = 1.0
    skus: int = SKUS
    pick_seconds: float = 30.0
    modes: tuple[tuple[str, float], ...] = MODES[0]
    staff: float = 0.0
    foreign: float = 0.0
    cuts: float = 0.0
    lost_hints: float = 0.0
    returns: float = 0.0
    staff_cancels: bool = False
    skew: Mapping[str, float] = field(default_factory=dict)
    pushes: Mapping[str, Any] = field(default_factory=dict)

    def shop(self) -> Shop:
        """Some SKUs and bundles that share components, three channels on overlapping pools of three places."""
        shop = Shop.demo(self.seed, self.skus, max(1, self.skus // 4))
        channels = tuple(replace(channel, modes=self.modes) for channel in shop.channels)
        return replace(shop, channels=channels, restocks_on_cancel=bool(self.ct.get("restocks_on_cancel")))

    def adapt(self, settings: Settings) -> Settings:
        """The product's settings for this run, made from those for its shop."""
        return settings

    def without(self, what: str) -> Plan:
        """The same run without one part of its trouble: a name of `parts`."""
        match what.split(":"):
            case ["rate", name]:
                return replace(self, rates={n: r for n, r in self.rates.items() if n != name})
            case ["episode", number]:
                return replace(self, episodes=tuple(e for n, e in enumerate(self.episodes) if n != int(number)))
            case ["deed", number]:
                return replace(self, deeds=tuple(d for n, d in enumerate(self.deeds) if n != int(number)))
            case ["workers"]:
                return replace(self, workers=1, deeds=tuple(d for d in self.deeds if d.worker == 0))
            case [name]:
                calm: Any = {name: type(getattr(self, name))()}
                return replace(self, **calm)
        raise ValueError(what)

    def parts(self) -> list[str]:
        """Names of what could be taken away, what is most probably not needed first."""
        return [
            *(name for name in PARTS if getattr(self, name)),
            *(f"episode:{n}" for n in reversed(range(len(self.episodes)))),
            *(["workers"] if self.workers > 1 else []),
            *(f"deed:{n}" for n in reversed(range(len(self.deeds)))),
            *(f"rate:{name}" for name in self.rates),
        ]

    def describe(self) -> list[str]:
        """The trouble in words."""
        return [
            f"{self.workers} process(es), {self.minutes:g} minutes of trade, modes {dict(self.modes)},"
            f" patience {self.patience:g}, picked after {self.pick_seconds:g} s",
            f"commercetools {dict(self.ct)}, restocks_on_cancel set to {self.restocks}",
            f"Cin7 {dict(self.cin7)}",
            *(f"every call: {name} {rate:.4f}" for name, rate in self.rates.items()),
            *(f"{e.at:7.1f} s: {e.trouble} for {e.seconds:.0f} s at {e.rate:g}" for e in self.episodes),
            *(f"{d.at:7.1f} s: {d.what} process {d.worker + 1} for {d.seconds:.1f} s" for d in self.deeds),
            *(f"{name} {getattr(self, name)}" for name in PARTS if getattr(self, name)),
        ]  # fmt: skip


def plan_of(seed: int, profile: str, minutes: float) -> Plan:
    """What this seed does under this profile. Raises KeyError on an unknown profile."""
    found, die = PROFILES[profile], dice(seed, "plan")
    seconds = minutes * 60
    restocks = die.random() < 0.5
    workers = die.choice(found.workers)
    tempo = replace(found.tempo, flash=found.flash or 1.0) if found.flash and die.random() < 0.5 else found.tempo
    # A truck needs five minutes, which all wait for in the end.
    tempo = replace(tempo, transfers=0.5 if die.random() < 0.25 else 0.0)
    return Plan(
        seed=seed,
        profile=profile,
        minutes=minutes,
        tempo=tempo,
        rates={name: found.rate * die.choice((0.0, 1.0, 3.0)) for name in ALL} if found.rate else {},
        episodes=tuple(_episode(die, seconds) for _ in range(_times(die, found.episodes * minutes / 60))),
        deeds=(
            *(Deed(at=die.uniform(0, seconds), what="kill", worker=die.randrange(workers), seconds=die.uniform(0.5, 8))
              for _ in range(_times(die, found.kills * minutes / 60))),
            *(Deed(at=die.uniform(0, seconds), what="pause", worker=die.randrange(workers),
                   seconds=die.choice((20.0, 90.0, 400.0, 600.0)))
              for _ in range(_times(die, found.pauses * minutes / 60))),
            *_restores(dice(seed, "restores"), found.restores * minutes / 60, seconds),
        ),
        workers=workers,
        ct={
            **_commercetools(die, restocks),
            "reservation_expiry_late_seconds": dice(seed, "carts").choice((0.0, 20.0, 90.0)),
            "restocks_on_return": dice(seed, "goods back").random() < 0.5,
        },
        cin7={**_cin7(die), "allocation_lag_seconds": dice(seed, "allocation").choice((0.0, 0.0, 2.0, 5.0))},
        restocks=die.choice(("unknown", "yes" if restocks else "no")),
        patience=die.choice((1.0, 5.0, 5.0, 5.0)),
        pick_seconds=die.choice((20.0, 60.0, 180.0)),
        modes=die.choice(MODES),
        staff=found.staff, foreign=found.foreign, cuts=found.cuts, lost_hints=found.lost_hints, returns=found.returns,
        staff_cancels=dice(seed, "staff cancels").random() < 0.5,
        skew=_skew(dice(seed, "skew"), found.skew),
        pushes=_pushes(dice(seed, "pushes"), found.pushes),
    )  # fmt: skip


def _times(die: random.Random, mean: float) -> int:
    """How many, `mean` on average."""
    whole = int(mean)
    return whole + (die.random() < mean - whole)


def _skew(die: random.Random, most: float) -> dict[str, float]:
    """Clocks that agree in every third run; whole eighths of a second, so that no sum of instants is rounded."""
    if not most or die.random() < 0.33:
        return {}
    return {host: die.randint(-int(most * 8), int(most * 8)) / 8 for host in (CT, CIN7)}


def _pushes(die: random.Random, chance: float) -> dict[str, Any]:
    """How bad the way is by which messages are pushed: late means out of order."""
    if die.random() >= chance:
        return {}
    return {
        "format": die.choice(("Platform", "CloudEvents")),
        "drop_rate": die.choice((0.0, 0.1, 0.5)),
        "duplicate_rate": die.choice((0.0, 0.1, 0.5)),
        "delay_seconds": die.choice((0.0, 1.0, 10.0, 120.0)),
    }


def _restores(die: random.Random, mean: float, seconds: float) -> list[Deed]:
    """At most one, of a backup made while doors were open."""
    if seconds < 60 or die.random() >= mean:
        return []
    at = die.uniform(50.0, seconds)
    return [Deed(at=at, what="restore", worker=0, seconds=die.uniform(20.0, at - 20.0))]


def _episode(die: random.Random, seconds: float) -> Episode:
    trouble = die.choice([name for name, t in TROUBLES.items() if t.episodic])
    return Episode(
        at=die.uniform(0, seconds), seconds=die.choice((30.0, 60.0, 180.0, 300.0)), trouble=trouble,
        rate=die.choice((0.2, 0.5, 1.0)),
    )  # fmt: skip


def _commercetools(die: random.Random, restocks: bool) -> dict[str, Any]:
    """What nobody could confirm of the storefront, either way."""
    return {
        "order_lag_seconds": die.choice((0.0, 2.0, 10.0)),
        "set_semantics": die.choice(("absorbs", "not")),
        "accept_on": die.choice(("internal", "internal", "lagging")),
        "order_bumps_version": die.random() < 0.5,
        "restocks_on_cancel": restocks,
        "message_visible_lag_seconds": die.choice((0.0, 1.0, 3.0)),
    }


def _cin7(die: random.Random) -> dict[str, Any]:
    """What nobody could confirm of the back office. Units are set aside, and seen to be, within the lag that the
    settings declare."""
    return {
        "search_lag_seconds": die.choice((0.0, 3.0, 15.0)),
        "availability_lag_seconds": die.choice((0.0, 1.0, 4.0)),
        "allocation_row": die.choice(("spread", "unbinned")),
        "stock_leaves_at": die.choice(("ship", "pick")),
    }
