"""Available to sell, with values: pools, kits, buffers, holds, and the explanation that adds up."""

from __future__ import annotations

from datetime import UTC, datetime

from sellable.stock.availability import (
    BufferRule,
    ChannelRule,
    Demand,
    Hold,
    Layout,
    Reading,
    SkuFacts,
    target,
)

AT = datetime(2026, 11, 27, tzinfo=UTC)
LAYOUT = Layout(
    channels={
        "web": ChannelRule("web", "all"),
        "uk": ChannelRule("uk", "uk", buffer=1),
        "outlet": ChannelRule("outlet", "all", cap=5),
    },
    pools={"all": ("WH1", "WH2"), "uk": ("WH1",)},
    buffers=(BufferRule(units=2, location="WH2"), BufferRule(units=3, sku="LAMP", channel="web")),
)


def at(place: str, units: int, a0: int = 10, **left_out: int) -> Reading:
    return Reading(place, units, a0, AT, left_out)


def sold(units: int, place: str | None = "WH1", evidence: int | None = None, channel: str = "web") -> Demand:
    open_units, evidenced = (0, units) if evidence else (units, 0)
    return Demand("o1", "N-1", place, channel, open_units, evidenced, evidence)


def test_pool_sums_locations_and_holds_each_ones_buffer_back() -> None:
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 10), at("WH2", 5)))}
    found = target("VASE", "web", facts, None, LAYOUT)
    assert (found.ats, found.target) == (13, 13)
    assert found.term is not None
    assert [(t.location, t.available, t.held_back) for t in found.term.locations] == [("WH1", 10, 0), ("WH2", 5, 2)]


def test_a_location_buffer_never_eats_another_locations_stock() -> None:
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 10), at("WH2", 1)))}
    assert target("VASE", "web", facts, None, LAYOUT).target == 10


def test_negative_stock_at_one_location_counts_before_clamping() -> None:
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 10), at("WH2", -4)))}
    assert target("VASE", "web", facts, None, LAYOUT).target == 6
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 2), at("WH2", -4)))}
    assert target("VASE", "web", facts, None, LAYOUT).target == 0


def test_channel_buffer_rule_and_cap() -> None:
    facts = {"LAMP": SkuFacts("LAMP", (at("WH1", 20),))}
    assert target("LAMP", "web", facts, None, LAYOUT).target == 17
    assert target("LAMP", "uk", facts, None, LAYOUT).target == 19
    assert target("LAMP", "outlet", facts, None, LAYOUT).target == 5


def test_evidence_counts_only_when_older_than_the_oldest_reading_of_the_pool() -> None:
    """The master may have allocated it at another location: the smallest causal number of the pool decides."""
    readings = (at("WH1", 7, a0=40), at("WH2", 2, a0=30))
    facts = {"VASE": SkuFacts("VASE", readings, (sold(3, evidence=35),))}
    assert target("VASE", "web", facts, None, LAYOUT).ats == 7 + 0 - 3
    assert target("VASE", "uk", facts, None, LAYOUT).ats == 7


def test_unassigned_units_weigh_on_every_pool_that_shares_a_location() -> None:
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 10),), (sold(6, place=None, channel="uk"),))}
    assert target("VASE", "web", facts, None, LAYOUT).ats == 4
    assert target("VASE", "uk", facts, None, LAYOUT).ats == 4


def test_units_of_an_unknown_channel_weigh_everywhere() -> None:
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 10),), (sold(6, place=None, channel="gone"),))}
    assert target("VASE", "web", facts, None, LAYOUT).ats == 4


def test_holds_lower_every_pool_that_shares_a_location() -> None:
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 10),), (), (Hold("h1", "uk", 4, "B2B"),))}
    assert target("VASE", "web", facts, None, LAYOUT).ats == 6


def test_units_in_carts_of_sibling_entries_and_an_old_base_lower_the_number() -> None:
    facts = {"VASE": SkuFacts("VASE", (at("WH1", 10),))}
    layout = Layout(channels=LAYOUT.channels, pools=LAYOUT.pools, masters={"WH1": "erp"}, stale_buffers={"erp": 4})
    assert target("VASE", "web", facts, None, LAYOUT, in_other_carts=2).target == 8
    assert target("VASE", "web", facts, None, layout, stale={"erp"}).target == 6


