# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine's sysfs shows of its HCAs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.fabric.links import FabricState, Link
from lab.fabric.sysfs import Tree
from lab.fabric.topology import Hca

HCA = Hca("node01", 3, 0x946DAE030005F130)


def live(width: int = 4, speed: str = "53.125", state: str = "Active") -> FabricState:
    link = Link(("leaf-01", 4), 21, width, speed, state)
    return FabricState({(HCA.name, 1): link}, {HCA.name: {"SymbolErrorCounter": 7}}, sm_lid=1)


def read(tree: Tree, name: str) -> str:
    return (tree.directory / "mlx5_3" / name).read_text()


def test_an_active_port(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write([HCA], live())
    assert read(tree, "ports/1/state") == "4: ACTIVE\n"
    assert read(tree, "ports/1/phys_state") == "5: LinkUp\n"
    assert read(tree, "ports/1/rate") == "400 Gb/sec (4X NDR)\n"
    assert read(tree, "ports/1/lid") == "0x15\n"
    assert read(tree, "ports/1/sm_lid") == "0x1\n"
    assert read(tree, "ports/1/gids/0") == "fe80:0000:0000:0000:946d:ae03:0005:f131\n"
    assert read(tree, "ports/1/counters/symbol_error") == "7\n"
    assert read(tree, "ports/1/counters/link_downed") == "0\n"
    assert read(tree, "node_guid") == "946d:ae03:0005:f130\n"
    assert "PCI_SLOT_NAME=0000:5e:00.0\n" in read(tree, "device/uevent")
    assert tree.shows_active(HCA)


def test_a_port_without_a_link(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write([HCA], FabricState(counters={HCA.name: {"LinkDownedCounter": 2}}, sm_lid=1))
    assert read(tree, "ports/1/state") == "1: DOWN\n"
    assert read(tree, "ports/1/phys_state") == "2: Polling\n"
    assert read(tree, "ports/1/sm_lid") == "0x0\n"
    assert read(tree, "ports/1/counters/link_downed") == "2\n"
    assert not tree.shows_active(HCA)


@pytest.mark.parametrize(
    ("width", "speed", "rate"),
    [(1, "53.125", "100 Gb/sec (1X NDR)"), (4, "25.78125", "200 Gb/sec (4X HDR)"), (4, "2.5", "10 Gb/sec (4X SDR)")],
)
def test_a_degraded_link_shows_its_rate(tmp_path: Path, width: int, speed: str, rate: str) -> None:
    tree = Tree(tmp_path)
    tree.write([HCA], live(width, speed))
    assert read(tree, "ports/1/rate") == rate + "\n"


def test_directories_outlive_a_rewrite_and_unchanged_files_are_left_alone(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write([HCA], live())
    port = tree.directory / "mlx5_3/ports/1"
    directory, lid, state = port.stat().st_ino, (port / "lid").stat().st_ino, (port / "state").stat().st_ino
    tree.write([HCA], live(state="Initialize"))
    assert port.stat().st_ino == directory
    assert (port / "lid").stat().st_ino == lid
    assert (port / "state").stat().st_ino != state
    assert read(tree, "ports/1/state") == "2: INIT\n"


def test_nothing_but_sysfs_names_is_ever_seen_in_the_tree(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write([HCA], live())
    tree.write([HCA], FabricState())
    assert not [path for path in tree.directory.rglob("*") if path.name.startswith(".")]
