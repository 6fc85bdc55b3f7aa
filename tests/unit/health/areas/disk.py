# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems: well, and not."""

from __future__ import annotations

from tests.unit.health.cases import Case, c
from tests.unit.health.health_factory import Spoil, drop, put, unreadable

CLASS = {"hardware": {"mounts": ["/", "/data"], "nvme_disks": 2, "nvme_health": True}}
MIRROR = {
    "name": "md0",
    "active": True,
    "level": "raid1",
    "failed": [],
    "wanted": 2,
    "working": 2,
    "action": "",
}
STRIPE = {**MIRROR, "name": "md1", "level": "raid0", "wanted": None, "working": None}
NVME = {"state": "live", "model": "SAMSUNG MZQL23T8HCLS-00A07", "firmware": "GDC5602Q"}

SMART = {
    "critical_warning": 0,
    "used_percent": 3,
    "spare_percent": 100,
    "spare_threshold_percent": 10,
    "media_errors": 2,
    "temperature_c": 41,
    "hot_minutes": 7,
    "media_errors_before": 2,
}

HEALTHY = {
    "nvme": {"disks": {name: dict(SMART) for name in ("nvme0", "nvme1")}},
    "disks": {
        "arrays": [MIRROR, STRIPE],
        "ext4": {"nvme0n1p1": 0, "md1": 0},
        "nvme": {name: dict(NVME) for name in ("nvme0", "nvme1")},
    },
} | {
    f"storage:{mount}": {
        "mount": mount,
        "mounted": True,
        "type": "ext4",
        "source": "/dev/nvme0n1p1",
        "size_bytes": 100 * 1024**3,
        "available_bytes": 60 * 1024**3,
        "used_percent": 40.0,
        "inodes": 1000,
        "inodes_used_percent": 10.0,
        "read_only": False,
    }
    for mount in CLASS["hardware"]["mounts"]
}

NOT_JUDGED = {"mount", "type", "source", "available_bytes", "action"}


def mirror(verdict: str, says: str, **changes: object) -> Case:
    return c("disk.raid", verdict, "array:md0", says, put("disks|arrays|0", {**MIRROR, **changes}))


UNREAD = {"error": "no such command: nvme"}


def smart(check: str, verdict: str, says: str, **changes: object) -> Case:
    spoils = [put(f"nvme|disks|nvme1|{key}", value) for key, value in changes.items()]
    return c(f"disk.nvme.{check}", verdict, "nvme:nvme1", says, *spoils)


GONE = put("storage:/data|mounted", False)


def hot(minutes: int) -> Spoil:
    """In the last day."""
    return put("history|changes", [["nvme:nvme1/hot_minutes", minutes, 80000.0, 0.0]])


