# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data disks: what is due, what is left alone, and what is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.layouts import make
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.machine import Device
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.plan import Plan
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.wanted import Volume
from made_up_host import ARRAY, ARRAY_UUID, FSTAB, NOTE, RECORD, UUID, VOLUME, Host

Kinds = Callable[[Plan], list[str]]
SINGLE = {**VOLUME, "layout": "single", "disks": {"serial": "S1", "count": 1}}
LVM = {**VOLUME, "layout": "lvm"}
ZFS = {key: value for key, value in VOLUME.items() if key not in ("filesystem", "options")} | {"layout": "zfs"}
LINK = "/dev/disk/by-id/nvme-Dell_Ent_NVMe_PM1743_"


def refused(plan: Plan, *words: str) -> None:
    assert plan.refusals, plan.steps
    text = "\n".join(plan.refusals)
    assert [word for word in words if word not in text] == [], text
    assert all(line.startswith("volume ") and "Remedy: " in line and line.endswith(".") for line in plan.refusals)


# -- as wanted, and from nothing


def test_a_volume_that_is_as_wanted(host: Host) -> None:
    host.whole()
    found = host.plan()
    assert (found.steps, found.refusals) == ([], [])
    assert found.fstab == [FSTAB.strip()]


def test_nothing_but_looks(host: Host) -> None:
    host.plan()
    assert {command[0] for command in host.calls} <= {"lsblk", "wipefs", "pvs", "lvs", "zpool", "zfs"}
    assert all("--no-act" in command for command in host.calls if command[0] == "wipefs")


