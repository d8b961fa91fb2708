"""The demo for real, small and fast: it trades, bears trouble, comes to rest and is judged."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

OPTIONS = ("--for", "15", "--speed", "20", "--rate", "10", "--skus", "60", "--computing", "2", "--json")


def sellable(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sellable", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_demo_ends_right_although_answers_get_lost(tmp_path: Path) -> None:
    run_file = tmp_path / ".sellable/demo/run.json"
    command = [sys.executable, "-m", "sellable", "demo", *OPTIONS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as demo:
        try:
            while not run_file.exists():
                assert demo.poll() is None, demo.communicate()[1]
                time.sleep(0.1)
            assert sellable(tmp_path, "sandbox", "faults", "duplicate-storm", "--for", "3").returncode == 0
            second = sellable(tmp_path, "demo", *OPTIONS)
            assert "running in .sellable/demo already" in second.stderr.replace("\n", " ")
            assert second.returncode == 1
            printed, progress = demo.communicate(timeout=110)
        finally:
            demo.kill()
    figures = json.loads(printed)
    assert (demo.returncode, figures["problems"]) == (0, []), progress
    assert figures["orders_exported_once"] + figures["orders_cancelled"] == figures["orders_captured"] > 5
    assert (figures["oversold_by_us"], figures["keys_wrong_at_end"], figures["orders_doubled"]) == (0, 0, 0)
    assert figures["keys"] == 300
    assert not run_file.exists()


def test_trouble_needs_a_running_demo(tmp_path: Path) -> None:
    listing = sellable(tmp_path, "sandbox", "faults", "list")
    assert listing.returncode == 1
    assert "no demo is running here" in listing.stderr
