# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resources of a machine's Redfish service that say how the machine is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lab import machine_view
from lab.bmc import faults, parts, settings
from lab.bmc.accounts import SESSION_SECONDS
from lab.bmc.board import Board
from lab.bmc.places import ROOT, SESSIONS, TEST_EVENT, Places, collection, link
from lab.bmc.power import BOOT_ENABLED, BOOT_MODES, BOOT_TARGETS, RESET_TYPES, State
from lab.bmc.profiles import Profile
from lab.machines import Machine


def build(machine: Machine, state: State, board: Board, profile: Profile) -> Mapping[str, dict[str, Any]]:
    """Every resource by its path, as it is in `state`; sessions and pages of the log are not among them."""
    at = Places.of(profile)
    resources = {
        ROOT: _root(machine, at),
        f"{ROOT}/SessionService": _session_service(),
        f"{ROOT}/Systems": collection("ComputerSystem", [*at.more_systems, at.system]),
        at.system: _system(machine, state, board, at),
        f"{ROOT}/Managers": collection("Manager", [at.manager]),
        at.manager: _manager(machine, board, at),
        f"{ROOT}/Chassis": collection("Chassis", [at.chassis]),
        at.chassis: _chassis(machine, state, at),
        f"{ROOT}/EventService": _event_service(),
        **{path: _other_system(path) for path in at.more_systems},
        **parts.build(machine, state, at, board.asked),
        **settings.build(machine, board, profile, at),
    }
    for path in profile.missing:
        _leave_out(resources, at, path)
    return {path: {"@odata.id": path, **resource} for path, resource in resources.items()}


def _leave_out(resources: dict[str, dict[str, Any]], at: Places, which: str) -> None:
    """Drop a property, and what it links to."""
    owner, _dot, name = which.partition(".")
    value = resources[{"System": at.system, "Manager": at.manager, "Root": ROOT}[owner]].pop(name)
    if isinstance(value, dict) and "@odata.id" in value:
        gone = value["@odata.id"]
        for path in [path for path in resources if path == gone or path.startswith(f"{gone}/")]:
            del resources[path]


def _root(machine: Machine, at: Places) -> dict[str, Any]:
    return {
        "@odata.type": "#ServiceRoot.v1_13_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.15.0",
        "UUID": str(machine_view.machine_uuid(machine)),
        "Vendor": "Firstlight",
        "Systems": link(f"{ROOT}/Systems"),
        "Managers": link(f"{ROOT}/Managers"),
        "Chassis": link(f"{ROOT}/Chassis"),
        "SessionService": link(f"{ROOT}/SessionService"),
        "AccountService": link(f"{ROOT}/AccountService"),
        "UpdateService": link(f"{ROOT}/UpdateService"),
        "Tasks": link(f"{ROOT}/TaskService"),
        "Registries": link(f"{ROOT}/Registries"),
        "EventService": link(f"{ROOT}/EventService"),
        "Links": {"Sessions": link(SESSIONS)},
    }


def _session_service() -> dict[str, Any]:
    return {
        "@odata.type": "#SessionService.v1_1_8.SessionService",
        "Id": "SessionService",
        "Name": "Session Service",
        "ServiceEnabled": True,
        "SessionTimeout": SESSION_SECONDS,
        "Sessions": link(SESSIONS),
    }


def _event_service() -> dict[str, Any]:
    return {
        "@odata.type": "#EventService.v1_9_0.EventService",
        "Id": "EventService",
        "Name": "Event Service",
        "ServiceEnabled": True,
        "Actions": {"#EventService.SubmitTestEvent": {"target": TEST_EVENT}},
    }


