# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading ibnetdiscover."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import (
    CA,
    SWITCH,
    Link,
    Netlist,
    NetlistError,
    Node,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

TOPOLOGY = """\
#
# Topology file: generated on Mon Nov 23 14:13:13 2026
#
# Initiated from node 946dae0300000110 port 946dae0300000111

vendid=0x2c9
devid=0xd2f2
sysimgguid=0xb8cef60300000100
switchguid=0xb8cef60300000100(b8cef60300000100)
Switch	64 "S-b8cef60300000100"		# "MF0;leaf-01:MQM9700/U1" enhanced port 0 lid 2 lmc 0
[1]	"H-946dae0300000100"[1](946dae0300000101) 		# "node01 mlx5_0" lid 1 4xNDR
[40]	"S-b8cef60300000200"[8]		# "MF0;spine-01:MQM9700/U1" lid 6 4xNDR s=4 w=2 v=4 e=4

vendid=0x2c9
devid=0x1021
sysimgguid=0x946dae0300000100
caguid=0x946dae0300000100
Ca	1 "H-946dae0300000100"		# "node01 mlx5_0"
[1](946dae0300000101) 	"S-b8cef60300000100"[1]		# lid 1 lmc 0 "MF0;leaf-01:MQM9700/U1" lid 2 4xNDR
"""
PORT_LIST = """\
CA   134  1 0x7cfe9003003b4bde 4x EDR - SW  1719 10 0x7cfe9003009ce5b0 ( 'o0001 HCA-1' - 'ib-i1l1s01' )
SW  1719 10 0x7cfe9003009ce5b0 4x EDR - CA   134  1 0x7cfe9003003b4bde ( 'ib-i1l1s01' - 'o0001 HCA-1' )
SW  1719 37 0x7cfe9003009ce5b0 4x ???                                    'ib-i1l1s01'
"""


def test_the_topology_form() -> None:
    netlist = parse(TOPOLOGY.splitlines())
    assert netlist.nodes["S-b8cef60300000100"] == Node("S-b8cef60300000100", SWITCH, "MF0;leaf-01:MQM9700/U1", 64)
    assert netlist.nodes["H-946dae0300000100"] == Node("H-946dae0300000100", CA, "node01 mlx5_0", 1)
    assert netlist.nodes["S-b8cef60300000200"].description == "MF0;spine-01:MQM9700/U1"
    assert list(netlist.links.values()) == [
        Link(("S-b8cef60300000100", 1), ("H-946dae0300000100", 1), 4, "NDR"),
        Link(("S-b8cef60300000100", 40), ("S-b8cef60300000200", 8), 4, "NDR"),
    ]
    assert netlist.unread_lines == 0


def test_the_port_list_form_tells_each_link_once_and_no_link_for_a_dark_port() -> None:
    netlist = parse(PORT_LIST.splitlines())
    assert list(netlist.links.values()) == [Link(("7cfe9003003b4bde", 1), ("7cfe9003009ce5b0", 10), 4, "EDR")]
    assert netlist.nodes["7cfe9003009ce5b0"].description == "ib-i1l1s01"
    assert netlist.unread_lines == 0


def test_a_cable_from_a_switch_to_itself_is_kept() -> None:
    netlist = parse(['Switch 8 "S-1" # "sw"', '[1] "S-1"[2] # "sw" lid 1 4xHDR', '[2] "S-1"[1] # "sw" lid 1 4xHDR'])
    assert list(netlist.links.values()) == [Link(("S-1", 1), ("S-1", 2), 4, "HDR")]


def test_lines_without_sense_are_counted() -> None:
    netlist = parse(["ibwarn: [123] mad_rpc: _do_madrpc failed", '[1] "S-1"[1]', *TOPOLOGY.splitlines()])
    assert netlist.unread_lines == 2
    assert len(netlist.links) == 2


def test_the_recorded_fabrics(recorded: Path) -> None:
    expected = {
        "ib_traffic_topo_aware_ibnetdiscover.txt": (19, 18),
        "ibnetdiscover-test.out": (7, 4),
        "ibnetdiscover-test2.out": (7, 3),
        "ibnetdiscover-test3.out": (1, 0),
    }
    for name, counts in expected.items():
        with (recorded / "infiniband" / name).open() as lines:
            netlist = parse(lines)
        assert (len(netlist.nodes), len(netlist.links)) == counts, name
        assert netlist.unread_lines == 0, name


def test_other_tools_output_is_no_fabric_and_no_crash(recorded: Path) -> None:
    for path in (recorded / "infiniband").iterdir():
        if not path.name.startswith("ibnetdiscover") and "ibnetdiscover" not in path.name:
            netlist = parse(path.read_text().splitlines())
            assert not netlist.nodes, path.name


def test_merging_two_discoveries_of_one_fabric_changes_nothing() -> None:
    netlist = parse(TOPOLOGY.splitlines())
    netlist.merge(parse(TOPOLOGY.splitlines()))
    assert netlist == parse(TOPOLOGY.splitlines())


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"schema": 2, "nodes": [], "links": [], "unread_lines": 0},
        {"schema": 1, "nodes": [["S-1", "switch"]], "links": [], "unread_lines": 0},
        {"schema": 1, "nodes": [], "links": [[0, 1, 0, 2, 4, "NDR"]], "unread_lines": 0},
    ],
)
def test_a_broken_serialised_netlist_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(NetlistError):
        Netlist.from_dict(data)


@given(st.lists(st.text(max_size=80), max_size=30))
def test_no_text_makes_it_crash(lines: list[str]) -> None:
    netlist = parse(lines)
    assert netlist.unread_lines <= len(lines)


DAMAGED = (TOPOLOGY + PORT_LIST).splitlines()


@given(st.data())
def test_a_damaged_file_costs_only_the_damaged_lines(data: st.DataObject) -> None:
    lines = list(DAMAGED)
    at = data.draw(st.integers(0, len(lines) - 1))
    cut = data.draw(st.integers(0, len(lines[at])))
    lines[at] = lines[at][:cut]
    netlist = parse(lines)
    assert netlist.unread_lines <= 3
    assert len(netlist.links) <= 3


descriptions = st.text(st.characters(blacklist_characters='"\n\r\x85\u2028\u2029', min_codepoint=32, max_codepoint=126))


@given(st.lists(st.tuples(descriptions, descriptions, st.integers(1, 64), st.integers(1, 2)), max_size=20))
def test_what_is_printed_is_read_back(cables: list[tuple[str, str, int, int]]) -> None:
    """Any descriptions, printed as ibnetdiscover does, come back; and survive JSON."""
    lines: list[str] = []
    for number, (switch, host, port, remote) in enumerate(cables):
        lines += [f'Switch\t64 "S-{number:x}"\t\t# "{switch}" base port 0 lid 1 lmc 0']
        lines += [f'[{port}]\t"H-{number:x}"[{remote}](abc) \t\t# "{host}" lid 5 4xNDR', ""]
    netlist = parse(lines)
    assert netlist.unread_lines == 0
    assert [link.a[1] for link in netlist.links.values()] == [port for _, _, port, _ in cables]
    for number, (switch, host, _, remote) in enumerate(cables):
        assert netlist.nodes[f"S-{number:x}"].description == switch.strip()
        assert netlist.nodes[f"H-{number:x}"].description == host.strip()
        assert (f"H-{number:x}", remote) in [link.b for link in netlist.links.values()]
    assert Netlist.from_dict(json.loads(json.dumps(netlist.to_dict()))) == netlist
