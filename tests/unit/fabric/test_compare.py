# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The discovered fabric against the plan: every kind of difference, by name."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.compare import Comparison, compare
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import Netlist, parse
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan import Plan, expand
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan_file import load
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.fabric.topology import End, Topology, net_file, small, three_tier

ROOT = Path(__file__).resolve().parents[3]
NODES = [f"node{number:02}" for number in range(1, 5)]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load(ROOT / "inventories" / "lab" / "cable_plan.yml")


@pytest.fixture
def wiring() -> Topology:
    return small({name: {"serial": name, "hcas": 8} for name in NODES})


def unplug(topology: Topology, *ends: End) -> None:
    for end in ends:
        peer = topology.peer.pop(end, None)
        if peer is not None:
            del topology.peer[peer]


def exchange(topology: Topology, a: End, c: End) -> None:
    b, d = topology.peer[a], topology.peer[c]
    unplug(topology, a, c)
    topology.cable(a, d)
    topology.cable(c, b)


def discovered(topology: Topology, start: str = "ufm01 mlx5_0") -> Netlist:
    """What ibnetdiscover prints at `start`: only what is reached from there."""
    reached, frontier = {start}, [start]
    around: dict[str, set[str]] = {}
    for (name, _), (other, _) in topology.peer.items():
        around.setdefault(name, set()).add(other)
    while frontier:
        for other in around.get(frontier.pop(), set()) - reached:
            reached.add(other)
            frontier.append(other)
    part = Topology(
        {name: switch for name, switch in topology.switches.items() if name in reached},
        {name: hca for name, hca in topology.hcas.items() if name in reached},
        {end: peer for end, peer in topology.peer.items() if end[0] in reached},
    )
    return parse(net_file(part).splitlines())


def bad(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.check, one.component, one.verdict.value) for one in findings if one.verdict is not Verdict.PASS]


def judged(topology: Topology, plan: Plan, **more: Any) -> Comparison:
    return compare(discovered(topology), plan, NODES, **more)


def test_a_fabric_as_planned_passes_every_check_for_every_node(wiring: Topology, plan: Plan) -> None:
    result = judged(wiring, plan)
    for node in NODES:
        assert not bad(result.nodes[node])
        assert {one.check for one in result.nodes[node]} == {
            "fabric.link.missing",
            "fabric.link.extra",
            "fabric.link.swapped",
            "fabric.port.down",
        }
    assert [(one.check, one.verdict) for one in result.fabric] == [("fabric.split", Verdict.PASS)]


def test_a_dark_hca_is_a_port_down_of_its_node_alone(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, ("node02 mlx5_3", 1))
    result = judged(wiring, plan)
    assert bad(result.nodes["node02"]) == [("fabric.port.down", "hca:mlx5_3", "fail")]
    found = next(one for one in result.nodes["node02"] if one.verdict is Verdict.FAIL)
    assert "node02 mlx5_3 (rail 4)" in found.summary
    assert "leaf-01 port 8 (cage 4, lane 2)" in found.summary
    assert {"switch": "leaf-01", "port": 8, "cage": "cage 4, lane 2"} in found.evidence["ends"]
    assert {"node": "node02", "hca": "mlx5_3", "rail": 4} in found.evidence["ends"]
    assert not bad(result.nodes["node01"]) and not bad(result.fabric)


def test_a_host_that_is_off_is_named_as_such(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, *((f"node03 mlx5_{rail}", 1) for rail in range(8)))
    result = judged(wiring, plan)
    assert len(bad(result.nodes["node03"])) == 8
    assert "no HCA of node03 is seen" in result.nodes["node03"][0].summary


