# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is built into a machine, as its BMC tells it: processors, memory, disks, NICs, power supplies, sensors."""

from __future__ import annotations

from typing import Any

from lab.bmc import faults
from lab.bmc.places import Places, collection, link
from lab.bmc.power import State
from lab.machines import Machine

PROCESSOR = "FL-9000 56-Core Processor"
_DIMMS = 16
_OK = {"State": "Enabled", "Health": "OK"}


def build(machine: Machine, state: State, at: Places, asked: faults.Asked) -> dict[str, dict[str, Any]]:
    """By path, without `@odata.id`."""
    manager_mac = machine.mac.replace("52:54:00:00", "52:54:00:01")
    on = state.power == "On"
    link_up = on and not asked(faults.NO_LINK)
    return {
        **_group(f"{at.system}/Processors", "Processor", _processors(machine)),
        **_group(f"{at.system}/Memory", "Memory", _memory(machine)),
        **_storage(machine, f"{at.system}/Storage", asked),
        **_group(
            f"{at.system}/EthernetInterfaces",
            "EthernetInterface",
            {"NIC.1": _ethernet(machine.mac, machine.address, link_up)},
        ),
        **_group(
            f"{at.manager}/EthernetInterfaces",
            "EthernetInterface",
            {"NIC.1": _ethernet(manager_mac, machine.bmc.address, True)},
        ),
        **_adapters(machine, f"{at.chassis}/NetworkAdapters", link_up),
        f"{at.chassis}/Power": _power(on, not asked(faults.NO_POWER)),
        f"{at.chassis}/Thermal": _thermal(on),
    }


def _group(path: str, kind: str, members: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A collection and its members."""
    return {
        path: collection(kind, [f"{path}/{name}" for name in members]),
        **{
            f"{path}/{name}": {"@odata.type": f"#{kind}.v1_8_0.{kind}", "Id": name, "Name": name, **content}
            for name, content in members.items()
        },
    }


def _processors(machine: Machine) -> dict[str, dict[str, Any]]:
    threads = machine.hardware.cpus // 2
    return {
        f"CPU.{socket}": {
            "ProcessorType": "CPU",
            "Model": PROCESSOR,
            "TotalThreads": threads,
            "TotalCores": threads // 2,
            "Status": _OK,
        }
        for socket in (1, 2)
    }


def _memory(machine: Machine) -> dict[str, dict[str, Any]]:
    return {
        f"DIMM.{slot}": {
            "CapacityMiB": machine.hardware.memory_gib * 1024 // _DIMMS,
            "MemoryDeviceType": "DDR5",
            "SerialNumber": f"{machine.serial}-M{slot}",
            "Status": _OK,
        }
        for slot in range(1, _DIMMS + 1)
    }


def _storage(machine: Machine, path: str, asked: faults.Asked) -> dict[str, dict[str, Any]]:
    count = 0 if asked(faults.NO_DISK) else 2 if asked(faults.RENAMED) else 1
    drives = {f"{path}/NVMe/Drives/Disk.{number}": number for number in range(count)}
    return {
        path: collection("Storage", [f"{path}/NVMe"]),
        f"{path}/NVMe": {
            "@odata.type": "#Storage.v1_13_0.Storage",
            "Id": "NVMe",
            "Name": "NVMe",
            "Drives": [link(drive) for drive in drives],
            "Status": _OK,
        },
        **{
            drive: {
                "@odata.type": "#Drive.v1_15_0.Drive",
                "Id": f"Disk.{number}",
                "Name": f"Disk {number}",
                "SerialNumber": f"{machine.serial}-D{number}",
                "CapacityBytes": machine.hardware.disk_gb * 10**9,
                "Status": _OK,
            }
            for drive, number in drives.items()
        },
    }


def _ethernet(mac: str, address: str, up: bool) -> dict[str, Any]:
    return {
        "Name": "Ethernet Interface",
        "MACAddress": mac,
        "PermanentMACAddress": mac,
        "LinkStatus": "LinkUp" if up else "NoLink",
        "IPv4Addresses": [{"Address": address}],
        "Status": _OK,
    }


def _adapters(machine: Machine, path: str, up: bool) -> dict[str, dict[str, Any]]:
    card = f"{path}/NIC.1"
    functions, ports = f"{card}/NetworkDeviceFunctions", f"{card}/Ports"
    content = {"Manufacturer": "Firstlight", "Model": "ConnectX-7", "Status": _OK}
    return {
        **_group(
            path,
            "NetworkAdapter",
            {"NIC.1": {**content, "NetworkDeviceFunctions": link(functions), "Ports": link(ports)}},
        ),
        **_group(
            functions,
            "NetworkDeviceFunction",
            {
                "1": {
                    "NetDevFuncType": "Ethernet",
                    "Ethernet": {"MACAddress": machine.mac, "PermanentMACAddress": machine.mac},
                    "Links": {"PhysicalPortAssignment": link(f"{ports}/1")},
                }
            },
        ),
        **_group(ports, "Port", {"1": {"LinkStatus": "LinkUp" if up else "LinkDown", "Status": _OK}}),
    }


def _power(on: bool, supplied: bool) -> dict[str, Any]:
    status = _OK if supplied else {"State": "UnavailableOffline", "Health": "Critical"}
    return {
        "@odata.type": "#Power.v1_7_1.Power",
        "Id": "Power",
        "Name": "Power",
        "PowerControl": [{"Name": "System Power Control", "PowerConsumedWatts": 2400 if on else 40}],
        "PowerSupplies": [
            {
                "Name": f"PSU {number}",
                "PowerCapacityWatts": 3300,
                "LineInputVoltage": 230 if supplied else 0,
                "Status": status,
            }
            for number in range(1, 7)
        ],
    }


def _thermal(on: bool) -> dict[str, Any]:
    # Without power most sensors have no reading, and are told as absent.
    gone = {"State": "Absent"}
    return {
        "@odata.type": "#Thermal.v1_7_1.Thermal",
        "Id": "Thermal",
        "Name": "Thermal",
        "Temperatures": [
            {"Name": "Inlet", "ReadingCelsius": 22, "UpperThresholdCritical": 42, "Status": _OK},
            {"Name": "CPU 1", "ReadingCelsius": 48 if on else None, "Status": _OK if on else gone},
        ],
        "Fans": [
            {"Name": f"Fan {number}", "Reading": 9000 if on else None, "ReadingUnits": "RPM", "Status": _OK}
            for number in range(1, 9)
        ],
    }
