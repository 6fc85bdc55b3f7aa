# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets: read, create, change, delete, and what is said about their addresses."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from lab.maas.forms import string_bool, values_of
from lab.maas.network import API, default_vlan, held_addresses, new_subnet, show_subnet
from lab.maas.wire import NO_CHOICE, NO_CONTENT, Errors, Refusal, Request, Response, admins_only, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_FLAGS = ("allow_dns", "allow_proxy", "active_discovery", "managed")
_NO_ADDRESS = "Enter a valid IPv4 or IPv6 address."


def find(region: Region, which: str) -> Record:
    """Subnet by id, CIDR or name, as URLs and forms name it.

    Raises:
        Refusal: 404, there is none.
    """
    kind, colon, plain = which.partition(":")
    for subnet in region.store.data["subnets"]:
        known = {"id": str(subnet["id"]), "cidr": subnet["cidr"], "name": subnet["name"]}
        if known.get(kind) == plain if colon and kind in known else which in (known["id"], known["cidr"]):
            found: Record = subnet
            return found
    raise missing("Subnet")


def chosen(region: Region, which: Any, errors: Errors) -> Record | None:
    """Subnet that a form names; an error where there is none."""
    try:
        return find(region, str(which))
    except Refusal:
        errors.add("subnet", NO_CHOICE)
        return None


def _network(given: str, errors: Errors) -> Network | None:
    try:
        network = ipaddress.ip_network(given, strict=False)
    except ValueError:
        errors.add("cidr", "Required format: <network>/<prefixlen>.")
        return None
    if network.prefixlen == 0:
        errors.add("cidr", "Prefix length must be greater than 0.")
    return network


def _check_cidr(region: Region, network: Network, subnet: Record | None, errors: Errors) -> None:
    others = [one for one in region.store.data["subnets"] if one is not subnet]
    if any(one["cidr"] == str(network) for one in others):
        errors.add("cidr", "Subnet with this Cidr already exists.")
    if any(_overlap(ipaddress.ip_network(one["cidr"]), network) for one in others):
        errors.add("__all__", f"Subnet {network} would overlap with existing subnets.")


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _vlan(region: Region, data: Any, errors: Errors) -> int | None:
    """VLAN of a new subnet: by id, or by fabric and vid, else the default one."""
    vlans = region.store.data["vlans"]
    fabric = 0
    given = data.get("fabric")
    if given not in (None, ""):
        numbers = [one["id"] for one in region.store.data["fabrics"] if str(given) in (str(one["id"]), one["name"])]
        if not numbers:
            errors.add("fabric", NO_CHOICE)
            return None
        fabric = numbers[0]
    if data.get("vlan") not in (None, ""):
        return _vlan_by_id(region, str(data.get("vlan")), errors)
    vid = data.get("vid")
    if vid in (None, "", "0", 0):
        return int(default_vlan(region, fabric)["id"])
    found = [vlan["id"] for vlan in vlans if vlan["fabric"] == fabric and str(vlan["vid"]) == str(vid)]
    if not found:
        where = "default fabric" if given in (None, "") else f"fabric {given}"
        errors.add("vid", f"No VLAN with vid {vid} in {where}.")
        return None
    return int(found[0])


def _vlan_by_id(region: Region, given: str, errors: Errors) -> int | None:
    found = [vlan["id"] for vlan in region.store.data["vlans"] if str(vlan["id"]) == given]
    if not found:
        errors.add("vlan", NO_CHOICE)
    return found[0] if found else None


