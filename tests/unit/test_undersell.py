"""Why a number was too low: each cause once, in a gap of known size."""

from __future__ import annotations

import pytest

from sellable.simulation import undersell
from sellable.simulation.picture import Gap
from sellable.simulation.undersell import Told, causes

KEY = ("LAMP", "web")


def told(at: float = 0.0, *, target: int, counted: int, unseen: int = 0, old: int = 0, doubted: int = 0) -> Told:
    return Told(at, target, counted, unseen=unseen, old=old, doubted=doubted)


def found(gap: Gap, *words: Told, freed: tuple[tuple[float, int], ...] = ((0.0, 10),)) -> dict[str, float]:
    return causes({KEY: [gap]}, {KEY: freed}, {KEY: words}, 60.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(told(target=10, counted=10), {undersell.WRITE: 300.0}, id="known, and not written yet"),
        pytest.param(told(target=7, counted=7), {undersell.PROOF: 300.0}, id="free for long, and not counted"),
        pytest.param(told(target=7, counted=10, unseen=3), {undersell.UNSEEN: 300.0}, id="taken, and nobody saw it"),
        pytest.param(told(target=7, counted=10, old=3), {undersell.OLD: 300.0}, id="taken after the reading"),
        pytest.param(told(target=7, counted=10, doubted=3), {undersell.DOUBTED: 300.0}, id="in doubt"),
        pytest.param(told(target=7, counted=10), {undersell.OTHER: 300.0}, id="held back"),
        pytest.param(
            told(target=8, counted=9, old=1), {undersell.WRITE: 100.0, undersell.PROOF: 100.0, undersell.OLD: 100.0},
            id="a unit each",
        ),
    ],
)  # fmt: skip
def test_each_unit_has_one_cause(words: Told, expected: dict[str, float]) -> None:
    """100 s in which 10 should have been shown and 7 were."""
    assert found(Gap(1000.0, 1100.0, 10, 7, 10), words) == expected


def test_sold_units_that_are_still_free_at_the_back_office_are_subtracted_rightly() -> None:
    """12 are free, of which 2 are sold and not taken yet: they are no cause, the third is."""
    words = told(target=9, counted=12, unseen=3)
    assert found(Gap(0.0, 10.0, 10, 9, 12), words, freed=((0.0, 12),)) == {undersell.UNSEEN: 10.0}


def test_what_came_free_a_moment_ago_need_not_be_known_yet() -> None:
    """Five arrive at 100; for a minute nobody need know, then the set waits for its proof until it is counted."""
    words = told(target=10, counted=10)
    assert found(Gap(100.0, 300.0, 15, 10, 15), words, freed=((0.0, 10), (100.0, 15))) == {
        undersell.PROOF: 700.0, undersell.JUST_FREE: 300.0,
    }  # fmt: skip


def test_a_gap_is_cut_where_the_terms_changed() -> None:
    words = (told(target=7, counted=10, unseen=3), told(1050.0, target=10, counted=10))
    assert found(Gap(1000.0, 1100.0, 10, 7, 10), *words) == {undersell.UNSEEN: 150.0, undersell.WRITE: 150.0}


def test_what_has_no_terms_has_another_cause() -> None:
    assert found(Gap(1000.0, 1100.0, 10, 7, 10)) == {undersell.OTHER: 300.0}
