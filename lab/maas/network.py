# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fabrics, VLANs, subnets and the addresses of machines."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from lab.maas.wire import Request, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_FIRST_VLAN = 5001


def fabric_for(region: Region, number: int) -> Record:
    """Fabric by number, made when it is not there."""
    fabrics: list[Record] = region.store.data["fabrics"]
    while len(fabrics) <= number:
        index = len(fabrics)
        fabrics.append({"id": index, "name": f"fabric-{index}", "vlan": _FIRST_VLAN + index})
    return fabrics[number]


def add_subnet(region: Region, cidr: str, gateway: str | None = None) -> Record:
    """Subnet by CIDR, made on fabric-0 when it is not there."""
    found = next((subnet for subnet in region.store.data["subnets"] if subnet["cidr"] == cidr), None)
    if found is None:
        fabric = fabric_for(region, 0)
        found = {"id": region.store.next_id("subnet"), "cidr": cidr, "gateway": gateway, "fabric": fabric["id"]}
        region.store.data["subnets"].append(found)
    return dict(found)


def subnet_by_id(region: Region, number: int) -> Record:
    """Subnet by id."""
    return next(subnet for subnet in region.store.data["subnets"] if subnet["id"] == number)


def free_address(region: Region, subnet: Record) -> str | None:
    """First address of a subnet that no machine holds; None when there is none left."""
    held = {
        link.get("ip_address")
        for machine in region.store.data["machines"]
        for interface in machine["interfaces"]
        for link in interface["links"]
    }
    for address in ipaddress.ip_network(subnet["cidr"]).hosts():
        if str(address) != subnet["gateway"] and str(address) not in held:
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


def show_vlan(fabric: Record) -> Record:
    """A fabric's untagged VLAN."""
    return {
        "vid": 0,
        "mtu": 1500,
        "dhcp_on": False,
        "external_dhcp": None,
        "relay_vlan": None,
        "space": "undefined",
        "secondary_rack": None,
        "id": fabric["vlan"],
        "name": "untagged",
        "fabric": fabric["name"],
        "fabric_id": fabric["id"],
        "primary_rack": None,
        "resource_uri": f"/MAAS/api/2.0/vlans/{fabric['vlan']}/",
    }


def show_subnet(region: Region, subnet: Record) -> Record:
    """A subnet with its VLAN."""
    return {
        "name": subnet["cidr"],
        "description": "",
        "vlan": show_vlan(region.store.data["fabrics"][subnet["fabric"]]),
        "cidr": subnet["cidr"],
        "rdns_mode": 2,
        "gateway_ip": subnet["gateway"],
        "dns_servers": [],
        "allow_dns": True,
        "allow_proxy": True,
        "active_discovery": False,
        "managed": True,
        "disabled_boot_architectures": [],
        "space": "undefined",
        "id": subnet["id"],
        "resource_uri": f"/MAAS/api/2.0/subnets/{subnet['id']}/",
    }


DOMAIN = {
    "authoritative": True,
    "ttl": None,
    "is_default": True,
    "id": 0,
    "name": "maas",
    "resource_record_count": 0,
    "resource_uri": "/MAAS/api/2.0/domains/0/",
}


def list_fabrics(region: Region, request: Request) -> list[Record]:
    """`GET fabrics/`"""
    return [
        {
            "class_type": None,
            "vlans": [show_vlan(fabric)],
            "id": fabric["id"],
            "name": fabric["name"],
            "resource_uri": f"/MAAS/api/2.0/fabrics/{fabric['id']}/",
        }
        for fabric in region.store.data["fabrics"]
    ]


def list_vlans(region: Region, request: Request, fabric: str) -> list[Record]:
    """`GET fabrics/{id}/vlans/`"""
    found = [one for one in region.store.data["fabrics"] if fabric in (str(one["id"]), one["name"])]
    if not found:
        raise missing("Fabric")
    return [show_vlan(one) for one in found]


def read_vlan(region: Region, request: Request, fabric: str, vid: str) -> Record:
    """`GET fabrics/{id}/vlans/{vid}/`: every fabric has its untagged VLAN only."""
    vlans = list_vlans(region, request, fabric)
    if vid != "0":
        raise missing("VLAN")
    return vlans[0]


def list_subnets(region: Region, request: Request) -> list[Record]:
    """`GET subnets/`"""
    return [show_subnet(region, subnet) for subnet in region.store.data["subnets"]]


def read_subnet(region: Region, request: Request, which: str) -> Record:
    """`GET subnets/{id|cidr|name:...}/`"""
    plain = which.removeprefix("cidr:").removeprefix("name:")
    for subnet in region.store.data["subnets"]:
        if plain in (str(subnet["id"]), subnet["cidr"]):
            return show_subnet(region, subnet)
    raise missing("Subnet")


def list_domains(region: Region, request: Request) -> list[Record]:
    """`GET domains/`"""
    return [DOMAIN]