def _changes(data: Any, network: Network | None, errors: Errors) -> Record:
    changes: Record = {}
    for key in ("name", "description"):
        if data.get(key):
            changes[key] = str(data.get(key))
    gateway = data.get("gateway_ip")
    if gateway == "":
        changes["gateway_ip"] = None
    elif gateway is not None:
        changes["gateway_ip"] = _gateway(str(gateway), network, errors)
    mode = data.get("rdns_mode")
    if mode not in (None, ""):
        if str(mode) in ("0", "1", "2"):
            changes["rdns_mode"] = int(mode)
        else:
            errors.add("rdns_mode", f"Select a valid choice. {mode} is not one of the available choices.")
    for key in _FLAGS:
        if data.get(key) is not None:
            changes[key] = bool(string_bool(data.get(key)))
    for key in ("dns_servers", "disabled_boot_architectures"):
        if data.get(key) is not None:
            changes[key] = [word for one in values_of(data, key) for word in str(one).replace(",", " ").split()]
    for server in changes.get("dns_servers", []):
        if _address(server) is None:
            errors.add("dns_servers", f"Invalid IP address: {server}; provide a list of space-separated IP addresses")
    return changes


def _address(given: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(given)
    except ValueError:
        return None


def _gateway(given: str, network: Network | None, errors: Errors) -> str | None:
    address = _address(given)
    if address is None:
        errors.add("gateway_ip", _NO_ADDRESS)
    elif network and address not in network:
        errors.add("gateway_ip", "Gateway IP must be within CIDR range.")
    return str(address) if address else None


def list_subnets(region: Region, request: Request) -> list[Record]:
    """`GET subnets/`"""
    return [show_subnet(region, subnet) for subnet in region.store.data["subnets"]]


def create(region: Region, request: Request) -> Record:
    """`POST subnets/`"""
    admins_only(request)
    data, errors, network = request.data, Errors(), None
    if not data.get("cidr"):
        errors.add("cidr", "This field is required.")
    else:
        network = _network(str(data.get("cidr")), errors)
    if network:
        _check_cidr(region, network, None, errors)
    vlan = _vlan(region, data, errors)
    changes = _changes(data, network, errors)
    errors.refuse()
    assert network is not None and vlan is not None
    return show_subnet(region, new_subnet(region, str(network), vlan, **changes))


def read(region: Region, request: Request, which: str) -> Record:
    """`GET subnets/{id|cidr:...|name:...}/`"""
    return show_subnet(region, find(region, which))


def update(region: Region, request: Request, which: str) -> Record:
    """`PUT subnets/{id}/`"""
    subnet = find(region, which)
    if not request.is_admin:
        raise forbidden()
    data, errors = request.data, Errors()
    network: Network | None = ipaddress.ip_network(subnet["cidr"])
    if data.get("cidr") and str(data.get("cidr")) != subnet["cidr"]:
        network = _network(str(data.get("cidr")), errors)
        if network:
            _check_cidr(region, network, subnet, errors)
    changes = _changes(data, network, errors)
    if data.get("vlan") not in (None, ""):
        changes["vlan"] = _vlan_by_id(region, str(data.get("vlan")), errors)
    errors.refuse()
    if subnet["name"] == subnet["cidr"]:
        changes.setdefault("name", str(network))
    subnet.update({**changes, "cidr": str(network)})
    return show_subnet(region, subnet)


def delete(region: Region, request: Request, which: str) -> Response:
    """`DELETE subnets/{id}/`: not while machines hold addresses of it, or while DHCP serves it."""
    subnet = find(region, which)
    if not request.is_admin:
        raise forbidden()
    data = region.store.data
    if subnet["id"] in _used(region) and not string_bool(request.query.get("force", False)):
        raise Refusal(400, {"__all__": ["Cannot delete a subnet that has IP addresses in use."]})
    vlan = next(one for one in data["vlans"] if one["id"] == subnet["vlan"])
    dynamic = [one for one in data["ipranges"] if one["subnet"] == subnet["id"] and one["type"] == "dynamic"]
    if vlan["dhcp_on"] and dynamic:
        raise Refusal(400, {"__all__": ["Cannot delete a subnet that is actively servicing a dynamic IP range."]})
    data["ipranges"] = [one for one in data["ipranges"] if one["subnet"] != subnet["id"]]
    for machine in data["machines"]:
        for interface in machine["interfaces"]:
            interface["links"] = [link for link in interface["links"] if link.get("subnet") != subnet["id"]]
            if interface["discovered"] and interface["discovered"]["subnet"] == subnet["id"]:
                interface["discovered"] = None
    data["subnets"].remove(subnet)
    return NO_CONTENT


def _used(region: Region) -> set[int]:
    return {
        link["subnet"]
        for machine in region.store.data["machines"]
        for interface in machine["interfaces"]
        for link in interface["links"]
        if link.get("ip_address")
    }


# -- addresses -------------------------------------------------------------------------------------------------------


def _hosts(subnet: Record) -> tuple[int, int]:
    network = ipaddress.ip_network(subnet["cidr"])
    first, last = int(network[0]), int(network[-1])
    return (first, last) if network.num_addresses <= 2 else (first + 1, last - 1)


def _taken(region: Region, subnet: Record) -> list[tuple[int, int, str]]:
    """(first, last, purpose) of everything in a subnet that is not free, in order."""
    taken = [
        (int(ipaddress.ip_address(one["start_ip"])), int(ipaddress.ip_address(one["end_ip"])), str(one["type"]))
        for one in region.store.data["ipranges"]
        if one["subnet"] == subnet["id"]
    ]
    single = [(subnet["gateway_ip"], "gateway-ip")] if subnet["gateway_ip"] else []
    single += [(server, "dns-server") for server in subnet["dns_servers"]]
    network = ipaddress.ip_network(subnet["cidr"])
    held = [(address, "assigned-ip") for address in held_addresses(region)]
    single += [one for one in held if ipaddress.ip_address(one[0]) in network]
    taken += [(int(ipaddress.ip_address(address)), int(ipaddress.ip_address(address)), why) for address, why in single]
    return sorted(taken)


def _free(region: Region, subnet: Record) -> list[tuple[int, int]]:
    at, end = _hosts(subnet)
    free = []
    for first, last, _why in _taken(region, subnet):
        if first > at:
            free.append((at, first - 1))
        at = max(at, last + 1)
    return [*free, (at, end)] if at <= end else free


def _range(subnet: Record, first: int, last: int) -> Record:
    kind = type(ipaddress.ip_network(subnet["cidr"])[0])
    return {"start": str(kind(first)), "end": str(kind(last)), "num_addresses": last - first + 1}


def unreserved(region: Region, request: Request, which: str) -> list[Record]:
    """`GET subnets/{id}/?op=unreserved_ip_ranges`"""
    subnet = find(region, which)
    return [_range(subnet, first, last) for first, last in _free(region, subnet)]


def reserved(region: Region, request: Request, which: str) -> list[Record]:
    """`GET subnets/{id}/?op=reserved_ip_ranges`"""
    subnet = find(region, which)
    return [{**_range(subnet, first, last), "purpose": [why]} for first, last, why in _taken(region, subnet)]


def statistics(region: Region, request: Request, which: str) -> Record:
    """`GET subnets/{id}/?op=statistics`"""
    subnet = find(region, which)
    first, last = _hosts(subnet)
    total, free = last - first + 1, _free(region, subnet)
    available = sum(end - start + 1 for start, end in free)
    whole = _range(subnet, first, last)
    return {
        "num_available": available,
        "largest_available": max((end - start + 1 for start, end in free), default=0),
        "num_unavailable": total - available,
        "total_addresses": total,
        "usage": (total - available) / total,
        "usage_string": f"{(total - available) / total:.0%}",
        "available_string": f"{available / total:.0%}",
        "first_address": whole["start"],
        "last_address": whole["end"],
        "ip_version": ipaddress.ip_network(subnet["cidr"]).version,
    }


def ip_addresses(region: Region, request: Request, which: str) -> list[Record]:
    """`GET subnets/{id}/?op=ip_addresses`: who holds which address of it."""
    network = ipaddress.ip_network(find(region, which)["cidr"])
    return [
        {
            "ip": address,
            "alloc_type": 1,
            "node_summary": {
                "system_id": machine["system_id"],
                "node_type": 0,
                "fqdn": f"{machine['hostname']}.maas",
                "hostname": machine["hostname"],
            },
            "user": machine["owner"],
            "resource_uri": f"{API}/ipaddresses/",
        }
        for address, machine in held_addresses(region).items()
        if ipaddress.ip_address(address) in network
    ]
