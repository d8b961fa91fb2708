"""A small history replayed for real: processes, a database, simulated vendors, an oracle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.alone

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
GOODS = [f"{n}A,CRUNCHY THING {n}" for n in range(10, 22)]


def history() -> str:
    """Thirty invoices of two lines each, one with a twin spelling; a cancellation, a return, a write-off, postage."""
    rows = []
    for n in range(30):
        country = "Germany" if n % 3 == 0 else "United Kingdom"
        for line in (n, n * 5 + 1):
            rows.append(f"{100 + n},{GOODS[line % 12]},{line % 4 + 1},2010-12-01 08:{n:02d}:00,2.55,C{n % 6},{country}")
        if n % 7 == 0:
            rows.append(f"{100 + n},POST,POSTAGE,1,2010-12-01 08:{n:02d}:00,18.00,C{n % 6},{country}")
    rows.append("130,12a,CRUNCHY THING 12,1,2010-12-01 09:00:00,2.55,C9,United Kingdom")
    rows.append(f"C131,{GOODS[3]},-1,2010-12-01 09:01:00,2.55,C3,United Kingdom")
    rows.append(f"132,{GOODS[5]},-2,2010-12-01 09:02:00,0,,United Kingdom")
    return "\n".join([HEADER, *rows]) + "\n"


def run(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON object and the progress of a replay at a pace that a busy machine can keep."""
    (folder / "history.csv").write_text(history())
    command = [sys.executable, "-m", "sellable", "replay", str(folder / "history.csv"), "--json", "--speed", "20"]
    command += ["--rate", "10", "--computing", "2", "--keep", str(folder / "kept"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_history_is_traded_and_judged(tmp_path: Path) -> None:
    code, figures, progress = run(tmp_path)
    assert (code, figures["problems"]) == (0, []), progress
    assert figures["orders_captured"] + figures["orders_refused"] == 31
    assert figures["orders_exported_once"] == figures["orders_captured"]  # also the one of 12a, which is 12A there
    assert (figures["orders_lost"], figures["orders_doubled"], figures["oversold_by_us"]) == (0, 0, 0)
    assert (figures["keys"], figures["keys_wrong_at_end"]) == (26, 0)
    # What is written off at the warehouse after the shop sold it is somebody's to look at; nothing else happens here.
    assert figures["cases"].keys() <= ({"oversold"} if figures["oversold_inherent"] else set())
    assert figures["writes_spent"] >= figures["writes_needed"] > 0


def test_it_survives_a_kill_and_a_silent_back_office(tmp_path: Path) -> None:
    (tmp_path / "chaos.toml").write_text(
        '[[step]]\nat = 0.5\ndo = "cin7_down"\nfor = 1\n\n[[step]]\nat = 1\ndo = "kill_service"\n'
    )
    code, figures, progress = run(tmp_path, "--chaos", str(tmp_path / "chaos.toml"))
    assert (code, figures["problems"]) == (0, []), progress
    assert figures["faults_fired"]["kill_service"] == 1
    assert figures["orders_lost"] == 0
