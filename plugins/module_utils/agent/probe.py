# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test what the GPUs of a node compute while nobody needs them: gpu_stress in a dose that no job would notice.

No memory is filled and nothing soaks, so that a job that begins meanwhile finds its memory and cool GPUs.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..compute.judge import judge
from ..compute.measure import Stress, measure
from ..compute.worker import Load
from ..findings import Finding, Verdict
from ..observe.holders import SECONDS_FOR_NVIDIA_SMI, compute_processes, holders
from ..observe.runner import run_readers
from ..observe.source import run_tool
from .config import PROGRAM, Config

# A GPU that is as fast as those of the fleet needs a third of that; all of it ends before the service's own deadline.
_BURN_SECONDS, _COPY_SECONDS = 180.0, 30.0
_IDLE_SECONDS = 30.0
# A few rounds are no soak.
_LEFT_OUT = ("compute.soak",)


class NotIdle(Exception):
    """Somebody uses the GPUs, or nobody can tell; says who or why."""


def probe(known: Config, proc: Path = Path("/proc")) -> list[Finding]:
    """Findings of the `compute.*` checks that a short test can answer. Raises NotIdle: before anything is
    run, or where not all passed and somebody had begun to compute meanwhile."""
    _ensure_idle(known, proc)
    told = known.probe
    with tempfile.TemporaryDirectory(prefix="firstlight-probe-") as folder:
        measured = measure(
            Stress(
                library=known.node_class["compute"]["library"],
                library_path=told.library_path,
                nvml_path=known.nvml_path,
                load=Load(told.size, told.buffer_bytes, soak_seconds=0, memory_share=0),
                burn_deadline=_BURN_SECONDS,
                copy_deadline=_COPY_SECONDS,
                folder=Path(folder),
            )
        )
    found = judge(measured, known.node_class, leave_out=_LEFT_OUT)
    if any(each.verdict is not Verdict.PASS for each in found):
        _ensure_alone(proc)
    return found


def _ensure_idle(known: Config, proc: Path) -> None:
    """By the driver, and by the site's own command: between two steps of a job no process is there."""
    asked = _compute_processes()
    if asked["status"] != "ok":
        raise NotIdle(f"nobody can tell who computes: nvidia-smi: {asked['error']}")
    working = _labels(proc, asked["data"])
    if working:
        raise NotIdle(working)
    command = known.probe.idle_command
    if command:
        answer = run_readers({"idle": functools.partial(run_tool, command)}, _IDLE_SECONDS)["idle"]
        if answer["status"] != "ok":
            raise NotIdle(str(answer["error"]))


def _ensure_alone(proc: Path) -> None:
    """Who began to compute meanwhile took memory and time: what failed then need not be a GPU's fault.

    A process of the probe that hangs in the driver is no stranger; and a driver that hangs with it lets nobody begin.
    """
    strangers = _labels(proc, _compute_processes().get("data") or [], own=(PROGRAM,))
    if strangers:
        raise NotIdle(f"{strangers} began meanwhile")


def _compute_processes() -> dict[str, Any]:
    return run_readers({"nvidia-smi": compute_processes}, SECONDS_FOR_NVIDIA_SMI)["nvidia-smi"]


def _labels(proc: Path, pids: Sequence[int], own: Sequence[str] = ()) -> str:
    return ", ".join(holder["label"] for holder in holders(proc, own, dict.fromkeys(pids, "")))
