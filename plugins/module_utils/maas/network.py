# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's networks in MAAS as data: fabrics, VLANs, subnets, ranges of addresses, and DHCP. Pure, but for reading.

The plan names everything that differs. What refers to an object that is to be created first cannot be sent yet; it is
sent after the next reading, when MAAS has given that object its number.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .client import Client, Value
from .errors import InvalidResponse, MaasError
from .reconcile import Change, Write, differing

_VLAN_FIELDS = ("name", "mtu", "space")
_SUBNET_FIELDS = ("name", "gateway_ip", "managed", "allow_dns", "allow_proxy", "active_discovery", "rdns_mode")


@dataclass(frozen=True)
class Networks:
    """What MAAS has: fabrics with their VLANs, subnets, ranges, spaces, and racks' system_ids by host name."""

    fabrics: Sequence[Mapping[str, Any]]
    subnets: Sequence[Mapping[str, Any]]
    ranges: Sequence[Mapping[str, Any]]
    spaces: Sequence[str]
    racks: Mapping[str, str]

    def fabric(self, name: str) -> Mapping[str, Any] | None:
        """The fabric of this name."""
        return next((fabric for fabric in self.fabrics if fabric["name"] == name), None)

    def vlan(self, fabric: str, vid: int) -> Mapping[str, Any] | None:
        """The VLAN with this number in a fabric."""
        found = self.fabric(fabric)
        return next((vlan for vlan in found["vlans"] if vlan["vid"] == vid), None) if found else None

    def subnet(self, cidr: str) -> Mapping[str, Any] | None:
        """The subnet with these addresses, in whichever VLAN it is."""
        return next((subnet for subnet in self.subnets if subnet["cidr"] == cidr), None)


def read_networks(client: Client) -> Networks:
    """All networks of the region, in five requests."""
    lists: dict[str, list[Mapping[str, Any]]] = {}
    for path in ("fabrics/", "subnets/", "ipranges/", "spaces/", "rackcontrollers/"):
        answer = client.get(path)
        if not isinstance(answer, list) or not all(isinstance(item, Mapping) for item in answer):
            raise InvalidResponse(f"MAAS's list of {path.rstrip('/')} cannot be read.", method="GET", path=path)
        lists[path] = answer
    try:
        return Networks(
            lists["fabrics/"],
            lists["subnets/"],
            lists["ipranges/"],
            [str(space["name"]) for space in lists["spaces/"]],
            {str(rack["hostname"]): str(rack["system_id"]) for rack in lists["rackcontrollers/"]},
        )
    except KeyError as error:
        raise InvalidResponse(f"MAAS's networks cannot be read: {error} is missing.", method="GET") from error


def check_wanted(fabrics: Sequence[Mapping[str, Any]]) -> None:
    """Raise MaasError, naming the key, for data that contradicts itself; MAAS is not asked."""
    seen: dict[str, str] = {}
    for fabric, vlan in _vlans(fabrics):
        where = f"{fabric}.vlans[{vlan['vid']}]"
        for subnet in vlan.get("subnets") or ():
            cidr = _network(subnet["cidr"], where)
            for other, place in seen.items():
                if ipaddress.ip_network(other).version == cidr.version and cidr.overlaps(ipaddress.ip_network(other)):
                    raise MaasError(f"{where}: subnet {cidr} overlaps with {other} of {place}.", remedy="Correct one.")
            seen[str(cidr)] = where
            _check_addresses(subnet, cidr, f"{where}.subnets[{cidr}]")
        if vlan.get("dhcp") and not vlan.get("primary_rack"):
            raise MaasError(f"{where}: dhcp needs primary_rack.", remedy="Name the rack controller that serves it.")


