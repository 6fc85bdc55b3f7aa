# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes keep a host from being worked on: those on a GPU or an HCA, and those of a scheduler's jobs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .runner import run_readers
from .source import SourceError, run_tool

SECONDS_FOR_NVIDIA_SMI = 20.0
KERNEL_NAME_LENGTH = 15
GPUS = ("/dev/nvidia",)
HCAS = ("/dev/infiniband/",)
_PID = re.compile("[0-9]{1,10}")
CANNOT_TELL = "Nobody can say whether a GPU is in use"
LOOK = (
    "See `nvidia-smi` and `dmesg` on the node. Drain it, power-cycle it through its BMC where the driver hangs, "
    "and run again as root."
)


def holders_of_files(proc: Path, devices: tuple[str, ...]) -> tuple[dict[int, str], list[int]]:
    """Ids of the processes with a file open whose path begins with one of `devices`, each with the first of these.

    And ids of those whose files could not all be seen, and of which none that was seen is such a file.
    """
    found, unread = {}, []
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        held, whole = _held(process / "fd", devices)
        if held:
            found[int(process.name)] = held[0]
        elif not whole:
            unread.append(int(process.name))
    return found, unread


def _held(descriptors: Path, devices: tuple[str, ...]) -> tuple[list[str], bool]:
    """The files of `devices` that a process has open, in order, and whether all of its files could be seen."""
    held, whole = [], True
    try:
        for entry in descriptors.iterdir():
            try:
                link = str(entry.readlink())
            except (FileNotFoundError, ProcessLookupError):  # closed meanwhile
                continue
            except OSError:
                whole = False
                continue
            if link.startswith(devices):
                held.append(link)
    except (FileNotFoundError, ProcessLookupError):  # the process has ended meanwhile
        pass
    except OSError:
        whole = False
    return sorted(held), whole


def on_gpus(proc: Path, hcas: bool = False) -> dict[int, str]:
    """Ids of the processes on a GPU, where asked for on an HCA too, each with a device file where it has one open.

    Raises SourceError where that cannot be told, for nobody is to be taken for idle whom nobody saw. Whoever computes
    has a device file open: where the driver refuses to tell, the files of all processes are evidence enough. Where it
    hangs they are not: a process that is stuck in the driver as it ends has no files any more, and still has the GPU.
    """
    files, unread = holders_of_files(proc, GPUS + HCAS if hcas else GPUS)
    asked = run_readers({"nvidia-smi": compute_processes}, SECONDS_FOR_NVIDIA_SMI)["nvidia-smi"]
    if asked["status"] == "timeout":
        raise SourceError(f"nvidia-smi: {asked['error']}")
    answered = asked["status"] == "ok"
    if unread and (hcas or not answered):
        reason = "" if answered else f"nvidia-smi: {asked['error']}; "
        raise SourceError(f"{reason}the open files of process {', '.join(map(str, sorted(unread)))} cannot be read")
    return dict.fromkeys(asked["data"] if answered else (), "") | files


def compute_processes(command: str = "nvidia-smi") -> list[int]:
    """Ids of the processes that the driver itself knows, in order.

    Raises SourceMissing without the command, SourceError where it fails. It has no deadline of its own.
    """
    printed = run_tool([command, "--query-compute-apps=pid", "--format=csv,noheader"])
    return sorted({int(line) for line in map(str.strip, printed.splitlines()) if _PID.fullmatch(line)})


def named(proc: Path, names: Collection[str]) -> set[int]:
    """Ids of the processes whose command has one of `names`."""
    wanted = {name[:KERNEL_NAME_LENGTH] for name in names}
    numbers = (int(process.name) for process in proc.iterdir() if process.name.isdigit())
    return {pid for pid in numbers if command_of(proc, pid) in wanted}


def command_of(proc: Path, pid: int) -> str:
    """Name of a process's command, as the kernel cuts it; `unknown` where the process has ended meanwhile."""
    try:
        return (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "unknown"


def holders(proc: Path, own: Collection[str], pids: Mapping[int, str]) -> list[dict[str, Any]]:
    """`pids`, in order, with the names of their commands and without those in `own`. A label has the file, if any."""
    excused = {name[:KERNEL_NAME_LENGTH] for name in own}
    commands = {pid: command_of(proc, pid) for pid in sorted(pids)}
    return [
        {
            "pid": pid,
            "command": command,
            "label": f"process {pid} ({command})" + (f" with {pids[pid]}" if pids[pid] else ""),
        }
        for pid, command in commands.items()
        if command not in excused
    ]
