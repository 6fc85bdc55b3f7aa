# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults on purpose: LABDIR/maas-faults.json, read again for every request.

{"machine": {"node02": {"deploy": "fail"}}, "http": {"ways": ["status", "stall"], "share": 0.2}, "down": false}

- `machine`: by host name, what happens to `deploy`, `commission` or `release`: "fail", or "hang" until the time-out.
  `dhcp`: "fail": its firmware gets no answer.
- `http`: this share of the API requests goes wrong, each in one of the `ways` (see `WAYS`; "status" when not given).
  `status` (503) and `seconds` (30) say more about two of them. Which requests, and how, follows from the seed: the
  n-th request of a kind always fares the same, whatever comes between.
- `down`: connections are closed without an answer.
- `patience`: seconds that stand for MAAS's `node_timeout`.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.maas.tally import kind_of

# What can become of a request. After all but the first two it has been carried out.
WAYS = {
    "status": "it is answered with an error before anybody looks at it",
    "reset": "the connection is reset before anybody looks at it",
    "lost": "it is carried out, and the connection is reset in place of an answer",
    "truncate": "it is carried out, and half of its answer is sent",
    "stall": "it is carried out, and its answer comes late",
}


@dataclass(frozen=True)
class Injected:
    """What becomes of one request: one of WAYS, with its status or its seconds."""

    way: str
    status: int
    seconds: float


class Faults:
    """Reader of the fault file; absent or empty means no fault, a broken one is reported and ignored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: Counter[str] = Counter()
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

    def patience_minutes(self) -> float | None:
        """What stands for MAAS's time-out, None where nothing does."""
        seconds = self._read().get("patience")
        return float(seconds) / 60 if seconds else None

    def of_request(self, method: str, target: str, op: str | None) -> Injected | None:
        """What is to become of an API request; None: it fares well."""
        fault = self._read().get("http")
        with self._lock:
            if not fault:
                # the next fault begins its count anew
                self._counts.clear()
                return None
            kind = kind_of(method, target, op)
            self._counts[kind] += 1
            dice = random.Random(f"{fault.get('seed', 0)}:{kind}:{self._counts[kind]}")
        if dice.random() >= float(fault.get("share", 1)):
            return None
        ways = [way for way in fault.get("ways", ["status"]) if way in WAYS] or ["status"]
        return Injected(dice.choice(ways), int(fault.get("status", 503)), float(fault.get("seconds", 30)))
