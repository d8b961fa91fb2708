"""A hook of mkdocs: `folder/*` in the nav stands for each page of the folder that the nav does not name, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Writes the nav out before it is read."""
    config["nav"] = expanded(config["nav"], Path(config["docs_dir"]))
    return config


def expanded(nav: Any, docs: Path) -> Any:
    """The nav with every `folder/*` replaced."""
    named = set(pages(nav))

    def walk(item: Any) -> list[Any]:
        if isinstance(item, dict):
            return [{title: flat(below) if isinstance(below, list) else below for title, below in item.items()}]
        if item.endswith("/*"):
            found = sorted(str(path.relative_to(docs)) for path in (docs / item[:-2]).glob("*.md"))
            return [page for page in found if page not in named]
        return [item]

    def flat(items: list[Any]) -> list[Any]:
        return [each for item in items for each in walk(item)]

    return flat(nav)


def pages(nav: Any) -> Iterator[str]:
    """Every page a nav names, in its order."""
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from pages(item)
