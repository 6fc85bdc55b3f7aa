# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVMe disks and what they say of their health, and the record of what each said when the site first saw it.

Counters of a disk mean little by themselves; a later check judges by how far they have come since the baseline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..observe.source import SourceError, attempt, describe, read_text, run_tool

SCHEMA = 1
Run = Callable[[Sequence[str]], str]


def read_controllers(sysfs: Path) -> list[dict[str, str]]:
    """The NVMe disks on the PCI bus: `name`, `serial`, `model`, `firmware`. Those over a network are not the host's."""
    found = []
    for path in sorted((sysfs / "class/nvme").glob("nvme*")):
        if attempt(read_text, path / "transport") != "pcie":
            continue
        texts = {key: attempt(read_text, path / file) for key, file in _FILES.items()}
        found.append({"name": path.name, **{key: text for key, text in texts.items() if isinstance(text, str)}})
    return found


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


def is_record_of(text: str, serial: str) -> bool:
    """Whether the text is a whole record of the disk; half of one is taken anew."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(record, dict)
        and record.get("schema") == SCHEMA
        and record.get("serial") == serial
        and isinstance(record.get("smart_log"), dict)
    )


def record(disk: Mapping[str, str], log: Mapping[str, Any], taken: str) -> str:
    """The text of a record."""
    known = {key: disk.get(key, "") for key in _FILES}
    return json.dumps({"schema": SCHEMA, **known, "taken": taken, "smart_log": log}, indent=2, sort_keys=True) + "\n"
