# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host, its units and its clock: well, and not."""

from __future__ import annotations

from tests.unit.health.cases import c
from tests.unit.health.health_factory import RUNS, drop, put, unreadable

CLASS = {
    "software": {"kernel": "6.8.0-60-generic"},
    "system": {
        "os": "ubuntu 24.04",
        "command_line": ["iommu=pt", "pci=realloc"],
        "kernel_modules": ["nvidia", "mlx5_ib"],
        "kernel_modules_absent": ["nvidia_drm"],
        "units": ["openibd.service", "slurmd.service"],
        "limits": {"memlock": "infinity", "nofile": 1048576},
        "transparent_hugepages": "madvise",
    },
}
OWN_UNITS = ("chrony.service", "nvidia-persistenced.service", "openibd.service", "slurmd.service")

HEALTHY = {
    "systemd": {
        "failed": [],
        "units": dict.fromkeys(OWN_UNITS, RUNS),
        "limits": {"memlock": "infinity", "nofile": 1048576},
    },
    "clock": {
        "synchronised": True,
        "source": "10.0.0.1",
        "stratum": 3,
        "offset_seconds": -0.00002,
        "reference_age_seconds": 40.0,
        "root_dispersion_seconds": 0.0004,
        "leap": "Normal",
    },
    "host": {
        "boot_id": "b",
        "uptime_seconds": 7200.0,
        "kernel": "6.8.0-60-generic",
        "hostname": "node01",
        "os": "ubuntu 24.04",
        "command_line": "BOOT_IMAGE=/boot/vmlinuz-6.8.0-60-generic ro iommu=pt pci=realloc",
        "modules": ["ib_core", "mlx5_core", "mlx5_ib", "nvidia"],
        # As every node with NVIDIA's driver: proprietary, out of tree, not signed; a warning came as well.
        "taint": 1 << 0 | 1 << 9 | 1 << 12 | 1 << 13,
        "swaps": [],
        "oom_kills": 0,
        "transparent_hugepages": "madvise",
    },
}

NOT_JUDGED = {"load", "sub", "result", "source", "stratum", "leap", "boot_id", "uptime_seconds", "hostname"}
DEAD = {"load": "loaded", "active": "inactive", "sub": "dead", "result": "success"}

NO_READERS = (lambda observation: observation.pop("readers"),)

OOM = put("history|changes", [["host/oom_kills", 2, 7200.0, 60.0]])

