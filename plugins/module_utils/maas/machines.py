# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What MAAS knows of a machine, and its life cycle as MAAS numbers it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from .disks import Disk, root_disk
from .errors import InvalidResponse


class Status(IntEnum):
    """MAAS's node status. Compare numbers: the labels are not uniform (13 reads "Releasing failed")."""

    NEW = 0
    COMMISSIONING = 1
    FAILED_COMMISSIONING = 2
    MISSING = 3
    READY = 4
    RESERVED = 5
    DEPLOYED = 6
    RETIRED = 7
    BROKEN = 8
    DEPLOYING = 9
    ALLOCATED = 10
    FAILED_DEPLOYMENT = 11
    RELEASING = 12
    FAILED_RELEASING = 13
    DISK_ERASING = 14
    FAILED_DISK_ERASING = 15
    RESCUE_MODE = 16
    ENTERING_RESCUE_MODE = 17
    FAILED_ENTERING_RESCUE_MODE = 18
    EXITING_RESCUE_MODE = 19
    FAILED_EXITING_RESCUE_MODE = 20
    TESTING = 21
    FAILED_TESTING = 22


@dataclass(frozen=True)
class Machine:
    """One machine of MAAS. `serial` is empty where MAAS knows none; `addresses` are grouped by subnet (CIDR),
    `networks` are the same by the subnet's name. `bmc_address`, and `bmc_node`, by which a BMC tells apart several, are
    known only to who asked for power parameters.

    `event` is MAAS's latest event for the machine as one line, empty where there is none. `boot_disk` and `root_disk`
    are ids of `disks`: from which the machine will boot, and on which MAAS will mount the root.
    """

    system_id: str
    hostname: str
    status: int
    status_name: str
    fqdn: str = ""
    owner: str | None = None
    locked: bool = False
    osystem: str = ""
    distro_series: str = ""
    power_state: str = ""
    serial: str = ""
    tags: tuple[str, ...] = ()
    pool: str = ""
    zone: str = ""
    description: str = ""
    power_type: str = ""
    mac_addresses: tuple[str, ...] = ()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    primary_address: str | None = None
    bmc_address: str = ""
    bmc_node: str = ""
    error: str = ""
    event: str = ""
    disks: tuple[Disk, ...] = ()
    boot_disk: int | None = None
    root_disk: int | None = None

    @classmethod
    def from_json(cls, data: Any) -> Machine:
        """Read one object of `GET machines/`; raises InvalidResponse that names the key which is missing or wrong."""
        if not isinstance(data, Mapping):
            raise InvalidResponse(f"MAAS sent a {type(data).__name__} where a machine was expected.")
        try:
            addresses = _addresses(data.get("interface_set") or ())
            hardware = data.get("hardware_info") or {}
            serial = str(hardware.get("system_serial") or "").strip()
            devices = data.get("physicalblockdevice_set") or ()
            return cls(
                system_id=str(data["system_id"]),
                hostname=str(data["hostname"]),
                status=int(data["status"]),
                status_name=str(data.get("status_name") or data["status"]),
                fqdn=str(data.get("fqdn") or ""),
                owner=data.get("owner") or None,
                locked=bool(data.get("locked")),
                osystem=str(data.get("osystem") or ""),
                distro_series=str(data.get("distro_series") or ""),
                power_state=str(data.get("power_state") or ""),
                serial="" if serial == "Unknown" else serial,
                tags=tuple(sorted(map(str, data.get("tag_names") or ()))),
                pool=str((data.get("pool") or {}).get("name", "")),
                zone=str((data.get("zone") or {}).get("name", "")),
                description=str(data.get("description") or ""),
                power_type=str(data.get("power_type") or ""),
                mac_addresses=_macs(data.get("interface_set") or ()),
                addresses=addresses,
                networks=_addresses(data.get("interface_set") or (), by="name"),
                primary_address=_primary(data, addresses),
                error=str(data.get("error_description") or ""),
                event=_joined(data.get("status_action"), data.get("status_message")),
                disks=tuple(map(Disk.from_json, devices)),
                boot_disk=int(data["boot_disk"]["id"]) if data.get("boot_disk") else None,
                root_disk=root_disk(devices),
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            name = data.get("hostname") or data.get("system_id") or "a machine"
            raise InvalidResponse(
                f"MAAS's record of {name} cannot be read: {type(error).__name__} {error}.",
                remedy="Is this really the API 2.0 of a MAAS?",
            ) from error

    @classmethod
    def from_vars(cls, data: Mapping[str, Any]) -> Machine:
        """The inverse of `as_vars`, but for what that leaves out."""
        return cls(
            **{
                **data,
                "tags": tuple(data["tags"]),
                "mac_addresses": tuple(data["mac_addresses"]),
                "addresses": {subnet: tuple(found) for subnet, found in data["addresses"].items()},
                "networks": {name: tuple(found) for name, found in data["networks"].items()},
            }
        )

    def as_vars(self) -> dict[str, Any]:
        """The machine as plain data, for variables, results and caches; without its disks."""
        return {
            "system_id": self.system_id,
            "hostname": self.hostname,
            "fqdn": self.fqdn,
            "status": self.status,
            "status_name": self.status_name,
            "power_state": self.power_state,
            "addresses": {subnet: list(found) for subnet, found in self.addresses.items()},
            "networks": {name: list(found) for name, found in self.networks.items()},
            "primary_address": self.primary_address,
            "bmc_address": self.bmc_address,
            "tags": list(self.tags),
            "pool": self.pool,
            "zone": self.zone,
            "description": self.description,
            "power_type": self.power_type,
            "mac_addresses": list(self.mac_addresses),
            "owner": self.owner,
            "osystem": self.osystem,
            "distro_series": self.distro_series,
            "locked": self.locked,
            "serial": self.serial,
        }


def read_list(data: Any) -> list[Machine]:
    """The machines in the answer to `GET machines/`; raises InvalidResponse."""
    if not isinstance(data, list):
        raise InvalidResponse(f"MAAS sent a {type(data).__name__} where a list of machines was expected.")
    return [Machine.from_json(item) for item in data]


def _addresses(interfaces: Sequence[Mapping[str, Any]], *, by: str = "cidr") -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for interface in interfaces:
        for link in interface.get("links") or ():
            address = link.get("ip_address")  # absent, not null, until the machine is deployed
            subnet = (link.get("subnet") or {}).get(by)
            if address and subnet:
                found.setdefault(str(subnet), []).append(str(address))
    return {subnet: tuple(addresses) for subnet, addresses in sorted(found.items())}


def _macs(interfaces: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = {str(item["mac_address"]).lower() for item in interfaces if item.get("mac_address")}
    return tuple(sorted(found))


def _primary(data: Mapping[str, Any], addresses: Mapping[str, tuple[str, ...]]) -> str | None:
    """The address by which to reach the machine: IPv4 before IPv6, the boot interface before the others."""
    boot = _addresses([data["boot_interface"]] if data.get("boot_interface") else [])
    candidates = [address for group in (boot, addresses) for found in group.values() for address in found]
    candidates += map(str, data.get("ip_addresses") or ())
    return next((text for text in candidates if ipaddress.ip_address(text).version == 4), None) or next(
        iter(candidates), None
    )


def _joined(kind: Any, description: Any) -> str:
    return ": ".join(str(part) for part in (kind, description) if part)
