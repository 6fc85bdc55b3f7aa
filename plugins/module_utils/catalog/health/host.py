# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of the host: that it answers, its units, its clock, how its system runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "host.reachable",
        "The node answers",
        (),
        "datacentre",
        "Look at the node's console through its BMC and at its network link; power-cycle it if it hangs.",
        "validate",
        source="The node's answer over ssh",
        fails="It is unknown where the node does not answer over ssh; then it is not fit, and nothing else is said of "
        "it. Where it answers and only its health module fails, all other checks are unknown.",
        severity="unknown",
    ),
    Check(
        "systemd.failed",
        "No systemd unit has failed",
        ("systemd",),
        "software",
        "Read `journalctl -u UNIT`, correct the cause and `systemctl restart UNIT`; reset-failed alone mends nothing.",
        "validate",
        source="`systemctl list-units --state=failed --all`",
        fails="A unit that jobs need has failed: one of chrony, containerd, Docker, fabric manager, persistence "
        "daemon, openibd, ssh, or a mount. It warns of any other.",
    ),
    Check(
        "systemd.required",
        "The units that jobs need are active",
        ("systemd",),
        "software",
        "Read `journalctl -u UNIT`, then `systemctl enable --now UNIT`; configure.yml installs one that is missing.",
        "validate",
        source="`systemctl show` of the units: LoadState, ActiveState, SubState, Result",
        fails=(
            "A unit of system.units is not active, nor one that the class's hardware and software call for: "
            "chrony.service, nvidia-persistenced.service with GPUs, openibd.service with software.doca_ofed."
        ),
    ),
    Check(
        "clock.offset",
        "The clock was synchronised lately and is within the class's limits",
        ("clock",),
        "software",
        "See `chronyc sources`; open UDP 123 to the site's time servers and restart chrony.",
        "validate",
        source="`chronyc -n -c tracking`",
        fails="Nothing synchronises the clock, or clock_offset_seconds.fail, clock_reference_age_seconds.fail (the "
        "last measurement) or clock_root_dispersion_seconds.fail is reached; it warns from their warn on.",
    ),
    Check(
        "os.release",
        "The operating system is the class's",
        ("host",),
        "software",
        "Deploy the node with the class's image: reprovision.yml.",
        "validate",
        source="`/etc/os-release`",
        fails="/etc/os-release names another system or version than system.os.",
        needs=("system.os",),
    ),
    Check(
        "kernel.version",
        "The pinned kernel runs",
        ("host",),
        "software",
        "Run configure.yml with --tags base_os,reboot; it installs the kernel and starts it.",
        "validate",
        source="`/proc/sys/kernel/osrelease` (`uname -r`)",
        fails="The kernel that runs is not software.kernel.",
        needs=("software.kernel",),
    ),
    Check(
        "kernel.command_line",
        "The kernel was started with the class's words",
        ("host",),
        "software",
        "Give base_os_kernel_command_line the words and run configure.yml with --tags base_os,reboot.",
        "validate",
        source="`/proc/cmdline`",
        fails="A word of system.command_line is not on the command line of the running kernel.",
        needs=("system.command_line",),
    ),
    Check(
        "kernel.modules",
        "The kernel modules of the class are loaded",
        ("host",),
        "software",
        "See with `modprobe MODULE` and `dmesg` why it is not loaded; configure.yml builds it for a new kernel.",
        "validate",
        source="`/proc/modules` (`lsmod`)",
        fails="A module of system.kernel_modules is not loaded.",
        needs=("system.kernel_modules",),
    ),
    Check(
        "kernel.modules.unwanted",
        "No kernel module is loaded that stands in the way",
        ("host",),
        "software",
        "Run configure.yml with --tags gpu_driver and restart the node; of another module see who loads it.",
        "validate",
        source="`/proc/modules` (`lsmod`)",
        fails="nouveau, or a module of system.kernel_modules_absent, is loaded.",
    ),
    Check(
        "kernel.taint",
        "The kernel has met no error that it does not recover from",
        ("host",),
        "software",
        "Read the kernel log for the first `BUG:`, `Oops` or `Bad page state`, keep it, and restart the node.",
        "validate",
        source="`/proc/sys/kernel/tainted`",
        fails="The kernel has oopsed (bit 7), or found a page in a state that cannot be (bit 5), since it was "
        "started; it warns after a soft lockup (bit 14).",
    ),
    Check(
        "host.limits",
        "Services may lock memory and open files as the class says",
        ("systemd",),
        "software",
        "Run configure.yml with --tags base_os (base_os_service_limits) and restart what jobs are started by.",
        "validate",
        source="systemd's own defaults: `systemctl show --property=DefaultLimitMEMLOCK,DefaultLimitNOFILE`",
        fails="systemd gives services less than system.limits.memlock or system.limits.nofile.",
        needs=("system.limits",),
    ),
    Check(
        "host.swap",
        "No swap is in use",
        ("host",),
        "software",
        "Run configure.yml on the node with --tags base_os; look who turned swap on.",
        "validate",
        source="`/proc/swaps` (`swapon --show`)",
        fails="It warns where a device or a file is in use as swap.",
        severity="warn",
    ),
    Check(
        "host.thp",
        "Transparent huge pages are given to whom the class says",
        ("host",),
        "software",
        "Run configure.yml with --tags base_os (base_os_transparent_hugepages); look who sets it otherwise.",
        "validate",
        source="`/sys/kernel/mm/transparent_hugepage/enabled`",
        fails="It warns where the kernel's setting is not system.transparent_hugepages.",
        severity="warn",
        needs=("system.transparent_hugepages",),
    ),
    Check(
        "host.oom_kills",
        "The kernel has ended no process for want of memory",
        ("host", "history"),
        "user",
        (
            "Look in the kernel's log whose process it was, and give its job less to do or more memory; a leak is the"
            " job's."
        ),
        "validate",
        source="oom_kill of `/proc/vmstat`, compared with earlier passes",
        fails="It warns where the kernel has ended a process for want of memory in the last day.",
        severity="warn",
    ),
)

