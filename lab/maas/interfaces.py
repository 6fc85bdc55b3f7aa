# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces of machines: read, change, link to subnets and unlink."""

from __future__ import annotations

import ipaddress
from itertools import count
from typing import TYPE_CHECKING, Any

from lab.maas import subnets
from lab.maas.forms import string_bool
from lab.maas.hardware import new_interface
from lab.maas.network import free_address, held_addresses
from lab.maas.transitions import Status
from lab.maas.views import show_interface
from lab.maas.wire import NO_CHOICE, Errors, Request, conflict, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_MODES = ("auto", "dhcp", "static", "link_up")
_CHANGEABLE = {Status.NEW, Status.READY, Status.FAILED_TESTING, Status.ALLOCATED, Status.BROKEN}


def _machine(region: Region, system_id: str) -> Record:
    machine = region.store.machine(system_id)
    if machine is None:
        raise missing("Node")
    return machine


def _find(region: Region, system_id: str, number: str) -> tuple[Record, Record]:
    machine = _machine(region, system_id)
    for interface in machine["interfaces"]:
        if str(interface["id"]) == number or interface["name"] == number:
            return machine, interface
    raise missing("Interface")


def _changeable(region: Region, request: Request, system_id: str, number: str, what: str) -> tuple[Record, Record]:
    machine, interface = _find(region, system_id, number)
    if not request.is_admin and machine["owner"] != request.username:
        raise forbidden()
    if machine["status"] not in _CHANGEABLE:
        reason = "because the machine is not New, Ready, Allocated, or Broken."
        raise conflict(f"Cannot {what} interface {reason}")
    return machine, interface


def list_interfaces(region: Region, request: Request, system_id: str) -> list[Record]:
    """`GET nodes/{system_id}/interfaces/`"""
    machine = _machine(region, system_id)
    return [show_interface(region, machine, one) for one in machine["interfaces"]]


def read(region: Region, request: Request, system_id: str, number: str) -> Record:
    """`GET nodes/{system_id}/interfaces/{id}/`"""
    return show_interface(region, *_find(region, system_id, number))


def create_physical(region: Region, request: Request, system_id: str) -> Record:
    """`op=create_physical`: another NIC, disconnected until a VLAN is named or the machine starts from it."""
    machine = _machine(region, system_id)
    if not request.is_admin:
        raise forbidden()
    if machine["status"] not in _CHANGEABLE:
        raise conflict("Cannot create interface because the machine is not New, Ready, Allocated, or Broken.")
    errors = Errors()
    mac = str(request.data.get("mac_address") or "").lower().replace("-", ":")
    names = [one["name"] for one in machine["interfaces"]]
    name = str(request.data.get("name") or next(f"eth{n}" for n in count() if f"eth{n}" not in names))
    owner = next(
        (m for m in region.store.data["machines"] if any(one["mac_address"] == mac for one in m["interfaces"])), None
    )
    if not mac:
        errors.add("mac_address", "This field is required.")
    elif owner:
        errors.add("mac_address", f"This MAC address is already in use by {owner['hostname']}.")
    if name in names:
        errors.add("name", f"Node {machine['hostname']} already has an interface named '{name}'.")
    errors.refuse()
    machine["interfaces"].append(new_interface(region, mac, name))
    return show_interface(region, machine, machine["interfaces"][-1])


def update(region: Region, request: Request, system_id: str, number: str) -> Record:
    """`PUT nodes/{system_id}/interfaces/{id}/`: its name and its VLAN."""
    machine, interface = _changeable(region, request, system_id, number, "update")
    errors = Errors()
    name, vlan = request.data.get("name"), request.data.get("vlan")
    if name and any(one["name"] == name for one in machine["interfaces"] if one is not interface):
        errors.add("name", f"Node {machine['hostname']} already has an interface named '{name}'.")
    known = {str(one["id"]): one["id"] for one in region.store.data["vlans"]}
    if vlan and str(vlan) not in known:
        errors.add("vlan", NO_CHOICE)
    errors.refuse()
    if name:
        interface["name"] = str(name)
    if vlan == "":
        interface.update(vlan=None, links=[])
    elif vlan is not None and known[str(vlan)] != interface["vlan"]:
        interface.update(vlan=known[str(vlan)], links=[{"id": region.store.next_id("link"), "mode": "link_up"}])
    return show_interface(region, machine, interface)


