# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resources of a machine's Redfish service that say how the machine is; sessions are not among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab import machine_view
from lab.bmc.power import BOOT_ENABLED, BOOT_MODES, BOOT_TARGETS, RESET_TYPES, State
from lab.machines import Machine

ROOT = "/redfish/v1"
SYSTEM = f"{ROOT}/Systems/System.1"
MANAGER = f"{ROOT}/Managers/BMC.1"
CHASSIS = f"{ROOT}/Chassis/Chassis.1"
SESSIONS = f"{ROOT}/SessionService/Sessions"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"

SESSION_SECONDS = 1800


def build(machine: Machine, state: State) -> Mapping[str, dict[str, Any]]:
    """Every resource by its path, as it is in `state`."""
    manager_mac = machine.mac.replace("52:54:00:00", "52:54:00:01")
    resources = {
        ROOT: _root(machine),
        f"{ROOT}/SessionService": _session_service(),
        f"{ROOT}/Systems": collection("ComputerSystem", [SYSTEM]),
        SYSTEM: _system(machine, state),
        f"{SYSTEM}/EthernetInterfaces": collection("EthernetInterface", [f"{SYSTEM}/EthernetInterfaces/NIC.1"]),
        f"{SYSTEM}/EthernetInterfaces/NIC.1": _ethernet(machine.mac, machine.address, state.power == "On"),
        f"{ROOT}/Managers": collection("Manager", [MANAGER]),
        MANAGER: _manager(machine),
        f"{MANAGER}/EthernetInterfaces": collection("EthernetInterface", [f"{MANAGER}/EthernetInterfaces/NIC.1"]),
        f"{MANAGER}/EthernetInterfaces/NIC.1": _ethernet(manager_mac, machine.bmc.address, True),
        f"{ROOT}/Chassis": collection("Chassis", [CHASSIS]),
        CHASSIS: _chassis(machine, state),
    }
    return {path: {"@odata.id": path, **resource} for path, resource in resources.items()}


def collection(kind: str, members: list[str]) -> dict[str, Any]:
    return {
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members": [link(member) for member in members],
        "Members@odata.count": len(members),
    }


def link(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def _root(machine: Machine) -> dict[str, Any]:
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


def _system(machine: Machine, state: State) -> dict[str, Any]:
    hardware = machine.hardware
    return {
        "@odata.type": "#ComputerSystem.v1_18_0.ComputerSystem",
        "Id": SYSTEM.rpartition("/")[2],
        "Name": "System",
        "SystemType": "Physical",
        "Manufacturer": "Firstlight",
        "Model": hardware.model,
        "SerialNumber": machine.serial,
        "UUID": str(machine_view.machine_uuid(machine)),
        "BiosVersion": "1.0",
        "HostName": machine.name,
        "PowerState": state.power,
        "Status": {"State": "Enabled" if state.power == "On" else "StandbyOffline", "Health": "OK"},
        "Boot": {
            "BootSourceOverrideTarget": state.boot.target,
            "BootSourceOverrideTarget@Redfish.AllowableValues": list(BOOT_TARGETS),
            "BootSourceOverrideEnabled": state.boot.enabled,
            "BootSourceOverrideEnabled@Redfish.AllowableValues": list(BOOT_ENABLED),
            "BootSourceOverrideMode": state.boot.mode,
            "BootSourceOverrideMode@Redfish.AllowableValues": list(BOOT_MODES),
        },
        "ProcessorSummary": {"LogicalProcessorCount": hardware.cpus},
        "MemorySummary": {"TotalSystemMemoryGiB": hardware.memory_gib},
        "EthernetInterfaces": link(f"{SYSTEM}/EthernetInterfaces"),
        "Actions": {"#ComputerSystem.Reset": {"target": RESET, "ResetType@Redfish.AllowableValues": list(RESET_TYPES)}},
        "Links": {"ManagedBy": [link(MANAGER)], "Chassis": [link(CHASSIS)]},
    }


def _manager(machine: Machine) -> dict[str, Any]:
    return {
        "@odata.type": "#Manager.v1_16_0.Manager",
        "Id": MANAGER.rpartition("/")[2],
        "Name": "Manager",
        "ManagerType": "BMC",
        "FirmwareVersion": "1.0",
        "UUID": str(machine_view.machine_uuid(machine)),
        "PowerState": "On",
        "Status": {"State": "Enabled", "Health": "OK"},
        "EthernetInterfaces": link(f"{MANAGER}/EthernetInterfaces"),
        "Links": {"ManagerForServers": [link(SYSTEM)], "ManagerForChassis": [link(CHASSIS)]},
    }


def _chassis(machine: Machine, state: State) -> dict[str, Any]:
    return {
        "@odata.type": "#Chassis.v1_21_0.Chassis",
        "Id": CHASSIS.rpartition("/")[2],
        "Name": "Chassis",
        "ChassisType": "RackMount",
        "Manufacturer": "Firstlight",
        "Model": machine.hardware.model,
        "SerialNumber": machine.serial,
        "PowerState": state.power,
        "Location": {"Placement": {"Rack": machine.rack, "RackOffset": machine.unit, "RackOffsetUnits": "EIA_310"}},
        "Status": {"State": "Enabled", "Health": "OK"},
        "Links": {"ComputerSystems": [link(SYSTEM)], "ManagedBy": [link(MANAGER)]},
    }


def _ethernet(mac: str, address: str, up: bool) -> dict[str, Any]:
    return {
        "@odata.type": "#EthernetInterface.v1_8_0.EthernetInterface",
        "Id": "NIC.1",
        "Name": "Ethernet Interface",
        "MACAddress": mac,
        "PermanentMACAddress": mac,
        "LinkStatus": "LinkUp" if up else "NoLink",
        "IPv4Addresses": [{"Address": address}],
        "Status": {"State": "Enabled", "Health": "OK"},
    }
