# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference is complete: whatever a site may set or read is described where `make docs` finds it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.action.preflight import REQUIRED
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.thresholds import DEFAULTS
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.xid import XIDS
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility import table as versions

from docs.check_pages import check_pages
from docs.generate import (
    compatibility_page,
    inventory_page,
    origins,
    schema_keys,
    schema_page,
    table,
    thresholds_page,
    xids_page,
)

ROOT = Path(__file__).resolve().parents[3]
COMMON = ROOT / "inventories" / "common" / "00-common.yml"
PLUGINS = sorted(
    path
    for kind in ("modules", "inventory", "callback", "filter")
    for path in (ROOT / "plugins" / kind).glob("[a-z]*.py")
)
FRAGMENTS = sorted((ROOT / "plugins" / "doc_fragments").glob("[a-z]*.py"))
ROLES = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
SCHEMAS = ("roster", "node_class", "cable_plan", "health_policy", "kernel_log", "report")


def _texts(path: Path) -> dict[str, Any]:
    """DOCUMENTATION and RETURN of a plugin or a fragment, without running it."""
    assigned = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Assign))
    return {
        target.id: yaml.safe_load(node.value.value)
        for node in assigned
        for target in node.targets
        if isinstance(target, ast.Name)
        and target.id in ("DOCUMENTATION", "RETURN")
        and isinstance(node.value, ast.Constant)
    }


def _undescribed(entries: dict[str, Any], below: str, path: str = "") -> Iterator[str]:
    """Names of entries, and of those `below` them, that have no description."""
    for name, entry in (entries or {}).items():
        if not entry.get("description"):
            yield f"{path}{name}"
        yield from _undescribed(entry.get(below, {}), below, f"{path}{name}.")


def _entry_points(role: Path) -> dict[str, Any]:
    text = (role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["argument_specs"])


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_every_option_and_result_of_a_plugin_is_described(path: Path) -> None:
    texts = _texts(path)
    assert texts["DOCUMENTATION"]["short_description"] and texts["DOCUMENTATION"]["description"]
    assert list(_undescribed(texts["DOCUMENTATION"].get("options", {}), "suboptions")) == []
    assert list(_undescribed(texts.get("RETURN", {}), "contains")) == []
    assert path.parent.name != "modules" or texts["RETURN"], "a module says what it returns"


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_every_option_of_a_fragment_is_described(path: Path) -> None:
    options = _texts(path)["DOCUMENTATION"]["options"]
    assert options
    assert list(_undescribed(options, "suboptions")) == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_describes_its_variables_and_gives_the_default(role: Path) -> None:
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}
    points = _entry_points(role)
    for name, point in points.items():
        assert point["short_description"] and point["description"], name
        assert list(_undescribed(point.get("options", {}), "options")) == [], name
        for variable, option in point.get("options", {}).items():
            if variable in defaults and "default" in option:
                assert option["default"] == defaults[variable], f"{name}: {variable}"
    described = {variable for point in points.values() for variable in point.get("options", {})}
    assert {*defaults} <= described


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_of_a_file_is_described(kind: str) -> None:
    schema = json.loads((ROOT / "plugins" / "module_utils" / "schemas" / f"{kind}.schema.json").read_text("utf-8"))
    keys = list(schema_keys(schema, schema))
    assert len(keys) > 5
    assert [path for path, _values, _required, description in keys if not description] == []
    page = schema_page(kind)
    assert all(f"`{path}`" in page for path, *_rest in keys)


def test_keys_are_told_with_their_place_limits_and_duty() -> None:
    schema = json.loads((ROOT / "plugins" / "module_utils" / "schemas" / "node_class.schema.json").read_text("utf-8"))
    keys = {path: (values, required) for path, values, required, _description in schema_keys(schema, schema)}
    assert keys["hardware.gpus.count"] == ("integer from 0 to 64", True)
    assert keys["thresholds.gpu_temperature_c.warn"] == ("number from 0", True)
    assert keys["checks.exclude[].reason"] == ("string", True)
    assert keys["thresholds"] == ("object", False)


