# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print, as a JSON list, the processes that have an HCA or a GPU open.

A GPU counts, because a job that has one may be about to use the HCA beside it. The arguments are names of processes
that do not count, because they belong to the drivers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DEVICES = ("/dev/infiniband/", "/dev/nvidia")
KERNEL_NAME_LENGTH = 15


def holders(proc: Path, own: list[str]) -> list[dict[str, object]]:
    """Processes with a device open, in order of their ids."""
    excused = {name[:KERNEL_NAME_LENGTH] for name in own}
    found = []
    processes = (entry for entry in proc.iterdir() if entry.name.isdigit())
    for process in sorted(processes, key=lambda entry: int(entry.name)):
        try:
            links = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
            command = (process / "comm").read_text().strip()
        except OSError:  # the process has ended meanwhile
            continue
        devices = sorted({link for link in links if link.startswith(DEVICES)})
        if devices and command not in excused:
            label = f"process {process.name} ({command}) with {devices[0]}"
            found.append({"pid": int(process.name), "command": command, "label": label})
    return found


if __name__ == "__main__":
    print(json.dumps(holders(Path("/proc"), sys.argv[1:])))
