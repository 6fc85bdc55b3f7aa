# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs here, and which runs of this controller have ended: what their locks held is free."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .run import RunDirectory, write_json

PROCESS = "process.json"
# Environment: the phase of the playbook's last play. With its gate the run gives its nodes back.
LAST_PHASE = "FIRSTLIGHT_LAST_PHASE"
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
# A lock lives for hours; runs further back than this have none left.
_RECENT = 200


def operator() -> str:
    """Who runs the playbook, and from where."""
    return f"{getpass.getuser()}@{platform.node()}"


def record_process(run: RunDirectory, playbook: str) -> None:
    """Write down which process the run is, so that a later run can tell whether it still is."""
    process = {**_place(), "pid": os.getpid(), "started": _started(os.getpid()), "playbook": playbook}
    write_json(run.path / PROCESS, process)


def playbook_of(run: RunDirectory) -> str:
    """The playbook that the run was begun with; empty where that was not written down."""
    try:
        return str(json.loads((run.path / PROCESS).read_text(encoding="utf-8"))["playbook"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def ended_runs(run: RunDirectory) -> list[str]:
    """Runs beside `run` that are known to be over: they wrote their report, or their process is gone.

    Of a run on another machine without a report nothing is known, so it is not among them.
    """
    folder = run.path.parent
    try:
        names = [each.name for each in folder.iterdir() if _RUN_ID.fullmatch(each.name) and each.name != run.run]
    except OSError:
        return []
    return [name for name in sorted(names)[-_RECENT:] if _ended(folder / name)]


def _ended(path: Path) -> bool:
    if (path / "report.json").exists():
        return True
    try:
        process = json.loads((path / PROCESS).read_text(encoding="utf-8"))
        return not _alive(process)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _alive(process: Mapping[str, Any]) -> bool:
    """Whether it may still run. A number that another process has by now shows by when that one was started."""
    here = _place()
    if process["host"] != here["host"]:
        return True
    if process["boot_id"] != here["boot_id"]:
        return False
    if process["namespace"] != here["namespace"]:
        return True
    try:
        os.kill(int(process["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return bool(_started(int(process["pid"])) == process["started"])


def _place() -> dict[str, str]:
    """Where numbers of processes mean the same: host, boot and process namespace, as far as the system tells them."""
    return {"host": platform.node(), "boot_id": _boot_id(), "namespace": _namespace()}


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When the process was started, in the kernel's ticks since boot; empty where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name in parentheses may hold anything; field 22 is the 20th behind it.
    fields = text.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""