def test_bare_disks_become_an_array(host: Host, kinds: Kinds) -> None:
    found = host.plan()
    assert (kinds(found), found.refusals, found.fstab) == (["array", "filesystem", "mount"], [], [])
    array, filesystem, mount = found.steps
    assert array.arguments == {
        "path": "/dev/md/scratch",
        "level": "raid1",
        "name": "scratch",
        "disks": [f"{LINK}S1", f"{LINK}S2"],
        "clear": [
            {"path": f"{LINK}{serial}", "block": block, "seek": seek, "count": count}
            for serial in ("S1", "S2")
            for block, seek, count in ((1 << 20, 0, 256), (512, 3840755982336 // 512 - 16384, 16384))
        ],
    }
    assert "nvme0n1 (Dell Ent NVMe PM1743, 3841 GB, serial S1), nvme1n1 (" in array.text
    assert filesystem.arguments == {"path": "/dev/md/scratch", "type": "xfs", "options": "-L scratch"}
    # Its UUID is known once it is made.
    assert mount.arguments == {}


def test_a_bare_disk_becomes_a_file_system(host: Host, kinds: Kinds) -> None:
    found = host.plan(SINGLE)
    assert (kinds(found), found.refusals) == (["filesystem", "mount"], [])
    assert found.steps[0].arguments["path"] == "/dev/nvme0n1"


def test_bare_disks_become_a_volume_group(host: Host, kinds: Kinds) -> None:
    found = host.plan(LVM)
    assert (kinds(found), found.refusals) == (["volume_group", "logical_volume", "filesystem", "mount"], [])
    assert found.steps[0].arguments == {"name": "vg_scratch", "disks": [f"{LINK}S1", f"{LINK}S2"]}
    assert found.steps[1].arguments == {"group": "vg_scratch", "name": "data"}
    assert found.steps[2].arguments["path"] == "/dev/vg_scratch/data"


def test_bare_disks_become_a_pool(host: Host, kinds: Kinds) -> None:
    found = host.plan({**ZFS, "zfs": {"vdev": "mirror", "properties": {"compression": "lz4"}}, "mode": "1777"})
    assert (kinds(found), found.refusals) == (["pool", "pool_mount", "attributes"], [])
    assert found.steps[0].arguments == {
        "name": "scratch",
        "vdev": "mirror",
        "disks": [f"{LINK}S1", f"{LINK}S2"],
        "properties": {"mountpoint": "/scratch", "compression": "lz4"},
    }


def test_owner_and_mode_of_a_new_file_system_are_announced(host: Host) -> None:
    text = host.plan({**VOLUME, "mode": "1777"}).steps[-1].text
    assert text == "give /scratch owner root, group root and mode 1777: it has mode 0755"


def test_owner_and_mode_are_repaired(host: Host, kinds: Kinds) -> None:
    host.whole()
    found = host.plan({**VOLUME, "owner": "slurm", "mode": "1777"})
    assert kinds(found) == ["attributes"]
    wanted = {"point": "/scratch", "owner": "slurm", "group": "root", "mode": "1777"}
    assert found.steps[0].arguments == wanted


def test_a_disk_without_a_name_of_its_own_is_written_by_the_kernels(host: Host) -> None:
    host.disk("vdc", model="", size=10**9)
    found = host.plan({**SINGLE, "disks": {"size_gb": {"max": 1}, "count": 1}})
    assert found.steps[0].arguments["path"] == "/dev/vdc"


def test_disks_are_found_by_their_link(host: Host, kinds: Kinds) -> None:
    found = host.plan({**SINGLE, "disks": {"id": "nvme-eui.001n*", "count": 1}})
    assert kinds(found) == ["filesystem", "mount"]
    assert found.steps[0].arguments["path"] == "/dev/nvme1n1"


@pytest.mark.parametrize("size", [1 << 30, 2 * 10**9 // 512 * 512, 26 << 30, 300 << 30, 3840755982336, 30 * 10**12])
def test_what_an_earlier_array_left_is_cleared_where_a_new_one_shows_it(size: int) -> None:
    """mdadm 4: data begin after 128 MiB, halved while that is more than one part in 1024, and some for the bitmap."""
    disk = Device("sda", "/dev/sda", "disk", size)
    head, tail = make(Volume.from_dict({**VOLUME, "layout": "raid0"}), [disk])[0].arguments["clear"]
    headroom = 128 << 20
    while headroom << 10 > size:
        headroom >>= 1
    assert head["seek"] == 0
    # A label of LVM or ZFS, or a superblock of any file system, is in the first 512 KiB.
    assert headroom + (1 << 20) + (512 << 10) <= head["count"] * head["block"] < size // 64
    assert (tail["seek"] + tail["count"]) * tail["block"] == size
    assert tail["count"] * tail["block"] == 8 << 20


# -- what a killed run left


def test_an_array_without_a_file_system(host: Host, kinds: Kinds) -> None:
    host.array(host.devices[1:])
    found = host.plan()
    assert (kinds(found), found.refusals) == (["filesystem", "record", "mount"], [])
    assert found.steps[0].arguments["path"] == "/dev/md127"


def test_an_array_that_is_not_started(host: Host, kinds: Kinds) -> None:
    for disk in host.devices[1:]:
        host.mark(disk, "linux_raid_member", ARRAY_UUID, "scratch")
    found = host.plan()
    # What lies on it shows when it is started: nothing is said of a file system.
    assert (kinds(found), found.refusals) == (["assemble", "record", "mount"], [])
    assert found.steps[0].arguments == {
        "path": "/dev/md/scratch",
        "uuid": ARRAY,
        "disks": [f"{LINK}S1", f"{LINK}S2"],
    }


def test_a_started_array_that_holds_a_file_system_is_not_made_anew(host: Host, kinds: Kinds) -> None:
    array = host.array(host.devices[1:])
    host.mark(array, "xfs", UUID, "scratch")
    found = host.plan()
    assert (kinds(found), found.refusals) == (["record", "mount"], [])
    assert found.steps[1].arguments == {
        "source": f"UUID={UUID}",
        "point": "/scratch",
        "type": "xfs",
        "options": "noatime,nofail",
        "dump": "0",
        "number": "0",
    }


def test_a_file_system_without_a_mount(host: Host, kinds: Kinds) -> None:
    host.mark(host.devices[1], "ext4", UUID, "scratch")
    found = host.plan({**SINGLE, "filesystem": "ext4", "options": None})
    assert (kinds(found), found.refusals) == (["mount"], [])
    assert found.fstab == [f"UUID={UUID} /scratch ext4 defaults,nofail 0 2"]


def test_physical_volumes_without_a_group(host: Host, kinds: Kinds) -> None:
    host.mark(host.devices[1], "LVM2_member", "p1")
    host.lvm({"/dev/nvme0n1": ""})
    found = host.plan(LVM)
    assert (kinds(found)[0], found.refusals) == ("volume_group", [])


def lvm(host: Host, lv_active: str = "active") -> dict[str, Any]:
    """A volume group and its logical volume."""
    disks = host.devices[1:]
    for disk in disks:
        host.mark(disk, "LVM2_member", "p")
    logical = {"vg_name": "vg_scratch", "lv_name": "data", "lv_path": "/dev/vg_scratch/data", "lv_active": lv_active}
    host.lvm({disk["path"]: "vg_scratch" for disk in disks}, [logical])
    return host.put(disks, "dm-0", "lvm", path="/dev/mapper/vg_scratch-data")


def test_physical_volumes_on_a_system_without_lvm(host: Host, kinds: Kinds) -> None:
    """After a new deployment: they are not called anybody's before the tools have said whose they are."""
    for disk in host.devices[1:]:
        host.mark(disk, "LVM2_member", "pv-uuid")
    found = host.plan(LVM)
    assert (kinds(found), found.refusals) == (["tools", "mount"], [])
    assert found.steps[0].text.startswith("install the tools of LVM, and look again at nvme0n1 (")
    # With them they are of a group of another name.
    host.lvm({"/dev/nvme0n1": "vg_old", "/dev/nvme1n1": "vg_old"})
    refused(host.plan(LVM), "holds LVM2_member")
    # Where another layout is wanted they are in the way, whosever they are.
    host.tools.clear()
    refused(host.plan(), "holds LVM2_member")


def test_a_group_without_its_logical_volume(host: Host, kinds: Kinds) -> None:
    for disk in host.devices[1:]:
        host.mark(disk, "LVM2_member", "p")
    host.lvm({"/dev/nvme0n1": "vg_scratch", "/dev/nvme1n1": "vg_scratch"})
    found = host.plan(LVM)
    assert (kinds(found), found.refusals) == (["logical_volume", "filesystem", "mount"], [])


def test_a_logical_volume_as_it_is_wanted(host: Host, kinds: Kinds) -> None:
    device = lvm(host)
    host.mark(device, "xfs", UUID, "scratch")
    host.mount(device, "/scratch")
    host.write("etc/fstab", FSTAB)
    found = host.plan(LVM)
    assert (kinds(found), found.refusals) == ([], [])


def test_a_logical_volume_that_is_not_active(host: Host, kinds: Kinds) -> None:
    lvm(host, lv_active="")
    assert kinds(host.plan(LVM)) == ["activate", "mount"]


def zfs(host: Host, disks: list[dict[str, Any]], mountpoint: str | None = "/scratch", health: str = "ONLINE") -> None:
    for disk in disks:
        host.mark(disk, "gpt")
        part = host.put([disk], f"{disk['kname']}p1", "part")
        host.mark(part, "zfs_member", "1234", "scratch")
        host.claimed.add(disk["kname"])
    if mountpoint is not None:
        host.tools["zpool list"] = f"scratch\t{health}\n"
        host.tools["zfs list"] = f"scratch\t{mountpoint}\n"


def test_a_pool_that_is_not_imported(host: Host, kinds: Kinds) -> None:
    zfs(host, host.devices[1:], None)
    found = host.plan(ZFS)
    assert (kinds(found), found.refusals) == (["import", "pool_mount"], [])
    assert found.steps[0].arguments == {"id": "1234", "force": False}
    # One that was exported is nobody's.
    host.tools["zpool import"] = importable()
    assert host.plan({**ZFS, "zfs": {"take_over": True}}).steps[0].arguments == {"id": "1234", "force": False}


def importable(status: str = "", state: str = "ONLINE", pool: str = "1234") -> str:
    """As `zpool import` lists a pool; lines of `action` and `config` go on indented, as do long ones of `status`."""
    told = f"status: {status}\n" if status else ""
    return (
        f"   pool: scratch\n     id: {pool}\n  state: {state}\n{told}"
        " action: The pool can be imported using its name or\n\tnumeric identifier and the '-f' flag.\n   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-EY\n"
        f" config:\n\n\tscratch      {state}\n\t  mirror-0   ONLINE\n\t    nvme0n1  ONLINE\n\t    nvme1n1  ONLINE\n"
    )


OF_ANOTHER = "The pool was last accessed by another system."
IN_USE = "The pool is currently imported by another system."


def test_a_pool_of_another_system_is_taken_over_where_the_class_allows_it(host: Host, kinds: Kinds) -> None:
    zfs(host, host.devices[1:], None)
    host.tools["zpool import"] = importable(OF_ANOTHER)
    allowed = {**ZFS, "zfs": {"take_over": True}}
    found = host.plan(allowed)
    assert (kinds(found), found.refusals) == (["import", "pool_mount"], [])
    assert found.steps[0].arguments == {"id": "1234", "force": True}
    assert found.steps[0].text.endswith(", which another system used last")
    refused(host.plan(ZFS), "another system used the pool scratch last", "zfs.take_over", "`zpool import -f 1234`")
    # What is said of another pool of that name is of no meaning.
    host.tools["zpool import"] = importable(OF_ANOTHER, pool="99") + "\n" + importable()
    assert host.plan(ZFS).steps[0].arguments == {"id": "1234", "force": False}


@pytest.mark.parametrize("take_over", [True, False])
def test_a_pool_is_never_taken_from_who_uses_it(host: Host, take_over: bool) -> None:
    zfs(host, host.devices[1:], None)
    host.tools["zpool import"] = importable(IN_USE, "UNAVAIL")
    refused(host.plan({**ZFS, "zfs": {"take_over": take_over}}), "is imported by another system now", "zpool export")


@pytest.mark.parametrize("state", ["DEGRADED", "UNAVAIL"])
def test_a_pool_of_another_system_that_is_not_whole_is_a_persons_work(host: Host, state: str) -> None:
    zfs(host, host.devices[1:], None)
    host.tools["zpool import"] = importable(OF_ANOTHER, state)
    refused(host.plan({**ZFS, "zfs": {"take_over": True}}), f"of another system is {state}", "zpool import -f 1234")


def test_a_pool_that_is_of_other_disks_too_is_not_imported(host: Host) -> None:
    zfs(host, host.devices[1:], None)
    host.tools["zpool import"] = importable(OF_ANOTHER)
    host.mark(host.disk("sdz", "S9", model="Other"), "zfs_member", "1234", "scratch")
    allowed = {**ZFS, "zfs": {"take_over": True}}
    refused(host.plan(allowed), "not on nvme0n1", "alone: /dev/sdz is of it, too", "describe exactly its disks")
    # Another pool of that name is in nobody's way.
    host.signatures["/dev/sdz"][0]["uuid"] = "99"
    assert host.plan(allowed).steps[0].arguments == {"id": "1234", "force": True}


def test_disks_of_two_pools_of_one_name_are_not_imported(host: Host) -> None:
    zfs(host, host.devices[1:], None)
    host.signatures["/dev/nvme0n1p1"][0]["uuid"] = "99"
    refused(host.plan(ZFS), "they are of several of that name", "zpool import")


def test_pools_are_looked_for_where_a_device_has_the_mark_of_one(host: Host) -> None:
    host.tools["zpool import"] = importable(OF_ANOTHER)
    assert host.read()["importable"] == {}
    assert ["zpool", "import"] not in host.calls
    zfs(host, host.devices[1:], None)
    assert host.read()["importable"] == {"1234": {"name": "scratch", "state": "ONLINE", "status": OF_ANOTHER}}
    long = "The pool has the multihost property on.  It cannot\n\tbe safely imported when the system hostid is not set."
    host.tools["zpool import"] = importable(long) + "\n" + importable(pool="99")
    read = host.read()["importable"]
    assert {pool: each["status"] for pool, each in read.items()} == {"1234": long.replace("\n\t", " "), "99": ""}


def test_a_pool_that_is_mounted_elsewhere_and_one_that_is_not_mounted(host: Host, kinds: Kinds) -> None:
    zfs(host, host.devices[1:], "/other")
    assert kinds(host.plan(ZFS)) == ["pool_mountpoint", "pool_mount"]
    host.tools["zfs list"] = "scratch\t/scratch\n"
    assert kinds(host.plan(ZFS)) == ["pool_mount"]
    host.mounts.append("40 25 0:50 / /scratch rw,noatime - zfs scratch rw,xattr")
    host.write("scratch/file", "")
    assert kinds(host.plan(ZFS)) == []


# -- drift


@pytest.mark.parametrize(
    ("fstab", "why"),
    [
        ("", "is not in fstab"),
        (FSTAB.replace("noatime,", ""), "has another line in fstab"),
        (FSTAB.replace(UUID, "of-a-disk-that-is-gone"), "has another line in fstab"),
        (FSTAB.replace("xfs", "auto"), "has another line in fstab"),
    ],
)
def test_a_line_of_fstab_is_repaired(host: Host, kinds: Kinds, fstab: str, why: str) -> None:
    host.whole()
    host.write("etc/fstab", f"# of the installer\nUUID=root-uuid / ext4 defaults 0 1\nbroken\n{fstab}")
    found = host.plan()
    assert (kinds(found), found.refusals) == (["mount"], [])
    assert why in found.steps[0].text and "not mounted" not in found.steps[0].text


def test_what_was_unmounted_is_mounted(host: Host, kinds: Kinds) -> None:
    array = host.whole()
    array["mountpoints"], host.mounts = [None], host.mounts[:1]
    (host.root / "scratch/lost+found").unlink()
    found = host.plan({**VOLUME, "mode": "1777"})
    assert (kinds(found), found.refusals) == (["mount"], [])
    assert found.steps[0].text.endswith("it is not mounted")


def test_options_that_are_not_in_force(host: Host, kinds: Kinds) -> None:
    host.whole()
    host.mounts[-1] = host.mounts[-1].replace("rw,noatime", "rw,relatime")
    found = host.plan()
    assert kinds(found) == ["remount"] and "without noatime" in found.steps[0].text


@pytest.mark.parametrize(
    "conf",
    [
        "HOMEHOST <system>\n",
        f"ARRAY /dev/md/old metadata=1.2 UUID={ARRAY}\n",
        f"ARRAY /dev/md/scratch metadata=1.2 UUID=0:0:0:0\n   spares=1\n{RECORD}",
        f"{RECORD}ARRAY <ignore> UUID={ARRAY}",
    ],
)
def test_the_record_of_an_array_is_written_once(host: Host, kinds: Kinds, conf: str) -> None:
    host.whole()
    host.write("etc/mdadm/mdadm.conf", f"MAILADDR root\n{conf}")
    host.write("boot/vmlinuz-6.8.0-1", "")
    host.write("boot/initrd.img-6.8.0-1", "")
    step = next(step for step in host.plan().steps if step.kind == "record")
    kept = re.sub(step.arguments["others"], "", f"MAILADDR root\n{conf}", flags=re.MULTILINE)
    lines = [*kept.splitlines(), *([] if step.arguments["line"] in kept.splitlines() else [step.arguments["line"]])]
    assert sorted(lines) == sorted(["MAILADDR root", RECORD.strip(), *(["HOMEHOST <system>"] * ("HOME" in conf))])
    host.write("etc/mdadm/mdadm.conf", "\n".join(lines))
    assert "record" not in kinds(host.plan())


def test_an_initramfs_with_another_record_is_built_anew(host: Host, kinds: Kinds) -> None:
    host.whole()
    host.write("boot/vmlinuz-6.8.0-1", "")
    host.write("boot/initrd.img-6.8.0-1", "")
    assert kinds(host.plan()) == []
    os.utime(host.root / "boot/initrd.img-6.8.0-1", (1, 1))
    assert kinds(host.plan()) == ["initramfs"]
    # With a volume that is no array it is none of our business.
    assert "initramfs" not in kinds(host.plan({**SINGLE, "disks": {"model": "Dell BOSS*", "count": 1}}, os_disk=None))


def test_a_copy_of_an_initramfs_is_none(host: Host, kinds: Kinds) -> None:
    """DKMS keeps what it replaces, and update-initramfs never builds that anew: it would be due for ever."""
    host.whole()
    for name in ("initrd.img-6.8.0-1.old-dkms", "initrd.img-5.15.0-9"):
        host.write(f"boot/{name}", "")
        os.utime(host.root / "boot" / name, (1, 1))
    assert kinds(host.plan()) == []


# -- which disks


@pytest.mark.parametrize(
    ("disks", "words"),
    [
        ({"model": "Dell Ent*", "count": 3}, ["2 disks are as described", "wanted are 3", "serial S1", "serial S2"]),
        ({"model": "Dell Ent*", "count": 1}, ["2 disks are as described", "wanted are 1"]),
        ({"model": "Micron*", "count": 2}, ["0 disks are as described (model Micron*)", "none; the machine has", "S1"]),
        ({"id": "scsi-*", "count": 2}, ["0 disks are as described (id scsi-*)"]),
    ],
)
def test_too_few_and_too_many_disks(host: Host, disks: dict[str, Any], words: list[str]) -> None:
    found = host.plan({**VOLUME, "layout": "raid0", "disks": disks})
    refused(found, *words)
    assert found.steps == []


def test_the_disk_of_the_system_never(host: Host) -> None:
    volume = {**SINGLE, "disks": {"model": "Dell BOSS*", "count": 1}}
    refused(
        host.plan(volume, erase=["B1"]), "nvme8n1 (Dell BOSS-N1, 960 GB, serial B1) is the system's", "narrow disks"
    )
    refused(host.plan(volume, erase=["B1"], os_disk=None), "is the system's: it has /")


def test_the_disk_that_the_kernel_alone_knows_as_the_system_s_never(host: Host) -> None:
    """lsblk does not show every mount, such as one whose device the kernel calls /dev/root."""
    for device in (disk for each in host.devices for disk in (each, *each["children"])):
        device["mountpoints"] = [None]
    volume = {**SINGLE, "disks": {"model": "Dell BOSS*", "count": 1}}
    refused(host.plan(volume, erase=["B1"], os_disk=None), "is the system's: it has /")


def test_the_disk_that_the_class_gives_the_system_never(host: Host) -> None:
    """Also where it has been wiped, and the machine runs from another."""
    host.disk("nvme9n1", "B2", "Dell BOSS-N1", size=959656755200)
    volume = {**SINGLE, "disks": {"serial": "B2", "count": 1}}
    refused(host.plan(volume, erase=["B2"]), "it is as hardware.os_disk describes it")


def test_what_the_system_is_mirrored_on_never(host: Host) -> None:
    root = host.put(host.devices[1:], "md0", "raid1")
    host.mount(root, "/var", "ext4")
    refused(host.plan(os_disk=None), "serial S1) is the system's: it has /var", "serial S2) is the system's")


def test_a_disk_is_of_one_volume(host: Host) -> None:
    other = {**SINGLE, "name": "other", "mount": "/other"}
    refused(host.plan(VOLUME, other), "volume other: nvme0n1 ", "is as the volume scratch describes its own, too")


def test_what_is_no_disk_is_not_chosen(host: Host) -> None:
    zram = host.disk("zram0", "Z1")
    (host.root / "sys/class/block/zram0/device").rmdir()
    usb = host.disk("sdz", "U1")
    host.write("sys/class/block/sdz/removable", "1\n")
    empty = host.disk("nvme7n1", "E1", size=0)
    assert not host.plan().refusals, (zram, usb, empty)


# -- what is on them


def test_a_disk_with_a_file_system_is_refused_until_it_is_named(host: Host, kinds: Kinds) -> None:
    host.mark(host.devices[1], "ext4", UUID, "old-data")
    refused(host.plan(), "serial S1) holds ext4 'old-data'", "name its serial number in storage_erase_serials")
    refused(host.plan(erase=["S2", "S"]), "serial S1) holds ext4 'old-data'")
    found = host.plan(erase=["S1"])
    assert (kinds(found)[:2], found.refusals) == (["erase", "array"], [])
    assert found.steps[0].arguments == {"paths": [f"{LINK}S1"], "serial": "S1"}
    assert found.steps[0].text.startswith(
        "erase ext4 'old-data' from nvme0n1 (Dell Ent NVMe PM1743, 3841 GB, serial S1)"
    )


def test_partitions_are_erased_with_their_disk(host: Host, kinds: Kinds) -> None:
    host.mark(host.devices[1], "gpt")
    host.mark(host.put([host.devices[1]], "nvme0n1p1", "part"), "xfs", UUID, "home")
    refused(host.plan(), "holds gpt, xfs 'home' on nvme0n1p1")
    found = host.plan(erase=["S1"])
    assert found.steps[0].arguments["paths"] == ["/dev/nvme0n1p1", f"{LINK}S1"]


def test_partitions_without_a_mark_are_something(host: Host) -> None:
    host.put([host.devices[1]], "nvme0n1p1", "part")
    refused(host.plan(), "holds partitions without a mark")


def test_a_disk_that_cannot_be_named_cannot_be_erased(host: Host) -> None:
    host.mark(host.disk("vdc", model="", size=10**9), "ext4", UUID, "x")
    volume = {**SINGLE, "disks": {"size_gb": {"max": 1}, "count": 1}}
    refused(host.plan(volume, erase=["", "unknown"]), "holds ext4 'x'", "has no serial number")


@pytest.mark.parametrize(
    "kind", ["ext4", "btrfs", "crypto_LUKS", "ceph_bluestore", "LVM2_member", "zfs_member", "swap"]
)
def test_any_mark_is_one(host: Host, kind: str) -> None:
    host.mark(host.devices[2], kind)
    refused(host.plan(), f"serial S2) holds {kind}")


def test_a_file_system_of_another_label_or_kind(host: Host, kinds: Kinds) -> None:
    host.mark(host.devices[1], "xfs", UUID, "of-others")
    refused(host.plan(SINGLE), "holds xfs 'of-others'")
    assert kinds(host.plan(SINGLE, erase=["S1"])) == ["erase", "filesystem", "mount"]


@pytest.mark.parametrize(("kind", "label"), [("ext4", "scratch"), ("xfs", "other")])
def test_another_file_system_on_our_own_array(host: Host, kind: str, label: str) -> None:
    host.mark(host.array(host.devices[1:]), kind, UUID, label)
    for erase in ([], ["S1", "S2"]):
        refused(host.plan(erase=erase), f"on /dev/md127 is {kind} '{label}', wanted is xfs 'scratch'")


def test_partitions_on_our_own_array(host: Host) -> None:
    host.put([host.array(host.devices[1:])], "md127p1", "part")
    refused(host.plan(), "on /dev/md127 is partitions, wanted is xfs alone")


@pytest.mark.parametrize("erase", [[], ["S1", "S2"]])
def test_a_disk_in_use_is_refused_also_when_it_is_named(host: Host, erase: list[str]) -> None:
    host.mark(host.devices[1], "ext4", UUID, "x")
    host.mount(host.devices[1], "/home", "ext4")
    refused(host.plan(erase=erase), "serial S1) is in use: mounted at /home", "unmount it")


def test_swap_is_use(host: Host) -> None:
    host.devices[1]["mountpoints"] = ["[SWAP]"]
    refused(host.plan(erase=["S1"]), "is in use: mounted at [SWAP]")


def test_a_disk_that_somebody_has_for_himself(host: Host) -> None:
    host.claimed.add("nvme1n1")
    refused(host.plan(erase=["S2"]), "serial S2) is in use by another program")


@pytest.mark.parametrize("erase", [[], ["S1", "S2"]])
def test_a_disk_that_is_held(host: Host, erase: list[str]) -> None:
    """An array that a kernel found at boot is not stopped for anybody."""
    host.array(host.devices[1:], label="node07:home")
    refused(host.plan(erase=erase), "held by md127 (/dev/md127)", "linux_raid_member 'node07:home'", "mdadm --stop")


# -- arrays that are not whole, or not of these disks


def test_a_disk_of_the_group_that_the_system_lies_in(host: Host, kinds: Kinds) -> None:
    """No logical volume lies on it, so nothing holds it; without it the system's group is not whole."""
    part = host.put([host.devices[1]], "nvme0n1p1", "part")
    host.mark(part, "LVM2_member", "pv-uuid")
    host.lvm({"/dev/nvme0n1p1": "ubuntu-vg", "/dev/nvme8n1p1": "ubuntu-vg"})
    words = ["nvme0n1 (", "is of the volume group ubuntu-vg, as is /dev/nvme8n1p1", "`vgreduce ubuntu-vg`"]
    refused(host.plan(SINGLE, erase=["S1"]), *words)
    # An old group of disks that are all given up is none.
    host.mark(host.devices[2], "LVM2_member", "pv-uuid")
    host.lvm({"/dev/nvme0n1p1": "vg_old", "/dev/nvme1n1": "vg_old"})
    refused(host.plan(erase=["S1"]), "is of the volume group vg_old, as is /dev/nvme1n1")
    assert kinds(host.plan(erase=["S1", "S2"])) == ["erase", "erase", "array", "filesystem", "mount"]


def test_an_array_of_other_disks_too(host: Host) -> None:
    host.array([*host.devices[1:], host.disk("nvme2n1", "S3", "Micron")])
    refused(host.plan(), "its disks are held by md127, which is of nvme0n1, nvme1n1, nvme2n1, not of nvme0n1")


def test_an_array_that_lost_a_disk(host: Host) -> None:
    host.array([host.devices[1]])
    refused(host.plan(), "the array scratch is on nvme0n1", "but nvme1n1 (", "is not of it", "mdadm --add")
    # Its own disk is named, and held by the array: it is not taken from it.
    refused(host.plan(erase=["S1"]), "is in use: held by md127")


def test_half_of_an_array_that_nobody_needs(host: Host, kinds: Kinds) -> None:
    """Such as a run leaves that was killed while mdadm was writing."""
    host.mark(host.devices[1], "linux_raid_member", ARRAY_UUID, "node01:scratch")
    refused(host.plan(), "to make it anew")
    assert kinds(host.plan(erase=["S1"])) == ["erase", "array", "filesystem", "mount"]


def test_halves_of_two_arrays(host: Host) -> None:
    host.mark(host.devices[1], "linux_raid_member", ARRAY_UUID, "scratch")
    host.mark(host.devices[2], "linux_raid_member", UUID, "scratch")
    refused(host.plan(), "not all of these is not of it")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"degraded": 1}, ["md127 lacks 1 of 2 disks", "mdadm --add"]),
        (
            {"degraded": 1, "sync_action": "recover"},
            ["lacks 1 of 2 disks, recover under way", "the end of the rebuild"],
        ),
        ({"level": "raid0"}, ["md127 is raid0 over 2 disks, wanted is raid1 over 2", "a level is not changed here"]),
        ({"raid_disks": 3}, ["md127 is raid1 over 3 disks, wanted is raid1 over 2"]),
        ({"array_state": "inactive"}, ["md127 is inactive", "mdadm --stop /dev/md127"]),
        ({"array_state": "broken"}, ["md127 is broken"]),
    ],
)
def test_an_array_that_is_not_as_it_should_be(host: Host, values: dict[str, Any], words: list[str]) -> None:
    host.array(host.devices[1:], values=values)
    for erase in ([], ["S1"]):
        refused(host.plan(erase=erase), *words)


