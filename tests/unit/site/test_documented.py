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

    def has(here: Any, steps: list[str]) -> bool:
        """Of a list it is enough that one of its items has the key."""
        if isinstance(here, list):
            return any(has(each, steps) for each in here)
        return not steps or (isinstance(here, dict) and steps[0] in here and has(here[steps[0]], steps[1:]))

    assert [key for key in keys(schema("node_class"), schema("node_class")) if not has(whole, key.split("."))] == []


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


def sources(folders: tuple[Path, ...], patterns: tuple[str, ...]) -> list[str]:
    """The files' text with texts that are written over several lines joined, and white space as one blank."""
    found = []
    for path in (path for folder in folders for pattern in patterns for path in folder.rglob(pattern)):
        text = re.sub(r"""(["'])\s*\n\s*f?\1""", "", path.read_text(errors="replace"))
        found.append(re.sub(r"\s+", " ", text))
    return found


def messages() -> list[tuple[str, str]]:
    """Every message of the page, with what it means."""
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    return [(message, meaning) for message, meaning in rows]


def test_every_message_of_the_page_can_still_be_said() -> None:
    ours = sources(
        tuple(ROOT / name for name in ("plugins", "roles", "playbooks", "lab", "inventories/lab")), ("*.py", "*.yml")
    )
    told = [message for message, meaning in messages() if not re.match(r"(Ansible|ssh)'s own", meaning)]
    assert len(told) > 80
    gone = [
        message
        for message in told
        if not any(all(part.strip() in text for part in message.split("…")) for text in ours)
    ]
    assert not gone


def test_messages_of_ansible_are_those_of_the_ansible_that_is_installed() -> None:
    import ansible

    theirs = sources((Path(ansible.__file__).parent,), ("*.py",))
    told = [message for message, meaning in messages() if meaning.startswith("Ansible's own")]
    assert len(told) > 5
    assert not [message for message in told if not any(message in text for text in theirs)]


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