CASES = [
    c("disk.nvme.overheated", "pass", "nvme:nvme1", "9 minutes", hot(9)),
    c("disk.nvme.overheated", "warn", "nvme:nvme1", "10 minutes", hot(10)),
    c("disk.nvme.overheated", "pass", "nvme:nvme0", "0 minutes", hot(10)),
    c("disk.nvme.overheated", "unknown", "nvme:nvme1", "no such", put("nvme|disks|nvme1|hot_minutes", UNREAD)),
    c("disk.filesystem_errors", "pass", "host", "none of 2"),
    c("disk.filesystem_errors", "pass", "host", "none of 0", put("disks|ext4", {})),
    c("disk.filesystem_errors", "warn", "host", "md1 3", put("disks|ext4|md1", 3)),
    c("disk.filesystem_errors", "unknown", "host", "no such", put("disks|ext4|md1", UNREAD)),
    c("disk.filesystem_errors", "unknown", "host", "no such", put("disks|ext4", UNREAD)),
    c("disk.mount", "pass", "mount:/data", "is mounted there"),
    c("disk.mount", "fail", "mount:/data", "nothing is mounted", GONE),
    c("disk.mount", "unknown", "mount:/data", "no answer", unreadable("storage:/data")),
    c("disk.read_only", "pass", "mount:/data", "can be written"),
    c("disk.read_only", "fail", "mount:/data", "is mounted read-only", put("storage:/data|read_only", True)),
    c("disk.read_only", "unknown", "mount:/data", "no answer", unreadable("storage:/data")),
    c("disk.free", "pass", "mount:/", "40 %"),
    c("disk.free", "warn", "mount:/data", "85 %", put("storage:/data|used_percent", 85.0)),
    c("disk.free", "fail", "mount:/data", "95 %", put("storage:/data|used_percent", 95.0)),
    c("disk.free", "pass", "mount:/data", "40 %", put("storage:/data|inodes_used_percent", 99.0)),
    c("disk.free", "unknown", "mount:/data", "no answer", unreadable("storage:/data")),
    c("disk.free", "pass", "mount:/", "40 %", unreadable("storage:/data")),
    c("disk.free", "pass", "mount:/", "40 %", GONE),
    c("disk.free", "unknown", "host", "none of the class's", GONE, put("storage:/|mounted", False)),
    c("disk.free", "unknown", "mount:/data", "was not read", drop("storage:/data|mounted")),
    c("disk.inodes", "pass", "mount:/data", "10 % of its inodes"),
    c("disk.inodes", "warn", "mount:/data", "85 % of its inodes", put("storage:/data|inodes_used_percent", 85.0)),
    c("disk.inodes", "fail", "mount:/data", "95 % of its inodes", put("storage:/data|inodes_used_percent", 95.0)),
    c("disk.inodes", "pass", "mount:/data", "no fixed number", put("storage:/data|inodes", 0)),
    c("disk.inodes", "unknown", "mount:/data", "was not read", put("storage:/data|inodes_used_percent", None)),
    mirror("pass", "raid1 with 2 of 2 disks"),
    c("disk.raid", "pass", "array:md1", "raid0 is whole"),
    c("disk.raid", "pass", "host", "no array", put("disks|arrays", [])),
    mirror("warn", "1 of 2 disks; failed: nvme1n1p2", working=1, failed=["nvme1n1p2"]),
    mirror("warn", "1 of 2 disks", working=1),
    mirror("warn", "recovery is under way", working=1, action="recovery"),
    mirror("warn", "resync is under way", action="resync"),
    # Once a month Debian and Ubuntu read every array through.
    mirror("pass", "2 of 2 disks", action="check"),
    mirror("fail", "is not active", active=False, level="", wanted=None, working=None),
    mirror("pass", "container tells no loss", level="container", wanted=None, working=None),
    mirror("unknown", "not a number", working="2"),
    c("disk.raid", "fail", "array:md1", "raid0 has lost a disk", put("disks|arrays|1|failed", ["nvme2n1"])),
    c("disk.raid", "unknown", "host", "no list", put("disks|arrays", {"error": "no list"})),
    c("disk.nvme.count", "pass", "host", "2 NVMe disks"),
    c("disk.nvme.count", "fail", "host", "1 NVMe disks are there, the class has 2", drop("disks|nvme|nvme1")),
    c("disk.nvme.count", "warn", "host", "3 NVMe disks", put("disks|nvme|nvme2", NVME)),
    c("disk.nvme.count", "unknown", "host", "no permission", put("disks|nvme", {"error": "no permission"})),
    c("disk.nvme.state", "pass", "nvme:nvme1", "is live"),
    c("disk.nvme.state", "pass", "host", "no NVMe disk", put("disks|nvme", {})),
    c("disk.nvme.state", "fail", "nvme:nvme1", "is dead", put("disks|nvme|nvme1|state", "dead")),
    c("disk.nvme.state", "warn", "nvme:nvme1", "is resetting", put("disks|nvme|nvme1|state", "resetting")),
    c("disk.nvme.state", "unknown", "nvme:nvme1", "no such", put("disks|nvme|nvme1|state", {"error": "no such"})),
    c("disk.nvme.state", "pass", "nvme:nvme0", "is live", put("disks|nvme|nvme1|state", {"error": "no such"})),
    c("disk.nvme.firmware", "pass", "host", "one firmware"),
    c(
        "disk.nvme.firmware",
        "warn",
        "host",
        "GDC5502Q (nvme1), GDC5602Q (nvme0)",
        put("disks|nvme|nvme1|firmware", "GDC5502Q"),
    ),
    c(
        "disk.nvme.firmware",
        "pass",
        "host",
        "one firmware",
        put("disks|nvme|nvme1", {**NVME, "model": "M2", "firmware": "1"}),
    ),
    c("disk.nvme.firmware", "unknown", "host", "no such", put("disks|nvme|nvme1|firmware", {"error": "no such"})),
    smart("health", "pass", "warns of nothing"),
    smart("health", "fail", "no spare blocks left and it is not reliable", critical_warning=0b101),
    smart("health", "fail", "can only be read", critical_warning=0b1000),
    smart("health", "fail", "critical warning 0x80", critical_warning=0x80),
    smart("health", "warn", "outside of its limits", critical_warning=0b10),
    smart("health", "unknown", "no critical_warning", critical_warning={"error": "no critical_warning"}),
    c("disk.nvme.health", "unknown", "nvme:nvme1", "no such command", put("nvme|disks|nvme1", UNREAD)),
    c("disk.nvme.health", "pass", "nvme:nvme0", "warns of nothing", put("nvme|disks|nvme1", UNREAD)),
    c("disk.nvme.health", "unknown", "host", "no NVMe disk", put("nvme|disks", {})),
    smart("wear", "pass", "3 % of its endurance"),
    smart("wear", "warn", "80 % of its endurance", used_percent=80),
    smart("wear", "fail", "100 % of its endurance", used_percent=100),
    smart("wear", "unknown", "was not read", used_percent=None),
    smart("spare", "pass", "100 % of its spare"),
    smart("spare", "pass", "11 % of its spare", spare_percent=11),
    smart("spare", "fail", "10 % of its spare", spare_percent=10),
    smart("spare", "unknown", "was not read", spare_threshold_percent=None),
    smart("media_errors", "pass", "0 errors of its medium (had 2)"),
    smart("media_errors", "warn", "1 errors of its medium", media_errors=3),
    smart("media_errors", "unknown", "was not read", media_errors=None),
    smart("temperature", "pass", "41 °C"),
    smart("temperature", "warn", "75 °C", temperature_c=75),
    smart("temperature", "fail", "85 °C", temperature_c=85),
    smart("temperature", "unknown", "was not read", temperature_c=None),
]
