"""The process dies right after each kind of effect it has, once, is started again, and nothing is lost or doubled.

Several classes die in one playing of the story, one after the other (`CRASH_POINTS=1` plays each alone, at its first,
second and third turn, and lets it die once more after one, two, three, five, eight, thirteen effects of its new life).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.simulation.crash_classes import CLASSES
from tests.simulation.deaths import Deaths
from tests.simulation.sites import named
from tests.simulation.stage import tell

from sellable.simulation.virtual.database import simulation_database

ALL = tuple(label for labels in CLASSES.values() for label in labels)
GROUPS = 8
LONG = bool(os.environ.get("CRASH_POINTS"))
AGAIN = (1, 2, 3, 5, 8, 13)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with simulation_database() as url:
        yield url


def broken_by(deaths: Deaths, url: str) -> list[str]:
    """Play the story with these deaths; what is not right at the end."""
    with named(), deaths.watching():
        _, broken = tell(url, deaths, prepare=deaths.prepare)
    return [f"{sorted(deaths.killed)}: {each}" for each in broken[:5]]


def test_every_effect_of_the_story_has_its_class(database: str) -> None:
    deaths = Deaths()
    assert broken_by(deaths, database) == []
    assert sorted(deaths.seen) == sorted(ALL), "name the new effect in crash_classes.py, or give the story the old one"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", range(GROUPS))
def test_dying_after_each_class_of_effect_loses_and_doubles_nothing(group: int, database: str) -> None:
    wanted = frozenset(ALL[group::GROUPS])
    for _ in range(2):
        # A death here may make an effect there needless, so what was spared dies in another playing.
        deaths = Deaths(wanted)
        assert broken_by(deaths, database) == []
        wanted -= deaths.killed
        if not wanted:
            break
    assert sorted(wanted) == [], "never died after these"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("again", [1, 5])
def test_dying_again_while_recovering_loses_and_doubles_nothing(again: int, database: str) -> None:
    """A sample: what matters most outside, each followed by a second death."""
    deaths = Deaths(frozenset(label for label in ALL if label.startswith("call cin7_core")), again=again)
    assert broken_by(deaths, database) == []
    assert deaths.deaths > len(deaths.killed)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("label", "turn", "again"),
    [(label, turn, again) for label in ALL for turn in (1, 2, 3) for again in (0, *AGAIN)] if LONG else [],
)
def test_one_class_alone(label: str, turn: int, again: int, database: str) -> None:
    assert broken_by(Deaths(frozenset({label}), turn=turn, again=again), database) == []
