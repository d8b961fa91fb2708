"""What is shipped: packages, licences, hashes, known holes. Reads the pinned list and what is installed.

python -m tests.supply_chain FILE writes a CycloneDX 1.6 document and prints licences; --audit looks for known holes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "requirements" / "run.txt"
AUDIT_SECONDS = 300

NAMES = {
    "BSD License": "BSD-3-Clause", "MIT License": "MIT", "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0", "PostgreSQL License": "PostgreSQL",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "ISC License (ISCL)": "ISC",
    "3-Clause BSD License": "BSD-3-Clause",
}  # fmt: skip
"""Older packages name their licence by a classifier."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of the pinned list; `licence` is an SPDX expression, "" when the package does not say."""

    name: str
    version: str
    hashes: tuple[str, ...]
    licence: str


def shipped(text: str | None = None) -> list[Package]:
    """Every package of requirements/run.txt."""
    found = []
    for block in re.split(r"\n(?=\S)", text if text is not None else SHIPPED.read_text("utf-8")):
        if pin := re.match(r"([A-Za-z0-9_.-]+)==(\S+)", block):
            hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
            found.append(Package(name=pin[1], version=pin[2], hashes=hashes, licence=licence_of(pin[1])))
    return found


def licence_of(name: str) -> str:
    """A package's licence as it says itself: an expression, a classifier, or a short text."""
    said = metadata.metadata(name)
    if expression := said.get("License-Expression"):
        return str(expression)
    words = [each.rpartition(" :: ")[2] for each in said.get_all("Classifier") or () if each.startswith("License ::")]
    known = [NAMES.get(each, each) for each in words if each != "OSI Approved"]
    text = str(said.get("License") or "")[:60]
    return " AND ".join(sorted(set(known))) or NAMES.get(text, text)


def document(packages: list[Package]) -> dict[str, Any]:
    """The software bill of materials of a release: the same pins give the same document."""
    own = metadata.metadata("sellable")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": own["Name"], "version": own["Version"]}},
        "components": [
            {
                "type": "library",
                "name": each.name,
                "version": each.version,
                "purl": f"pkg:pypi/{each.name}@{each.version}",
                "licenses": [{"expression": each.licence}] if each.licence else [],
                "hashes": [{"alg": "SHA-256", "content": content} for content in each.hashes],
            }
            for each in packages
        ],
    }


def audit() -> int:
    """1 when a shipped package has a known hole; 0 when none has, or when nobody can be asked."""
    command = ["pip-audit", "--requirement", str(SHIPPED), "--disable-pip", "--require-hashes", "--format", "json"]
    try:
        done = subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            capture_output=True, text=True, timeout=AUDIT_SECONDS,
        )  # fmt: skip
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print("the list of known holes cannot be had here: nothing was checked", file=sys.stderr)
        return 0
    holes = [f"{each['name']} {each['version']}: {hole['id']}" for each in found for hole in each.get("vulns", ())]
    print("\n".join(holes) or f"no known hole in {len(found)} packages")
    return 1 if holes else 0


def main(words: list[str]) -> int:
    """Writes the document, or audits."""
    if words == ["--audit"]:
        return audit()
    packages = shipped()
    for each in packages:
        print(f"{each.name:<24} {each.version:<12} {each.licence}")
    for name in words:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document(packages), indent=2) + "\n", "utf-8")
        print(f"{path}: {len(packages)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