def _mode(data: Any, errors: Errors) -> str:
    mode = str(data.get("mode") or "")
    if not mode:
        errors.add("mode", "This field is required.")
    elif mode.lower() not in _MODES:
        choices = ", ".join(repr(one) for one in _MODES)
        errors.add("mode", f"{mode!r} is not a valid mode.  It should be one of: {choices}.")
    return mode.lower()


def _wanted_subnet(region: Region, data: Any, mode: str, errors: Errors) -> Record | None:
    given = data.get("subnet")
    if given not in (None, ""):
        return subnets.chosen(region, given, errors)
    if mode in ("auto", "static"):
        errors.add("subnet", "This field is required.")
    return None


def _static_address(region: Region, given: str, subnet: Record, errors: Errors) -> str | None:
    if not given:
        return free_address(region, subnet)
    try:
        address = ipaddress.ip_address(given)
    except ValueError:
        errors.add("ip_address", "Enter a valid IPv4 or IPv6 address.")
        return None
    if address not in ipaddress.ip_network(subnet["cidr"]):
        shown = f"{subnet['name']}:{subnet['cidr']}"
        errors.add("ip_address", f"IP address is not in the given subnet '{shown}'.")
    elif str(address) in held_addresses(region):
        errors.add("ip_address", "IP address is already in use.")
    for one in region.store.data["ipranges"]:
        first, last = ipaddress.ip_address(one["start_ip"]), ipaddress.ip_address(one["end_ip"])
        if one["type"] == "dynamic" and one["subnet"] == subnet["id"] and int(first) <= int(address) <= int(last):
            errors.add("ip_address", f"IP address is inside a dynamic range {first} to {last}.")
    return str(address)


def link_subnet(region: Region, request: Request, system_id: str, number: str) -> Record:
    """`op=link_subnet`"""
    machine, interface = _changeable(region, request, system_id, number, "link subnet")
    data, errors = request.data, Errors()
    mode = _mode(data, errors)
    errors.refuse()
    subnet = _wanted_subnet(region, data, mode, errors)
    force = bool(string_bool(data.get("force", False)))
    active = [link for link in interface["links"] if link["mode"] != "link_up"]
    if mode == "link_up" and active and not force:
        errors.add(
            "mode",
            "Cannot configure interface to link up (with no IP address) while other links are already configured. "
            "Specify force=True to override this behavior and delete all links.",
        )
    if mode == "dhcp" and any(link["mode"] == "dhcp" for link in active):
        errors.add("mode", "Interface is already set to DHCP.")
    if subnet and interface["vlan"] not in (None, subnet["vlan"]) and not force:
        errors.add("subnet", NO_CHOICE)
    address = None
    if subnet and mode == "static":
        address = _static_address(region, str(data.get("ip_address") or ""), subnet, errors)
    errors.refuse()
    link: Record = {"id": region.store.next_id("link"), "mode": mode}
    if subnet:
        link["subnet"] = subnet["id"]
        interface["vlan"] = subnet["vlan"]
    if address:
        link["ip_address"] = address
    # one that is only up gives way to a link that does something
    interface["links"] = [link] if force or mode == "link_up" else [*active, link]
    return show_interface(region, machine, interface)


def unlink_subnet(region: Region, request: Request, system_id: str, number: str) -> Record:
    """`op=unlink_subnet`"""
    machine, interface = _changeable(region, request, system_id, number, "unlink subnet")
    given = str(request.data.get("id") or "")
    known = [str(link["id"]) for link in interface["links"]]
    errors = Errors()
    if not given:
        errors.add("id", "This field is required.")
    elif given not in known:
        choices = ", ".join(repr(one) for one in known)
        errors.add("id", f"{given!r} is not a valid id.  It should be one of: {choices}.")
    errors.refuse()
    left = [link for link in interface["links"] if str(link["id"]) != given]
    interface["links"] = left or [{"id": region.store.next_id("link"), "mode": "link_up"}]
    return show_interface(region, machine, interface)


def disconnect(region: Region, request: Request, system_id: str, number: str) -> Record:
    """`op=disconnect`"""
    machine, interface = _changeable(region, request, system_id, number, "disconnect")
    interface.update(vlan=None, links=[])
    return show_interface(region, machine, interface)
