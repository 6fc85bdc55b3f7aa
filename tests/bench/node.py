# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass costs the node: time and memory to those of a Python that does nothing, reading its log to `grep -c`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench.figures import Figure, Report, in_turns
from tests.e2e.session import ROOT

# The interpreter behind the virtual environment, as a node has it.
PYTHON = getattr(sys, "_base_executable", sys.executable)
OBSERVE = "ansible_collections.firstlight.cluster.plugins.module_utils.observe"
PASS = f"from {OBSERVE}.node import Sources, observe; observe(Sources(mounts=('/',), keep_history=False), 20.0)"
READ_LOG = f"from {OBSERVE}.kernel_log import read_kernel_log; import sys; read_kernel_log(sys.argv[1], budget=600.0)"
# Lines of a node at work, in which an XID is rare.
LINES = (
    '6,{number},{stamp},-;audit: type=1400 audit(1700000000.1:2): apparmor="STATUS" operation="profile_load"\n',
    "4,{number},{stamp},-;pcieport 0000:00:01.0: AER: Corrected error received: 0000:5d:00.0\n",
    "6,{number},{stamp},-;docker0: port 1(veth3f1) entered forwarding state\n",
    "6,{number},{stamp},-;mlx5_core 0000:5e:00.0: Rate limit: 127 rates are supported, range: 0Mbps to 97656Mbps\n",
    "6,{number},{stamp},-;perf: interrupt took too long (2509 > 2500), lowering kernel.perf_event_max_sample_rate\n",
    "6,{number},{stamp},-;NVRM: GPU 0000:5d:00.0: RmInitAdapter succeeded\n",
)
XID = "3,{number},{stamp},-;NVRM: Xid (PCI:0000:5d:00): 13, pid=4711, name=python, Graphics Exception\n"
XID_EVERY = 5000
MEGABYTES = 64


def command(*words: str) -> Callable[[], object]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}

    def run() -> None:
        subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)

    return run


def of_one_node(folder: Path, report: Report) -> None:
    """On this machine as the node; its own readers, in processes of their own, without Ansible."""
    measured, floor = in_turns(command(PYTHON, "-c", PASS), command(PYTHON, "-c", ""))
    report.add(Figure("a pass of all readers on one node", "a Python that does nothing", measured, floor))
    log = folder / "kmsg"
    size = write_log(log)
    measured, floor = in_turns(
        command(PYTHON, "-c", READ_LOG, str(log)), command("grep", "-c", "-a", "NVRM: Xid", str(log))
    )
    figure = Figure(f"the kernel log of {size / 1e6:.0f} MB", "grep -c of the same file", measured, floor)
    report.add(figure)
    rate = size / 1e6 / statistics.median(cost.wall for cost in measured)
    mine, theirs = peak(PASS), peak("")
    report.add_counts(
        "node",
        {"kernel_log_mb_per_second": round(rate, 1), "peak_kib": mine, "floor_peak_kib": theirs},
        [
            f"the kernel log: {rate:.0f} MB/s",
            f"memory of the largest process of a pass: {mine / theirs:.2f} x a Python that does nothing "
            f"({mine} KiB / {theirs} KiB)",
        ],
    )


def write_log(path: Path) -> int:
    """A log of so many megabytes; its size in bytes."""
    number = 0
    with path.open("w", encoding="utf-8") as stream:
        while stream.tell() < MEGABYTES * 1_000_000:
            for _line in range(1000):
                number += 1
                line = LINES[number % len(LINES)] if number % XID_EVERY else XID
                stream.write(line.format(number=number, stamp=number * 1000))
    return path.stat().st_size


def peak(code: str) -> int:
    """The most that the largest of its processes had in memory, in KiB: itself, or a reader or tool that it started."""
    watched = (
        "import json, resource\n"
        f"{code}\n"
        "mine, theirs = (resource.getrusage(of).ru_maxrss for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "print(json.dumps([mine, theirs]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    done = subprocess.run([PYTHON, "-c", watched], env=environment, capture_output=True, text=True, check=True)
    mine, theirs = (int(part) for part in done.stdout.strip("[]\n").split(","))
    return max(mine, theirs)
