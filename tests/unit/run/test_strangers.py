# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers of the fabric and of MAAS, as the actions on the controller judge them."""

from __future__ import annotations

from ansible_collections.firstlight.cluster.plugins.action.fabric_check import _judge
from ansible_collections.firstlight.cluster.plugins.action.preflight import _strangers
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import CA, SWITCH, Link, Netlist, Node
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan import expand
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict

PLAN = expand({"links": [["leaf-01/1", "node01/mlx5_0"]], "lanes_per_cage": 1})
NETLIST = Netlist(
    {"S": Node("S", SWITCH, "leaf-01", 64), "H": Node("H", CA, "node01 mlx5_0", 1)},
    {("S", 1): Link(("S", 1), ("H", 1), 4, "NDR")},
)


def discovery(discoveries: dict[str, object]) -> list[tuple[str, Verdict]]:
    comparison = _judge(PLAN, ["node01"], {"node01"}, discoveries)
    return [(item.summary, item.verdict) for item in comparison.nodes["node01"] if item.check == "fabric.discovery"]


def test_a_fabric_that_was_discovered_from_one_point_is_discovered() -> None:
    discoveries = {"a": {"failed": True, "msg": "no active port"}, "b": {"netlist": NETLIST.to_dict()}}
    ((summary, verdict),) = discovery(discoveries)
    assert (summary, verdict) == ("2 devices and 1 links were discovered", Verdict.PASS)


def test_a_fabric_that_nobody_could_discover_is_unknown() -> None:
    for discoveries, says in (
        ({"a": {"failed": True, "msg": "no active port"}}, "a: no active port"),
        ({"a": {"netlist": [1]}}, "not a netlist"),
        ({}, "no host tried"),
    ):
        ((summary, verdict),) = discovery(discoveries)
        assert verdict is Verdict.UNKNOWN
        assert says in summary


def test_a_machine_that_only_maas_knows_is_somebodys_to_explain() -> None:
    machine = {"system_id": "abc", "hostname": "node99", "serial": "", "status_name": "Ready"}
    (found,) = _strangers({"maas_unknown_machines": [machine]})
    assert (found.check, found.component, found.verdict) == ("roster.unknown_machine", "machine:abc", Verdict.WARN)
    assert "node99 (serial unknown, Ready)" in found.summary
    assert _strangers({}) == []
