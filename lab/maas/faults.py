# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on purpose: LABDIR/maas-faults.json, read again for every request.

{"machine": {"node02": {"deploy": "fail"}}, "http": {"status": 503, "share": 0.2, "seed": 1}, "down": false}

- `machine`: by host name, what happens to `deploy`, `commission` or `release`: "fail", or "hang" until the time-out.
- `http`: this share of the API requests is answered with this status; which ones follows from the seed.
- `down`: connections are closed without an answer.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from pathlib import Path
from typing import Any


class Faults:
    """Reader of the fault file; absent or empty means no fault, a broken one is reported and ignored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._lock = threading.Lock()

    def _read(self) -> dict[str, Any]:
        try:
            raw = json.loads(self._path.read_text(encoding="utf-8") or "{}")
        except FileNotFoundError:
            return {}
        except ValueError as error:
            print(f"{self._path}: no JSON ({error}): no fault is injected", file=sys.stderr, flush=True)
            return {}
        return raw if isinstance(raw, dict) else {}

    def of_machine(self, hostname: str, operation: str) -> str | None:
        """What is to happen to an operation on a machine: "fail", "hang" or None."""
        fault = self._read().get("machine", {}).get(hostname, {}).get(operation)
        return str(fault) if fault in ("fail", "hang") else None

    def down(self) -> bool:
        """Whether the region does not answer at all."""
        return bool(self._read().get("down"))

    def http_status(self) -> int | None:
        """Status with which to answer this API request instead of handling it."""
        fault = self._read().get("http")
        if not fault:
            return None
        with self._lock:
            self._count += 1
            chance = random.Random(f"{fault.get('seed', 0)}:{self._count}").random()
        return int(fault.get("status", 503)) if chance < float(fault.get("share", 1)) else None
