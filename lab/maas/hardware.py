# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hardware of machines: as enrolled, and as their commissioning reported it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from lab.maas import network

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

INFO_KEYS = [
    "system_vendor",
    "system_product",
    "system_family",
    "system_version",
    "system_sku",
    "system_serial",
    "cpu_model",
    "mainboard_vendor",
    "mainboard_product",
    "mainboard_serial",
    "mainboard_version",
    "mainboard_firmware_vendor",
    "mainboard_firmware_date",
    "mainboard_firmware_version",
    "chassis_vendor",
    "chassis_type",
    "chassis_serial",
    "chassis_version",
]


class BadReport(Exception):
    """A commissioning report that cannot be used."""


def new_interface(region: Region, mac: str, name: str) -> Record:
    """An interface of which nothing but the MAC is known."""
    return {
        "id": region.store.next_id("interface"),
        "name": name,
        "mac_address": mac,
        "vlan": None,
        "links": [],
        "discovered": None,
        "vendor": None,
        "product": None,
        "firmware_version": None,
        "link_speed": 0,
    }


def take_report(region: Region, machine: Record, report: Any) -> None:
    """Take over what the machine found out about itself.

    Args:
        region: the region.
        machine: the machine that was commissioned.
        report: {"serial", "macs", "cpu_count", "memory_mib", "storage_mb"}, and optionally "cpu_speed" (MHz), more
            keys of `hardware_info`, "interfaces" ([{"mac", "vendor", "product", "firmware_version", "link_speed"
            (Mbit/s), "address": "10.0.0.5/24"}]) and "disks" ([{"name", "size" (bytes), "tags", "model", "serial"}]),
            which say more than "macs" and "storage_mb".

    Raises:
        BadReport: a value of the wrong kind.
    """
    if not isinstance(report, dict):
        raise BadReport("hardware is no object")
    try:
        machine["cpu_count"] = int(report.get("cpu_count", 0))
        machine["cpu_speed"] = int(report.get("cpu_speed", 0))
        machine["memory"] = int(report.get("memory_mib", 0))
        info = {key: str(report[key]) for key in INFO_KEYS if report.get(key)}
        if report.get("serial"):
            info["system_serial"] = str(report["serial"])
        machine["hardware_info"] = info
        cards = report.get("interfaces") or [{"mac": mac} for mac in report.get("macs", [])]
        _take_interfaces(region, machine, cards)
        disks = report.get("disks")
        if disks is None and report.get("storage_mb"):
            disks = [{"name": "sda", "size": int(float(report["storage_mb"]) * 1_000_000)}]
        _take_disks(region, machine, disks or [])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadReport(f"hardware: {type(error).__name__}: {error}") from error
    machine["commissioned"] = True


def _take_interfaces(region: Region, machine: Record, cards: list[Any]) -> None:
    macs = [str(card["mac"]).lower() for card in cards]
    for other in region.store.data["machines"]:
        if other is not machine and any(one["mac_address"] in macs for one in other["interfaces"]):
            # a card that shows up in another machine has been moved there
            other["interfaces"] = [one for one in other["interfaces"] if one["mac_address"] not in macs]
    for position, card in enumerate(cards):
        mac = macs[position]
        interface = next((one for one in machine["interfaces"] if one["mac_address"] == mac), None)
        if interface is None:
            interface = new_interface(region, mac, f"eth{len(machine['interfaces'])}")
            machine["interfaces"].append(interface)
            interface = machine["interfaces"][-1]
        if interface["vlan"] is None:
            # of a card that it did not start from nothing tells where it is plugged in: MAAS makes a fabric for it
            fabric = 0 if position == 0 else network.new_fabric(region)["id"]
            interface["vlan"] = network.default_vlan(region, fabric)["id"]
        for key in ("vendor", "product", "firmware_version"):
            interface[key] = card.get(key)
        interface["link_speed"] = int(card.get("link_speed", 0))
        address = card.get("address")
        interface["discovered"] = _discover(region, machine, str(address)) if address else None
        interface["links"] = [default_link(region, interface)]


def default_link(region: Region, interface: Record) -> Record:
    """How a commissioned interface is linked: to the first subnet of its VLAN, else only up."""
    subnet = next((one for one in region.store.data["subnets"] if one["vlan"] == interface["vlan"]), None)
    link = {"id": region.store.next_id("link"), "mode": "auto" if subnet else "link_up"}
    return {**link, "subnet": subnet["id"]} if subnet else link


def _discover(region: Region, machine: Record, address: str) -> Record:
    found = ipaddress.ip_interface(address)
    for other in region.store.data["machines"]:
        for interface in other["interfaces"]:
            held = interface["discovered"]
            if other is not machine and held and held["ip_address"] == str(found.ip):
                # the lease went to this machine
                interface["discovered"] = None
    subnet = network.add_subnet(region, str(found.network))
    return {"subnet": subnet["id"], "ip_address": str(found.ip)}


def _take_disks(region: Region, machine: Record, disks: list[Any]) -> None:
    known = {disk["serial"] or disk["name"]: disk for disk in machine["disks"]}
    # The system's disk stays the one it was, whatever it is called now.
    first = next(iter(known), "")
    taken: list[Record] = []
    for given in sorted(disks, key=lambda disk: str(disk.get("serial") or disk["name"]) != first):
        name = str(given["name"])
        before = known.get(str(given.get("serial") or name), {})
        taken.append(
            {
                "id": before.get("id") or region.store.next_id("blockdevice"),
                "name": name,
                "size": int(given["size"]),
                "model": str(given.get("model", "")),
                "serial": str(given.get("serial", "")),
                "tags": [str(tag) for tag in given.get("tags", [])],
                # the boot disk gets MAAS's flat layout
                "partition": None if taken else _new_partition(region),
            }
        )
    machine["disks"] = taken


def lay_out(region: Region, machine: Record, flat: bool) -> None:
    """Give the boot disk one partition, or none at all."""
    for position, disk in enumerate(machine["disks"]):
        disk["partition"] = _new_partition(region) if flat and position == 0 else None


def _new_partition(region: Region) -> Record:
    return {
        "id": region.store.next_id("partition"),
        "uuid": region.new_uuid(),
        "filesystem": region.new_uuid(),
    }


def forget_layout(machine: Record, networking: bool, storage: bool) -> None:
    """What a new commissioning undoes before it starts: links and partitions."""
    if networking:
        for interface in machine["interfaces"]:
            interface["links"] = []
    if storage:
        for disk in machine["disks"]:
            disk["partition"] = None