def test_catalogue_thresholds_and_xids_are_complete() -> None:
    pages = check_pages()
    assert {*pages} == {"index", *CHECKS}
    for check in CHECKS.values():
        page = pages[check.id]
        assert page.startswith(f"# {check.id}\n\n{check.title}.\n")
        told = {"What it reads": check.source, "What to do": check.remedy, "Owner": check.owner}
        plain = page.replace("`", "")
        assert all("\n- **{}:** {}\n".format(*item).replace("`", "") in plain for item in told.items())
        assert "\n- **When it fails:** " in page
        assert pages["index"].count(f"\n| [{check.id}]({check.id}.md) | ") == 1
    assert "[`gpu_temperature_c.fail`](../thresholds.md)" in pages["gpu.temperature"]
    assert "is not `hardware.gpus.model`." in pages["gpu.model"]
    assert "not done `triage_post_seconds` after" in pages["boot.post"]
    assert "python -m lab fault NODE hca-down" in pages["hca.state"]
    assert {*origins()} == {*DEFAULTS}, "above every default stands where it comes from"
    thresholds = thresholds_page()
    assert all(f"| `{name}` |" in thresholds for name in DEFAULTS)
    xids = xids_page()
    assert all(f"| {code} |" in xids for code in XIDS)


def test_every_rule_of_the_versions_is_told_with_its_source() -> None:
    page = compatibility_page()
    for floor in versions.FLOORS:
        assert f"| `{floor.key}` {floor.since} | `{floor.other}` {floor.least} | {floor.source} |" in page
    for generation in versions.GENERATIONS:
        models = ", ".join(generation.models)
        limits = f"{generation.driver or 'not supported'} | {generation.cuda} | {generation.dropped or 'none'}"
        assert f"| {generation.name}: {models} | {limits} | {generation.source} |" in page
    assert all(f"| {row.name} | {row.doca_ofed} | {row.source} |" in page for row in versions.RELEASES)
    assert all(f"| {kernels.release} | `{kernels.example}` |" in page for kernels in versions.KERNELS)
    assert versions.FABRIC_MANAGER in page and versions.KERNEL_SOURCE in page


def test_a_table_keeps_its_columns() -> None:
    assert table(("a", "b"), [("1|2", 3)]) == "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |\n"


def _variables(path: Path) -> Iterator[tuple[str, bool]]:
    """Every variable that a file of variables sets, and whether a comment stands in its paragraph."""
    indent = "    " if path == COMMON else ""
    text = path.read_text(encoding="utf-8")
    if path == COMMON:
        text = text.partition("  vars:\n")[2].partition("\n  children:\n")[0]
    for paragraph in re.split(r"\n\s*\n", text):
        commented = re.search(r"^\s*# ", paragraph, re.MULTILINE) is not None
        for name in re.findall(rf"^{indent}([a-z]\w*):", paragraph, re.MULTILINE):
            yield name, commented


def test_every_variable_of_the_inventories_is_explained() -> None:
    known = {name for variables in REQUIRED.values() for names in variables for name in names}
    for role in ROLES:
        known.update(variable for point in _entry_points(role).values() for variable in point.get("options", {}))
    files = [COMMON, *sorted((ROOT / "inventories" / "example" / "group_vars").rglob("*.yml"))]
    assert len(files) > 3
    found = {name for name, _commented in _variables(COMMON)}
    assert found == {*yaml.safe_load(COMMON.read_text(encoding="utf-8"))["all"]["vars"]}
    # A variable that a comment names is one that the reader meets with its meaning beside it.
    bare = [(path.name, name) for path in files for name, told in _variables(path) if not told and name not in known]
    assert bare == []
    assert all(
        f"`{name}`" in inventory_page() for variables in REQUIRED.values() for names in variables for name in names
    )
