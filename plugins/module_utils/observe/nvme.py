# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what NVMe disks say of their health, with nvme-cli."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, describe, read_text, run_tool

Run = Callable[[Sequence[str]], str]
# How a disk is reached that is another machine's.
OVER_A_NETWORK = frozenset({"fc", "loop", "rdma", "tcp"})
_KELVIN = 273
_VALUES = {
    "critical_warning": "critical_warning",
    "used_percent": "percent_used",
    "spare_percent": "avail_spare",
    "spare_threshold_percent": "spare_thresh",
    "media_errors": "media_errors",
}


def read_nvme(root: Path) -> dict[str, Any]:
    """`disks`: of each NVMe disk on a PCI bus, by the name of its controller, what it says of itself, or `{"error"}`.

    `critical_warning` are the bits of the specification, `used_percent` is of the endurance that its maker expects,
    `spare_percent` of its reserve, to be above `spare_threshold_percent`; `temperature_c`; `hot_minutes`, for how long
    it was too warm in its life; `media_errors` since it was made, and `media_errors_before` those that it had when the
    site first saw it (0 where that is not known). Any value may be `{"error"}`. Below `root` (/) are /sys and the
    site's records.
    """
    return {
        "disks": {
            disk["name"]: attempt(_health, disk, root / "var" / "lib" / "firstlight" / "nvme")
            for disk in read_controllers(root / "sys")
        }
    }


def _health(disk: Mapping[str, str], baselines: Path) -> dict[str, Any]:
    log = smart_log(disk["name"], run_tool)
    temperature = attempt(_number, log, "temperature")
    return {
        **{name: attempt(_number, log, key) for name, key in _VALUES.items()},
        "temperature_c": temperature if isinstance(temperature, dict) else temperature - _KELVIN,
        "hot_minutes": attempt(lambda: _number(log, "warning_temp_time") + _number(log, "critical_comp_time")),
        # The module nvme_baseline has written it.
        "media_errors_before": _before(baselines / file_name(disk.get("serial", ""))),
    }


def _number(log: Mapping[str, Any], key: str) -> int:
    value = log.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SourceError(f"nvme smart-log has no {key}")
    return value


def _before(record: Path) -> int:
    try:
        return _number(json.loads(read_text(record))["smart_log"], "media_errors")
    except (OSError, SourceError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0


def read_controllers(sysfs: Path) -> list[dict[str, str]]:
    """The NVMe disks on the PCI bus: `name`, `serial`, `model`, `firmware`. Those over a network are not the host's."""
    found = []
    for path in _controllers(sysfs / "class" / "nvme"):
        # One whose way is not told may well be the host's: it is asked rather than passed over.
        if str(attempt(read_text, path / "transport")) in OVER_A_NETWORK:
            continue
        texts = {key: attempt(read_text, path / file) for key, file in _FILES.items()}
        found.append({"name": path.name, **{key: text for key, text in texts.items() if isinstance(text, str)}})
    return found


def _controllers(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if re.fullmatch(r"nvme[0-9]+", each.name))
    except FileNotFoundError:
        return []


_FILES = {"serial": "serial", "model": "model", "firmware": "firmware_rev"}


def smart_log(name: str, run: Run = run_tool) -> dict[str, Any]:
    """What `nvme smart-log` says of the disk; raises SourceMissing, SourceError."""
    text = run(["nvme", "smart-log", f"/dev/{name}", "--output-format=json"])
    try:
        log = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"nvme smart-log of {name} cannot be understood: {describe(error)}") from error
    if not isinstance(log, dict) or not log:
        raise SourceError(f"nvme smart-log of {name} has no values")
    return log


def file_name(serial: str) -> str:
    """The name of a disk's record. Serial numbers have blanks and, of some makers, a slash."""
    return re.sub(r"^\.|[^A-Za-z0-9._-]", lambda match: f"%{ord(match[0]):02X}", serial) + ".json"
