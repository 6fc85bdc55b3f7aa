# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what an NVMe disk said of its health when the site first saw it.

Counters of a disk mean little by themselves; a later check judges by how far they have come since the baseline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

SCHEMA = 1


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
    known = {key: disk.get(key, "") for key in ("serial", "model", "firmware")}
    return json.dumps({"schema": SCHEMA, **known, "taken": taken, "smart_log": log}, indent=2, sort_keys=True) + "\n"
