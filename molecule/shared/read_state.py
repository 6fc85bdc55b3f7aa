# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print, as JSON, all that a role may change of the machine it runs on: {thing: [what it is, when it came to be that]}.

Sent to the machine by machine.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Other file systems, what a running system writes by itself or by its timers, where Ansible puts what it removes again,
# and what systemctl writes beside its own links for who may come back from it.
PASSED_OVER = {
    *(f"/etc/rc{level}.d" for level in "0123456S"),
    "/dev",
    "/lab",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/var/backups",
    "/var/cache/firstlight-health",
    "/var/lib/chrony",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/firstlight/health",
    "/var/lib/mdcheck",
    "/var/lib/private",
    "/var/lib/prometheus/node-exporter",
    "/var/lib/sudo",
    "/var/lib/systemd",
    "/var/log",
    "/var/tmp",
}
PASSED_OVER_ANYWHERE = {".ansible", "__pycache__"}
# Too much to be read whole; who changes a file here goes through dpkg and leaves another time of change.
UNREAD = ("/usr/bin/", "/usr/lib/", "/usr/sbin/", "/usr/share/", "/usr/include/", "/var/cache/", "/var/lib/dpkg/info/")
# Helpers that systemd starts when asked something, and lets go.
HELPERS = ("systemd-hostnamed", "systemd-timedated", "systemd-localed", "user@", "user-runtime-dir@", "session-")


def files() -> Iterator[tuple[str, str, str]]:
    for directory, folders, names in os.walk("/"):
        folders[:] = [
            name
            for name in folders
            if str(Path(directory, name)) not in PASSED_OVER and name not in PASSED_OVER_ANYWHERE
        ]
        for name in [*folders, *names]:
            path = Path(directory, name)
            with contextlib.suppress(FileNotFoundError):
                yield (f"file {path}", *file(path))


def file(path: Path) -> tuple[str, str]:
    status = path.lstat()
    what = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{what} {path.readlink()}", ""
    if not stat.S_ISREG(status.st_mode):
        return what, ""
    if str(path).startswith(UNREAD):
        return f"{what} {status.st_size} {status.st_mtime_ns}", ""
    return f"{what} {hashlib.sha256(path.read_bytes()).hexdigest()}", str(status.st_mtime_ns)


def output(*command: str) -> list[str]:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()


def units() -> Iterator[tuple[str, str, str]]:
    """Those that are active or would be after the next start."""
    listing = ("--no-legend", "--plain")
    enabled = dict(line.split()[:2] for line in output("systemctl", "list-unit-files", *listing))
    active = output("systemctl", "list-units", "--type=service,timer,socket", "--state=active", *listing)
    names = {line.split()[0] for line in active} | {name for name, state in enabled.items() if state == "enabled"}
    names = {name for name in names if not name.startswith(HELPERS) and "@." not in name}
    shown = output("systemctl", "show", "--property=Id,ActiveState,InvocationID", *sorted(names))
    for block in "\n".join(shown).split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines())
        name = values["Id"]
        yield f"unit {name}", f"{enabled.get(name)} {values['ActiveState']}", values.get("InvocationID", "")


def packages() -> Iterator[tuple[str, str, str]]:
    for line in output("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev} ${Version}\n"):
        name, what = line.split(" ", 1)
        yield f"package {name}", what, ""


def settings() -> Iterator[tuple[str, str, str]]:
    """Of the running kernel and of the running systemd."""
    for area in ("vm", "kernel"):
        for path in sorted(Path("/proc/sys", area).iterdir()):
            if path.is_file() and path.name != "ns_last_pid":
                with contextlib.suppress(OSError):
                    yield f"setting {area}.{path.name}", path.read_text().strip(), ""
    for line in output("systemctl", "show", "--property=DefaultLimitNOFILE,DefaultLimitMEMLOCK"):
        name, value = line.split("=", 1)
        yield f"setting {name}", value, ""
    yield "setting swap", Path("/proc/swaps").read_text(), ""


if __name__ == "__main__":
    readers = (files, units, packages, settings)
    print(json.dumps({name: (what, when) for reader in readers for name, what, when in reader()}))
