# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test what the GPUs of a node compute while nobody needs them: gpu_stress in a dose that no job would notice.

No memory is filled and nothing soaks, so that a job that begins meanwhile finds its memory and cool GPUs.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from ..compute.judge import judge
from ..compute.measure import Stress, measure
from ..compute.worker import Load
from ..findings import Finding
from ..observe.holders import SECONDS_FOR_NVIDIA_SMI, compute_processes, holders
from ..observe.runner import run_readers
from ..observe.source import run_tool
from .config import Config

# A GPU that is as fast as those of the fleet needs a third of that; all of it ends before the service's own deadline.
_BURN_SECONDS, _COPY_SECONDS = 180.0, 30.0
_IDLE_SECONDS = 30.0
# A few rounds are no soak.
_LEFT_OUT = ("compute.soak",)


class NotIdle(Exception):
    """Somebody uses the GPUs, or nobody can tell; says who or why."""


def probe(known: Config, proc: Path = Path("/proc")) -> list[Finding]:
    """Findings of the `compute.*` checks that a short test can answer. Raises NotIdle, before anything is run."""
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
    return judge(measured, known.node_class, leave_out=_LEFT_OUT)


def _ensure_idle(known: Config, proc: Path) -> None:
    """By the driver, and by the site's own command: between two steps of a job no process is there."""
    asked = run_readers({"nvidia-smi": compute_processes}, SECONDS_FOR_NVIDIA_SMI)["nvidia-smi"]
    if asked["status"] != "ok":
        raise NotIdle(f"nobody can tell who computes: nvidia-smi: {asked['error']}")
    working = holders(proc, (), dict.fromkeys(asked["data"], ""))
    if working:
        raise NotIdle(", ".join(holder["label"] for holder in working))
    command = known.probe.idle_command
    if command:
        answer = run_readers({"idle": functools.partial(run_tool, command)}, _IDLE_SECONDS)["idle"]
        if answer["status"] != "ok":
            raise NotIdle(str(answer["error"]))
