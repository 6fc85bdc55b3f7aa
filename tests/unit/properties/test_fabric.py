# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ibnetdiscover's netlist, names and the cable plan: any text is read or refused, and no junk is a good cable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric import netlist as netlist_module
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.compare import LINK_CHECKS, compare
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.naming import Names
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import (
    CA,
    ROUTER,
    SWITCH,
    Netlist,
    NetlistError,
    Node,
    parse,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan import (
    End,
    PlanError,
    end,
    expand,
    expand_names,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan_file import PlanFileError, load
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.junk import BYTES, JSON, NASTY, TEXTS, mutated, mutated_bytes

TOPOLOGY = """#
# Topology file: generated on Mon Nov 23 10:00:00 2026
#
vendid=0x2c9
devid=0xd2f2
sysimgguid=0x1
switchguid=0x100(100)
Switch\t64 "S-0000000000000100"\t\t# "MF0;leaf-01:MQM9700/U1" enhanced port 0 lid 1 lmc 0
[1]\t"H-0000000000000200"[1](200) \t\t# "node01 mlx5_0" lid 2 4xNDR
[2]\t"H-0000000000000300"[1](300) \t\t# "node02 mlx5_0" lid 3 4xNDR

vendid=0x2c9
caguid=0x200
Ca\t1 "H-0000000000000200"\t\t# "node01 mlx5_0"
[1](200) \t"S-0000000000000100"[1]\t\t# lid 2 lmc 0 "MF0;leaf-01:MQM9700/U1" lid 1 4xNDR

caguid=0x300
Ca\t1 "H-0000000000000300"\t\t# "node02 mlx5_0"
[1](300) \t"S-0000000000000100"[2]\t\t# lid 3 lmc 0 "MF0;leaf-01:MQM9700/U1" lid 1 4xNDR
"""
LISTED = """SW     1  1 0x0000000000000100 4x NDR - CA     2  1 0x0000000000000200 ( 'leaf-01' - 'node01 mlx5_0' )
SW     1  3 0x0000000000000100 4x SDR                                    'leaf-01'
CA     2  1 0x0000000000000200 4x NDR - SW     1  1 0x0000000000000100 ( 'node01 mlx5_0' - 'leaf-01' )
"""
PLAN = """---
schema: 1
name: compute
lanes_per_cage: 1
links:
  - [leaf-01/1, node01/mlx5_0]
  - [leaf-01/2, node02/mlx5_0]
aliases:
  "old name": leaf-01
"""
TREE = """---
schema: 1
generators:
  - kind: rail_optimised_fat_tree
    nodes: ["node[01:04]"]
    devices: [mlx5_0, mlx5_1]
    leaf: {name: "leaf-{pod}-{rail}", ports: 8}
    spine: {name: "spine-{index}", count: 2, cables: 1, ports: 8}
"""
NODES = ["node01", "node02"]


def links(netlist: Netlist) -> set[frozenset[Any]]:
    return {frozenset((link.a, link.b)) for link in netlist.links.values()}


# -- the netlist


@given(mutated(TOPOLOGY, LISTED) | TEXTS)
def test_any_output_is_read_line_by_line(text: str) -> None:
    lines = text.split("\n")
    netlist = parse(lines)
    assert 0 <= netlist.unread_lines <= len(lines)
    again = Netlist.from_dict(json.loads(json.dumps(netlist.to_dict())))
    assert again.to_dict() == netlist.to_dict()
    assert all(link.a[0] in netlist.nodes and link.b[0] in netlist.nodes for link in netlist.links.values())


@given(st.sampled_from(NASTY), st.sampled_from((TOPOLOGY + LISTED).splitlines()), st.integers(0, 20))
def test_any_word_in_the_place_of_a_number_is_read(word: str, line: str, place: int) -> None:
    digits = [index for index, letter in enumerate(line) if letter.isdigit()] or [0]
    at = digits[place % len(digits)]
    netlist = parse([*TOPOLOGY.splitlines()[:8], line[:at] + word + line[at + 1 :]])
    json.dumps(netlist.to_dict())


@given(st.permutations(TOPOLOGY.split("\n\n")))
def test_the_order_of_records_does_not_matter(records: list[str]) -> None:
    assert links(parse("\n\n".join(records).splitlines())) == links(parse(TOPOLOGY.splitlines()))


@given(st.permutations(LISTED.splitlines()))
def test_the_order_of_listed_ports_does_not_matter(lines: list[str]) -> None:
    assert links(parse(lines)) == links(parse(LISTED.splitlines()))


@given(JSON | st.fixed_dictionaries({"schema": st.just(1), "nodes": JSON, "links": JSON, "unread_lines": JSON}))
def test_any_netlist_in_json_is_read_or_refused(data: Any) -> None:
    try:
        netlist = Netlist.from_dict(data)
    except NetlistError:
        return
    json.dumps(netlist.to_dict())


ROWS = st.tuples(st.integers(0, 2) | JSON, st.integers(0, 3) | JSON)


@given(st.lists(st.tuples(ROWS, ROWS, JSON, JSON).map(lambda row: [*row[0], *row[1], row[2], row[3]]), max_size=3))
def test_any_rows_of_links_are_read_or_refused(rows: list[Any]) -> None:
    data = parse(TOPOLOGY.splitlines()).to_dict() | {"links": rows}
    try:
        netlist = Netlist.from_dict(data)
    except NetlistError:
        return
    compare(netlist, PLANNED, NODES)


@pytest.mark.parametrize(
    "line",
    [
        "CA 1 1 0xa 4x NDR x" + " " * 200_000 + "x",
        "CA 1 1 0xa 4x NDR - CA 2 1 0xb ( '" + "' - '" * 40_000,
        '[1] "' + '"[1] "' * 40_000,
        "Switch 64 " + '"' * 200_000,
        " " * 200_000,
        "[" + "9" * 200_000,
    ],
    ids=["spaces", "quotes", "ports", "header", "blank", "digits"],
)
def test_a_line_without_end_is_passed_over_in_no_time(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pattern that could go back and forth is given more than a line of this format has."""
    longest = 0

    class Counted:
        def __init__(self, pattern: Any) -> None:
            self.pattern = pattern

        def match(self, text: str) -> Any:
            nonlocal longest
            longest = max(longest, len(text))
            return self.pattern.match(text)

    for name in ("_PORT", "_HEADER", "_LISTED"):
        monkeypatch.setattr(netlist_module, name, Counted(getattr(netlist_module, name)))
    netlist = parse([*TOPOLOGY.splitlines()[:8], line, *TOPOLOGY.splitlines()[8:]])
    assert longest <= 4096
    assert links(netlist) == links(parse(TOPOLOGY.splitlines()))


# -- names


@given(
    st.sampled_from([CA, SWITCH, ROUTER]),
    mutated("MF0;leaf-01:MQM9700/U1", "node07.example.com mlx5_3", "node07 HCA-4") | TEXTS,
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)
def test_any_description_has_a_name(kind: str, description: str, aliases: dict[str, str]) -> None:
    names = Names({"node07": ["mlx5_0", "mlx5_1"]}, aliases)
    node = Node("x", kind, description)
    names.ignored(node)
    device, port = names.of(node)
    assert isinstance(device, str) and isinstance(port, str)


# -- the plan


def read_plan(folder: Path, content: bytes) -> Any:
    path = folder / "cable_plan.yml"
    path.write_bytes(content)
    try:
        return load(path)
    except PlanFileError as error:
        assert str(path) in str(error)
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plan")


@given(mutated_bytes(PLAN, TREE) | BYTES)
def test_any_file_is_a_plan_or_refused_by_its_name(folder: Path, content: bytes) -> None:
    plan = read_plan(folder, content)
    if plan is not None:
        assert plan.peer
        assert all(plan.peer[plan.peer[each]] == each for each in plan.peer)


@given(st.sampled_from([PLAN, TREE]), st.sampled_from(NASTY), st.data())
def test_any_word_in_the_place_of_a_value_is_a_plan_or_refused(
    folder: Path, text: str, word: str, data: st.DataObject
) -> None:
    lines = text.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    head, colon, _value = lines[number].partition(":")
    lines[number] = f"{head}{colon} {word}"
    read_plan(folder, "\n".join(lines).encode("utf-8", "surrogatepass"))


GENERATOR = {
    "kind": "rail_optimised_fat_tree",
    "nodes": ["node[01:04]"],
    "devices": ["mlx5_0", "mlx5_1"],
    "leaf": {"name": "leaf-{pod}-{rail}", "ports": 8},
    "spine": {"name": "spine-{index}", "count": 2, "cables": 1, "ports": 8},
}


@given(
    st.sampled_from([("nodes",), ("leaf", "name"), ("spine", "name"), ("spine", "count"), ("nodes_per_pod",)]),
    TEXTS
    | st.sampled_from(
        ["{rail.x}", "{rail[0]}", "{rail:999999999}", "{rail!x}", "{}", "{0}", "n[1:999999999]", "a[2:1]"]
    )
    | st.integers(1, 10**12),
)
def test_any_value_of_a_generator_is_a_plan_or_refused(folder: Path, way: tuple[str, ...], value: Any) -> None:
    generator = json.loads(json.dumps(GENERATOR))
    target = generator
    for key in way[:-1]:
        target = target[key]
    target[way[-1]] = [value] if way == ("nodes",) else value
    read_plan(folder, json.dumps({"schema": 1, "generators": [generator]}).encode("utf-8", "surrogatepass"))


@given(mutated("leaf-01/12", "node01/mlx5_0") | TEXTS)
def test_any_end_is_read_or_refused(text: str) -> None:
    try:
        read = end("links[0]", text)
    except PlanError:
        return
    assert end("links[0]", str(read)) == read


@given(st.lists(mutated("node[001:012]", "r[1:2]-n[1:3]") | TEXTS, max_size=3))
def test_any_pattern_of_names_is_expanded_or_refused(patterns: list[str]) -> None:
    try:
        names = expand_names("nodes", patterns)
    except PlanError:
        return
    assert len(set(names)) == len(names)


# -- the comparison

PLANNED = expand({"links": [["leaf-01/1", "node01/mlx5_0"], ["leaf-01/2", "node02/mlx5_0"]], "lanes_per_cage": 1})


def test_the_sample_is_as_planned() -> None:
    """Else nothing below says anything."""
    comparison = compare(parse(TOPOLOGY.splitlines()), PLANNED, NODES)
    assert {item.verdict for node in NODES for item in comparison.nodes[node]} == {Verdict.PASS}


@given(mutated(TOPOLOGY) | TEXTS)
def test_a_node_passes_only_when_its_planned_link_was_seen(text: str) -> None:
    netlist = parse(text.split("\n"))
    comparison = compare(netlist, PLANNED, NODES)
    names = Names(PLANNED.hosts, {})

    def at(port: tuple[str, int]) -> End:
        device, hca = names.of(netlist.nodes[port[0]])
        return End(device, hca or port[1])

    seen = {frozenset((at(link.a), at(link.b))) for link in netlist.links.values()}
    for number, node in enumerate(NODES, 1):
        assert {item.check for item in comparison.nodes[node]} >= {*LINK_CHECKS} - {"fabric.discovery"}
        if all(item.verdict is Verdict.PASS for item in comparison.nodes[node]):
            assert frozenset((End("leaf-01", number), End(node, "mlx5_0"))) in seen


@given(st.permutations(TOPOLOGY.split("\n\n")))
def test_the_judgement_does_not_depend_on_the_order_of_discovery(records: list[str]) -> None:
    one = compare(parse("\n\n".join(records).splitlines()), PLANNED, NODES)
    other = compare(parse(TOPOLOGY.splitlines()), PLANNED, NODES[::-1])
    assert {node: {(item.check, item.verdict) for item in one.nodes[node]} for node in NODES} == {
        node: {(item.check, item.verdict) for item in other.nodes[node]} for node in NODES
    }
