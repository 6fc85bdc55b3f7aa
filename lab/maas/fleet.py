# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are data only: a whole fleet, ready to be deployed, without containers and BMCs. For benchmarks.

Switched on, such a machine asks what it is to do, reports at once that it has done so, and calls home.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lab.maas import hardware, machine_form
from lab.maas.settings import SettingsError
from lab.maas.transitions import Status

if TYPE_CHECKING:
    from lab.maas.api import Api
    from lab.maas.region import Region

_BYTE = 256
_AT_ONCE = 8
_SYSTEM_DISK = 960_000_000_000


def load(path: Path) -> dict[str, str]:
    """Host name and serial number of each machine.

    Raises:
        SettingsError: the file is no JSON object of texts.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}: give a JSON object, host name to serial number") from error
    if not isinstance(content, dict) or not all(isinstance(one, str) for one in content.values()):
        raise SettingsError(f"{path}: not a JSON object of texts: give host name to serial number")
    return content


def mac_of(number: int) -> str:
    """MAC address of the machine `number` (from 1)."""
    return f"52:54:00:01:{number // _BYTE:02x}:{number % _BYTE:02x}"


def hardware_of(number: int, serial: str) -> dict[str, Any]:
    """What the machine says of itself when it is commissioned."""
    address = f"198.18.{number // _BYTE}.{number % _BYTE}/16"
    return {
        "serial": serial,
        "cpu_count": 224,
        "memory_mib": 2 * 1024 * 1024,
        "interfaces": [{"mac": mac_of(number), "address": address, "link_speed": 25000}],
        "disks": [{"name": "nvme0n1", "size": _SYSTEM_DISK, "serial": f"{serial}-D0"}],
    }


class PlainPower:
    """Power driver of a fleet that is data; `plug_in` tells it whom the machines ask.

    Args:
        fleet: host name to serial number; a machine's BMC address ends in its number.
    """

    def __init__(self, fleet: Mapping[str, str]) -> None:
        self._serials = list(fleet.values())
        self._states: dict[int, str] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="machine")
        self._api: Api | None = None

    def plug_in(self, api: Api) -> None:
        """From now on the machines that are switched on start."""
        self._api = api

    def knows(self, kind: str) -> bool:
        """See PowerDriver."""
        return kind == "redfish"

    def query(self, kind: str, parameters: dict[str, Any]) -> str:
        """See PowerDriver."""
        return self._states.get(self._number(parameters), "off")

    def on(self, kind: str, parameters: dict[str, Any]) -> None:
        """See PowerDriver."""
        number = self._number(parameters)
        self._states[number] = "on"
        self._pool.submit(self._start, number)

    def off(self, kind: str, parameters: dict[str, Any]) -> None:
        """See PowerDriver."""
        self._states[self._number(parameters)] = "off"

    @staticmethod
    def _number(parameters: dict[str, Any]) -> int:
        return int(str(parameters["power_address"]).rpartition("/")[2])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        assert self._api is not None
        raw = json.dumps(body).encode() if body is not None else b""
        response = self._api.handle(method, path, {"content-type": "application/json"}, raw)
        return json.loads(response.body)

    def _start(self, number: int) -> None:
        order = self._ask("GET", f"/pxe/{mac_of(number)}")
        report = {"token": order.get("token")}
        if order["action"] == "commission":
            found = hardware_of(number, self._serials[number - 1])
            path = urlsplit(order["results_url"]).path
            self._ask("POST", path, {**report, "hardware": found, "exit_status": 0})
            if order["purpose"] != "rescue":
                self._states[number] = "off"
        elif order["action"] == "install":
            self._ask("POST", urlsplit(order["installed_url"]).path, {**report, "result": "installed"})
            vendor = base64.b64decode(order["vendor_data_b64"]).decode().removeprefix("#cloud-config\n")
            self._ask("POST", urlsplit(json.loads(vendor)["phone_home"]["url"]).path, {})


def install(region: Region, fleet: Mapping[str, str]) -> None:
    """Give a new region these machines, commissioned and Ready."""
    with region.store.transaction() as data:
        if data["machines"]:
            return
        for number, (name, serial) in enumerate(fleet.items(), start=1):
            machine = machine_form.create(
                region,
                {
                    "architecture": "amd64/generic",
                    "hostname": name,
                    "mac_addresses": [mac_of(number)],
                    "power_type": "redfish",
                    "power_parameters": {
                        "power_address": f"https://plain/{number}",
                        "power_user": "maas",
                        "power_pass": "plain",
                    },
                },
            )
            hardware.take_report(region, machine, hardware_of(number, serial))
            machine.update(status=int(Status.READY), power_state="off")
