# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems without fault, and what is found on others."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from random import Random
from typing import Any

from tests.unit.properties.defects import UNKNOWN, Defect, file, forget, tool
from tests.unit.properties.machine import MISSING, Machine

GIB = 1024**3
CLASS = {"hardware": {"nvme_disks": 3, "nvme_health": True}}
MDSTAT = """Personalities : [raid1] [raid0]
md1 : active raid0 nvme3n1[1] nvme2n1[0]
      7501211648 blocks super 1.2 512k chunks

md0 : {state} raid1 nvme1n1p2[1]{flag} nvme0n1p2[0]
      1874715648 blocks super 1.2 [2/{working}] [{shown}]
      {more}

unused devices: <none>"""
NO_ARRAYS = "Personalities : \nunused devices: <none>"


def mdstat(
    working: int = 2, state: str = "active", flag: str = "", more: str = "bitmap: 3/14 pages [12KB], 65536KB chunk"
) -> str:
    shown = {2: "UU", 1: "_U", 0: "__"}[working]
    return MDSTAT.format(state=state, flag=flag, working=working, shown=shown, more=more)


CHECKING = "[=>...................]  check =  8.5% (160000/1874715648) finish=95.1min speed=300000K/sec"


def healthy(random: Random, machine: Machine) -> None:
    machine.files |= {
        "proc/self/mountinfo": "\n".join(_mountinfo(random, machine)),
        "sys/block/nvme0n1/removable": "0",
        **{f"sys/fs/ext4/{device}/errors_count": "0" for device in ("nvme0n1p2", "dm-3")[: random.randrange(3)]},
        "sys/fs/ext4/features/lazy_itable_init": "supported",
        "sys/block/nvme0n1/wwid": f"eui.{random.getrandbits(64):016x}",
        "sys/block/nvme0n1/device/serial": f"S{random.getrandbits(32):08X}      ",
        "sys/block/nvme0n1/device/model": "SAMSUNG MZQL27T6HBLA-00A07              ",
        "sys/block/nvme0n1/device/firmware_rev": "GDC5902Q",
    }
    arrays = random.choice((None, NO_ARRAYS, mdstat(), mdstat(state="active (auto-read-only)"), mdstat(more=CHECKING)))
    if arrays:
        machine.files["proc/mdstat"] = arrays
    for number in range(machine.node_class["hardware"].get("nvme_disks", random.randrange(1, 9))):
        model, firmware = (("SAMSUNG MZQL27T6HBLA-00A07", "GDC5902Q"), ("Dell BOSS-N1", "2.1.13.2027"))[number == 0]
        nvme(machine, f"nvme{number}", model=model, firmware_rev=firmware)
    machine.tools["nvme"] = smart(random)
    if random.random() < 0.3:
        nvme(machine, "nvme77", transport="rdma", state="connecting", model="Linux", firmware_rev="6.8.0")
    for mount in machine.node_class["hardware"]["mounts"]:
        size = int(random.uniform(50, 30000)) * GIB
        machine.mounts[mount] = statvfs(random, size, random.uniform(0.0, 0.84), inodes_used=random.uniform(0, 0.84))


def nvme(machine: Machine, name: str, **values: str) -> None:
    known = {"transport": "pcie", "state": "live", "model": "SAMSUNG MZQL27T6HBLA-00A07", "firmware_rev": "GDC5902Q"}
    machine.files |= {f"sys/class/nvme/{name}/{key}": value for key, value in {**known, **values}.items()}


def smart(random: Random, **values: Any) -> str:
    """What nvme-cli prints of a disk; the temperature is in Kelvin."""
    log = {
        "critical_warning": 0,
        "temperature": random.randrange(293, 340),
        "avail_spare": random.randrange(95, 101),
        "spare_thresh": random.choice((5, 10)),
        "percent_used": random.randrange(40),
        "data_units_read": random.getrandbits(70),
        "media_errors": 0,
        "warning_temp_time": random.randrange(5),
        "critical_comp_time": 0,
        "num_err_log_entries": random.randrange(1000),
    }
    return json.dumps({**log, **values}, indent=2)


def _mountinfo(random: Random, machine: Machine) -> list[str]:
    others = [
        r"40 21 0:33 / /mnt/with\040space rw,relatime shared:9 - nfs4 server:/a\040b rw",
        "41 21 0:34 / /run rw,nosuid - tmpfs tmpfs rw",
    ]
    ours = [
        f"{number} 21 259:{number} / {mount} rw,relatime{random.choice((' shared:1', ''))} - "
        f"{random.choice(('ext4', 'xfs'))} /dev/nvme{number}n1p2 rw"
        for number, mount in enumerate(machine.node_class["hardware"]["mounts"], 21)
    ]
    lines = ours + others
    random.shuffle(lines)
    return lines


