# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/ promise of files and messages is so: every key is explained, every example holds, every message exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.thresholds import DEFAULTS
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan import expand
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import load_file
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
SCHEMAS = ROOT / "plugins" / "module_utils" / "schemas"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "inventories/example/README.md"]


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def examples(page: str) -> list[str]:
    """The YAML files that a page shows whole: those that state their schema."""
    blocks = [text for language, text in FENCED.findall((DOCS / page).read_text()) if language == "yaml"]
    return [text for text in blocks if re.search(r"^schema:", text, re.MULTILINE)]


def keys(part: dict[str, Any], whole: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key that a schema knows, as `hardware.gpus.count`; those of limits (warn, fail) are one."""
    if "$ref" in part:
        name = part["$ref"].rsplit("/", 1)[1]
        if name == "limits":
            return
        part = whole["$defs"][name]
    if "items" in part:
        yield from keys(part["items"], whole, path)
    for key, inner in part.get("properties", {}).items():
        here = f"{path}.{key}" if path else key
        if "properties" not in inner:
            yield here
        yield from keys(inner, whole, here)


@pytest.mark.parametrize("name", ["node_class", "cable_plan"])
def test_every_key_is_explained(name: str) -> None:
    known = set(keys(schema(name), schema(name)))
    assert len(known) > 10
    page = (DOCS / f"{name}.md").read_text()
    assert not {key for key in known if f"`{key}`" not in page}
    # And nothing is explained that is not there: the first column of every table of keys.
    told = set(re.findall(r"^\| `([a-z_.]+\.[a-z_.]+)` \|", page, re.MULTILINE))
    checks = {key for key in told if key.startswith(("fabric.", "collective."))}
    assert not told - checks - known


def test_the_defaults_that_are_told_are_those_of_the_code() -> None:
    page = (DOCS / "node_class.md").read_text()
    rows = re.findall(r"^\| `thresholds\.(\w+)` \|[^|]*\| ([0-9., ]+) \|", page, re.MULTILINE)
    assert {key: [float(number) for number in numbers.split(",")] for key, numbers in rows} == {
        key: list(map(float, value.values() if isinstance(value, dict) else [value])) for key, value in DEFAULTS.items()
    }


def test_every_node_class_of_a_page_holds(tmp_path: Path) -> None:
    shown = examples("node_class.md")
    assert len(shown) > 1
    for text in shown:
        path = tmp_path / f"{yaml.safe_load(text)['name']}.yml"
        path.write_text(text)
        assert load_file(path) == (yaml.safe_load(text), [])


def test_the_whole_class_of_the_page_has_every_key() -> None:
    whole = yaml.safe_load(examples("node_class.md")[0])
    for key in keys(schema("node_class"), schema("node_class")):
        here: Any = whole
        for step in key.split("."):
            here = (here[0] if isinstance(here, list) else here)[step]


def test_every_cable_plan_of_a_page_holds() -> None:
    shown = examples("cable_plan.md")
    assert len(shown) > 2
    for text in shown:
        content = yaml.safe_load(text)
        assert not list(Draft202012Validator(schema("cable_plan")).iter_errors(content))
        assert expand(content).peer


def test_the_plan_that_the_page_counts_has_so_many_cables() -> None:
    page = (DOCS / "cable_plan.md").read_text()
    plans = {content["name"]: expand(content) for content in map(yaml.safe_load, examples("cable_plan.md"))}
    cables = len(list(plans["example"].links())) - len(yaml.safe_load(examples("cable_plan.md")[1])["links"])
    assert f"{cables:,} cables" in page
    assert set(plans["example"].peer) == set(
        expand(yaml.safe_load((ROOT / "inventories/example/cable_plan.yml").read_text())).peer
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:docs|roles|plugins|playbooks|lab|tests|node_classes|inventories)/[\w./-]+)`", text):
        if not re.search(r"<|NAME", path):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_of_the_pages_is_yaml(page: Path) -> None:
    for language, text in FENCED.findall(page.read_text()):
        if language == "yaml":
            list(yaml.load_all(text, Loader=_Vaulted))


class _Vaulted(yaml.SafeLoader):
    """Takes Ansible's tag for an encrypted value."""


_Vaulted.add_constructor("!vault", lambda loader, node: loader.construct_scalar(node))
