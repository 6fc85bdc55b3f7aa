# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's wiring and the net file made of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lab.fabric.topology import TopologyError, net_file, small, three_tier


def machines(nodes: int = 4, hcas: int = 8) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"head01": {"serial": "FL0000H01", "hcas": 0}}
    found.update((f"node{i:02}", {"serial": f"FL0000N{i:02}", "hcas": hcas}) for i in range(1, nodes + 1))
    return found


def test_the_lab_has_two_leaves_two_spines_and_every_rail() -> None:
    topology = small(machines())
    assert len(topology.switches) == 4
    assert len(topology.hcas) == 34
    assert len(list(topology.cables())) == 32 + 2 + 32
    assert topology.peer["node02 mlx5_0", 1] == ("leaf-01", 5)
    assert topology.peer["node02 mlx5_7", 1] == ("leaf-02", 8)


def test_every_rail_of_every_node_is_on_the_leaf_of_that_rail() -> None:
    topology = small(machines())
    for hca in topology.hcas.values():
        if hca.node.startswith("node"):
            assert topology.peer[hca.name, 1][0] == f"leaf-{hca.rail // 4 + 1:02}"


def test_a_host_keeps_its_guids_when_the_roster_changes() -> None:
    before = small(machines(4)).hcas["node02 mlx5_3"].guid
    without = machines(4)
    del without["node01"]
    assert small(without).hcas["node02 mlx5_3"].guid == before


def test_guids_are_unique_at_full_size() -> None:
    topology = three_tier([f"node{i:03}" for i in range(1, 512)])
    guids = Counter(hca.guid for hca in topology.hcas.values())
    guids.update(switch.guid for switch in topology.switches.values())
    assert guids.most_common(1)[0][1] == 1


def test_full_size_has_the_site_s_numbers() -> None:
    topology = three_tier([f"node{i:03}" for i in range(1, 512)])
    tiers = Counter(name.partition("-")[0] for name in topology.switches)
    assert tiers == {"leaf": 128, "spine": 128, "core": 64}
    assert len(topology.hcas) == 4088
    assert len(list(topology.cables())) == 12280
    assert max(port for _, port in topology.peer) == 64


@pytest.mark.parametrize(("nodes", "hcas"), [(8, 8), (4, 9)])
def test_what_does_not_fit_is_refused_with_a_reason(nodes: int, hcas: int) -> None:
    with pytest.raises(TopologyError, match="fabric"):
        small(machines(nodes, hcas))


def test_more_hosts_than_the_spines_have_ports_for_are_refused() -> None:
    with pytest.raises(TopologyError, match="pods"):
        three_tier([f"node{i:03}" for i in range(16 * 32 + 1)])


def test_the_net_file_names_both_ends_of_every_cable_at_both_ends() -> None:
    topology = small(machines(1))
    text = net_file(topology)
    assert text.count("\nSwitch\t64 ") == 4
    assert text.count("\nCa\t1 ") == 10
    assert '[1]\t"node01 mlx5_0"[1]\t\t# "node01 mlx5_0" lid 0 4xHDR\n' in text
    assert '[1]\t"leaf-01"[1]\t\t# lid 0 lmc 0 "MF0;leaf-01:MQM9700/U1" lid 0 4xHDR\n' in text
    assert text.count("4xHDR") == 2 * len(list(topology.cables()))
