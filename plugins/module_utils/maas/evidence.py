# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What MAAS knows of machines that did not come up, in the words of `judge.boot`. What it does not tell is absent."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .client import Client, Fields
from .errors import MaasError
from .events import read_events
from .requests import IDS_PER_REQUEST
from .scripts import decoded

EVENTS_OF_ONE = 100  # how many events of a machine its last start has room for
MOST_EVENTS = 10_000

# Events that begin something for which MAAS switches the machine on, and those that only one can cause that came up
# over the network since.
_BEGINS = ("Commissioning", "Testing", "Deploying", "Disk erasing", "Entering rescue mode")
_CAME = (
    "Performing PXE boot",
    "PXE Request",
    "Loading ephemeral",
    "Gathering information",
    "Configuring storage",
    "Installing OS",
    "Configuring OS",
    "Running test",
)
_NO_POWER = ("Failed to power on node", "Failed to query node's BMC", "Failed to power cycle node")
_BAD = ("WARNING", "ERROR", "CRITICAL")
_SUMMARY = "Marking node failed"  # says that it failed, and leaves the reason to the events before it
# Statuses in which MAAS has switched the machine on, and those whose reason is what scripts said.
_SWITCHED_ON = (
    "Commissioning",
    "Failed commissioning",
    "Testing",
    "Failed testing",
    "Deploying",
    "Failed deployment",
    "Deployed",
)
_SCRIPTED = ("Commissioning", "Failed commissioning", "Testing", "Failed testing")
_INVENTORY = "50-maas-01-commissioning"  # the script whose output is all that MAAS stores of a machine
_LOGS = ("/tmp/install.log", "/tmp/curtin-logs.tar")
_TELLING = re.compile(r"certificate|x509|not yet valid|error|fail|unable|traceback", re.IGNORECASE)
_LONGEST, _LINES = 300, 20


