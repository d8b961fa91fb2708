"""Runs the database suites once more on a PostgreSQL that is not ours: DATABASE_URL, else Debian's own programs.

Rule: it says by name what it skipped; a machine without a second PostgreSQL is no failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from sellable.runtime import postgres

SUITES = ["tests/suites", "tests/e2e/test_main_job.py"]


def main() -> int:
    """Exit code of the suites, 0 when there is no second PostgreSQL."""
    if os.environ.get("DATABASE_URL"):
        return run(os.environ["DATABASE_URL"])
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not folders:
        print("skipped: the suites on a second PostgreSQL (none by DATABASE_URL, none from Debian's postgresql)")
        return 0
    programs = folders[-1].parent
    print(f"the suites again, on {programs}")
    with (
        postgres.scratch() as folder,
        mock.patch.object(postgres, "_candidates", return_value=iter([programs])),
        postgres.EmbeddedServer(folder, durable=False, die_with_parent=True) as url,
    ):
        return run(url)


def run(url: str) -> int:
    """The suites on this server."""
    command = [sys.executable, "-m", "pytest", *sys.argv[1:], *SUITES]
    return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
