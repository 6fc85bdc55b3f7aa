# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region's networks as its machines need them: VLANs and subnets, how they are shown, and who has which address."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

API = "/MAAS/api/2.0"


def new_fabric(region: Region, name: str = "", description: str = "", class_type: str | None = None) -> Record:
    """A fabric with its untagged VLAN."""
    number = region.store.next_id("fabric")
    fabric = region.store.add(
        "fabrics",
        {"id": number, "name": name or f"fabric-{number}", "description": description, "class_type": class_type},
    )
    new_vlan(region, number, 0, "untagged")
    return fabric


def new_vlan(region: Region, fabric: int, vid: int, name: str | None, **more: Any) -> Record:
    """A VLAN of a fabric."""
    vlan = {
        "id": region.store.next_id("vlan"),
        "vid": vid,
        "name": name,
        "fabric": fabric,
        "mtu": 1500,
        "description": "",
        "dhcp_on": False,
        "primary_rack": None,
        "secondary_rack": None,
        "relay_vlan": None,
        "space": None,
    }
    return region.store.add("vlans", {**vlan, **more})


def vlan_by_id(region: Region, number: int) -> Record:
    """VLAN by id."""
    found: Record = next(vlan for vlan in region.store.data["vlans"] if vlan["id"] == number)
    return found


def default_vlan(region: Region, fabric: int = 0) -> Record:
    """A fabric's untagged VLAN: the one that was there first."""
    found: Record = next(vlan for vlan in region.store.data["vlans"] if vlan["fabric"] == fabric)
    return found


def new_subnet(region: Region, cidr: str, vlan: int, **more: Any) -> Record:
    """A subnet of a VLAN."""
    subnet = {
        "id": region.store.next_id("subnet"),
        "name": cidr,
        "description": "",
        "vlan": vlan,
        "cidr": cidr,
        "rdns_mode": 2,
        "gateway_ip": None,
        "dns_servers": [],
        "allow_dns": True,
        "allow_proxy": True,
        "active_discovery": False,
        "managed": True,
        "disabled_boot_architectures": [],
    }
    return region.store.add("subnets", {**subnet, **more})


def add_subnet(region: Region, cidr: str, gateway: str | None = None) -> Record:
    """Subnet by CIDR, made on fabric-0 when it is not there."""
    found: Record | None = next((one for one in region.store.data["subnets"] if one["cidr"] == cidr), None)
    return found or new_subnet(region, cidr, default_vlan(region)["id"], gateway_ip=gateway)


def subnet_by_id(region: Region, number: int) -> Record:
    """Subnet by id."""
    found: Record = next(subnet for subnet in region.store.data["subnets"] if subnet["id"] == number)
    return found


def held_addresses(region: Region) -> dict[str, Record]:
    """Machine by each address that a link of it holds."""
    return {
        link["ip_address"]: machine
        for machine in region.store.data["machines"]
        for interface in machine["interfaces"]
        for link in interface["links"]
        if link.get("ip_address")
    }


def free_address(region: Region, subnet: Record) -> str | None:
    """First address of a subnet that no machine holds and no range takes; None when there is none left."""
    held = held_addresses(region)
    taken = [
        (int(ipaddress.ip_address(one["start_ip"])), int(ipaddress.ip_address(one["end_ip"])))
        for one in region.store.data["ipranges"]
        if one["subnet"] == subnet["id"]
    ]
    for address in ipaddress.ip_network(subnet["cidr"]).hosts():
        if str(address) == subnet["gateway_ip"] or str(address) in held:
            continue
        if not any(first <= int(address) <= last for first, last in taken):
            return str(address)
    return None


def assign(region: Region, machine: Record) -> bool:
    """Give the machine's automatic links their addresses: the lab's for its own machines, else the first free one.

    False when a subnet is exhausted.
    """
    for interface in machine["interfaces"]:
        for link in interface["links"]:
            if link["mode"] != "auto" or link.get("ip_address"):
                continue
            address = region.roster.address_of(interface["mac_address"])
            address = address or free_address(region, subnet_by_id(region, link["subnet"]))
            if address is None:
                return False
            link["ip_address"] = address
    return True


def unassign(machine: Record) -> None:
    """Take the addresses of automatic links back."""
    for interface in machine["interfaces"]:
        for link in interface["links"]:
            if link["mode"] == "auto":
                link.pop("ip_address", None)


# -- shown -----------------------------------------------------------------------------------------------------------


def _space_name(region: Region, vlan: Record) -> str:
    if vlan["space"] is None:
        return "undefined"
    return str(next(space["name"] for space in region.store.data["spaces"] if space["id"] == vlan["space"]))


def show_vlan(region: Region, vlan: Record) -> Record:
    """A VLAN."""
    fabric = next(one for one in region.store.data["fabrics"] if one["id"] == vlan["fabric"])
    relay = vlan["relay_vlan"]
    return {
        "vid": vlan["vid"],
        "mtu": vlan["mtu"],
        "dhcp_on": vlan["dhcp_on"],
        "external_dhcp": None,
        "relay_vlan": None if relay is None else show_vlan(region, vlan_by_id(region, relay)),
        "space": _space_name(region, vlan),
        "secondary_rack": vlan["secondary_rack"],
        "id": vlan["id"],
        "name": vlan["name"] or str(vlan["vid"]),
        "fabric": fabric["name"],
        "fabric_id": fabric["id"],
        "primary_rack": vlan["primary_rack"],
        "resource_uri": f"{API}/vlans/{vlan['id']}/",
    }


def show_subnet(region: Region, subnet: Record) -> Record:
    """A subnet with its VLAN."""
    vlan = vlan_by_id(region, subnet["vlan"])
    return {
        **subnet,
        "vlan": show_vlan(region, vlan),
        "space": _space_name(region, vlan),
        "resource_uri": f"{API}/subnets/{subnet['id']}/",
    }


DOMAIN = {
    "authoritative": True,
    "ttl": None,
    "is_default": True,
    "id": 0,
    "name": "maas",
    "resource_record_count": 0,
    "resource_uri": f"{API}/domains/0/",
}