def _system(machine: Machine, state: State, board: Board, at: Places) -> dict[str, Any]:
    hardware = machine.hardware
    ready = "OSRunning" if state.stage == "running" else "SystemHardwareInitializationComplete"
    testing = board.in_post() or (state.stage == "starting" and board.asked(faults.POST))
    progress = "None" if state.power == "Off" else "MemoryInitializationStarted" if testing else ready
    reset = board.last_reset(state.started)
    return {
        "@odata.type": "#ComputerSystem.v1_18_0.ComputerSystem",
        "Id": at.system.rpartition("/")[2],
        "Name": "System",
        "SystemType": "Physical",
        "Manufacturer": "Firstlight",
        "Model": hardware.model,
        "SerialNumber": machine.serial,
        "UUID": str(machine_view.machine_uuid(machine)),
        "BiosVersion": board["firmware"]["BIOS"],
        "HostName": machine.name,
        "PowerState": state.power,
        "BootProgress": {"LastState": progress},
        **({"LastResetTime": _time(reset)} if reset is not None else {}),
        "Status": {"State": "Enabled" if state.power == "On" else "StandbyOffline", "Health": "OK"},
        "Boot": {
            "BootSourceOverrideTarget": state.boot.target,
            "BootSourceOverrideTarget@Redfish.AllowableValues": list(BOOT_TARGETS),
            "BootSourceOverrideEnabled": state.boot.enabled,
            "BootSourceOverrideEnabled@Redfish.AllowableValues": list(BOOT_ENABLED),
            "BootSourceOverrideMode": state.boot.mode,
            "BootSourceOverrideMode@Redfish.AllowableValues": list(BOOT_MODES),
            "BootOrder": board.boot_order(),
            "BootOptions": link(f"{at.system}/BootOptions"),
        },
        "ProcessorSummary": {"Count": 2, "LogicalProcessorCount": hardware.cpus, "Model": parts.PROCESSOR},
        "MemorySummary": {"TotalSystemMemoryGiB": hardware.memory_gib},
        "Processors": link(f"{at.system}/Processors"),
        "Memory": link(f"{at.system}/Memory"),
        "Storage": link(f"{at.system}/Storage"),
        "EthernetInterfaces": link(f"{at.system}/EthernetInterfaces"),
        "Bios": link(f"{at.system}/Bios"),
        **({"LogServices": link(f"{at.log_owner}/LogServices")} if at.log_owner == at.system else {}),
        "Actions": {
            "#ComputerSystem.Reset": {"target": at.reset, "ResetType@Redfish.AllowableValues": list(RESET_TYPES)}
        },
        "Links": {"ManagedBy": [link(at.manager)], "Chassis": [link(at.chassis)]},
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _other_system(path: str) -> dict[str, Any]:
    """A board that is called a system and has no power switch of its own."""
    name = path.rpartition("/")[2]
    return {
        "@odata.type": "#ComputerSystem.v1_18_0.ComputerSystem",
        "Id": name,
        "Name": name,
        "SystemType": "Physical",
        "Status": {"State": "Enabled", "Health": "OK"},
    }


def _manager(machine: Machine, board: Board, at: Places) -> dict[str, Any]:
    return {
        "@odata.type": "#Manager.v1_16_0.Manager",
        "Id": at.manager.rpartition("/")[2],
        "Name": "Manager",
        "ManagerType": "BMC",
        "DateTime": _time(board.time()),
        "FirmwareVersion": board["firmware"]["BMC"],
        "UUID": str(machine_view.machine_uuid(machine)),
        "PowerState": "On",
        "Status": {"State": "Enabled", "Health": "OK"},
        "EthernetInterfaces": link(f"{at.manager}/EthernetInterfaces"),
        **({"LogServices": link(f"{at.log_owner}/LogServices")} if at.log_owner == at.manager else {}),
        "Links": {"ManagerForServers": [link(at.system)], "ManagerForChassis": [link(at.chassis)]},
    }


def _chassis(machine: Machine, state: State, at: Places) -> dict[str, Any]:
    return {
        "@odata.type": "#Chassis.v1_21_0.Chassis",
        "Id": at.chassis.rpartition("/")[2],
        "Name": "Chassis",
        "ChassisType": "RackMount",
        "Manufacturer": "Firstlight",
        "Model": machine.hardware.model,
        "SerialNumber": machine.serial,
        "PowerState": state.power,
        "Location": {"Placement": {"Rack": machine.rack, "RackOffset": machine.unit, "RackOffsetUnits": "EIA_310"}},
        "Status": {"State": "Enabled", "Health": "OK"},
        "Power": link(f"{at.chassis}/Power"),
        "Thermal": link(f"{at.chassis}/Thermal"),
        "NetworkAdapters": link(f"{at.chassis}/NetworkAdapters"),
        "Links": {"ComputerSystems": [link(at.system)], "ManagedBy": [link(at.manager)]},
    }
