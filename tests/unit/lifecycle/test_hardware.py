# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine it is and which disks are in it, as sysfs shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.parts import parts_of
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.hardware import read_hardware

NVME = "devices/pci0000:3a/0000:3a:00.0/0000:3b:00.0/nvme/nvme0"
SATA = "devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0"


def write(root: Path, place: str, text: str | bytes) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def disk(root: Path, name: str, device: str, files: dict[str, str | bytes], *, removable: str = "0") -> None:
    """A block device as the kernel shows it: /sys/block has links into /sys/devices, `device` leads back up."""
    place = f"{device}/{'block/' if 'nvme' not in device else ''}{name}"
    write(root, f"{place}/removable", f"{removable}\n")
    for file, content in files.items():
        write(root, f"{device if file.startswith('device/') else place}/{file.removeprefix('device/')}", content)
    (root / place / "device").symlink_to(root / device)
    (root / "block").mkdir(exist_ok=True)
    (root / "block" / name).symlink_to(root / place)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    identity = {
        "product_serial": "S1\n",
        "sys_vendor": "Dell Inc.\n",
        "product_name": "XE9680\n",
        "bios_version": "2\n",
    }
    for name, text in identity.items():
        write(tmp_path, f"class/dmi/id/{name}", text)
    nvme: dict[str, str | bytes] = {"device/serial": "N1  \n", "device/model": "KCM7", "device/firmware_rev": "0105"}
    disk(tmp_path, "nvme0n1", NVME, {**nvme, "wwid": "eui.1"})
    disk(tmp_path, "nvme0n2", NVME, {"wwid": "eui.2"})
    disk(tmp_path, "nvme0c0n1", NVME, {})
    page = b"\x00\x80\x00\x08" + b"  SATA-9"
    disk(
        tmp_path, "sda", SATA, {"device/vpd_pg80": page, "device/model": "MZ7", "device/rev": "H1", "device/wwid": "w"}
    )
    disk(tmp_path, "sr0", f"{SATA[:-7]}1:0:0:0", {"device/model": "Virtual CD"}, removable="1")
    for name in ("loop0", "dm-0", "md0", "zram0"):
        write(tmp_path, f"block/{name}/size", "1")
    return tmp_path


def test_the_machine_and_its_disks_are_read_by_where_they_sit(sysfs: Path) -> None:
    read = read_hardware(sysfs)
    assert read["system"] == {"serial": "S1", "vendor": "Dell Inc.", "model": "XE9680", "bios": "2"}
    assert [(each["name"], each["slot"], each["serial"], each["firmware"]) for each in read["disks"]] == [
        ("nvme0n1", "0000:3b:00.0", "N1", "0105"),
        ("sda", "0000:00:17.0/0:0:0:0", "SATA-9", "H1"),
    ]


def multipath(root: Path, number: int, controllers: dict[str, str]) -> str:
    """An NVMe disk with the kernel's own multipath: the disk is virtual, its controllers are where they sit.

    Returns where the disk is below `root`; `controllers` are the devices that hold them, by name.
    """
    subsystem = f"devices/virtual/nvme-subsystem/nvme-subsys{number}"
    write(root, f"{subsystem}/subsysnqn", "nqn.2014-08.org.nvmexpress:uuid:1\n")
    for name, device in controllers.items():
        controller = f"{device}/nvme/{name}"
        write(root, f"{controller}/transport", "pcie\n")
        (root / subsystem / name).symlink_to(root / controller)
        path = f"nvme{number}c{name.removeprefix('nvme')}n1"
        write(root, f"{controller}/{path}/removable", "0\n")
        (root / "block").mkdir(exist_ok=True)
        (root / "block" / path).symlink_to(root / controller / path)
    return subsystem


A, B = (f"devices/pci0000:3a/0000:3a:00.0/0000:3b:00.{function}" for function in (0, 1))


@pytest.mark.parametrize(
    ("controllers", "slot"),
    [
        ({"nvme4": A}, "0000:3b:00.0"),
        # Of a drive with two ports the first address, whichever controller the kernel found first.
        ({"nvme4": A, "nvme5": B}, "0000:3b:00.0"),
        ({"nvme4": B, "nvme5": A}, "0000:3b:00.0"),
        # Over a network there is no slot.
        ({"nvme4": "devices/virtual/nvme-fabrics/ctl"}, "nvme7n1"),
        ({}, "nvme7n1"),
    ],
)
def test_a_disk_with_multipath_sits_where_its_controllers_do(
    tmp_path: Path, controllers: dict[str, str], slot: str
) -> None:
    subsystem = multipath(tmp_path, 7, controllers)
    disk(tmp_path, "nvme7n1", subsystem, {"device/serial": "N7\n", "device/firmware_rev": "0105", "wwid": "eui.7"})
    read = read_hardware(tmp_path)["disks"]
    assert [(each["name"], each["slot"], each["serial"], each["firmware"]) for each in read] == [
        ("nvme7n1", slot, "N7", "0105")
    ]


def test_a_disk_keeps_its_slot_when_the_kernel_numbers_it_anew(tmp_path: Path) -> None:
    slots = []
    for boot, number in (("first", 0), ("second", 3)):
        root = tmp_path / boot
        subsystem = multipath(root, number, {f"nvme{number}": A})
        disk(root, f"nvme{number}n1", subsystem, {"device/serial": "N\n"})
        slots.append(read_hardware(root)["disks"][0]["slot"])
    assert slots[0] == slots[1] == "0000:3b:00.0"


def test_what_cannot_be_read_costs_that_value_only(sysfs: Path) -> None:
    (sysfs / "class/dmi/id/product_serial").unlink()
    (sysfs / SATA / "vpd_pg80").write_bytes(b"\x00\x80\x00\x00")
    read = read_hardware(sysfs)
    assert "No such file" in read["system"]["serial"]["error"]
    assert "empty" in read["disks"][1]["serial"]["error"]
    parts = parts_of({"readers": {"hardware": {"status": "ok", "data": read}}})
    assert (parts["system"].parts, parts["system"].complete) == ([], False), "unknown is not exchanged"
    assert [(part.serial, part.uid) for part in parts["disk"].parts] == [("N1", "eui.1"), ("", "w")]


def test_parts_of_it(sysfs: Path) -> None:
    parts = parts_of({"readers": {"hardware": {"status": "ok", "data": read_hardware(sysfs)}}})
    [system] = parts["system"].parts
    assert (system.serial, system.model, system.firmware) == ("S1", "XE9680", "2")
    first = parts["disk"].parts[0]
    assert (first.slot, first.component, first.serial, first.model) == ("0000:3b:00.0", "disk:nvme0n1", "N1", "KCM7")
    assert parts["disk"].complete


def test_a_kernel_without_block_devices_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="block"):
        read_hardware(tmp_path)
