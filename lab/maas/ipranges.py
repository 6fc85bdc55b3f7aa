# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of addresses: dynamic ones for DHCP, and reserved ones that no machine gets."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from lab.maas import subnets
from lab.maas.network import API, held_addresses, show_subnet, subnet_by_id
from lab.maas.users import show_user
from lab.maas.wire import NO_CONTENT, Errors, Request, Response, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_TYPES = ("dynamic", "reserved")
_BOTH = "Start IP address and end IP address are both required."
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _show(region: Region, one: Record) -> Record:
    user = region.user(one["user"])
    return {
        "subnet": show_subnet(region, subnet_by_id(region, one["subnet"])),
        "type": one["type"],
        "start_ip": one["start_ip"],
        "end_ip": one["end_ip"],
        "user": show_user(user) if user else None,
        "comment": one["comment"],
        "id": one["id"],
        "resource_uri": f"{API}/ipranges/{one['id']}/",
    }


def _find(region: Region, number: str) -> Record:
    for one in region.store.data["ipranges"]:
        if str(one["id"]) == number:
            found: Record = one
            return found
    raise missing("IPRange")


def _address(data: Any, name: str, errors: Errors) -> Address | None:
    given = data.get(name)
    if given in (None, ""):
        errors.add(name, "This field is required.")
        return None
    try:
        return ipaddress.ip_address(str(given))
    except ValueError:
        errors.add(name, "Enter a valid IPv4 or IPv6 address.")
        return None


def _subnet(region: Region, data: Any, start: Address | None, errors: Errors) -> Record | None:
    """The subnet that the form names, or the one that the first address lies in."""
    if data.get("subnet") not in (None, ""):
        return subnets.chosen(region, data.get("subnet"), errors)
    for one in region.store.data["subnets"]:
        if start and start in ipaddress.ip_network(one["cidr"]):
            found: Record = one
            return found
    errors.add("subnet", "This field is required.")
    return None


def _check(region: Region, subnet: Record, new: Record, record: Record | None, errors: Errors) -> None:
    start, end = ipaddress.ip_address(new["start_ip"]), ipaddress.ip_address(new["end_ip"])
    network = ipaddress.ip_network(subnet["cidr"])
    if end < start:  # type: ignore[operator]
        errors.add("end_ip", "End IP address must not be less than Start IP address.")
    elif start not in network or end not in network:
        for name in ("start_ip", "end_ip"):
            errors.add(name, f"IP addresses must be within subnet: {network}.")
    elif _clashes(region, subnet, new, record):
        for name in ("start_ip", "end_ip"):
            what = "an existing range" if _ranges_clash(region, new, record) else "an existing IP address"
            errors.add(name, f"Requested {new['type']} range conflicts with {what}.")


def _ranges_clash(region: Region, new: Record, record: Record | None) -> bool:
    start, end = int(ipaddress.ip_address(new["start_ip"])), int(ipaddress.ip_address(new["end_ip"]))
    return any(
        int(ipaddress.ip_address(one["start_ip"])) <= end and int(ipaddress.ip_address(one["end_ip"])) >= start
        for one in region.store.data["ipranges"]
        if one is not record and one["subnet"] == new["subnet"]
    )


def _clashes(region: Region, subnet: Record, new: Record, record: Record | None) -> bool:
    if _ranges_clash(region, new, record):
        return True
    if new["type"] != "dynamic":
        return False
    # a dynamic one must not hold what somebody has for good
    first, last = int(ipaddress.ip_address(new["start_ip"])), int(ipaddress.ip_address(new["end_ip"]))
    fixed = [*held_addresses(region), *([subnet["gateway_ip"]] if subnet["gateway_ip"] else [])]
    return any(first <= int(ipaddress.ip_address(address)) <= last for address in fixed)


def _form(region: Region, request: Request, data: Any, record: Record | None) -> Record:
    errors = Errors()
    start, end = _address(data, "start_ip", errors), _address(data, "end_ip", errors)
    kind = data.get("type")
    if kind in (None, ""):
        errors.add("type", "This field is required.")
    elif kind not in _TYPES:
        errors.add("type", f"Select a valid choice. {kind} is not one of the available choices.")
    subnet = _subnet(region, data, start, errors)
    if start is None or end is None:
        for name in ("start_ip", "end_ip"):
            errors.add(name, _BOTH)
    errors.refuse()
    assert subnet is not None
    new = {
        "subnet": subnet["id"],
        "type": str(kind),
        "start_ip": str(start),
        "end_ip": str(end),
        "comment": str(data.get("comment") or ""),
        "user": record["user"] if record else request.username,
    }
    _check(region, subnet, new, record, errors)
    errors.refuse()
    return new


def list_ranges(region: Region, request: Request) -> list[Record]:
    """`GET ipranges/`"""
    return [_show(region, one) for one in region.store.data["ipranges"]]


def create(region: Region, request: Request) -> Record:
    """`POST ipranges/`; dynamic ones are for administrators."""
    if request.data.get("type") == "dynamic" and not request.is_admin:
        message = "Unable to create dynamic IP range. You don't have sufficient privileges."
        raise forbidden(message)
    new = _form(region, request, request.data, None)
    return _show(region, region.store.add("ipranges", {"id": region.store.next_id("iprange"), **new}))


def read(region: Region, request: Request, number: str) -> Record:
    """`GET ipranges/{id}/`"""
    return _show(region, _find(region, number))


def _owned(region: Region, request: Request, number: str) -> Record:
    record = _find(region, number)
    if not request.is_admin and (record["type"] == "dynamic" or record["user"] != request.username):
        message = "Unable to modify IP range. You don't have sufficient privileges."
        raise forbidden(message)
    return record


def update(region: Region, request: Request, number: str) -> Record:
    """`PUT ipranges/{id}/`; what is not given stays."""
    record = _owned(region, request, number)
    given = {key: request.data.get(key) for key in (*record, "subnet") if request.data.get(key) not in (None, "")}
    record.update(_form(region, request, {**record, "subnet": str(record["subnet"]), **given}, record))
    return _show(region, record)


def delete(region: Region, request: Request, number: str) -> Response:
    """`DELETE ipranges/{id}/`"""
    region.store.data["ipranges"].remove(_owned(region, request, number))
    return NO_CONTENT
