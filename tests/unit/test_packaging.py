"""What ships beside the code: the unit, the container file, the chart, the dashboard, the alerts.

None of it is built or rendered here: no image registry and no helm binary. What can be read is checked by reading it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.test_docs import DOCS, ROOT, registered_metrics

from sellable.cli import reference

PACKAGING = ROOT / "packaging"
UNIT = PACKAGING / "systemd" / "sellable.service"
CONTAINER = PACKAGING / "container" / "Containerfile"
CHART = PACKAGING / "helm" / "sellable"
DASHBOARD = json.loads((PACKAGING / "grafana" / "sellable.json").read_text("utf-8"))
ALERTS = yaml.safe_load((PACKAGING / "prometheus" / "alerts.yaml").read_text("utf-8"))
COMMANDS = {name for name, _ in reference.commands()}


# --- systemd --------------------------------------------------------------------------------------------------------


def unit_lines() -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE))


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not here")
    # It wants the program to be there, which is nowhere but where it was installed.
    unit = tmp_path / UNIT.name
    text = UNIT.read_text("utf-8")
    unit.write_text(text.replace("/opt/sellable/.venv/bin/sellable", shutil.which("true") or "/bin/true"))
    done = subprocess.run([program, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    assert done.returncode == 0, done.stderr


def test_the_unit_runs_a_command_that_exists_and_nothing_as_root() -> None:
    lines = unit_lines()
    words = lines["ExecStart"].split()
    assert f"{Path(words[0]).name} {words[1]}" in COMMANDS
    assert lines["User"] not in ("", "root")
    assert lines["CapabilityBoundingSet"] == ""
    hardened = ("NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces")
    assert [name for name in hardened if lines.get(name) not in ("yes", "strict")] == []


# --- The container ---------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each instruction, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINER.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found = (line.strip().partition(" ") for line in text.splitlines() if line.strip())
    return [(word, " ".join(rest.split())) for word, _, rest in found]


def test_the_container_file_has_known_instructions_only() -> None:
    known = {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"}
    assert {word for word, _ in instructions()} <= known | {"ENTRYPOINT"}


def test_the_container_is_built_from_what_is_pinned() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert [b for b in bases if not re.search(r":\d+\.\d+\.\d+-|@sha256:[0-9a-f]{64}$", b)] == []
    assert len(set(bases)) == 1, "what was built runs on what it was built with"
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("--require-hashes" in rest and "--no-deps" in rest for rest in installs)
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from="):
            assert (ROOT / rest.split()[0]).exists(), rest


def test_the_container_runs_as_nobody_and_says_whether_it_is_well() -> None:
    found = instructions()
    last_stage = found[max(n for n, (word, _) in enumerate(found) if word == "FROM") :]
    says = dict(last_stage)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", says["USER"]), "a number, so that Kubernetes can tell it is not root"
    assert last_stage.index(("USER", says["USER"])) > max(n for n, (word, _) in enumerate(last_stage) if word == "RUN")
    probe = json.loads(says["HEALTHCHECK"].partition("CMD ")[2])
    assert "/health" in probe[-1]
    compile(probe[-1], "healthcheck", "exec")
    assert " ".join([*json.loads(says["ENTRYPOINT"]), *json.loads(says["CMD"])]) in COMMANDS
    assert json.loads(says["VOLUME"]) == [says["WORKDIR"]]


# --- The chart -------------------------------------------------------------------------------------------------------


def chart(name: str) -> Any:
    return yaml.safe_load((CHART / name).read_text("utf-8"))


def templates() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted((CHART / "templates").iterdir())}


def leaves(values: Any, path: str = "") -> Iterator[str]:
    """Dotted names of what can be set."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    else:
        yield path


def test_the_chart_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    about = chart("Chart.yaml")
    assert (about["apiVersion"], about["name"], about["appVersion"]) == ("v2", "sellable", version)


