# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes keep a host from being worked on: those on a GPU or an HCA, and those of a scheduler's jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

SECONDS_FOR_NVIDIA_SMI = 20
KERNEL_NAME_LENGTH = 15
GPUS = ("/dev/nvidia",)
HCAS = ("/dev/infiniband/",)


def holders_of_files(proc: Path, devices: tuple[str, ...]) -> dict[int, str]:
    """Ids of the processes with a file open whose path begins with one of `devices`, each with the first of these."""
    found = {}
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
        except OSError:  # the process has ended meanwhile
            continue
        held = sorted(link for link in links if link.startswith(devices))
        if held:
            found[int(process.name)] = held[0]
    return found


def on_gpus(proc: Path, hcas: bool = False) -> dict[int, str]:
    """Ids of the processes on a GPU, where asked for on an HCA too, each with a device file where it has one open."""
    files = holders_of_files(proc, GPUS + HCAS if hcas else GPUS)
    return dict.fromkeys(compute_processes(), "") | files


def compute_processes(command: str = "nvidia-smi") -> set[int]:
    """Ids of the processes that the driver itself knows; none where it cannot be asked, for then nothing computes."""
    try:
        # run_command belongs to AnsibleModule, which readers do not know.
        answer = subprocess.run(  # pylint: disable=ansible-bad-function
            [command, "--query-compute-apps=pid", "--format=csv,noheader"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS_FOR_NVIDIA_SMI,
            check=False,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    if answer.returncode:
        return set()
    return {int(line) for line in answer.stdout.split() if line.isdigit()}


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
