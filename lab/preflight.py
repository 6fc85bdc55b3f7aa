# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host can carry a lab; every message says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab import packages
from lab.errors import LabError
from lab.processes import BMC_PORT, MAAS_PORT, NTP_PORT, UPSTREAM_PORT
from lab.site import Lab

FREE_GIB = 8

_LISTENING = "0A"
_CLOSED = "07"  # how the kernel shows a bound UDP socket


def check(lab: Lab) -> None:
    """:raises LabError: everything that keeps a lab from coming up here, in one message."""
    if os.geteuid() != 0:
        raise LabError("a lab needs root (containers, network namespaces): run it with sudo")
    found = [*_programs(), *_disk(lab), *_ports()]
    if not found:
        found = _containers()
    if found:
        raise LabError("this host cannot carry a lab yet:\n  " + "\n  ".join(found))


def _programs() -> list[str]:
    absent = packages.missing()
    if not absent:
        return []
    return [f"programs are missing; install them: apt-get install --no-install-recommends {' '.join(absent)}"]


def _disk(lab: Lab) -> list[str]:
    free = shutil.disk_usage(lab.clone).free / 2**30
    if free >= FREE_GIB:
        return []
    return [f"{lab.clone} has {free:.1f} GiB free, a lab needs {FREE_GIB}: free some, or clone to a larger disk"]


def _ports() -> list[str]:
    """Ports that somebody has on every address of the host, and so on the lab's."""
    wanted = {("tcp", MAAS_PORT), ("tcp", UPSTREAM_PORT), ("tcp", BMC_PORT), ("udp", NTP_PORT)}
    taken: set[tuple[str, int]] = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        protocol = table[:3]
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            address, state = line.split()[1], line.split()[3]
            host, _, port = address.partition(":")
            everywhere = not host.strip("0")
            if everywhere and state == (_LISTENING if protocol == "tcp" else _CLOSED):
                taken.add((protocol, int(port, 16)))
    return [
        f"{protocol} port {port} is taken on every address of this host: "
        f"find who has it with `ss -lnp 'sport = {port}'` and stop it, or let it listen on one address"
        for protocol, port in sorted(wanted & taken)
    ]


def _containers() -> list[str]:
    """Whether the kernel gives what a container needs. Nothing that is tried outlives the trial."""
    if not Path("/sys/fs/cgroup").is_mount():
        return ["no control groups at /sys/fs/cgroup: a lab needs a host or virtual machine that runs containers"]
    trials = (
        (["unshare", "--net", "--mount", "--pid", "--fork", "true"], "namespaces"),
        (["unshare", "--net", "ip", "link", "add", "fl0", "type", "bridge"], "network bridges"),
        (["unshare", "--net", "ip", "link", "add", "fl0", "type", "veth", "peer", "name", "fl1"], "veth links"),
    )
    for command, what in trials:
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode:
            return [
                f"the kernel refuses {what} ({result.stderr.strip()}): "
                "use a host or virtual machine that runs containers, not an unprivileged container"
            ]
    return []
