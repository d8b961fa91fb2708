"""The documents as a site: it builds strictly, every page can be reached, and nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.test_docs import DOCS, ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a broken link, a missing anchor or a page that no menu names fails here, with its words."""
    folder = tmp_path_factory.mktemp("site")
    words = [str(Path(sys.executable).with_name("mkdocs")), "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_document_is_a_page_of_the_site(site: Path) -> None:
    built = {str(page.relative_to(site).with_suffix(".md")) for page in site.rglob("*.html")}
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} == built - {"404.md"}


def test_every_page_is_in_the_menu_of_the_first(site: Path) -> None:
    menu = set(re.findall(r'href="([\w./-]+)\.html"', (site / "index.html").read_text("utf-8")))
    assert {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")} <= menu | {"index"}


def test_the_roles_come_in_their_order(site: Path) -> None:
    text = (site / "index.html").read_text("utf-8")
    shelves = ("Start", "Concepts", "How to", "Operating", "Reference", "Internals", "Decisions")
    places = [re.search(rf'md-ellipsis">\s*(?:<span[^>]*>)?\s*{shelf}\s', text) for shelf in shelves]
    assert [shelf for shelf, place in zip(shelves, places, strict=True) if place is None] == []
    starts = [place.start() for place in places if place is not None]
    assert starts == sorted(starts)


def test_who_reads_it_fetches_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r'<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
    assert {hit for page in site.rglob("*.html") for hit in fetched.findall(page.read_text("utf-8"))} == set()