def test_a_first_synchronisation_is_no_fault(host: Host, kinds: Kinds) -> None:
    host.array(host.devices[1:], values={"sync_action": "resync", "array_state": "active"})
    assert kinds(host.plan())[0] == "filesystem"


def test_a_group_of_other_disks(host: Host) -> None:
    lvm(host)
    host.lvm({"/dev/nvme0n1": "vg_scratch", "/dev/nvme1n1": "vg_scratch", "[unknown]": "vg_scratch"})
    refused(host.plan(LVM), "the volume group vg_scratch is of nvme0n1", "and [unknown]")
    host.lvm({"/dev/nvme0n1": "vg_scratch", "/dev/nvme1n1": "vg_home"})
    refused(host.plan(LVM), "and not of nvme1n1")


def test_a_group_with_volumes_of_others(host: Host) -> None:
    for disk in host.devices[1:]:
        host.mark(disk, "LVM2_member", "p")
    logical = {"vg_name": "vg_scratch", "lv_name": "home", "lv_path": "/dev/vg_scratch/home", "lv_active": "active"}
    host.lvm({"/dev/nvme0n1": "vg_scratch", "/dev/nvme1n1": "vg_scratch"}, [logical])
    refused(host.plan(LVM), "holds logical volumes of others: home")


def test_a_group_of_another_name(host: Host) -> None:
    lvm(host)
    host.lvm({"/dev/nvme0n1": "vg_home", "/dev/nvme1n1": "vg_home"})
    refused(host.plan(LVM, erase=["S1", "S2"]), "held by dm-0 (/dev/mapper/vg_scratch-data)", "vgchange --activate n")


