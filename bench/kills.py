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
KILL_SECONDS = os.environ.get("BENCH_KILL_SECONDS", "45")
"""After so long no more are begun, so that a slow machine makes fewer kills and finishes all the same."""


def measure(bench: Bench) -> list[Figure]:
    """Judged by the oracle: an order lost or doubled, or a number wrong at the end, fails it."""
    story = ROOT / STORY
    if not story.exists() or f"def {TEST}" not in story.read_text("utf-8"):
        raise Skipped(f"{STORY} does not offer {TEST}")
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", f"{STORY}::{TEST}", "-q", "-s", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "KILLS": KILLS, "KILL_SECONDS": KILL_SECONDS},
    )  # fmt: skip
    seconds = time.monotonic() - began
    error = re.search(r"^E +(.*)$", done.stdout, re.MULTILINE)
    cause = (error[1] if error else done.stdout[-200:]).replace("|", "/")[:200]
    told = re.search(r"^(\d+) kills, (.*)$", done.stdout, re.MULTILINE)
    return [
        Figure(
            what=f"kill -9, {told[1] if told else 0} times",
            found=f"0 lost, 0 doubled; {told[2]}" if done.returncode == 0 and told else f"failed: {cause}",
            wanted="0 lost, 0 doubled, ready < 5 s",
            how=f"two services under orders at 30 times real time, one or both at once, then the database; at most "
            f"{KILLS} rounds in {KILL_SECONDS} s (BENCH_KILLS, BENCH_KILL_SECONDS); all of it {seconds:.0f} s",
        )
    ]
