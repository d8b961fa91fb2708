"""Coverage-guided fuzzing of every target: python -m tests.fuzz [--seconds N] [TARGET ...]

Each target runs in a process of its own, so that one crash ends one target. Corpora grow in .fuzz/ from run to run; an
input that crashed is kept there by name. First the canary has to crash: a fuzzer that cannot find it proves nothing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(".fuzz")
CANARY = "canary"
CANARY_SECONDS = 30
INPUT_SECONDS = 10
"""A single input that takes longer is a crash here; the gate's limit of 100 ms is for processor time on its corpus."""
INPUT_BYTES_MAX = 65536


def main() -> int:
    """0 when every target held and the canary was found."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz")
    options.add_argument("targets", nargs="*", help="names; all of them when none is given")
    options.add_argument("--seconds", type=int, default=60, help="for each target")
    options.add_argument("--inside", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.inside:
        return _inside(given.inside, given.seconds)
    from tests.fuzz.targets import TARGETS

    unknown = set(given.targets) - set(TARGETS)
    if unknown:
        options.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(TARGETS)}")
    shutil.rmtree(FOLDER / CANARY, ignore_errors=True)
    _, inputs, words = _one(CANARY, CANARY_SECONDS)
    found = "the canary" in words
    words = "found, as it must be" if found else "NOT FOUND: this proves nothing"
    print(f"{CANARY:<24} {inputs:>10,} inputs  {words}")
    crashes, total = 0, 0
    for name in given.targets or TARGETS:
        crashed, inputs, words = _one(name, given.seconds)
        crashes, total = crashes + crashed, total + inputs
        print(f"{name:<24} {inputs:>10,} inputs  {f'CRASH {words}' if crashed else 'held'}", flush=True)
    print(f"{total:,} inputs, {crashes} crash(es); corpora and crashing inputs are in {FOLDER}/")
    return 1 if crashes or not found else 0


def _one(name: str, seconds: int) -> tuple[bool, int, str]:
    """(crashed, inputs tried, the last words) of a target in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz", "--inside", name, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=2 * seconds + 120)
    counted = re.findall(r"number_of_executed_units: (\d+)", done.stderr)
    said = re.findall(
        r"Uncaught Python exception: ===\n(.*)|^==\d+== (ERROR.*)", done.stdout + done.stderr, re.MULTILINE
    )
    words = "; ".join(first or second for first, second in said[:1])[:200]
    if done.returncode and not words:
        words = "it did not run: " + " ".join(done.stderr.split()[-30:])
    return done.returncode != 0, int(counted[-1]) if counted else 0, words


def _inside(name: str, seconds: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["sellable", "tests.fuzz.targets"]):
        from tests.fuzz.targets import TARGETS, Target, canary
    target = Target(name=CANARY, run=canary, seeds=(b"x",)) if name == CANARY else TARGETS[name]
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def run(data: bytes) -> None:
        try:
            target.run(data)
        except target.expected:
            return

    flags = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "timeout": INPUT_SECONDS,
        "print_final_stats": 1,
        "artifact_prefix": f"{FOLDER}/crash-{name}-",
    }
    atheris.Setup([sys.argv[0], *(f"-{flag}={value}" for flag, value in flags.items()), str(corpus)], run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