def test_a_pool_that_is_not_whole(host: Host) -> None:
    zfs(host, host.devices[1:], health="DEGRADED")
    refused(host.plan(ZFS), "the pool scratch is DEGRADED", "zpool status")


def test_a_pool_of_fewer_disks(host: Host) -> None:
    zfs(host, host.devices[1:2])
    refused(host.plan(ZFS), "the pool scratch is on nvme0n1", "and not on nvme1n1")


# -- where it is mounted


def test_files_below_the_mount_point_are_not_hidden(host: Host) -> None:
    for name in ("a", "b", "c", "d"):
        host.write(f"var/lib/docker/{name}", "")
    docker = {**VOLUME, "mount": "/var/lib/docker"}
    refused(host.plan(docker), "/var/lib/docker holds files (a, b, c …), which the mount would hide", "move them away")
    # The array is there already: still nothing is mounted over them.
    host.mark(host.array(host.devices[1:]), "xfs", UUID, "scratch")
    refused(host.plan(docker), "/var/lib/docker holds files")


def test_an_empty_folder_is_mounted_over(host: Host, kinds: Kinds) -> None:
    (host.root / "scratch").mkdir()
    assert kinds(host.plan()) == ["array", "filesystem", "mount"]


def test_a_file_in_the_place_of_the_mount_point(host: Host) -> None:
    host.write("scratch", "")
    refused(host.plan(), "/scratch is no directory")


