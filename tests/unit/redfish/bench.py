# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the simulated BMC without sockets, and a clock that only moves when somebody waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import (
    Request,
    Response,
    Retry,
    TransportError,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.client import Client, Credentials

from lab.bmc.profiles import PROFILES
from tests.unit.lab_bmc.world import Client as Simulated

PASSWORD = "pass:word"


class Bench:
    """A simulated BMC with the habits of a profile. `before` may answer, or raise, instead of it."""

    def __init__(self, tmp_path: Path, profile: str = "generic") -> None:
        self.bmc = Simulated(tmp_path, PROFILES[profile])
        self.requests: list[Request] = []
        self.before: Callable[[Request], Response | None] = lambda request: None

    def client(self, password: str = PASSWORD, user: str = "admin", silent_attempts: int | None = None) -> Client:
        return Client(
            "198.18.7.121",
            Credentials(user, password),
            self.carry,
            retry=Retry(attempts=3, first_pause=1.0, within=100.0),
            silent_attempts=silent_attempts,
            sleep=self.wait,
            clock=lambda: self.bmc.now,
        )

    def wait(self, seconds: float) -> None:
        self.bmc.now += seconds

    def carry(self, request: Request) -> Response:
        self.requests.append(request)
        instead = self.before(request)
        if instead is not None:
            return instead
        parts = urlsplit(request.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = self.bmc.service.handle(request.method, path, request.headers, request.body or b"")
        # What the power's worker would do at once.
        if request.method == "POST" and path.endswith("ComputerSystem.Reset") and answer.status == 204:
            self._power(json.loads(request.body or b"{}")["ResetType"])
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)

    def _power(self, kind: str) -> None:
        if kind in ("ForceOff", "GracefulShutdown"):
            self.bmc.owner._keep(power="Off", stage="off")
        else:
            self.bmc.start()

    def written(self) -> list[tuple[str, str]]:
        """Every change that was asked for, logins apart."""
        return [
            (request.method, urlsplit(request.url).path)
            for request in self.requests
            if request.method != "GET" and "Sessions" not in request.url
        ]


def broken(sent: bool = True, permanent: bool = False, text: str = "connection refused") -> TransportError:
    return TransportError(text, sent=sent, permanent=permanent)


def answer(status: int, body: Any = None, **headers: str) -> Response:
    return Response(status, headers, b"" if body is None else json.dumps(body).encode())
