# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of block devices, as lsblk, wipefs and the kernel write it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.block_devices import (
    parse_mounts,
    read_block_devices,
    read_point,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.machine import Machine
from made_up_host import UUID, Host

# util-linux 2.38, a machine with its system on one disk and an array over two others, of which one has a partition.
LSBLK = """{"blockdevices": [
 {"kname": "loop0", "path": "/dev/loop0", "type": "loop", "size": 4096, "model": null, "serial": null,
  "maj:min": "7:0", "mountpoints": ["/snap/x"]},
 {"kname": "sda", "path": "/dev/sda", "type": "disk", "size": 2147483648, "model": "FL-SSD-2G       ",
  "serial": "FLSSD0003", "maj:min": "  8:0  ", "mountpoints": [null], "children": [
   {"kname": "sda1", "path": "/dev/sda1", "type": "part", "size": 2146435072, "model": null, "serial": null,
    "maj:min": "8:1", "mountpoints": ["/", "/var/lib/containers/overlay"]}]},
 {"kname": "nvme0n1", "path": "/dev/nvme0n1", "type": "disk", "size": 1073741824, "model": "QEMU NVMe Ctrl",
  "serial": "FLNVME0001", "maj:min": "259:0", "mountpoints": [null], "children": [
   {"kname": "md127", "path": "/dev/md127", "type": "raid1", "size": 1072693248, "model": null, "serial": null,
    "maj:min": "9:127", "mountpoints": ["/scratch"]}]},
 {"kname": "nvme1n1", "path": "/dev/nvme1n1", "type": "disk", "size": 1073741824, "model": "QEMU NVMe Ctrl",
  "serial": "FLNVME0002", "maj:min": "259:1", "mountpoints": [null], "children": [
   {"kname": "md127", "path": "/dev/md127", "type": "raid1", "size": 1072693248, "model": null, "serial": null,
    "maj:min": "9:127", "mountpoints": ["/scratch"]}]},
 {"kname": "zram0", "path": "/dev/zram0", "type": "disk", "size": 0, "model": null, "serial": null,
  "maj:min": "252:0", "mountpoints": [null]}]}"""
WIPEFS = """{"signatures": [
 {"device": "nvme0n1", "offset": "0x1000", "type": "linux_raid_member", "uuid": "a-b", "label": "vm01:scratch"},
 {"device": "nvme0n1", "offset": "0x2000", "type": "gpt", "uuid": null, "label": null},
 {"device": "nvme0n1", "offset": "0x3ffffe00", "type": "gpt", "uuid": null, "label": null}]}"""


def read(root: Path, answers: dict[str, Any], *points: str) -> dict[str, Any]:
    def run(command: Sequence[str]) -> str:
        answer = answers.get(" ".join((command[0], command[-1])), answers.get(command[0], SourceMissing("no command")))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/mountinfo").write_text("")
    return read_block_devices(points, root=root, run=run, claimed=lambda path: False)


def test_devices_as_lsblk_lists_them(tmp_path: Path) -> None:
    for name in ("sda", "nvme0n1", "nvme1n1"):
        (tmp_path / "sys/class/block" / name / "device").mkdir(parents=True)
    observed = read(tmp_path, {"lsblk": LSBLK, "wipefs": "", "wipefs /dev/nvme0n1": WIPEFS})
    machine = Machine.from_dict(json.loads(json.dumps(observed)))
    assert [disk.name for disk in machine.disks] == ["sda", "nvme0n1", "nvme1n1"]
    assert "loop0" not in machine.devices and not machine.devices["zram0"].physical
    sda = machine.devices["sda"]
    assert (sda.model, sda.number, sda.size) == ("FL-SSD-2G", "8:0", 2147483648)
    assert machine.points_of(sda) == ["/", "/var/lib/containers/overlay"]
    assert machine.devices["md127"].parents == ["nvme0n1", "nvme1n1"]
    assert [str(mark) for mark in machine.devices["nvme0n1"].signatures] == ["linux_raid_member 'vm01:scratch'", "gpt"]
    assert str(sda) == "sda (FL-SSD-2G, 2 GB, serial FLSSD0003)"


