# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BMC knows of a machine that did not come up, in the words of `judge.boot`. What it does not tell is absent."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from typing import Any

from .client import Client, link
from .errors import RedfishError, Unauthorized, Untrusted
from .identity import Service, discover, read_boot, read_identity

# States of BootProgress in which the firmware is done with itself.
_DONE = ("SystemHardwareInitializationComplete", "SetupEntered", "OSBootStarted", "OSRunning")
_OFF = ("None", "")
# A BMC that is told another time zone than UTC is off by a multiple of this, and its machine may well be right.
_ZONE_SECONDS, _ZONE_MOST, _ZONE_NEAR = 900, 14 * 3600, 60


def gather(connect: Callable[[], Client], boot_mac: str = "", now: Callable[[], float] = time.time) -> dict[str, Any]:
    """Evidence by part. A BMC that does not answer is evidence too; so nothing is raised for it.

    `boot_mac` names the NIC that boots; without it the only one counts, and of several none. `now` is the right time.
    """
    try:
        with connect() as client:
            return _gather(client, boot_mac.lower(), now)
    except Untrusted as error:
        return {"bmc": {"answers": False, "kind": "Untrusted", "error": str(error)}}
    except Unauthorized as error:
        return {"bmc": {"answers": False, "kind": "Unauthorized", "error": str(error)}}
    except RedfishError as error:
        return {"bmc": {"answers": False, "kind": type(error).__name__, "error": str(error)}}


def _gather(client: Client, boot_mac: str, now: Callable[[], float]) -> dict[str, Any]:
    service = discover(client)
    found: dict[str, Any] = {"bmc": {"answers": True}}
    parts: dict[str, Callable[[], Mapping[str, Any]]] = {
        "power": lambda: _power(client, service),
        "post": lambda: _post(service),
        "nic": lambda: _nic(client, service, boot_mac),
        "boot": lambda: _boot(client, service),
        "disks": lambda: _disks(client, service),
        "clock": lambda: _clock(service, now()),
    }
    for name, read in parts.items():
        try:
            part = read()
        except RedfishError:
            continue  # it costs this part of the evidence, not the others
        if part:
            found[name] = dict(part)
    return found


def _power(client: Client, service: Service) -> dict[str, Any]:
    found: dict[str, Any] = {}
    state = service.system.body.get("PowerState")
    if isinstance(state, str):
        found["state"] = state
    path = link(service.chassis.body, "Power") if service.chassis else ""
    supplies = client.get(path).body.get("PowerSupplies") if path else None
    healths = [_health(each) for each in supplies if isinstance(each, Mapping)] if isinstance(supplies, list) else []
    told = [health for health in healths if health]
    # One that failed of several is what redundancy is for: all must be bad to keep a machine off.
    if told:
        found["supplies_ok"] = any(health != "Critical" for health in told)
    return found


def _health(body: Mapping[str, Any]) -> str:
    status = body.get("Status")
    if not isinstance(status, Mapping) or status.get("State") == "Absent":
        return ""
    return str(status.get("Health") or "")


def _post(service: Service) -> dict[str, Any]:
    progress = service.system.body.get("BootProgress")
    state = progress.get("LastState") if isinstance(progress, Mapping) else None
    if not isinstance(state, str) or state in _OFF:
        return {}
    found: dict[str, Any] = {"done": state in _DONE, "state": state}
    # Both are the BMC's own times, so that it does not matter whether its clock is right.
    since, clock = _time(service.system.body.get("LastResetTime")), _bmc_time(service)
    if since is not None and clock is not None and clock >= since:
        found["seconds"] = clock - since
    return found


def _clock(service: Service, now: float) -> dict[str, Any]:
    clock = _bmc_time(service)
    if clock is None:
        return {}
    offset = clock - now
    near = abs(offset - _ZONE_SECONDS * round(offset / _ZONE_SECONDS)) <= _ZONE_NEAR
    if _ZONE_NEAR < abs(offset) <= _ZONE_MOST and near:
        return {}
    return {"offset_seconds": round(offset), "of": "BMC"}


def _bmc_time(service: Service) -> float | None:
    return _time(service.manager.body.get("DateTime")) if service.manager else None


def _time(text: Any) -> float | None:
    """Seconds since the epoch; a time without a zone is UTC."""
    try:
        # Python 3.10 does not know Z.
        told = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (told if told.tzinfo else told.replace(tzinfo=datetime.timezone.utc)).timestamp()


def _nic(client: Client, service: Service, boot_mac: str) -> dict[str, Any]:
    nics = read_identity(client, service).nics
    chosen = [nic for nic in nics if nic.mac == boot_mac] if boot_mac else list(nics)
    if len(chosen) != 1:
        return {}
    return {"mac": chosen[0].mac, **({"link": chosen[0].link} if chosen[0].link is not None else {})}


def _boot(client: Client, service: Service) -> dict[str, Any]:
    order, options = read_boot(client, service)
    kinds = {option.reference: option.kind for option in options}
    found: dict[str, Any] = {}
    if order and order[0] in kinds:
        found["first"] = kinds[order[0]]
    if options:
        found["network"] = "pxe" in kinds.values()
    boot = service.system.body.get("Boot")
    if isinstance(boot, Mapping) and boot.get("BootSourceOverrideEnabled"):
        enabled = boot["BootSourceOverrideEnabled"] in ("Once", "Continuous")
        found["network_once"] = enabled and boot.get("BootSourceOverrideTarget") == "Pxe"
    return found


def _disks(client: Client, service: Service) -> dict[str, Any]:
    """Drives by serial number. Their names are those of the operating system, which a BMC does not know."""
    listed = link(service.system.body, "Storage")
    if not listed:
        return {}
    drives = [
        client.get(path).body
        for storage in client.members(listed)
        for path in (link({"drive": drive}, "drive") for drive in client.get(storage).body.get("Drives") or ())
        if path
    ]
    serials = [str(drive["SerialNumber"]) for drive in drives if drive.get("SerialNumber")]
    # Drives without a serial number are there all the same: nothing can be said of which they are.
    return {"seen": dict.fromkeys(serials)} if len(serials) == len(drives) else {}
