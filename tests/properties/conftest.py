"""The same examples every time, so that a red gate is red again; in the long form many more, new each time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from tests.properties.machines import LONG, MORE

settings.register_profile(
    "house",
    derandomize=not LONG,
    database=None,
    deadline=None,
    max_examples=100 * MORE,
    suppress_health_check=list(HealthCheck),
    print_blob=LONG,
)
settings.load_profile("house")
