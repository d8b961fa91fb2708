"""What cannot work is refused with its line and its mend."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import msgspec
import pytest

from sellable.config import reference
from sellable.config.calls import Calls, predict
from sellable.config.check import check
from sellable.config.load import read
from sellable.config.problems import Lines, Problem
from sellable.config.secrets import key_of, new_key
from sellable.desk.kinds import KINDS

KEY = new_key()
ENVIRON = {"CT_CLIENT_SECRET": "a", "CIN7_KEY": "b", "PAYLOAD_KEY": KEY}
EXAMPLE = reference.example()


def problems_of(folder: Path, text: str) -> list[Problem]:
    file = folder / "sellable.toml"
    file.write_text(text, "utf-8")
    loaded = read(file, ENVIRON)
    return check(loaded.settings, loaded.lines, case_kinds=KINDS)


def test_the_example_has_no_problem(tmp_path: Path) -> None:
    assert problems_of(tmp_path, EXAMPLE) == []


LOCATION = '[[locations]]\nname = "{}"\nmaster = "{}"\nremote = "{}"\n'
STATE = '[[states]]\nlocation = "{}"\nbin = "{}"\nstate = "{}"\n'

ORDERFLOW = """[orderflow]
base_url = "https://of.example/web"
user = "api"
password = "p"
channel = "web"
organisation = "acme"
time_zone = "Europe/London"
"""
LEEDS = LOCATION.format("leeds", "orderflow", "Leeds DC") + ORDERFLOW


def of(**changes: object) -> str:
    """A shop with an OrderFlow warehouse, some of its settings changed or added."""
    text = LEEDS
    for name, value in changes.items():
        line = f"{name} = {json.dumps(value)}\n"
        text, changed = re.subn(rf"^{name} = .*\n", line.replace("\\", r"\\"), text, flags=re.MULTILINE)
        text += "" if changed else line
    return text


SKU = '[[skus]]\nstorefront = "{}"\nmaster = "{}"\n'

APPENDED = [
    # (sections appended to the example, line within them, key, part of the message)
    ('[[reasons]]\ncode = "x"\nstorefront = "size"\n', 3, "reasons[1].storefront", 'the code "size" is mapped twice'),
    ('[[reasons]]\ncode = "x"\n', 2, "reasons[1].code", 'the reason "x" is said by no system'),
    (
        '[[statuses]]\nevent = "shipped"\ncountry = "CH"\n',
        2,
        "statuses[1].event",
        '"shipped" is named twice for store "", country "CH"',
    ),
    (
        '[[statuses]]\nevent = "ready"\nshipment_state = "Gone"\n',
        3,
        "statuses[1].shipment_state",
        'there is no shipmentState "Gone"',
    ),
    (SKU.format("cup", "cup"), 3, "skus[1].master", '"cup" is spelled the same on both sides'),
    (SKU.format("cup", ""), 2, "skus[1].storefront", "a SKU is missing"),
    (SKU.format("a", "B") + SKU.format("a", "C"), 5, "skus[2].storefront", '"a" is mapped already, to "B"'),
    (SKU.format("a", "b") + SKU.format("b", "C"), 3, "skus[1].master", '"b" is a storefront spelling of another SKU'),
    (
        LOCATION.format("north", "netsuite", "N"),
        2,
        "locations[2].name",
        'the location "north" is declared twice, so its numbers would have two owners (cin7_core and netsuite)',
    ),
    (LOCATION.format("north", "netsuite", "N"), 3, "locations[2].master", '"netsuite" is no system that owns stock'),
    (
        LOCATION.format("copy", "cin7_core", " warehouse  NORTH") + STATE.format("copy", "*", "available"),
        4,
        "locations[2].remote",
        'is already the location "north": its stock would count twice',
    ),
    (LOCATION.format("new", "cin7_core", "New"), 2, "locations[2].name", 'no state rule names the location "new"'),
    (STATE.format("nowhere", "*", "available"), 2, "states[3].location", 'there is no location "nowhere"'),
    (STATE.format("north", "Returns", "damaged"), 3, "states[3].bin", 'bin "Returns" of "north" has two states'),
    (STATE.format("north", "B", "customer"), 4, "states[3].state", '"customer" is no state that stock on a shelf'),
    ('[[pools]]\nname = "p"\nlocations = ["moon"]\n', 3, "pools[1].locations[0]", 'there is no location "moon"'),
    ('[[pools]]\nname = "p"\nlocations = []\n', 3, "pools[1].locations", 'the pool "p" has no locations'),
    (
        '[[pools]]\nname = "p"\nlocations = ["north",\n  "north"]\n',
        4,
        "pools[1].locations[1]",
        '"north" is in the pool "p" twice, so its stock would count twice',
    ),
    ('[[pools]]\nname = "europe"\nlocations = ["north"]\n', 2, "pools[1].name", 'two pools are called "europe"'),
    ('[[channels]]\nkey = "x"\npool = "asia"\n', 3, "channels[1].pool", 'has no pool: there is none called "asia"'),
    (
        '[[channels]]\nkey = "web-eu"\npool = "europe"\n',
        2,
        "channels[1].key",
        'two channels have the key "web-eu", so its entries would have two owners',
    ),
    (
        '[[channels]]\nkey = "x"\npool = "europe"\nbuffer = -1\n',
        4,
        "channels[1].buffer",
        "-1 units are fewer than none",
    ),
    ('[[channels]]\nkey = "x"\npool = "europe"\ncap = -2\n', 4, "channels[1].cap", "-2 units are fewer than none"),
    ("[[buffers]]\nunits = -3\n", 2, "buffers[1].units", "-3 units are fewer than none"),
    ('[[buffers]]\nunits = 1\nlocation = "moon"\n', 3, "buffers[1].location", 'there is no location "moon"'),
    ('[[buffers]]\nunits = 1\nchannel = "tv"\n', 3, "buffers[1].channel", 'there is no channel "tv"'),
    (
        '[[customers]]\ncustomer = "Other"\ncurrency = "EUR"\n',
        2,
        "customers[1].customer",
        'orders in EUR of store "" have two customers, "Web orders EUR" too',
    ),
    ('[[taxes]]\nrate = "0.190"\nrule = "V"\n', 3, "taxes[2].rule", 'mapped already, to the rule "VAT 19 %"'),
    ('[[taxes]]\nrate = "19"\nrule = "V"\n', 2, "taxes[2].rate", '"19" is no rate as a fraction'),
    ('[[taxes]]\nrate = "a lot"\nrule = "V"\n', 2, "taxes[2].rate", '"a lot" is no rate as a fraction'),
    (
        '[[customers]]\ncustomer = "Web CHF"\ncurrency = "CHF"\n',
        None,
        "cin7_core.base_currency",
        'orders come in "CHF", "EUR", and nobody says which of them is the company\'s own',
    ),
    ('[[rates]]\ncurrency = "CHF"\nrate = "1.062131"\n', 3, "rates[0].rate", '"1.062131" is no exchange rate'),
    ('[[rates]]\ncurrency = "CHF"\nrate = "0"\n', 3, "rates[0].rate", '"0" is no exchange rate'),
    ('[[rates]]\ncurrency = "CHF"\nrate = "NaN"\n', 3, "rates[0].rate", '"NaN" is no exchange rate'),
    ('[[rates]]\ncurrency = "CHF"\nrate = "1e400"\n', 3, "rates[0].rate", '"1e400" is no exchange rate'),
    (
        '[[rates]]\ncurrency = "CHF"\nrate = "own"\n[[rates]]\ncurrency = "CHF"\nrate = "1"\n',
        5,
        "rates[1].currency",
        "CHF has two rates",
    ),
    (
        LOCATION.format("leeds", "orderflow", "Leeds DC"),
        3,
        "locations[2].master",
        '"leeds" is run with OrderFlow, and nothing says how it is reached',
    ),
    (ORDERFLOW, 1, "orderflow", "no location is run with it"),
    (LEEDS + STATE.format("leeds", "*", "available"), 13, "states[3].location", "OrderFlow itself tells the states"),
    (of(time_zone="Leeds"), 11, "orderflow.time_zone", '"Leeds" is no time zone'),
    (of(time_zone="../../etc/passwd"), 11, "orderflow.time_zone", "is no time zone"),
    (of(channel=""), 9, "orderflow.channel", "is empty or no plain text"),
    (of(organisation="acm\u00e9"), 10, "orderflow.organisation", "is empty or no plain text"),
    (of(base_url="http://of.example/web"), 6, "orderflow.base_url", "http would carry secrets and orders"),
    (of(calls_per_minute=9), 12, "orderflow.calls_per_minute", "9 calls a minute are too few"),
    (of(import_batch=0), 12, "orderflow.import_batch", "no order would ever be imported"),
    (of(overlap_minutes=29.9), 12, "orderflow.overlap_minutes", "less than two polls of 900 s miss"),
    (of(despatch_poll_seconds=0), 12, "orderflow.despatch_poll_seconds", "with 0.0 this would never happen"),
    (of(address_lines=["{street}"]), 12, "orderflow.address_lines", '"{street}" is no address line'),
    (of(address_lines=["{line1.__class__}"]), 12, "orderflow.address_lines", "is no address line"),
    (of(address_lines=["{line1!r}"]), 12, "orderflow.address_lines", "is no address line"),
    (of(address_lines=["{line1"]), 12, "orderflow.address_lines", "is no address line"),
    (of(address_lines=["{city}"] * 7), 12, "orderflow.address_lines", "an address has 6 lines"),
    (of(note_field="currency"), 12, "orderflow.note_field", "is a field that OrderFlow gives a meaning"),
    (of(note_field="userDefined1"), 12, "orderflow.note_field", "is the field of the order number already"),
    (of() + '[orderflow.tax_codes]\n"VAT 7 %" = "T2"\n', 12, "orderflow.tax_codes", '"VAT 19 %" have no code'),
    (of(push_header="x token"), 12, "orderflow.push_header", "is no name of a header"),
    (of() + '[orderflow.webhook]\npath_token = "t"\n', 12, "orderflow.webhook.secret", "every push would be refused"),
    (
        of() + '[orderflow.webhook]\npublic_url = "https://us.example"\n',
        12,
        "orderflow.webhook.path_token",
        "every push would be refused",
    ),
    ('[[owners]]\nkind = "drfit"\nowner = "x"\n', 2, "owners[1].kind", 'there is no kind of case "drfit"'),
    ('[[owners]]\nkind = "*"\nowner = "x"\n', 2, "owners[1].kind", 'cases of kind "*" have two owners'),
    ('[[owners]]\nkind = "drift"\nowner = " "\n', 3, "owners[1].owner", 'the owner of "drift" has no name'),
]


@pytest.mark.parametrize(("sections", "line", "key", "message"), APPENDED, ids=[key for _, _, key, _ in APPENDED])
def test_sections_that_cannot_work(tmp_path: Path, sections: str, line: int | None, key: str, message: str) -> None:
    found = {problem.key: problem for problem in problems_of(tmp_path, EXAMPLE + sections)}
    assert message in found[key].message
    assert line is None or found[key].line == EXAMPLE.count("\n") + line
    assert found[key].mend.endswith(".")


SWITCHED = [
    # (a default, what replaces it, key, message)
    ("# session_hours = 12.0", "session_hours = 0", "console.session_hours", "with 0.0 this would never happen"),
    (
        '# public_url = ""\n# Whether',
        'public_url = "console.example"\n# Whether',
        "console.public_url",
        "is no address",
    ),
    (
        '# public_url = ""\n# Whether',
        'public_url = "http://console.example"\n# Whether',
        "console.public_url",
        "http would carry passwords in the open",
    ),
    ("# proxies = []", 'proxies = ["proxy.example"]', "console.proxies[0]", '"proxy.example" is no address'),
    ("# sweep_seconds = 300.0", "sweep_seconds = 0", "cin7_core.sweep_seconds", "with 0.0 this would never happen"),
    ("# hot_poll_seconds = 2.0", "hot_poll_seconds = -1", "commercetools.hot_poll_seconds", "with -1.0 this would"),
    ("# hot_poll_seconds = 2.0", "hot_poll_seconds = nan", "commercetools.hot_poll_seconds", "with nan this would"),
    ("# write_batch = 25", "write_batch = 0", "commercetools.write_batch", "with 0 this would never happen"),
    ("# visibility_lag_seconds = 5.0", "visibility_lag_seconds = -1", "cin7_core.visibility_lag_seconds", "no time to"),
    ("# calls_per_minute = 50", "calls_per_minute = 61", "cin7_core.calls_per_minute", "allows 60 calls a minute"),
    ("start_at = 2026-01-01T00:00:00Z", "start_at = 2026-01-01T00:00:00", "orders.start_at", "is a local time"),
    ('# listen = "127.0.0.1:8080"', 'listen = "8080"', "service.listen", "is no address with a port"),
    ("# stale_buffer = 0", "stale_buffer = -1", "cin7_core.stale_buffer", "-1 units are fewer than none"),
    ('# webhook_url = ""', 'webhook_url = "https://x.example"', "alerts.webhook_url", "would be sent unsigned"),
    (
        '# webhook_url = ""',
        'webhook_url = "http://x.example"\nwebhook_secret = "s"',
        "alerts.webhook_url",
        "http would carry secrets",
    ),
    ('# smtp_url = ""', 'smtp_url = "smtps://u:p@h"', "alerts.smtp_url", "alert mails have no sender"),
    (
        '# base_url = "https://inventory.dearsystems.com/ExternalApi/v2/"',
        'base_url = "http://inventory.example/"',
        "cin7_core.base_url",
        "http would carry secrets and orders in the open",
    ),
    (
        '# auth_url = "https://auth.europe-west1.gcp.commercetools.com"',
        'auth_url = "auth.example"',
        "commercetools.auth_url",
        "is no address",
    ),
]


@pytest.mark.parametrize(("default", "line", "key", "message"), SWITCHED)
def test_values_that_cannot_work(tmp_path: Path, default: str, line: str, key: str, message: str) -> None:
    assert default in EXAMPLE
    found = {p.key: p for p in problems_of(tmp_path, EXAMPLE.replace(default, line, 1))}
    assert message in found[key].message
    assert found[key].line == EXAMPLE[: EXAMPLE.index(default)].count("\n") + 1


@pytest.mark.parametrize(
    ("listen", "refused"),
    [
        *(("127.0.0.1:8080", False), ("localhost:0", False), ("[::1]:8080", False), ("127.9.9.9:1", False)),
        *(("0.0.0.0:8080", True), ("[::]:8080", True), ("10.0.0.5:8080", True), ("localhost.example:80", True)),
    ],
)
def test_open_to_all_is_for_this_machine_only(tmp_path: Path, listen: str, refused: bool) -> None:
    text = EXAMPLE.replace("# open = false", "open = true").replace("# listen = ", f'listen = "{listen}" # ')
    found = problems_of(tmp_path, text)
    assert [problem.key for problem in found] == (["console.open"] if refused else [])


def test_open_to_all_is_not_put_behind_a_proxy(tmp_path: Path) -> None:
    text = EXAMPLE.replace("# open = false", "open = true")
    found = problems_of(tmp_path, text.replace("# proxies = []", 'proxies = ["127.0.0.1"]'))
    assert [problem.key for problem in found] == ["console.open"]


def test_http_and_no_lag_are_fine_for_a_simulator(tmp_path: Path) -> None:
    text = EXAMPLE.replace("# visibility_lag_seconds = 5.0", "visibility_lag_seconds = 0")
    url, insecure = '# api_url = "https://api.europe-west1.gcp.commercetools.com"', "# insecure = false"
    text = text.replace(url, 'api_url = "http://127.0.0.1:1"').replace(insecure, "insecure = true")
    assert problems_of(tmp_path, text) == []


def test_rates_of_a_company_that_says_its_own_currency(tmp_path: Path) -> None:
    text = EXAMPLE.replace('# base_currency = ""', 'base_currency = "EUR"')
    swiss = '[[customers]]\ncustomer = "Web CHF"\ncurrency = "CHF"\n[[rates]]\ncurrency = "CHF"\nrate = "1.06213"\n'
    assert problems_of(tmp_path, text + swiss) == []
    (problem,) = problems_of(tmp_path, text + '[[rates]]\ncurrency = "EUR"\nrate = "1"\n')
    assert (problem.key, problem.message) == ("rates[0].currency", "EUR is the company's own currency")


def test_no_channel_and_no_owner(tmp_path: Path) -> None:
    start, end = EXAMPLE.index("[[channels]]"), EXAMPLE.index("[[customers]]")
    text = "channels = []\n" + EXAMPLE[:start] + EXAMPLE[end:].replace('kind = "*"', 'kind = "drift"')
    found = {p.key: p for p in problems_of(tmp_path, text)}
    assert found["channels"].message == "there is no channel, so nothing would be shown anywhere"
    assert found["channels"].line == 1
    assert found["owners"].message.startswith("nobody owns the cases oversold, drift_many, ")
    assert "drift," not in found["owners"].message
    assert found["owners"].line == text.splitlines().index("[[owners]]") + 1


def test_a_pool_that_ships_nothing(tmp_path: Path) -> None:
    text = EXAMPLE.replace("# ships = true", "ships = false").replace('"Shop High Street"', '"Shop"\nships = false')
    (problem,) = problems_of(tmp_path, text)
    assert problem.key == "channels[0].pool"
    assert problem.message == 'no location of the pool "europe" ships, so orders of "web-eu" could not be sourced'


def test_without_a_file_problems_have_no_line() -> None:
    service = msgspec.structs.replace(reference.EXAMPLE.service, payload_key=KEY)
    settings = msgspec.structs.replace(reference.EXAMPLE, service=service)
    assert check(settings, masters=("netsuite", "cin7_core")) == []
    assert {problem.line for problem in check(settings, Lines(), masters=("netsuite",))} == {None}


PAYLOAD = 'payload_key = "env:PAYLOAD_KEY"'


def test_nothing_starts_without_a_key_for_what_arrives(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, EXAMPLE.replace(PAYLOAD, ""))
    assert (problem.key, problem.message) == (
        "service.payload_key",
        "is missing, and what arrives is stored only encrypted",
    )
    assert "sellable config key" in problem.mend


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("correct horse battery staple", "is no key: it is not base64"),
        ("c2hvcnQ=", "is no key: it holds 5 bytes where a key has 32"),
        pytest.param(KEY[:-2], "is no key: it is not base64", id="cut off"),
    ],
)
@pytest.mark.parametrize("name", ["payload_key", "payload_key_before"])
def test_a_key_is_what_the_command_prints(tmp_path: Path, name: str, written: str, message: str) -> None:
    default = PAYLOAD if name == "payload_key" else '# payload_key_before = ""'
    assert default in EXAMPLE
    (problem,) = problems_of(tmp_path, EXAMPLE.replace(default, f'{name} = "{written}"'))
    assert (problem.key, problem.message) == (f"service.{name}", message)
    assert written not in str(problem)
    assert problem.line == EXAMPLE.splitlines().index(default) + 1


def test_keys_are_new_each_time_and_survive_the_line_end_of_a_file(tmp_path: Path) -> None:
    assert new_key() != new_key()
    assert len(key_of(new_key())) == 32
    (tmp_path / "payload.key").write_text(f"{KEY}\n")
    assert problems_of(tmp_path, EXAMPLE.replace(PAYLOAD, 'payload_key = "file:payload.key"')) == []


class TestPredict:
    def rows(self, **changes: object) -> dict[tuple[str, str], Calls]:
        office = msgspec.structs.replace(reference.EXAMPLE.cin7_core, **changes)
        settings = msgspec.structs.replace(reference.EXAMPLE, cin7_core=office)
        rows = predict(settings, orders_per_hour=100, catalogue_rows=20_000)
        return {(row.budget, row.flow): row for row in rows}

    def test_one_key_pays_for_everything(self) -> None:
        rows = self.rows()
        assert rows["cin7_core key", "order export (three_call)"].per_hour == 300
        # 40,000 rows are 40 pages and one look at the transfers, twelve times an hour.
        assert rows["cin7_core key", "stock sweep"].per_hour == 12 * 41
        assert rows["cin7_core key", "changed sales"].per_hour == 60
        assert rows["cin7_core key", "sale reads (allocation, shipments)"].per_hour == 300
        assert rows["cin7_core key", "changed products"].per_hour == 1
        assert rows["cin7_core key", "all products"].per_hour == 1  # 20 pages in 24 hours.
        total = rows["cin7_core key", "total"]
        assert (total.per_hour, total.budget_per_hour, total.over) == (300 + 492 + 60 + 300 + 1 + 1, 3000, False)

    def test_a_second_key_has_a_budget_of_its_own(self) -> None:
        rows = self.rows(read_key="other")
        assert rows["cin7_core key", "total"].per_hour == 300
        assert rows["cin7_core read_key", "total"].per_hour == 854

    def test_too_eager_settings_are_flagged(self) -> None:
        rows = self.rows(sweep_seconds=30.0)
        assert rows["cin7_core key", "stock sweep"].over
        assert rows["cin7_core key", "total"].over
        assert not rows["cin7_core key", "changed sales"].over

    def test_the_storefront(self) -> None:
        rows = self.rows()
        assert rows["commercetools", "new messages"].per_hour == 1800
        assert rows["commercetools", "entry walk"].per_hour == 2  # 40 pages in 24 hours.
        assert rows["commercetools", "stock writes to sibling channels"].per_hour == 0
        assert dataclasses.asdict(rows["commercetools", "total"]) == {
            "budget": "commercetools",
            "flow": "total",
            "per_hour": 1800 + 120 + 60 + 100 + 2 + 300,
            "budget_per_hour": 180_000,
        }

    def test_a_warehouse_has_one_budget_for_all_that_it_is_asked(self, tmp_path: Path) -> None:
        file = tmp_path / "sellable.toml"
        file.write_text(f"{EXAMPLE}\n{LOCATION.format('hull', 'orderflow', 'Hull DC')}{LEEDS}", "utf-8")
        settings = read(file, ENVIRON).settings
        rows = predict(settings, orders_per_hour=100, catalogue_rows=20_000)
        mine = [(row.flow, row.per_hour) for row in rows if row.budget == "orderflow"]
        assert mine == [
            ("order import", 100),
            ("order reads", 6 * 60 + 100),  # Six looks a minute are a tenth of what may be spent.
            ("inventory", 12 * 3),  # Two places, of which one is read twice.
            ("shipments that left", 60),
            ("returns", 4),
            ("total", 660),
        ]
        # What the warehouse counts is no row of Cin7's list.
        assert [row.per_hour for row in rows if row.flow == "stock sweep"] == [12 * 41]

    def test_without_a_report_no_returns_are_asked_for(self, tmp_path: Path) -> None:
        file = tmp_path / "sellable.toml"
        file.write_text(f"{EXAMPLE}\n{of(return_report='')}", "utf-8")
        rows = predict(read(file, ENVIRON).settings, orders_per_hour=100, catalogue_rows=20_000)
        assert [row.per_hour for row in rows if (row.budget, row.flow) == ("orderflow", "returns")] == [0]