def test_a_master_that_is_too_old_holds_only_what_it_counts() -> None:
    masters, buffers = {"WH1": "erp", "WH2": "wms"}, {"erp": 4, "wms": 1}
    layout = Layout(channels=LAYOUT.channels, pools=LAYOUT.pools, masters=masters, stale_buffers=buffers)
    facts = {
        "VASE": SkuFacts("VASE", (at("WH1", 10),)),
        "BOWL": SkuFacts("BOWL", (at("WH2", 10),)),
        "CUP": SkuFacts("CUP", (at("WH1", 5), at("WH2", 5))),
    }

    def seen(sku: str, stale: set[str], recipe: dict[str, int] | None = None) -> tuple[int, bool]:
        found = target(sku, "web", facts, recipe, layout, stale=stale)
        return found.ats, found.too_old

    assert [seen(sku, {"wms"}) for sku in ("VASE", "BOWL", "CUP")] == [(10, False), (9, True), (9, True)]
    assert [seen(sku, {"erp", "wms"}) for sku in ("VASE", "BOWL", "CUP")] == [(6, True), (9, True), (5, True)]
    assert seen("SET", {"wms"}, {"VASE": 1})[1] is False
    assert seen("SET", {"wms"}, {"VASE": 1, "BOWL": 1})[1] is True, "a kit waits for each of its components"
    assert layout.counted_by({"wms"}) == [("web", "WH2"), ("outlet", "WH2")]


def test_no_reading_sells_nothing_and_keeps_every_unit_in_flight() -> None:
    facts = {"VASE": SkuFacts("VASE", (), (sold(3, evidence=1),))}
    assert target("VASE", "web", facts, None, LAYOUT).ats == -3
    assert target("NEVER-SEEN", "web", {}, None, LAYOUT).target == 0


KIT = {"A": 2, "B": 1}


def test_kit_is_limited_by_its_scarcest_component() -> None:
    facts = {"A": SkuFacts("A", (at("WH1", 7),)), "B": SkuFacts("B", (at("WH1", 4),))}
    found = target("K", "uk", facts, KIT, LAYOUT)
    assert (found.ats, found.target) == (3, 2)
    assert [(c.term.sku, c.kits) for c in found.components] == [("A", 3), ("B", 4)]


def test_kit_components_of_two_locations_make_no_kit() -> None:
    """Cin7 Core assembles a kit from one location only."""
    facts = {"A": SkuFacts("A", (at("WH1", 4),)), "B": SkuFacts("B", (at("WH2", 6),))}
    assert target("K", "web", facts, KIT, LAYOUT).target == 0


def test_kit_by_location_never_exceeds_the_pool() -> None:
    """Two at each location by components, but an unassigned order of 4 A leaves the pool fewer."""
    facts = {
        "A": SkuFacts("A", (at("WH1", 4), at("WH2", 6)), (sold(4, place=None),)),
        "B": SkuFacts("B", (at("WH1", 2), at("WH2", 4))),
    }
    found = target("K", "web", facts, KIT, LAYOUT)
    assert found.target <= (4 + 4 - 4) // 2
    assert found.target == 0


def test_two_kits_share_a_component() -> None:
    facts = {"A": SkuFacts("A", (at("WH1", 7),), (sold(2), sold(1))), "B": SkuFacts("B", (at("WH1", 4),), (sold(1),))}
    assert target("K", "uk", facts, KIT, LAYOUT).ats == 2


def test_own_row_of_a_kit_is_ignored() -> None:
    facts = {
        "K": SkuFacts("K", (at("WH1", 99),)),
        "A": SkuFacts("A", (at("WH1", 2),)),
        "B": SkuFacts("B", (at("WH1", 1),)),
    }
    assert target("K", "uk", facts, KIT, LAYOUT).ats == 1


def test_the_terms_add_up_to_the_number() -> None:
    facts = {
        "LAMP": SkuFacts(
            "LAMP",
            (at("WH1", 12, inspection=2), at("WH2", 6)),
            (sold(2), sold(1, evidence=99)),
            (Hold("h", "all", 1, "x"),),
        )
    }
    found = target("LAMP", "web", facts, None, LAYOUT, in_other_carts=1)
    term = found.term
    assert term is not None
    ats = (
        sum(t.available - t.held_back for t in term.locations)
        - sum(f.units for f in term.in_flight)
        - sum(units for _, units, _ in term.holds)
    )
    assert ats == found.ats == 12 + 4 - 3 - 1
    assert found.target == ats - found.buffer - found.in_other_carts == 8
    assert term.locations[0].left_out == {"inspection": 2}
    assert [f.why for f in term.in_flight] == ["not_allocated", "not_in_the_number_yet"]
