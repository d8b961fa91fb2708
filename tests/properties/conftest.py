"""The same examples every time, so that a red gate is red again; `PROPERTIES=long` takes many more, new each time."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

LONG = os.environ.get("PROPERTIES") == "long"

settings.register_profile(
    "house",
    derandomize=not LONG,
    database=None,
    deadline=None,
    max_examples=20_000 if LONG else 100,
    suppress_health_check=list(HealthCheck),
    print_blob=LONG,
)
settings.load_profile("house")