def fits(value: Any, schema: dict[str, Any], where: str = "values") -> list[str]:
    """What of the value the schema does not allow; as much of JSON Schema as the chart's own file uses."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    assert set(schema) <= {
        *("$schema", "type", "additionalProperties", "required", "properties", "items", "enum", "pattern"),
        *("minLength", "minimum", "maximum"),
    }  # fmt: skip
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{where} is no {schema['type']}"]
    wrong = [f"{where}.{key} is missing" for key in schema.get("required", []) if key not in value]
    if schema["type"] == "object" and "properties" in schema:
        wrong += [f"{where}.{key} is unknown" for key in value if key not in schema["properties"]]
        known = {key: below for key, below in schema["properties"].items() if key in value}
        wrong += [w for key, below in known.items() for w in fits(value[key], below, f"{where}.{key}")]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        wrong.append(f"{where} does not look like {schema['pattern']}")
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{where} is none of {schema['enum']}")
    if schema["type"] == "integer" and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        wrong.append(f"{where} is out of range")
    return wrong


def test_the_values_fit_their_schema_and_the_schema_names_each_of_them() -> None:
    values, schema = chart("values.yaml"), json.loads((CHART / "values.schema.json").read_text("utf-8"))
    assert fits(values, schema) == []
    assert set(schema["properties"]) == set(values)
    for key, below in schema["properties"].items():
        if "properties" in below:
            assert set(below["properties"]) == set(values[key]), key
    assert fits({**values, "replicas": 0, "image": {"repository": "x", "digest": "sha256:1"}, "x": 1}, schema) == [
        "values.x is unknown", "values.image.digest does not look like ^(sha256:[0-9a-f]{64})?$",
        "values.replicas is out of range",
    ]  # fmt: skip


def test_templates_use_every_value_and_no_other() -> None:
    used = {name for text in templates().values() for name in re.findall(r"\.Values\.([\w.]+)", text)}
    there = set(leaves(chart("values.yaml")))
    assert {name for name in used if not any(leaf == name or leaf.startswith(f"{name}.") for leaf in there)} == set()
    assert {leaf for leaf in there if not any(leaf == name or leaf.startswith(f"{name}.") for name in used)} == set()


@pytest.mark.parametrize(("name", "text"), templates().items(), ids=templates())
def test_a_template_is_closed_and_is_yaml_around_its_actions(name: str, text: str) -> None:
    actions = re.findall(r"\{\{-?\s*(\w+)", text)
    assert text.count("{{") == text.count("}}")
    assert sum(word in ("if", "with", "range", "define") for word in actions) == actions.count("end")
    defined = set(re.findall(r'define "([\w.]+)"', templates()["_helpers.tpl"]))
    assert set(re.findall(r'include "([\w.]+)"', text)) <= defined
    if name.endswith(".yaml"):
        # Lines of actions alone go, actions inside a line become a word: what is left is the shape.
        shape = re.sub(r"^\s*\{\{-?[^}]*\}\}\n", "", text, flags=re.MULTILINE)
        document = yaml.safe_load(re.sub(r"\{\{[^}]*\}\}", "x", shape))
        assert {"apiVersion", "kind", "metadata"} <= set(document)


def test_the_deployment_is_the_container_and_asks_the_right_doors() -> None:
    text = templates()["deployment.yaml"]
    user = dict(instructions())["USER"].split(":")
    assert f"runAsUser: {user[0]}" in text
    assert f"runAsGroup: {user[1]}" in text
    assert "readOnlyRootFilesystem: true" in text
    assert re.findall(r"path: (/\w+)$", text, re.MULTILINE) == ["/health", "/health", "/ready"]
    assert "path: /webhooks/" in templates()["ingress.yaml"], "nothing else belongs on a public address"


# --- Dashboard and alerts --------------------------------------------------------------------------------------------


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of everything that asks for a metric."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["name"], variable.get("definition", "")
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def asked() -> Iterator[tuple[str, str, set[str]]]:
    """(where, metric, labels) of each metric of ours that is asked for, by the name it is registered under."""
    for where, expr in expressions():
        for name, selector in re.findall(r"\b(sellable_\w+)(?:\{([^}]*)\})?", expr):
            metric = re.sub(r"_(bucket|sum|count)$", "", name)
            grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expr) for label in labels.split(",")}
            yield where, metric, grouped | set(re.findall(r"(\w+)\s*(?:=|!)", selector))


def test_every_metric_and_label_that_is_asked_for_exists() -> None:
    metrics, scraped = registered_metrics(), {"job", "instance", "le"}
    named = set(re.findall(r"^\| `(sellable_\w+)` ", (DOCS / "reference/metrics.md").read_text("utf-8"), re.MULTILINE))
    found = list(asked())
    assert found
    assert [(where, name) for where, name, _ in found if name not in metrics or name not in named] == []
    assert [(where, name) for where, name, labels in found if labels - {*metrics[name], *scraped}] == []


def test_the_dashboard_can_be_imported() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {t["datasource"]["uid"] for panel in panels for t in panel["targets"]} == {"${datasource}"}
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "job"}
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)


def test_every_alert_says_what_to_think_of_it_and_is_on_its_page() -> None:
    page = (DOCS / "operating/logs-and-metrics.md").read_text("utf-8")
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert [r["alert"] for r in rules if not (r["annotations"]["summary"] and r["annotations"]["description"])] == []
    assert {r["labels"]["severity"] for r in rules} == {"page", "ticket"}
    assert {r["alert"] for r in rules} == set(re.findall(r"`(Sellable\w+)`", page))