@pytest.mark.parametrize(
    ("place", "transport", "built_in"),
    [
        ("pci0000:00/0000:00:1d.0/0000:18:00.0/nvme/nvme0", "transport pcie", True),
        ("pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0", "", True),
        ("virtual/nvme-subsystem/nvme-subsys0", "nvme0/transport pcie", True),
        ("virtual/nvme-fabrics/ctl/nvme0", "transport rdma", False),
        ("virtual/nvme-subsystem/nvme-subsys0", "nvme0/transport tcp", False),
        ("platform/host3/session1/target3:0:0/3:0:0:0", "", False),
        ("pci0000:00/0000:3b:00.0/host1/rport-1:0-2/target1:0:0/1:0:0:0", "", False),
        ("pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host4/target4:0:0/4:0:0:0", "", False),
    ],
)
def test_a_disk_of_another_machine_is_none_of_this_one(
    tmp_path: Path, place: str, transport: str, built_in: bool
) -> None:
    device = tmp_path / "sys/devices" / place
    device.mkdir(parents=True)
    if transport:
        file, kind = transport.split()
        (device / file).parent.mkdir(exist_ok=True)
        (device / file).write_text(f"{kind}\n")
    folder = tmp_path / "sys/class/block/sda"
    folder.mkdir(parents=True)
    (folder / "device").symlink_to(device)
    observed = read(tmp_path, {"lsblk": LSBLK, "wipefs": "", "wipefs /dev/nvme0n1": WIPEFS})
    [sda] = [each for each in observed["devices"] if each["name"] == "sda"]
    assert sda["physical"] is built_in


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"blockdevices": [{}]}', '{"blockdevices": [{"kname": 1}]}'])
def test_half_a_list_of_disks_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="lsblk cannot be understood"):
        read(tmp_path, {"lsblk": text})


@pytest.mark.parametrize("text", ["x", "null", "[]", "{}", '{"signatures": [1]}'])
def test_what_is_on_a_disk_is_not_guessed(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="wipefs on /dev/sda cannot be understood"):
        read(tmp_path, {"lsblk": LSBLK, "wipefs": text})


def test_a_disk_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Input/output error"):
        read(tmp_path, {"lsblk": LSBLK, "wipefs": "", "wipefs /dev/nvme1n1": SourceError("Input/output error")})


def test_a_medium_in_a_drive_is_not_looked_at(tmp_path: Path) -> None:
    """A card reader that does not answer is nobody's data disk."""
    (tmp_path / "sys/class/block/nvme1n1").mkdir(parents=True)
    (tmp_path / "sys/class/block/nvme1n1/removable").write_text("1\n")
    read(tmp_path, {"lsblk": LSBLK, "wipefs": "", "wipefs /dev/nvme1n1": SourceError("Input/output error")})


def test_lvm_that_fails_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="pvs cannot be understood"):
        read(tmp_path, {"lsblk": LSBLK, "wipefs": "", "pvs": '{"report": []}'})


def test_arrays_of_the_kernel(host: Host) -> None:
    host.array(host.devices[1:], values={"degraded": 1, "sync_action": "recover"})
    host.write("sys/class/block/md0/md/array_state", "clear\n")
    assert host.read()["arrays"] == {
        "md127": {
            "level": "raid1",
            "disks": 2,
            "degraded": 1,
            "state": "clean",
            "action": "recover",
            "members": ["nvme0n1", "nvme1n1"],
        }
    }


def test_mounts(tmp_path: Path) -> None:
    text = "36 25 9:127 / /mnt/a\\040b rw,noatime shared:1 master:2 - xfs /dev/md127 rw\nnonsense\n1 2 - 3\n"
    assert parse_mounts(text) == [
        {
            "point": "/mnt/a b",
            "number": "9:127",
            "root": "/",
            "type": "xfs",
            "source": "/dev/md127",
            "options": ["rw", "noatime"],
        }
    ]


def test_what_is_at_a_place(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir(mode=0o750)
    for name in "dcba":
        (tmp_path / "full" / name).touch()
    found = read_point(tmp_path / "full")
    assert (found["kind"], found["mode"], found["entries"]) == ("directory", "0750", ["a", "b", "c"])
    (tmp_path / "link").symlink_to(tmp_path / "full")
    assert read_point(tmp_path / "link")["kind"] == "other"
    assert read_point(tmp_path / "nothing") == {"kind": "nothing", "entries": []}


def test_the_name_that_is_the_disks_own(host: Host) -> None:
    disk = Machine.from_dict(host.read()).devices["nvme0n1"]
    assert disk.stable_path == "/dev/disk/by-id/nvme-Dell_Ent_NVMe_PM1743_S1"
    host.mark(host.devices[1], "xfs", UUID, "x")
    assert [mark.uuid for mark in Machine.from_dict(host.read()).devices["nvme0n1"].signatures] == [UUID]
