# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A board, a network and a client of the BMC that do as a test says."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

from lab.bmc import pxe
from lab.bmc.messages import Answer
from lab.bmc.places import SESSIONS
from lab.bmc.power import PowerOwner
from lab.bmc.profiles import Profile
from lab.bmc.redfish import Service
from lab.errors import LabError
from lab.machines import Bmc, Machine

REBOOT = 129
MACHINE = Machine(
    name="node01",
    role="node",
    serial="FL0000N01",
    rack="r1",
    unit=1,
    mac="52:54:00:00:00:21",
    address="198.18.7.21",
    gpus=8,
    hcas=8,
    bmc=Bmc("198.18.7.121", 443, "admin", "pass:word"),
)
BASIC = {"Authorization": "Basic " + base64.b64encode(b"admin:pass:word").decode()}


class Client:
    def __init__(self, tmp_path: Path, profile: Profile | None = None) -> None:
        # Its worker does not run: what is ordered is seen, not done.
        self.owner = PowerOwner(Board(), Maas(), MACHINE.mac, tmp_path / "state.json", lambda text: None)
        self.now = 1.8e9
        self.images: dict[str, bytes] = {}
        self.faults: dict[str, int] = {}
        self.service = Service(
            MACHINE,
            self.owner,
            lambda: self.now,
            profile,
            tmp_path / "board.json",
            fetch=self._fetch,
            asked=lambda name: self.faults.get(name, 0),
        )

    def _fetch(self, url: str) -> bytes:
        try:
            return self.images[url]
        except KeyError:
            raise OSError("no such image") from None

    def start(self) -> None:
        """The machine starts, as its owner's worker would write it down."""
        self.owner._keep(power="On", stage="running", boots=self.owner.state.boots + 1)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.service.handle(method, path, BASIC if headers is None else headers, content)

    def log_in(self) -> str:
        answer = self.ask("POST", SESSIONS, {"UserName": "admin", "Password": "pass:word"}, {})
        assert answer.status == 201, answer.body
        return answer.headers["X-Auth-Token"]


class Board:
    """A machine whose operating system does what the test calls."""

    def __init__(self, disk: bool = True) -> None:
        self.disk = disk
        self.on = False
        self.boots = 0
        self.installed: list[pxe.Install] = []
        self.buttons: list[str] = []
        self.fails: str | None = None
        self.exit_status = 137
        self._changed = threading.Condition()

    def has_disk(self) -> bool:
        return self.disk

    def running(self) -> bool:
        return self.on

    def boot(self) -> None:
        with self._changed:
            self.on = True
            self.boots += 1

    def wait(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: not self.on)
            return self.exit_status

    def end(self, exit_status: int) -> None:
        """What the operating system does by itself."""
        with self._changed:
            self.on, self.exit_status = False, exit_status
            self._changed.notify_all()

    def kill(self) -> None:
        self.end(137)

    def press_power_button(self) -> None:
        self.buttons.append("power")

    def ask_for_reboot(self) -> None:
        self.buttons.append("reboot")

    def rebooted(self, exit_status: int) -> bool:
        return exit_status == REBOOT

    def install(self, order: pxe.Install) -> None:
        if self.fails:
            raise LabError(self.fails)
        self.disk = True
        self.installed.append(order)

    def inventory(self) -> dict[str, Any]:
        return {"serial": "S1"}


class Maas:
    """Answers in turn; the last one for ever. An answer that is an exception is raised."""

    def __init__(self, *answers: Any, reports: tuple[Any, ...] = ()) -> None:
        self.answers = list(answers) or [pxe.Local()]
        self.outcomes = list(reports)
        self.asked = 0
        self.reports: list[tuple[str, str, dict[str, Any]]] = []

    def ask(self, mac: str) -> Any:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def report(self, url: str, token: str, content: dict[str, Any]) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.reports.append((url, token, content))