THRESHOLDS: Thresholds = {
    # TLS and logs bear tenths of a second; beyond one second Kerberos-like protocols and traces break.
    "clock_offset_seconds": {"warn": 0.1, "fail": 1.0},
    # chrony polls every 1024 s at the least, and a source that missed eight polls is unreachable to it. After a day the
    # error that it assumes of a clock left alone (maxclockerror, 1 ppm) comes to about the offset that warns.
    "clock_reference_age_seconds": {"warn": 8192, "fail": 86400},
    # 3 s are chrony's own maxdistance: beyond, it takes no time from a source. 1 s is the offset that fails.
    "clock_root_dispersion_seconds": {"warn": 1, "fail": 3},
}

# A failed unit of these is why a job cannot run on the node, so it fails; any other failed unit warns.
ESSENTIAL_UNITS: tuple[str, ...] = (
    "chrony.service",
    "chronyd.service",
    "containerd.service",
    "docker.service",
    "docker.socket",
    "nvidia-fabricmanager.service",
    "nvidia-persistenced.service",
    "openibd.service",
    "ssh.service",
    "sshd.service",
    "*.mount",
)

# They drive the hardware in place of the driver that is to.
UNWANTED_MODULES: tuple[str, ...] = ("nouveau",)


def required_units(node_class: Mapping[str, Any]) -> list[str]:
    """The units that must be active on a node of the class. Docker and the fabric manager have checks of their own."""
    hardware, software = node_class.get("hardware") or {}, node_class.get("software") or {}
    units = ["chrony.service"]
    if (hardware.get("gpus") or {}).get("count"):
        units.append("nvidia-persistenced.service")
    if software.get("doca_ofed"):
        units.append("openibd.service")
    return list(dict.fromkeys([*units, *((node_class.get("system") or {}).get("units") or ())]))
