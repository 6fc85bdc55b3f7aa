# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print, as a JSON list, the processes that hold a GPU.

A holder has a /dev/nvidia* file open or is named by nvidia-smi as a compute process. The arguments are names of
processes that do not count, because they belong to the driver and are restarted with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SECONDS_FOR_NVIDIA_SMI = 20
KERNEL_NAME_LENGTH = 15


def holders_of_files(proc: Path) -> set[int]:
    """Ids of the processes with a /dev/nvidia* file open."""
    found = set()
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
        except OSError:  # the process has ended meanwhile
            continue
        if any(link.startswith("/dev/nvidia") for link in links):
            found.add(int(process.name))
    return found


def compute_processes(command: str = "nvidia-smi") -> set[int]:
    """Ids of the processes that the driver itself knows; none where it cannot be asked, for then nothing computes."""
    try:
        answer = subprocess.run(
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


def holders(proc: Path, own: list[str], pids: set[int]) -> list[dict[str, object]]:
    """`pids` with the names of their commands, without those in `own`, in order."""
    excused = {name[:KERNEL_NAME_LENGTH] for name in own}
    result = []
    for pid in sorted(pids):
        try:
            command = (proc / str(pid) / "comm").read_text().strip()
        except OSError:
            command = "unknown"
        if command not in excused:
            result.append({"pid": pid, "command": command, "label": f"process {pid} ({command})"})
    return result


if __name__ == "__main__":
    root = Path("/proc")
    print(json.dumps(holders(root, sys.argv[1:], holders_of_files(root) | compute_processes())))