def test_two_exchanged_host_cables_are_one_finding_at_both_nodes(wiring: Topology, plan: Plan) -> None:
    exchange(wiring, ("node02 mlx5_3", 1), ("node03 mlx5_5", 1))
    result = judged(wiring, plan)
    assert bad(result.nodes["node02"]) == bad(result.nodes["node03"])
    ((check, _, verdict),) = bad(result.nodes["node02"])
    assert (check, verdict) == ("fabric.link.swapped", "fail")
    found = next(one for one in result.nodes["node02"] if one.verdict is Verdict.FAIL)
    for text in ("node02 mlx5_3 (rail 4)", "node03 mlx5_5 (rail 6)", "leaf-01 port 8 (", "leaf-02 port 10 ("):
        assert text in found.summary
    assert len(found.evidence["ends"]) == 4
    assert not bad(result.nodes["node01"]) and not bad(result.fabric)


def test_a_cable_in_a_free_port_is_swapped_not_missing(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, ("node02 mlx5_3", 1))
    wiring.cable(("node02 mlx5_3", 1), ("leaf-02", 25))
    result = judged(wiring, plan)
    assert bad(result.nodes["node02"]) == [("fabric.link.swapped", "link:leaf-02/25", "fail")]
    found = next(one for one in result.nodes["node02"] if one.verdict is Verdict.FAIL)
    assert "leaf-02 port 25" in found.summary and "instead of leaf-01 port 8" in found.summary
    assert found.remedy == "Move the cable to leaf-01 port 8 (cage 4, lane 2)."


def test_a_ring_of_three_names_every_node(wiring: Topology, plan: Plan) -> None:
    ends = [(f"node0{number} mlx5_0", 1) for number in (1, 2, 3)]
    ports = [wiring.peer[end] for end in ends]
    unplug(wiring, *ends)
    for end, port in zip(ends, [*ports[1:], ports[0]], strict=True):
        wiring.cable(end, port)
    result = judged(wiring, plan)
    for node in NODES[:3]:
        assert {check for check, _, _ in bad(result.nodes[node])} == {"fabric.link.swapped"}
    assert not bad(result.nodes["node04"]) and not bad(result.fabric)


def test_exchanged_parallel_cables_are_a_warning(wiring: Topology, plan: Plan) -> None:
    exchange(wiring, ("leaf-01", 33), ("leaf-01", 34))
    assert bad(judged(wiring, plan).fabric) == [("fabric.link.swapped", "link:leaf-01/33", "warn")]


def test_exchanged_uplinks_of_two_leaves_are_a_failure_of_the_fabric(wiring: Topology, plan: Plan) -> None:
    exchange(wiring, ("leaf-01", 33), ("leaf-02", 33))
    ((check, _, verdict),) = bad(judged(wiring, plan).fabric)
    assert (check, verdict) == ("fabric.link.swapped", "fail")


def test_a_missing_uplink_belongs_to_the_fabric(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, ("leaf-01", 40))
    result = judged(wiring, plan)
    assert bad(result.fabric) == [("fabric.link.missing", "link:leaf-01/40", "fail")]
    assert "spine-01 port 8 (cage 4, lane 2)" in result.fabric[0].summary
    assert not any(bad(result.nodes[node]) for node in NODES)


def test_an_extra_cable_between_free_ports(wiring: Topology, plan: Plan) -> None:
    wiring.cable(("leaf-01", 60), ("spine-01", 60))
    assert bad(judged(wiring, plan).fabric) == [("fabric.link.extra", "link:leaf-01/60", "warn")]


def test_a_stranger_in_a_planned_port_is_extra_and_the_owner_down(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, ("node02 mlx5_3", 1))
    stranger = small({"alien": {"serial": "alien", "hcas": 1}}).hcas["alien mlx5_0"]
    wiring.hcas["alien mlx5_0"] = stranger
    wiring.cable(("alien mlx5_0", 1), ("leaf-01", 8))
    result = judged(wiring, plan)
    assert bad(result.fabric) == [("fabric.link.extra", "link:leaf-01/8", "fail")]
    assert "alien is not in the cable plan" in result.fabric[0].summary
    assert bad(result.nodes["node02"]) == [("fabric.port.down", "hca:mlx5_3", "fail")]
    found = next(one for one in result.nodes["node02"] if one.verdict is Verdict.FAIL)
    assert found.evidence["occupied_by"] == "alien/mlx5_0"


