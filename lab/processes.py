# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulators of a lab: started, told apart from everything else on the host, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from lab import files
from lab.errors import LabError
from lab.machines import Site
from lab.site import MARKER_VARIABLE, Lab

MAAS_PORT, UPSTREAM_PORT, NTP_PORT, BMC_PORT = 5240, 8080, 123, 443
PARTS = ("maas", "bmc", "upstream", "ntp")
"""Each is the module lab.PART, run as `python -m lab.PART --lab LABDIR`."""

FABRIC_PARTS = ("ibsim", "opensm")
"""Started and ended by lab.fabric, with pid files beside the others."""

_START_SECONDS = 30.0
_END_SECONDS = 15.0


def start(lab: Lab, part: str, site: Site) -> None:
    """Start a simulator and wait until it answers.

    :raises LabError: it ended, or did not answer in time; the message has the end of its log.
    """
    log = lab.directory / "log" / f"{part}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"lab.{part}", "--lab", str(lab.directory)],
            cwd=lab.clone,
            env={**os.environ, MARKER_VARIABLE: lab.marker},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    files.write_text(pid_file(lab, part), f"{process.pid}\n")
    answers = _probes(part, site)
    deadline = time.monotonic() + _START_SECONDS
    while not all(answer() for answer in answers):
        status = process.poll()
        if status is not None:
            raise LabError(f"lab.{part} ended with status {status}: {_tail(log)}")
        if time.monotonic() > deadline:
            raise LabError(f"lab.{part} does not answer after {_START_SECONDS:.0f} s; {log} ends with: {_tail(log)}")
        time.sleep(0.05)


def greets_with_ssh(address: str) -> bool:
    """Whether an ssh server answers there."""
    try:
        with socket.create_connection((address, 22), 1) as connection:
            return connection.recv(64).startswith(b"SSH-")
    except OSError:
        return False


def pid_file(lab: Lab, part: str) -> Path:
    """Where the process id of a simulator is written."""
    return lab.directory / "run" / f"{part}.pid"


def pid_of(lab: Lab, part: str) -> int | None:
    """The process id of a running simulator (or other process with a pid file) of this lab."""
    try:
        pid = int(pid_file(lab, part).read_text())
    except (OSError, ValueError):
        return None
    return pid if _is_marked(lab, pid) else None


def running(lab: Lab) -> list[int]:
    """Every process that carries this lab's mark. What runs on a machine does not."""
    return sorted(pid for pid in _all_pids() if _is_marked(lab, pid))


def monitors(lab: Lab) -> list[int]:
    """Podman's monitors of this lab's containers; podman gives them an environment of its own."""
    return sorted(pid for pid in _all_pids() if _is_monitor(lab, pid))


def end(lab: Lab, pids: Iterable[int]) -> None:
    """End processes of this lab: first asked, then forced.

    :raises LabError: one does not end even so.
    """
    waiting = list(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + _END_SECONDS
        while waiting and time.monotonic() < deadline:
            waiting = [pid for pid in waiting if _is_ours(lab, pid)]
            time.sleep(0.02)
    if waiting:
        raise LabError(
            f"process {waiting[0]} of the lab does not end; see /proc/{waiting[0]}/stack, then `python -m lab down`"
        )


def _all_pids() -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid()]


def _is_ours(lab: Lab, pid: int) -> bool:
    return _is_marked(lab, pid) or _is_monitor(lab, pid)


def _is_marked(lab: Lab, pid: int) -> bool:
    return f"{MARKER_VARIABLE}={lab.marker}".encode() in _read(pid, "environ")


def _is_monitor(lab: Lab, pid: int) -> bool:
    arguments = _read(pid, "cmdline")
    storage = f"{lab.directory}/podman/".encode()
    return arguments[0].endswith(b"conmon") and any(argument.startswith(storage) for argument in arguments)


def _read(pid: int, what: str) -> list[bytes]:
    """A list of strings of a living process; of one that has ended there is nothing to read."""
    try:
        content = Path("/proc", str(pid), what).read_bytes()
    except OSError:
        content = b""
    if not content:
        # Our own child keeps its number until it is waited for.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return content.split(b"\0")


def _probes(part: str, site: Site) -> list[Callable[[], bool]]:
    gateway = site.network.gateway
    match part:
        case "maas":
            return [lambda: _listens(gateway, MAAS_PORT)]
        case "upstream":
            return [lambda: _listens(gateway, UPSTREAM_PORT)]
        case "ntp":
            return [lambda: _tells_time(gateway)]
        case _:
            addresses = [machine.bmc.address for machine in site.machines.values()]
            return [lambda address=address: _listens(address, BMC_PORT) for address in addresses]  # type: ignore[misc]


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), 1):
            return True
    except OSError:
        return False


def _tells_time(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        try:
            client.connect((address, NTP_PORT))
            client.send(struct.pack("!B47x", 0x23))
            return len(client.recv(512)) == 48
        except OSError:
            return False


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-5:]
    return "\n  ".join(["", *lines]) if lines else "(nothing)"
