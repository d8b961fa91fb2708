"""Kill -9 again and again under traffic: the soak of tests/e2e/test_processes.py, short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

from bench.stage import ROOT, Bench, Figure, Skipped

STORY = "tests/e2e/test_processes.py"
TEST = "test_nothing_is_lost_or_doubled_whatever_dies"
KILLS = os.environ.get("BENCH_KILLS", "10")


def measure(bench: Bench) -> list[Figure]:
    """Judged by the oracle: an order lost or doubled, a number wrong at the end or a slow start fails it."""
    story = ROOT / STORY
    if not story.exists() or f"def {TEST}" not in story.read_text("utf-8"):
        raise Skipped(f"{STORY} does not offer {TEST}")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"{STORY}::{TEST}", "-q", "-p", "no:cacheprovider", "--timeout", "240"],
        cwd=ROOT, env={**os.environ, "KILLS": KILLS}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    error = re.search(r"^E +(.*)$", done.stdout, re.MULTILINE)
    cause = (error[1] if error else done.stdout[-200:]).replace("|", "/")[:200]
    return [
        Figure(
            what=f"kill -9, {KILLS} times",
            found="0 lost, 0 doubled, ready in time" if done.returncode == 0 else f"failed: {cause}",
            wanted="0 lost, 0 doubled, ready < 5 s",
            how=f"two services at 30 times real time, {seconds:.0f} s; set BENCH_KILLS=50 for the long one",
        )
    ]