def test_a_dead_leaf_is_missing_and_no_split(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, *(("leaf-02", port) for port in range(1, 65)))
    result = judged(wiring, plan)
    assert bad(result.fabric) == [("fabric.link.missing", "switch:leaf-02", "fail")]
    assert "the plan has 32 cables on it" in result.fabric[0].summary
    for node in NODES:
        assert {check for check, _, _ in bad(result.nodes[node])} == {"fabric.link.missing"}
        assert len(bad(result.nodes[node])) == 4


def test_a_fabric_in_two_parts_is_split(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, *(("leaf-01", port) for port in range(41, 49)), *(("leaf-02", port) for port in range(33, 41)))
    result = judged(wiring, plan)
    splits = [one for one in result.fabric if one.check == "fabric.split"]
    assert [(one.verdict, one.observed) for one in splits] == [(Verdict.FAIL, ["leaf-02", "spine-02"])]
    assert "HCAs of 4 hosts" in splits[0].summary


def test_two_parts_seen_from_two_hosts_are_split(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, *(("leaf-01", port) for port in range(41, 49)), *(("leaf-02", port) for port in range(33, 41)))
    netlist = discovered(wiring)
    netlist.merge(discovered(wiring, "node01 mlx5_7"))
    result = compare(netlist, plan, NODES)
    assert [one.verdict for one in result.fabric if one.check == "fabric.split"] == [Verdict.FAIL]
    assert "2 parts" in next(one.summary for one in result.fabric if one.check == "fabric.split")


def test_a_node_that_the_plan_does_not_have_is_unknown(wiring: Topology, plan: Plan) -> None:
    result = compare(discovered(wiring), plan, [*NODES, "node05"])
    assert bad(result.nodes["node05"]) == [("fabric.link.missing", "host", "unknown")]


def test_hosts_that_are_not_judged_now_cost_nothing(wiring: Topology, plan: Plan) -> None:
    unplug(wiring, *((f"node04 mlx5_{rail}", 1) for rail in range(8)))
    exchange(wiring, ("node02 mlx5_3", 1), ("node03 mlx5_3", 1))
    result = compare(discovered(wiring), plan, ["node01", "node02"], others=["node03", "node04"])
    assert not bad(result.fabric) and not bad(result.nodes["node01"])
    assert [check for check, _, _ in bad(result.nodes["node02"])] == ["fabric.link.swapped"]


def test_hcas_that_share_a_name_are_unknown_never_passed(wiring: Topology, plan: Plan) -> None:
    text = (
        net_file(wiring)
        .replace('"node02 mlx5_4"\n', '"node02 mlx5_3"\n')
        .replace('# "node02 mlx5_4"', '# "node02 mlx5_3"')
    )
    result = compare(parse(text.splitlines()), plan, NODES)
    verdicts = bad(result.nodes["node02"])
    assert ("fabric.discovery", "device:node02 mlx5_3", "unknown") in verdicts
    assert not bad(result.nodes["node01"])


def test_hosts_without_a_name_are_unknown(wiring: Topology, plan: Plan) -> None:
    text = net_file(wiring)
    for name in ("node02 mlx5_3", "node03 mlx5_3"):
        text = text.replace(f'# "{name}"', '# "MT4129 ConnectX7   Mellanox Technologies"')
    result = compare(parse(text.splitlines()), plan, NODES)
    for node in ("node02", "node03"):
        assert bad(result.nodes[node]) == [("fabric.port.down", "hca:mlx5_3", "unknown")]
    assert not bad(result.nodes["node01"])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("MF0;leaf-01:MQM9700/U1", "leaf-01"),
        ("node02 mlx5_3", "node02.example.com mlx5_3"),
        ("node02 mlx5_3", "node02 HCA-4"),
    ],
)
def test_the_ways_in_which_devices_write_their_names(wiring: Topology, plan: Plan, mine: str, theirs: str) -> None:
    netlist = parse(net_file(wiring).replace(f'# "{mine}"', f'# "{theirs}"').splitlines())
    result = compare(netlist, plan, NODES)
    assert not any(bad(found) for found in (*result.nodes.values(), result.fabric))