CASES = [
    c("host.oom_kills", "pass", "host", "0 processes"),
    c("host.oom_kills", "warn", "host", "2 processes", OOM),
    c("host.oom_kills", "unknown", "host", "has no oom", put("host|oom_kills", {"error": "has no oom_kill"})),
    # A host that is not reached never gets to the judges: the action's tests hold that case.
    c("host.reachable", "pass", "host", "answers"),
    c("host.reachable", "unknown", "host", "no readers", *NO_READERS),
    c("systemd.failed", "pass", "host", "no unit"),
    c("systemd.failed", "fail", "unit:docker.service", "jobs need it", put("systemd|failed", ["docker.service"])),
    c("systemd.failed", "fail", "unit:data.mount", "jobs need it", put("systemd|failed", ["data.mount"])),
    c("systemd.failed", "warn", "unit:logrotate.service", "has failed", put("systemd|failed", ["logrotate.service"])),
    c("systemd.failed", "unknown", "host", "no answer", unreadable("systemd")),
    c("systemd.required", "pass", "unit:chrony.service", "is active"),
    c("systemd.required", "fail", "unit:slurmd.service", "is inactive", put("systemd|units|slurmd.service", DEAD)),
    c(
        "systemd.required",
        "fail",
        "unit:nvidia-persistenced.service",
        "is not installed",
        put("systemd|units|nvidia-persistenced.service", {**DEAD, "load": "not-found"}),
    ),
    c(
        "systemd.required",
        "fail",
        "unit:chrony.service",
        "is activating",
        put("systemd|units|chrony.service|active", "activating"),
    ),
    c("systemd.required", "unknown", "unit:chrony.service", "was not read", drop("systemd|units|chrony.service")),
    c("systemd.required", "unknown", "host", "no answer", unreadable("systemd")),
    c("clock.offset", "pass", "host", "0.000020 s"),
    c("clock.offset", "warn", "host", "0.100000 s", put("clock|offset_seconds", -0.1)),
    c("clock.offset", "fail", "host", "1.000000 s", put("clock|offset_seconds", 1.0)),
    c("clock.offset", "fail", "host", "not synchronised", put("clock|synchronised", False)),
    c("clock.offset", "pass", "host", "0.000020 s off", put("clock|reference_age_seconds", 8191.0)),
    c("clock.offset", "warn", "host", "synchronised it 8192 s ago", put("clock|reference_age_seconds", 8192.0)),
    c("clock.offset", "fail", "host", "synchronised it 86400 s ago", put("clock|reference_age_seconds", 86400.0)),
    # Set back since then by another program: nothing has synchronised it since, either.
    c("clock.offset", "fail", "host", "synchronised it 864000 s ago", put("clock|reference_age_seconds", -864000.0)),
    c("clock.offset", "pass", "host", "0.000020 s off", put("clock|root_dispersion_seconds", 0.999)),
    c("clock.offset", "warn", "host", "may be wrong by 1 s", put("clock|root_dispersion_seconds", 1.0)),
    c("clock.offset", "fail", "host", "may be wrong by 3 s", put("clock|root_dispersion_seconds", 3.0)),
    c("clock.offset", "unknown", "host", "was not read", drop("clock|reference_age_seconds")),
    c(
        "clock.offset",
        "fail",
        "host",
        "synchronised it 40 s ago",
        thresholds={"clock_reference_age_seconds": {"warn": 10, "fail": 40}},
    ),
    c("clock.offset", "unknown", "host", "no such command", unreadable("clock", "missing", "no such command: chronyc")),
    c("os.release", "pass", "host", "ubuntu 24.04"),
    c("os.release", "pass", "host", "ubuntu 24.04.1", put("host|os", "ubuntu 24.04.1")),
    c("os.release", "fail", "host", "ubuntu 22.04, the class has ubuntu 24.04", put("host|os", "ubuntu 22.04")),
    c("os.release", "fail", "host", "ubuntu 24.041", put("host|os", "ubuntu 24.041")),
    c("os.release", "unknown", "host", "names no ID", put("host|os", {"error": "names no ID"})),
    c("kernel.version", "pass", "host", "6.8.0-60-generic"),
    c("kernel.version", "fail", "host", "is 6.8.0-61-generic", put("host|kernel", "6.8.0-61-generic")),
    c("kernel.version", "unknown", "host", "no permission", put("host|kernel", {"error": "no permission"})),
    c("kernel.command_line", "pass", "host", "iommu=pt pci=realloc"),
    c("kernel.command_line", "fail", "host", "without pci=realloc", put("host|command_line", "ro iommu=pt")),
    c("kernel.command_line", "fail", "host", "iommu=pt", put("host|command_line", "ro intel_iommu=pt pci=realloc")),
    c("kernel.command_line", "unknown", "host", "no permission", put("host|command_line", {"error": "no permission"})),
    c("kernel.modules", "pass", "host", "all 2"),
    c("kernel.modules", "fail", "host", "not loaded: nvidia", put("host|modules", ["mlx5_ib", "nvidia_uvm"])),
    c("kernel.modules", "unknown", "host", "no list", put("host|modules", {"error": "no list"})),
    c("kernel.modules.unwanted", "pass", "host", "not loaded: nouveau, nvidia_drm"),
    c("kernel.modules.unwanted", "fail", "host", "is loaded: nouveau", put("host|modules", ["nouveau"])),
    c("kernel.modules.unwanted", "fail", "host", "is loaded: nvidia_drm", put("host|modules", ["nvidia_drm"])),
    c("kernel.modules.unwanted", "unknown", "host", "no list", put("host|modules", {"error": "no list"})),
    c("kernel.taint", "pass", "host", "no error"),
    c("kernel.taint", "fail", "host", "an oops", put("host|taint", 1 << 7 | 1 << 12)),
    c("kernel.taint", "fail", "host", "a bad page and a soft lockup", put("host|taint", 1 << 5 | 1 << 14)),
    c("kernel.taint", "warn", "host", "a soft lockup", put("host|taint", 1 << 14)),
    c("kernel.taint", "unknown", "host", "not a number", put("host|taint", {"error": "not a number"})),
    c("host.limits", "pass", "host", "memlock infinity"),
    c("host.limits", "pass", "host", "nofile 1048576", put("systemd|limits|nofile", "infinity")),
    c("host.limits", "fail", "host", "services get memlock 8388608", put("systemd|limits|memlock", 8388608)),
    c("host.limits", "fail", "host", "services get nofile 524288", put("systemd|limits|nofile", 524288)),
    c("host.limits", "unknown", "host", "was not read", drop("systemd|limits|nofile")),
    c("host.limits", "unknown", "host", "no Default", put("systemd|limits", {"error": "no Default"})),
    c("host.swap", "pass", "host", "no swap is in use"),
    c("host.swap", "warn", "host", "/dev/sda2", put("host|swaps", ["/dev/sda2"])),
    c("host.swap", "unknown", "host", "no permission", put("host|swaps", {"error": "no permission"})),
    c("host.thp", "pass", "host", "is madvise"),
    c("host.thp", "warn", "host", "is always, the class has madvise", put("host|transparent_hugepages", "always")),
    c("host.thp", "unknown", "host", "no permission", put("host|transparent_hugepages", {"error": "no permission"})),
]
