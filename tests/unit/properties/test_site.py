# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that people write for a site: any content is read, or refused with the file's name; nothing is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.documents import document
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.schema import faults, load
from ansible_collections.firstlight.cluster.plugins.module_utils.site.hosts_file import expand, read_hosts
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import load_file
from ansible_collections.firstlight.cluster.plugins.module_utils.site.validate import validate
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.conftest import ROOT
from tests.unit.properties.junk import BYTES, JSON, NASTY, TEXTS, mutated, mutated_bytes

HOSTS = """---
gpu_nodes:
  vars: {node_class: h100-sxm5-8x400g}
  hosts:
    node01: {serial_number: A1, rack: r1, unit: 1, bmc_address: 10.0.0.1}
    node02: {serial_number: A2, rack: r1, unit: 2, state: planned}
    node[03:05]: &more
      rack: r2
head_nodes:
  hosts:
    head01: {<<: *more, ansible_host: 10.0.1.1}
  children:
    mirror: {hosts: {head01: }}
"""
NODE_CLASS = (ROOT / "node_classes/h100-sxm5-8x400g.yml").read_text(encoding="utf-8")
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{other}'] * 9)}]\n" for other, one in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


def same(value: Any, other: Any) -> bool:
    return json.dumps(value, default=str, sort_keys=True) == json.dumps(other, default=str, sort_keys=True)


@given(mutated(HOSTS, NODE_CLASS) | TEXTS)
def test_any_text_is_read_as_yaml_reads_it_or_refused(text: str) -> None:
    read, problems = document.parse(text, "f.yml")
    render(problems)
    if read is None:
        assert problems
    elif not problems:
        assert same(read.data, yaml.safe_load(text))


@given(st.sampled_from([HOSTS, NODE_CLASS]), st.sampled_from(NASTY), st.data())
def test_any_word_in_the_place_of_a_value_is_read_or_refused(
    folder: Path, text: str, word: str, data: st.DataObject
) -> None:
    lines = text.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    head, colon, _value = lines[number].partition(":")
    ways = [f"{head}{colon} {word}", f"{word}{colon} 1", f"{head}: [{word}, {word}]"]
    lines[number] = data.draw(st.sampled_from(ways))
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    inventory(folder, content if text is HOSTS else HOSTS.encode())
    node_class(folder, content if text is NODE_CLASS else NODE_CLASS.encode())


ENDLESS = {"lists": "[" * 5000, "maps": "{a: " * 5000, "items": "- " * 5000, "aliases": LAUGHS}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_file_that_never_ends_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_MOST_VALUES", 20_000)
    read, problems = document.parse(text, "f.yml")
    assert read is None
    assert "f.yml" in render(problems)


def inventory(folder: Path, content: bytes) -> None:
    (folder / "hosts.yml").write_bytes(content)
    hosts, problems = read_hosts(folder / "hosts.yml")
    assert hosts is not None or problems
    site = validate(folder)
    assert site.problems or site.roster.nodes, "an inventory without problems has nodes"
    for problem in [*problems, *site.problems]:
        assert problem.message and problem.remedy and problem.file
    render(site.problems)


@given(mutated_bytes(HOSTS) | BYTES)
def test_any_inventory_is_read_or_its_problems_are_told(folder: Path, content: bytes) -> None:
    inventory(folder, content)


def node_class(folder: Path, content: bytes) -> dict[str, Any] | None:
    path = folder / "h100-sxm5-8x400g.yml"
    path.write_bytes(content)
    data, problems = load_file(path)
    assert (data is None) is bool(problems)
    render(problems)
    return data


@given(mutated_bytes(NODE_CLASS) | BYTES)
def test_any_node_class_is_read_or_its_problems_are_told(folder: Path, content: bytes) -> None:
    data = node_class(folder, content)
    if data is not None:
        assert data["schema"] == 1 and data["hardware"]


@given(mutated("node[01:04]", "r[a:d]-[1:9:2]") | TEXTS)
def test_any_pattern_of_hosts_is_expanded_or_refused(pattern: str) -> None:
    try:
        names = expand(pattern)
    except ValueError:
        return
    assert 1 <= len(names) <= 100_000
    assert ("[" in pattern) or names == [pattern]


@pytest.mark.parametrize("pattern", ["[1:2]" * 3000, "[1:1]" * 3000, "n[1:999999999]", "[a:z]" * 9])
def test_a_pattern_without_end_is_refused_or_short(pattern: str) -> None:
    try:
        assert len(expand(pattern)) <= 100_000
    except ValueError as error:
        assert "hosts" in str(error) or "range" in str(error)


@given(st.sampled_from(["roster", "node_class", "cable_plan", "health_policy"]), JSON)
def test_any_value_is_judged_by_a_schema(name: str, value: Any) -> None:
    for fault in faults(value, load(name)):
        assert fault.message


@given(st.data())
def test_any_value_inside_a_class_is_judged_by_its_schema(data: st.DataObject) -> None:
    value: Any = yaml.safe_load(NODE_CLASS)
    target, key = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(target[key], dict) and target[key] and data.draw(st.booleans()):
        target = target[key]
        key = data.draw(st.sampled_from(sorted(target)))
    junk = data.draw(JSON | st.dates() | st.lists(st.dates(), min_size=2, max_size=2).map(lambda pair: pair * 2))
    target[key] = junk
    for fault in faults(value, load("node_class")):
        assert fault.message
