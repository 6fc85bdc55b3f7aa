# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a board keeps without power: BIOS settings, firmware, event log, accounts, tasks.

Nothing runs in the background: what the passing time or a start of the machine has brought about is worked out
when somebody asks (`settle`).
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab import files
from lab.bmc import bios, faults
from lab.bmc.profiles import Profile
from lab.machines import Machine

DISK, NETWORK = "Boot0001", "Boot0002"
# Firmware by its id: name, what it is when it is made, and whether it is in use only after a start of the machine.
FIRMWARE: Mapping[str, tuple[str, str, bool]] = {
    "BMC": ("BMC Firmware", "1.0", False),
    "BIOS": ("System BIOS", "1.0", True),
    "NIC.1": ("ConnectX-7", "28.39.1002", True),
}
_MOST_ENTRIES = 1000


class Board:
    """The state of one board, in `file` if there is one. `clock`: seconds since the epoch."""

    def __init__(
        self,
        machine: Machine,
        profile: Profile,
        file: Path | None,
        clock: Callable[[], float],
        asked: faults.Asked = faults.none,
        first: str = DISK,
    ) -> None:
        self._file = file
        self._clock = clock
        self._profile = profile
        self.asked = asked
        self._lock = threading.RLock()
        kept = files.read_json(file) if file is not None else None
        self._state: dict[str, Any] = kept or {
            "boots": 0,
            "started": None,
            "bios": bios.defaults(profile.attribute_suffix),
            "pending": {},
            "applies": False,
            "boot_order": sorted((DISK, NETWORK), key=first.__ne__),
            "firmware": {name: version for name, (_name, version, _later) in FIRMWARE.items()},
            "staged": {},
            "away_until": 0.0,
            "log": [],
            "entries": 0,
            "tasks": {},
            "accounts": {"1": {"user": machine.bmc.user, "password": machine.bmc.password, "enabled": True}},
        }

    # -- reading ------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        """A copy of a part of the state."""
        with self._lock:
            return copy.deepcopy(self._state[key])

    def accounts(self) -> dict[str, dict[str, Any]]:
        return dict(self["accounts"])

    def account(self, user: str) -> dict[str, Any] | None:
        return next((one for one in self.accounts().values() if one["user"] == user), None)

    def away(self) -> bool:
        """Whether the controller restarts and answers nobody."""
        return self._clock() < float(self["away_until"])

    def in_post(self) -> bool:
        """Whether the firmware's self-test has not come to its end since the last start."""
        started = self["started"]
        return started is not None and self._clock() < started + self._profile.post_seconds

    def boot_order(self) -> list[str]:
        """The boot order as the firmware keeps it."""
        return [DISK, NETWORK] if self.asked(faults.ORDER) else list(self["boot_order"])

    def time(self) -> float:
        """The time by the board's own clock, seconds since the epoch."""
        return self._clock() + self._profile.zone_seconds - self.asked(faults.CLOCK)

    def last_reset(self, started: float) -> float | None:
        """When the machine was last started, by the board's own clock; `started` by the right one, 0 if not known."""
        started = started or self["started"]
        return None if started is None else float(started) + self.time() - self._clock()

    # -- what happens -------------------------------------------------------------------------

    def settle(self, boots: int) -> None:
        """Bring about what `boots` starts of the machine, and the time, have brought about."""
        with self._lock:
            before = json.dumps(self._state)
            if boots > self._state["boots"]:
                self._state["boots"] = boots
                self._state["started"] = self._clock()
                self._start()
            for task in self._state["tasks"].values():
                self._advance(task)
            if json.dumps(self._state) != before:
                self._keep()

    def _start(self) -> None:
        state = self._state
        if state["applies"]:
            state["bios"].update(state["pending"])
            state["pending"], state["applies"] = {}, False
        state["firmware"].update(state["staged"])
        state["staged"] = {}
        for task in state["tasks"].values():
            if task["state"] == "Pending":
                task.update(state="Completed", percent=100)

    def _advance(self, task: dict[str, Any]) -> None:
        if task["state"] not in ("New", "Running"):
            return
        passed = self._clock() - task["began"]
        share = 1.0 if task["seconds"] <= 0 else passed / task["seconds"]
        task["percent"] = min(100, int(100 * share))
        task["state"] = "New" if share <= 0 else "Running"
        if task["error"] and share >= 0.3:
            task["state"] = "Exception"
        elif share >= 1 and task["firmware"] is not None:
            self._install(task)

    def _install(self, task: dict[str, Any]) -> None:
        component, version = task["firmware"]
        if FIRMWARE[component][2]:
            self._state["staged"][component] = version
            task["state"] = "Pending"
            return
        self._state["firmware"][component] = version
        self._state["away_until"] = self._clock() + self._profile.restart_seconds
        task["state"] = "Completed"

    # -- changes ------------------------------------------------------------------------------

    def set_pending(self, attributes: Mapping[str, Any], applies: bool) -> str:
        """Keep BIOS attributes for the next start; the id of the task that waits for it, empty without one."""
        with self._lock:
            self._state["pending"].update(attributes)
            self._state["applies"] = self._state["applies"] or applies
            name = self._task("BIOS configuration", "Pending", 0.0) if applies else ""
            self._keep()
            return name

    def set_boot_order(self, order: list[str]) -> None:
        self._change(boot_order=order)

    def boot_source(self) -> str:
        """Where a start without an override comes from, as the power's state calls it."""
        return "Pxe" if self.boot_order()[0] == NETWORK else "Hdd"

    def update(self, component: str, version: str, error: str, seconds: float) -> str:
        """Begin an update that will fail with `error` unless that is empty; the id of its task."""
        with self._lock:
            firmware = None if error else (component, version)
            name = self._task("Firmware update", "New", seconds, firmware, error)
            self._keep()
            return name

    def updating(self) -> bool:
        tasks: dict[str, dict[str, Any]] = self["tasks"]
        return any(task["name"] == "Firmware update" and task["state"] in ("New", "Running") for task in tasks.values())

    def log(self, severity: str, text: str, message_id: str = "Platform.1.0.Event") -> None:
        """Add an entry to the event log; the oldest goes where there are too many."""
        with self._lock:
            number = self._state["entries"] + 1
            self._state["entries"] = number
            entry = {"id": str(number), "time": self._clock(), "severity": severity, "text": text, "kind": message_id}
            self._state["log"] = [*self._state["log"], entry][-_MOST_ENTRIES:]
            self._keep()

    def clear_log(self) -> None:
        """Remove every entry; numbers go on where they were."""
        self._change(log=[])

    def change_account(self, number: str, account: Mapping[str, Any]) -> None:
        with self._lock:
            self._state["accounts"][number].update(account)
            self._keep()

    def add_account(self, user: str, password: str) -> str:
        with self._lock:
            number = str(1 + max(int(name) for name in [*self._state["accounts"], "0"]))
            self._state["accounts"][number] = {"user": user, "password": password, "enabled": True}
            self._keep()
            return number

    def remove_account(self, number: str) -> None:
        with self._lock:
            del self._state["accounts"][number]
            self._keep()

    def _task(
        self, name: str, state: str, seconds: float, firmware: tuple[str, str] | None = None, error: str = ""
    ) -> str:
        number = str(len(self._state["tasks"]) + 1)
        self._state["tasks"][number] = {
            "name": name,
            "state": state,
            "percent": 0,
            "began": self._clock(),
            "seconds": seconds,
            "firmware": firmware,
            "error": error,
        }
        return number

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self._state.update(changes)
            self._keep()

    def _keep(self) -> None:
        # It holds passwords, as the lab's machines.json does.
        if self._file is not None:
            files.write_json(self._file, self._state, 0o600)