def _network(text: str, where: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise MaasError(f"{where}: cidr {text!r}: {error}.", remedy="Write it as 10.20.0.0/24.") from error


def _check_addresses(
    subnet: Mapping[str, Any], cidr: ipaddress.IPv4Network | ipaddress.IPv6Network, where: str
) -> None:
    named = [("gateway_ip", subnet.get("gateway_ip"))]
    for item in subnet.get("ranges") or ():
        named += [("start_ip", item["start_ip"]), ("end_ip", item["end_ip"])]
    for key, text in named:
        if not text:
            continue
        try:
            inside = ipaddress.ip_address(text) in cidr
        except ValueError as error:
            raise MaasError(f"{where}: {key} {text!r}: {error}.", remedy="Correct the address.") from error
        if not inside:
            raise MaasError(f"{where}: {key} {text} is not in {cidr}.", remedy="Correct the address or the subnet.")


def plan_networks(fabrics: Sequence[Mapping[str, Any]], there: Networks) -> list[Change]:
    """Everything that differs from what is wanted, in the order in which it has to come into being.

    Nothing is deleted. DHCP goes on last, when its range is there; MAAS refuses it before. Raises MaasError where a
    rack is unknown, or a VLAN with DHCP would have no dynamic range.
    """
    changes: list[Change] = []
    names = {str(fabric["name"]) for fabric in fabrics}
    for name in sorted(names):
        if there.fabric(name) is None:
            fields: dict[str, Value] = {"name": name}
            changes.append(Change("fabric", name, None, fields, Write("POST", "fabrics/", fields)))
    spaces = {str(vlan["space"]) for _fabric, vlan in _vlans(fabrics) if vlan.get("space")} - set(there.spaces)
    changes += [
        Change("space", space, None, {"name": space}, Write("POST", "spaces/", {"name": space}))
        for space in sorted(spaces)
    ]
    last: list[Change] = []
    for fabric, vlan in _vlans(fabrics):
        changes += _plan_vlan(fabric, vlan, there)
        for subnet in vlan.get("subnets") or ():
            changes += _plan_subnet(fabric, vlan, subnet, there)
            for item in subnet.get("ranges") or ():
                changes += _plan_range(subnet, item, there)
        last += _plan_dhcp(fabric, vlan, there)
    if any(change.write for change in changes):
        # The ranges may be among what is on its way.
        last = [Change(change.kind, change.name, change.before, change.after, None) for change in last]
    return changes + last


def _vlans(fabrics: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for fabric in fabrics:
        for vlan in fabric.get("vlans") or ():
            yield str(fabric["name"]), vlan


def _plan_vlan(fabric: str, vlan: Mapping[str, Any], there: Networks) -> list[Change]:
    wanted: dict[str, Value] = {name: vlan.get(name) for name in _VLAN_FIELDS}
    name = f"{fabric}/{vlan['vid']}"
    found = there.vlan(fabric, int(vlan["vid"]))
    waits = bool(vlan.get("space")) and vlan["space"] not in there.spaces
    if found is not None:
        other = differing(wanted, found)
        write = None if waits else Write("PUT", f"vlans/{found['id']}/", other)
        return [Change("vlan", name, {key: found.get(key) for key in other}, other, write)] if other else []
    after: dict[str, Value] = {"vid": int(vlan["vid"]), **_given(wanted)}
    parent = there.fabric(fabric)
    # A fabric comes with its untagged VLAN: that one is never created, only waited for.
    possible = parent is not None and not waits
    write = Write("POST", f"fabrics/{parent['id']}/vlans/", after) if possible and parent else None
    if int(vlan["vid"]) == 0 and parent is None:
        return [Change("vlan", name, {}, after, None)] if _given(wanted) else []
    return [Change("vlan", name, None, after, write)]


def _plan_subnet(fabric: str, vlan: Mapping[str, Any], subnet: Mapping[str, Any], there: Networks) -> list[Change]:
    cidr = str(subnet["cidr"])
    home = there.vlan(fabric, int(vlan["vid"]))
    wanted: dict[str, Value] = {name: subnet.get(name) for name in _SUBNET_FIELDS}
    servers = subnet.get("dns_servers")
    found = there.subnet(cidr)
    shown_home = f"{fabric}/{vlan['vid']}"
    if found is None:
        after: dict[str, Any] = {"cidr": cidr, "vlan": shown_home, **_given(wanted)}
        sent: dict[str, Value] = {"cidr": cidr, **_given(wanted)}
        if servers is not None:
            after["dns_servers"], sent["dns_servers"] = list(servers), " ".join(servers)
        write = Write("POST", "subnets/", {**sent, "vlan": home["id"]}) if home else None
        return [Change("subnet", cidr, None, after, write)]
    other = differing(wanted, found)
    before: dict[str, Any] = {name: found.get(name) for name in other}
    after, sent = dict(other), dict(other)
    if servers is not None and list(servers) != [str(server) for server in found.get("dns_servers") or ()]:
        before["dns_servers"], after["dns_servers"] = found.get("dns_servers"), list(servers)
        sent["dns_servers"] = " ".join(servers)
    if home is None or found["vlan"]["id"] != home["id"]:
        before["vlan"], after["vlan"] = f"{found['vlan']['fabric']}/{found['vlan']['vid']}", shown_home
        sent["vlan"] = home["id"] if home else None
    if not after:
        return []
    write = Write("PUT", f"subnets/{found['id']}/", sent) if home else None
    return [Change("subnet", cidr, before, after, write)]


def _plan_range(subnet: Mapping[str, Any], item: Mapping[str, Any], there: Networks) -> list[Change]:
    cidr = str(subnet["cidr"])
    ends = (_address(item["start_ip"]), _address(item["end_ip"]))
    kind = str(item["type"])
    wanted: dict[str, Value] = {"type": kind, "start_ip": str(ends[0]), "end_ip": str(ends[1])}
    comment: dict[str, Value] = {} if item.get("comment") is None else {"comment": str(item["comment"])}
    name = f"{wanted['start_ip']}-{wanted['end_ip']}"
    for found in there.ranges:
        if (_address(found["start_ip"]), _address(found["end_ip"])) != ends:
            continue
        if found["type"] != kind:
            raise MaasError(
                f"The range {name} is {found['type']} in MAAS, wanted is {kind}; MAAS cannot turn one into the other.",
                remedy="Delete it in MAAS if no address of it is in use, and run again.",
            )
        other = differing(comment, found)
        was = {key: found.get(key) for key in other}
        return [Change("range", name, was, other, Write("PUT", f"ipranges/{found['id']}/", other))] if other else []
    parent = there.subnet(cidr)
    fields = {**wanted, **comment}
    write = Write("POST", "ipranges/", {**fields, "subnet": parent["id"]}) if parent else None
    return [Change("range", name, None, {**fields, "subnet": cidr}, write)]


def _plan_dhcp(fabric: str, vlan: Mapping[str, Any], there: Networks) -> list[Change]:
    if vlan.get("dhcp") is None:
        return []
    name = f"{fabric}/{vlan['vid']}"
    found = there.vlan(fabric, int(vlan["vid"]))
    wanted: dict[str, Value] = {"dhcp_on": bool(vlan["dhcp"])}
    if vlan["dhcp"]:
        for key in ("primary_rack", "secondary_rack"):
            if vlan.get(key):
                wanted[key] = _rack(str(vlan[key]), f"{name}: {key}", there)
        _check_dynamic_range(name, vlan, found, there)
    other = differing(wanted, found or {"dhcp_on": False})
    if not other:
        return []
    was = {key: (found or {}).get(key) for key in other}
    # MAAS wants the rack in the request that turns DHCP on.
    sent = wanted if vlan["dhcp"] else other
    return [Change("dhcp", name, was, other, Write("PUT", f"vlans/{found['id']}/", sent) if found else None)]


def _rack(name: str, where: str, there: Networks) -> str:
    if name in there.racks:
        return there.racks[name]
    if name in there.racks.values():
        return name
    known = ", ".join(sorted(there.racks)) or "none"
    raise MaasError(
        f"{where}: MAAS has no rack controller {name} (it has: {known}).",
        remedy="Give the host name of a rack controller, or install and register that one first.",
    )


def _check_dynamic_range(name: str, vlan: Mapping[str, Any], found: Mapping[str, Any] | None, there: Networks) -> None:
    wanted = [item for subnet in vlan.get("subnets") or () for item in subnet.get("ranges") or ()]
    if any(item["type"] == "dynamic" for item in wanted):
        return
    own = found["id"] if found else None
    if any(item["type"] == "dynamic" and item["subnet"]["vlan"]["id"] == own for item in there.ranges):
        return
    raise MaasError(
        f"{name}: dhcp needs a dynamic range in one of the VLAN's subnets.",
        remedy="Add a range of type dynamic; machines get their addresses from it while they are commissioned.",
    )


def _given(fields: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if value is not None}


def _address(text: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(str(text))
    except ValueError as error:
        raise MaasError(f"{text!r} is not an address.", remedy="Correct it.") from error