def test_something_else_is_mounted_there(host: Host) -> None:
    host.mounts.append("40 25 0:60 / /scratch rw - nfs4 filer:/scratch rw")
    refused(host.plan(), "at /scratch is mounted filer:/scratch (nfs4)")
    host.mark(host.array(host.devices[1:]), "xfs", UUID, "scratch")
    refused(host.plan(), "at /scratch is mounted filer:/scratch (nfs4)")


def test_a_folder_of_the_volume_mounted_there_is_not_the_volume(host: Host) -> None:
    host.whole()
    host.mounts[-1] = host.mounts[-1].replace(" / /scratch", " /inner /scratch")
    refused(host.plan(), "at /scratch is mounted /dev/md127 (xfs)")


def test_it_is_mounted_elsewhere(host: Host) -> None:
    array = host.whole()
    array["mountpoints"], host.mounts = ["/elsewhere"], host.mounts[:1]
    (host.root / "scratch/lost+found").unlink()
    refused(host.plan(), "it is mounted at /elsewhere, wanted is /scratch")


@pytest.mark.parametrize(
    ("fstab", "words"),
    [
        ("filer:/scratch /scratch nfs4 defaults 0 0\n", "fstab gives /scratch to filer:/scratch"),
        ("/dev/sdb1 /scratch ext4 defaults 0 0\n", "fstab gives /scratch to /dev/sdb1"),
        ("UUID=root-uuid /scratch ext4 defaults 0 0\n", "fstab gives /scratch to UUID=root-uuid"),
        ('LABEL="root" /scratch ext4 defaults 0 0\n', 'fstab gives /scratch to LABEL="root"'),
        (FSTAB + FSTAB, "fstab has 2 lines for /scratch"),
        (FSTAB + FSTAB.replace("/scratch", "/data"), "fstab mounts it at /data, too"),
    ],
)
def test_lines_of_fstab_that_are_somebody_elses(host: Host, fstab: str, words: str) -> None:
    host.whole()
    host.write("etc/fstab", fstab)
    refused(host.plan(), words)


