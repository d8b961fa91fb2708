"""What is shipped is pinned by hash, may be shipped, and is written down."""

from __future__ import annotations

import re

import pytest
from tests import supply_chain

PERMITTED = {
    *("MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ISC", "PSF-2.0", "PostgreSQL"),
    "LGPL-3.0-only",  # The PostgreSQL driver: used as a library and replaceable, which is what it asks for.
}


@pytest.mark.parametrize("package", supply_chain.shipped(), ids=lambda package: package.name)
def test_a_shipped_package_is_pinned_and_its_licence_permitted(package: supply_chain.Package) -> None:
    assert package.hashes
    licences = set(re.split(r" (?:AND|OR) ", package.licence))
    assert licences <= PERMITTED, f"{package.name} is under {package.licence or 'no stated licence'}"


def test_what_traces_need_is_what_is_shipped_and_more_each_pinned_and_permitted() -> None:
    packages = supply_chain.shipped((supply_chain.ROOT / "requirements" / "otel.txt").read_text("utf-8"))
    assert set(supply_chain.shipped()) <= set(packages), "the same versions, or one of the lists was never tried"
    for package in packages:
        assert package.hashes, package.name
        # The list of certificates, unchanged: its licence asks for no more.
        also = {"MPL-2.0"} if package.name == "certifi" else set()
        assert set(re.split(r" (?:AND|OR) ", package.licence)) <= PERMITTED | also, package


def test_the_bill_of_materials_is_the_pinned_list() -> None:
    packages = supply_chain.shipped()
    bill = supply_chain.document(packages)
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "sellable")
    assert [(each["name"], each["version"]) for each in bill["components"]] == [(p.name, p.version) for p in packages]
    assert all(each["licenses"] and each["hashes"] for each in bill["components"])
    assert {"psycopg", "msgspec", "starlette"} <= {each["name"] for each in bill["components"]}


def test_a_pin_without_a_hash_is_seen() -> None:
    [package] = supply_chain.shipped("msgspec==0.22.0 \\\n    # via sellable\n")
    assert package.hashes == ()
