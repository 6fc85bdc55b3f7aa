# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power control of machines, over Redfish as MAAS's own driver does it."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

CONFLICT = 409
PRECONDITION_FAILED = 412
_POLL = 0.2
# PowerState as MAAS reads it: on its way to a state, a machine is still in the other one.
_STATES = {"On": "on", "Off": "off", "PoweringOn": "off", "PoweringOff": "on", "Paused": "on"}


class PowerFailure(Exception):
    """The BMC refused (`status` is its HTTP status then), or did not answer in time."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NoDriver(PowerFailure):
    """Nobody can reach BMCs of this power type."""


class PowerDriver(Protocol):
    """How the region switches a machine. Every call but `knows` is bounded in time and raises PowerFailure."""

    def knows(self, kind: str) -> bool:
        """Whether machines of this power type can be reached at all."""

    def query(self, kind: str, parameters: dict[str, Any]) -> str:
        """ "on" or "off"."""

    def on(self, kind: str, parameters: dict[str, Any]) -> None:
        """Start the machine from the network; one that is on is switched off first."""

    def off(self, kind: str, parameters: dict[str, Any]) -> None:
        """Order the machine to be switched off; does not wait until it is."""


class Redfish:
    """One BMC.

    Args:
        address: `https://host[:port]` or a bare host.
        user: name for HTTP Basic authentication.
        password: its password.
        node_id: member of /redfish/v1/Systems; the first one when empty.
        context: TLS context that knows the lab's CA.
        timeout: seconds for one exchange.
    """

    def __init__(
        self, address: str, user: str, password: str, node_id: str, context: ssl.SSLContext, timeout: float
    ) -> None:
        url = urlsplit(address if "://" in address else f"https://{address}")
        self._host = url.hostname or ""
        self._port = url.port or 443
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._node_id = node_id
        self._context = context
        self._timeout = timeout

    def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None = None, etag: str | None = None
    ) -> tuple[Any, str | None]:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._context)
        headers = {"Authorization": self._authorization, "Accept": "application/json", "User-Agent": "MAAS"}
        if etag:
            headers["If-Match"] = etag
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise PowerFailure(f"Redfish request to {self._host} failed: {error}") from error
        finally:
            connection.close()
        if response.status == 404 and not path.endswith("/"):
            return self._exchange(method, path + "/", body, etag)
        if response.status >= 400:
            message = f"Redfish request failed with response status code: {response.status}."
            raise PowerFailure(message, response.status)
        try:
            return (json.loads(raw) if raw else {}), response.headers.get("ETag")
        except ValueError as error:
            raise PowerFailure(f"Redfish request to {self._host} was answered with no JSON") from error

    def _system(self) -> str:
        if not self._node_id:
            members, _ = self._exchange("GET", "/redfish/v1/Systems")
            try:
                path = str(members["Members"][0]["@odata.id"])
            except (KeyError, IndexError, TypeError) as error:
                raise PowerFailure(f"Redfish service of {self._host} lists no system") from error
            self._node_id = path.rstrip("/").rpartition("/")[2]
        return f"/redfish/v1/Systems/{self._node_id}"

    def state(self) -> str:
        """ "on" or "off"."""
        system, _ = self._exchange("GET", self._system())
        state = _STATES.get(str(system.get("PowerState")))
        if state is None:
            raise PowerFailure(f"Unknown power state: {system.get('PowerState')}")
        return state

    def reset(self, kind: str) -> None:
        """ComputerSystem.Reset."""
        path = f"{self._system()}/Actions/ComputerSystem.Reset"
        self._exchange("POST", path, {"ResetType": kind})

    def force_off(self) -> None:
        """Order it off; that it has gone off by itself meanwhile is as good."""
        try:
            self.reset("ForceOff")
        except PowerFailure as failure:
            if failure.status != CONFLICT or self.state() != "off":
                raise

    def boot_from_network_once(self) -> None:
        """Set the one-time boot override."""
        path = self._system()
        boot = {"Boot": {"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"}}
        for last in (False, False, True):
            _, etag = self._exchange("GET", path)
            try:
                self._exchange("PATCH", path, boot, etag)
            except PowerFailure as failure:
                # the machine changed between reading and writing
                if last or failure.status != PRECONDITION_FAILED:
                    raise
            else:
                return


class RedfishDriver:
    """Power driver for power type `redfish`; verifies BMCs against the lab's CA.

    Args:
        ca: CA certificate (PEM).
        timeout: seconds for one exchange with a BMC.
        off_within: seconds in which a machine must have gone off before it is started anew.
    """

    def __init__(self, ca: Path, timeout: float = 10, off_within: float = 60) -> None:
        self._ca = ca
        self._timeout = timeout
        self._off_within = off_within
        self._pause = threading.Event()

    def _bmc(self, kind: str, parameters: dict[str, Any]) -> Redfish:
        if not self.knows(kind):
            raise NoDriver(f"no driver for power type {kind}")
        try:
            context = ssl.create_default_context(cafile=str(self._ca))
        except OSError as error:
            raise PowerFailure(f"{self._ca}: {error}") from error
        return Redfish(
            str(parameters["power_address"]),
            str(parameters["power_user"]),
            str(parameters["power_pass"]),
            str(parameters.get("node_id", "")),
            context,
            self._timeout,
        )

    def knows(self, kind: str) -> bool:
        """See PowerDriver."""
        return kind == "redfish"

    def query(self, kind: str, parameters: dict[str, Any]) -> str:
        """See PowerDriver."""
        return self._bmc(kind, parameters).state()

    def on(self, kind: str, parameters: dict[str, Any]) -> None:
        """See PowerDriver."""
        bmc = self._bmc(kind, parameters)
        if bmc.state() == "on":
            bmc.force_off()
            end = time.monotonic() + self._off_within
            while bmc.state() != "off":
                if time.monotonic() > end:
                    raise PowerFailure(f"still on {self._off_within:g} seconds after it was switched off")
                self._pause.wait(_POLL)
        bmc.boot_from_network_once()
        bmc.reset("On")

    def off(self, kind: str, parameters: dict[str, Any]) -> None:
        """See PowerDriver."""
        bmc = self._bmc(kind, parameters)
        if bmc.state() != "off":
            bmc.force_off()
