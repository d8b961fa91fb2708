"""A place that commercetools counts has one entry, one shipper and one owner: else it is refused at the start."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.e2e.test_counted_at_storefront import COUNTED
from tests.e2e.world import settings_of

from sellable.app.check import ages
from sellable.config.check.counted import counted
from sellable.config.check.places import locations

LEEDS = COUNTED["locations"][0]
POOL, CHANNEL = COUNTED["pools"][0], COUNTED["channels"][0]
YORK = {"name": "York", "master": "orderflow", "remote": "YORK"}


def problems(**changes: Any) -> dict[str, str]:
    settings = settings_of(datetime(2026, 1, 1, tzinfo=UTC), **{**COUNTED, **changes})
    return {key: says for key, says, _ in counted(settings)}


def test_one_place_one_pool_one_channel_is_right() -> None:
    assert problems() == {}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"locations": [{**LEEDS, "shipped_by": ""}]}, "locations[0].shipped_by"),
        ({"locations": [{**LEEDS, "shipped_by": "cin7_core"}]}, "locations[0].shipped_by"),
        ({"locations": [LEEDS, {**YORK, "shipped_by": "orderflow"}]}, "locations[1].shipped_by"),
        ({"locations": [LEEDS, YORK], "pools": [{"name": "eu", "locations": ["Leeds", "York"]}]}, "pools[0].locations"),
        ({"pools": [POOL, {"name": "uk", "locations": ["Leeds"]}]}, "pools[1].locations"),
        ({"channels": [CHANNEL, {"key": "web-uk", "pool": "eu"}]}, "channels[1].pool"),
        ({"channels": [{**CHANNEL, "buffer": 1}]}, "channels[0].buffer"),
        ({"channels": [{**CHANNEL, "cap": 5}]}, "channels[0].cap"),
        ({"channels": [{**CHANNEL, "create_entries": True}]}, "channels[0].create_entries"),
        ({"buffers": [{"units": 1, "location": "Leeds"}]}, "buffers[0].units"),
        ({"buffers": [{"units": 1, "channel": "web-eu"}]}, "buffers[0].units"),
        ({"commercetools": {"restocks_on_cancel": "unknown", "restocks_on_return": "no"}},
         "commercetools.restocks_on_cancel"),
        ({"commercetools": {"restocks_on_cancel": "no"}}, "commercetools.restocks_on_return"),
        ({"locations": [{**LEEDS, "master": "orderflow", "shipped_by": ""}], "commercetools": {"stock_writers": ["x"]}},
         "commercetools.stock_writers"),
    ],
)  # fmt: skip
def test_a_second_owner_or_a_number_that_stays_wrong_is_refused(changes: dict[str, Any], key: str) -> None:
    assert list(problems(**changes)) == [key]


def test_the_same_site_under_another_master_is_refused() -> None:
    twice = [LEEDS, {"name": "Leeds again", "master": "orderflow", "remote": "LEEDS"}]
    settings = settings_of(datetime(2026, 1, 1, tzinfo=UTC), **{**COUNTED, "locations": twice})
    found = [key for key, _, _ in locations(settings, ["orderflow", "commercetools"])]
    assert found == ["locations[1].remote"]


def test_the_ages_of_numbers_are_told_of_the_places_that_their_master_counts() -> None:
    mixed = settings_of(datetime(2026, 1, 1, tzinfo=UTC), **{**COUNTED, "locations": [LEEDS, YORK]})
    assert [(age["master"], age["locations"]) for age in ages(mixed)] == [("orderflow", ["York"])]
    assert ages(settings_of(datetime(2026, 1, 1, tzinfo=UTC), **COUNTED)) == []