def read_evidence(client: Client, system_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Evidence by system_id; machines that MAAS does not know are absent. One request for the machines, one for a
    thousand events, and one for the scripts of each machine. Raises MaasError where the machines cannot be read."""
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(system_ids), IDS_PER_REQUEST):
        part = list(system_ids[start : start + IDS_PER_REQUEST])
        machines = client.get("machines/", params={"id": part})
        try:
            limit = min(MOST_EVENTS, EVENTS_OF_ONE * len(part))
            events = read_events(client, {"id": part}, level="INFO", limit=limit, after=None)
        except MaasError:
            events = []  # costs what they would tell, no more
        for machine in machines if isinstance(machines, list) else []:
            if isinstance(machine, Mapping) and machine.get("system_id"):
                system_id = str(machine["system_id"])
                own = [event for event in events if event["system_id"] == system_id]
                found[system_id] = evidence(machine, own, _runs(client, machine))
    return found


def _runs(client: Client, machine: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Runs of scripts, newest first: all of them without output, or those few with output that tell of disks."""
    wanted: Fields = {}
    if machine.get("status_name") not in _SCRIPTED:
        wanted = {"filters": ",".join((_INVENTORY, *_LOGS)), "include_output": True}
    try:
        runs = client.get(f"nodes/{quote(str(machine['system_id']), safe='')}/results/", params=wanted)
    except MaasError:
        return []
    found = [run for run in runs if isinstance(run, Mapping)] if isinstance(runs, list) else []
    return sorted(found, key=lambda run: -int(run.get("id") or 0))


def evidence(
    machine: Mapping[str, Any], events: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The evidence on one machine (pure). `events` and `runs` are the newest first."""
    status = str(machine.get("status_name") or "")
    began = next((place for place, event in enumerate(events) if event["type"] in _BEGINS), None)
    since = list(events[: began + 1]) if began is not None else list(events)
    came = any(event["type"] in _CAME for event in since)
    found: dict[str, Any] = {"maas": _maas(machine, status, since, runs, came)}
    if status in _SWITCHED_ON and "power_error" not in found["maas"]:
        found["power"] = {"ordered": True}
    lease = _lease(machine, status, came, began is not None)
    if lease:
        found["dhcp"] = lease
    waited = _waited(since) if began is not None and not came else None
    if waited is not None:
        found["post"] = {"waited": waited}
    disks = _disks(machine, runs)
    if disks:
        found["disks"] = disks
    mac = _boot_interface(machine).get("mac_address")
    if mac:
        found["boot_mac"] = str(mac)
    return found


def _maas(
    machine: Mapping[str, Any],
    status: str,
    since: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    came: bool,
) -> dict[str, Any]:
    bad = [event for event in since if event["level"] in _BAD]
    reasons = [event for event in bad if event["type"] != _SUMMARY] or bad or list(since)
    told = [_line(event) for event in bad] + _log_lines(runs)
    found: dict[str, Any] = {
        "status": status,
        "event": _line(reasons[0]) if reasons else str(machine.get("status_message") or ""),
        "errors": [text[:_LONGEST] for text in told],
        "scripts": _scripts(runs) if status in _SCRIPTED else [],
    }
    power = next((_line(event) for event in since if event["type"] in _NO_POWER), None)
    if power and not came:
        found["power_error"] = power[:_LONGEST]
    return found


def _line(event: Mapping[str, Any]) -> str:
    return ": ".join(str(event[key]) for key in ("type", "description") if event.get(key))


def _scripts(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scripts of the newest commissioning and testing. One that never began says nothing: MAAS gives the machine's
    time-out to all that wait for a machine that does not come."""
    scripts: list[dict[str, Any]] = []
    for kind in ("commissioning", "testing"):
        newest = next((run for run in runs if str(run.get("type_name", "")).lower() == kind), {})
        scripts.extend(
            {
                "name": str(result.get("name", "")),
                "status": str(result.get("status_name", "")),
                "exit_status": result.get("exit_status"),
            }
            for result in newest.get("results") or ()
            if (result.get("started") or result.get("starttime")) and not result.get("suppressed")
        )
    return scripts


def _log_lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The last telling lines of the newest installation's log."""
    newest = next((run for run in runs if str(run.get("type_name", "")).lower() == "installation"), {})
    texts = [decoded(result.get("output")) for result in newest.get("results") or () if result.get("name") in _LOGS]
    return [line.strip() for text in texts for line in text.splitlines() if _TELLING.search(line)][-_LINES:]


def _lease(machine: Mapping[str, Any], status: str, came: bool, began: bool) -> dict[str, Any]:
    """Whether it got an address since it was switched on. Of a deployed machine MAAS hears no more of that."""
    if status == "Deployed":
        return {}
    addresses = [each.get("ip_address") for each in _boot_interface(machine).get("discovered") or ()]
    if came:
        return {"lease": True, **({"address": addresses[0]} if addresses and addresses[0] else {})}
    vlan = _boot_interface(machine).get("vlan")
    # A server of somebody else's gives leases that MAAS does not see.
    external = isinstance(vlan, Mapping) and vlan.get("external_dhcp")
    return {"lease": False} if began and status in _SWITCHED_ON and not external else {}


def _boot_interface(machine: Mapping[str, Any]) -> Mapping[str, Any]:
    """The interface that boots; where MAAS has not seen it boot yet, the only one."""
    interfaces = [each for each in machine.get("interface_set") or () if isinstance(each, Mapping)]
    boot = machine.get("boot_interface")
    if isinstance(boot, Mapping):
        return boot
    return interfaces[0] if len(interfaces) == 1 else {}


def _waited(since: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds from the first to the last of these events, by MAAS's clock alone."""
    try:
        first, last = (
            time.mktime(time.strptime(str(event["created"]), "%a, %d %b. %Y %H:%M:%S"))
            for event in (since[-1], since[0])
        )
    except ValueError:
        return None
    return last - first


def _disks(machine: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Names of disks by serial in the newest commissioning, and that of the system's disk in the one before."""
    found: dict[str, Any] = {}
    boot = machine.get("boot_disk")
    wanted = boot.get("serial") if isinstance(boot, Mapping) else None
    if wanted:
        found["wanted"] = str(wanted)
    named = [names for names in (_names(run) for run in runs) if names is not None]
    if named:
        found["names"] = named[0]
    if wanted and len(named) > 1 and str(wanted) in named[1]:
        found["installed_as"] = named[1][str(wanted)]
    return found


def _names(run: Mapping[str, Any]) -> dict[str, str] | None:
    """Names of disks by serial as one run found them, None where it tells nothing of disks."""
    for result in run.get("results") or ():
        if result.get("name") != _INVENTORY or not result.get("output", result.get("stdout")):
            continue
        try:
            content = json.loads(decoded(result.get("stdout") or result.get("output")))
            disks: Iterable[Mapping[str, Any]] = content["resources"]["storage"]["disks"]
            return {str(disk["serial"]): str(disk["id"]) for disk in disks if disk.get("serial")}
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
    return None