def test_an_alias_names_a_device_that_calls_itself_otherwise(wiring: Topology) -> None:
    content = yaml.safe_load((ROOT / "inventories" / "lab" / "cable_plan.yml").read_text())
    text = (
        net_file(wiring).replace('"MF0;leaf-01:MQM9700/U1"', '"Quantum-2"').replace('# "node02 mlx5_3"', '# "odd one"')
    )
    before = compare(parse(text.splitlines()), expand(content), NODES)
    assert any(bad(found) for found in before.nodes.values())
    content["aliases"] = {"Quantum-2": "leaf-01", "odd one": "node02/mlx5_3"}
    after = compare(parse(text.splitlines()), expand(content), NODES)
    assert not any(bad(found) for found in (*after.nodes.values(), after.fabric))


def test_a_switch_s_own_reduction_node_is_no_extra_link(wiring: Topology, plan: Plan) -> None:
    lines = net_file(wiring).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith('Switch\t64 "leaf-01"'))
    lines.insert(at + 1, '[65]\t"H-1"[1](1)\t\t# "Mellanox Technologies Aggregation Node" lid 9 4xNDR')
    result = compare(parse(lines), plan, NODES)
    assert not any(bad(found) for found in (*result.nodes.values(), result.fabric))


def test_nothing_discovered_passes_nothing(plan: Plan) -> None:
    result = compare(Netlist(), plan, NODES)
    for node in NODES:
        assert len(bad(result.nodes[node])) == 8
    assert any(one.check == "fabric.split" and one.verdict is Verdict.FAIL for one in result.fabric)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["cut", "exchange"]), st.integers(0, 65), st.integers(0, 65)), max_size=5))
def test_no_damage_to_a_node_s_cables_goes_unseen(damage: list[tuple[str, int, int]]) -> None:
    """A node passes if, and only if, each of its cables is where the plan wants it."""
    plan = load(ROOT / "inventories" / "lab" / "cable_plan.yml")
    whole = small({name: {"serial": name, "hcas": 8} for name in NODES})
    topology = small({name: {"serial": name, "hcas": 8} for name in NODES})
    hosts = [end for end in whole.peer if end[0].startswith("node")]
    for kind, first, second in damage:
        a, b = hosts[first % len(hosts)], hosts[second % len(hosts)]
        if kind == "cut":
            unplug(topology, a)
        elif a != b and a in topology.peer and b in topology.peer:
            exchange(topology, a, b)
    result = compare(discovered(topology), plan, NODES)
    for node in NODES:
        right = all(topology.peer.get(end) == whole.peer[end] for end in hosts if end[0].startswith(node))
        assert bool(bad(result.nodes[node])) != right, f"{node}: {bad(result.nodes[node])}"


def full_plan() -> Plan:
    content = yaml.safe_load((ROOT / "inventories" / "example" / "cable_plan.yml").read_text())
    content["generators"][0]["devices"] = [f"mlx5_{rail}" for rail in range(8)]
    del content["links"]
    return expand(content)


def test_twelve_thousand_cables_are_compared_well_under_two_seconds() -> None:
    nodes = [f"node{number:03}" for number in range(1, 512)]
    plan = full_plan()
    topology = three_tier(nodes)
    exchange(topology, ("node100 mlx5_3", 1), ("node400 mlx5_6", 1))
    unplug(topology, ("spine-r1-s01", 33), ("node001 mlx5_0", 1))
    netlist = Netlist.from_dict(json.loads(json.dumps(parse(net_file(topology).splitlines()).to_dict())))
    start = time.perf_counter()
    result = compare(netlist, plan, nodes)
    assert time.perf_counter() - start < 2.0
    assert {node for node in nodes if bad(result.nodes[node])} == {"node001", "node100", "node400"}
    assert bad(result.fabric) == [("fabric.link.missing", "link:spine-r1-s01/33", "fail")]
    assert any("rail 4" in one.summary and "leaf-p04-r4 port 4" in one.summary for one in result.nodes["node100"])