def statvfs(random: Random, size: int, used: float, *, inodes_used: float = 0.1, read_only: bool = False) -> Any:
    """A file system of which plain users have filled the share `used`; root keeps five percent for itself."""
    block = random.choice((1024, 4096))
    blocks = size // block
    kept = int(blocks * 0.05)
    free = kept + int((blocks - kept) * (1.0 - used))
    inodes = random.choice((0, blocks // 4))
    free_inodes = int(inodes * (1.0 - inodes_used))
    flags = os.ST_RDONLY if read_only else random.choice((0, os.ST_RELATIME, os.ST_NOSUID))
    return os.statvfs_result((block, block, blocks, free, free - kept, inodes, free_inodes, free_inodes, flags, 255))


def disk(**state: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        mount = random.choice(sorted(machine.mounts))
        machine.mounts[mount] = statvfs(random, 500 * GIB, **state)

    return spoil


def no_inodes(machine: Machine, random: Random) -> None:
    mount = random.choice(sorted(machine.mounts))
    whole = statvfs(random, 500 * GIB, 0.2)
    machine.mounts[mount] = os.statvfs_result((*whole[:5], 1000, 10, 10, *whole[8:]))


def unmount(machine: Machine, random: Random) -> None:
    mount = random.choice(sorted(machine.mounts))
    lines = machine.files["proc/self/mountinfo"].splitlines()
    machine.files["proc/self/mountinfo"] = "\n".join(line for line in lines if line.split(" ")[4] != mount)


def hot(machine: Machine, random: Random) -> None:
    """A tenth of all the time since the boot."""
    machine.history = None
    machine.tools["nvme"] = smart(random, warning_temp_time=int(max(machine.uptime, 86400) / 600))


DEFECTS = [
    Defect("disk.nvme.overheated", "long", hot, ("warn",)),
    Defect(
        "disk.nvme.overheated", "not told", tool("nvme", lambda random: smart(random, warning_temp_time="?")), UNKNOWN
    ),
    Defect("disk.filesystem_errors", "some", file("sys/fs/ext4/dm-7/errors_count", "2"), ("warn",)),
    Defect("disk.filesystem_errors", "not told", file("sys/fs/ext4/dm-7/errors_count", "many"), UNKNOWN),
    Defect("disk.free", "filling", disk(used=0.86), ("warn",)),
    Defect("disk.free", "full", disk(used=0.999)),
    Defect("disk.read_only", "one of them", disk(used=0.2, read_only=True)),
    Defect("disk.mount", "not mounted", unmount),
    Defect("disk.inodes", "none left", no_inodes),
    Defect("disk.raid", "a disk less", file("proc/mdstat", mdstat(1)), ("warn",)),
    Defect("disk.raid", "a disk failed", file("proc/mdstat", mdstat(1, flag="(F)")), ("warn",)),
    Defect("disk.raid", "dead", file("proc/mdstat", mdstat(0, state="inactive"))),
    Defect("disk.raid", "of another form", file("proc/mdstat", "md0 = {raid1}"), UNKNOWN),
    Defect("disk.nvme.count", "one less", forget("sys/class/nvme/nvme2/")),
    Defect("disk.nvme.state", "dead", file("sys/class/nvme/nvme1/state", "dead")),
    Defect("disk.nvme.state", "not told", forget("sys/class/nvme/nvme1/state"), UNKNOWN),
    Defect("disk.nvme.firmware", "an old one", file("sys/class/nvme/nvme2/firmware_rev", "GDC5602Q"), ("warn",)),
    *(
        Defect(f"disk.nvme.{check}", name, tool("nvme", functools.partial(smart, **values)), verdicts)
        for check, name, values, verdicts in (
            ("health", "not reliable", {"critical_warning": 4}, ("fail",)),
            ("wear", "worn out", {"percent_used": 104}, ("fail",)),
            ("wear", "nearly", {"percent_used": 90}, ("warn",)),
            ("spare", "none", {"avail_spare": 3}, ("fail",)),
            ("media_errors", "one", {"media_errors": 1}, ("warn",)),
            ("temperature", "hot", {"temperature": 351}, ("warn",)),
            ("temperature", "too hot", {"temperature": 360}, ("fail",)),
        )
    ),
    Defect("disk.nvme.health", "no tool", tool("nvme", MISSING), UNKNOWN),
    Defect("disk.nvme.spare", "no answer", tool("nvme", "NVMe status: Abort"), UNKNOWN),
    Defect("disk.nvme.firmware", "not told", forget("sys/class/nvme/nvme1/firmware_rev"), UNKNOWN),
]