def test_fstab_is_asked_before_anything_is_made(host: Host) -> None:
    host.write("etc/fstab", "filer:/scratch /scratch nfs4 defaults 0 0\n")
    refused(host.plan(), "fstab gives /scratch to filer:/scratch")


# -- volumes that are named no more


OTHER = {**VOLUME, "name": "other", "mount": "/other", "disks": {"serial": "S9", "count": 1}, "layout": "single"}


@pytest.mark.parametrize("mounted", [True, False])
def test_a_volume_that_is_named_no_more_loses_what_mounts_it(host: Host, kinds: Kinds, mounted: bool) -> None:
    host.whole()
    host.write(NOTE, FSTAB)
    host.disk("sdz", "S9", model="Other")
    if not mounted:
        host.mounts.clear()
    found = host.plan(OTHER)
    assert (kinds(found), found.refusals) == (["former_mount", "filesystem", "mount"], [])
    assert found.steps[0].arguments == {"point": "/scratch", "mounted": mounted}
    assert f"/scratch (UUID={UUID}) out of fstab" in found.steps[0].text
    assert found.steps[0].text.endswith("what it holds stays")
    assert kinds(host.plan()) == ([] if mounted else ["mount"])


def test_lines_of_fstab_that_others_wrote_stay(host: Host, kinds: Kinds) -> None:
    host.whole()
    host.disk("sdz", "S9", model="Other")
    assert kinds(host.plan(OTHER)) == ["filesystem", "mount"]
    # Of the place that the role had, somebody else has made his own.
    host.write(NOTE, FSTAB.replace(UUID, "of-a-former-file-system"))
    assert kinds(host.plan(OTHER)) == ["filesystem", "mount"]
    # What is mounted there by other means is not the role's to unmount.
    host.write(NOTE, FSTAB)
    host.mounts.append("41 25 0:99 / /scratch rw - nfs4 server:/scratch rw")
    assert host.plan(OTHER).steps[0].arguments == {"point": "/scratch", "mounted": False}
