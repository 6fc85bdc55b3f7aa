# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that carries the lab, as a lab must leave it."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from lab.site import MARKER_VARIABLE, Lab

# What the kernel changes by itself, and what exists per network interface or process.
VOLATILE = re.compile(
    r"fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|binfmt_misc/.*|quota/.*)"
    r"|kernel/(random/.*|ns_last_pid|pty/nr|perf_event_max_sample_rate|sched_domain/.*|tainted)"
    r"|net/(ipv4|ipv6)/(conf|neigh)/.*|net/mpls/conf/.*|net/netfilter/nf_conntrack_count"
    r"|net/ipv4/tcp_(available_|allowed_)?congestion_control|net/ipv6/route/flush|net/ipv4/route/flush"
    r"|vm/(compact_memory|drop_caches|stat_refresh)"
)


def sysctls() -> dict[str, str]:
    """Every readable sysctl of the machine that is a setting."""
    base = Path("/proc/sys")
    values = {}
    for path in sorted(base.rglob("*")):
        key = str(path.relative_to(base))
        if VOLATILE.fullmatch(key) or not path.is_file():
            continue
        try:
            values[key] = path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
    return values


def snapshot(lab: Lab) -> dict[str, object]:
    """What `lab` must leave as it was; `clock` is the offset of the wall clock from the monotonic one.

    What bears the name of another lab is left out: it comes and goes beside this one.
    """
    links = re.findall(r"^\d+: ([^:@]+)", _output(["ip", "-o", "link"]), re.MULTILINE)
    mounts = [line.split()[1] for line in _text("/proc/self/mounts").splitlines()]
    namespaces = _output(["ip", "netns", "list"]).splitlines()
    if len(without_other_labs(lab, namespaces)) < len(namespaces):
        # Whoever makes the first namespace of the host makes this mount, and it stays as long as another lab has any.
        mounts = [mount for mount in mounts if mount != "/run/netns"]
    return {
        "sysctl": sysctls(),
        "swap": Path("/proc/swaps").read_text(encoding="utf-8"),
        "modules": _first_words("/proc/modules"),
        "md": _text("/proc/mdstat"),
        "clock": time.time() - time.monotonic(),
        "etc": {name: _text(f"/etc/{name}") for name in ("hosts", "resolv.conf", "fstab", "hostname", "passwd")},
        "firewall": _output(["iptables-save"]),
        "links": without_other_labs(lab, links),
        "namespaces": without_other_labs(lab, namespaces),
        "mounts": without_other_labs(lab, mounts),
        "runtime": without_other_labs(lab, [path.name for path in Path("/run").glob("firstlight*")]),
    }


def without_other_labs(lab: Lab, names: list[str]) -> list[str]:
    """The names that no lab but `lab` gave, by its tag or by its directory in a clone."""
    given = re.compile(rf"(?:\bfl|firstlight-)(?!{lab.tag})[0-9a-f]{{6}}|/\.lab/(?!{lab.name}/)[^/]+/")
    return sorted(name for name in names if not given.search(name))


def processes(lab: Lab) -> list[str]:
    """Ids of the processes on the host that carry the mark of `lab`."""
    mark = f"{MARKER_VARIABLE}={lab.marker}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            content = environ.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in content:
            found.append(environ.parent.name)
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _first_words(path: str) -> list[str]:
    return sorted(line.split()[0] for line in _text(path).splitlines())


def _output(command: list[str]) -> str:
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    except FileNotFoundError:
        return ""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))
