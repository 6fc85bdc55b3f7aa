# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fabrics, VLANs and spaces: read, create, change, delete, and DHCP on a VLAN."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lab.maas.controllers import RACK
from lab.maas.forms import string_bool
from lab.maas.network import API, new_fabric, new_vlan, show_subnet, show_vlan
from lab.maas.wire import NO_CHOICE, NO_CONTENT, Errors, Refusal, Request, Response, admins_only, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_NAME = re.compile(r"[ \w-]+")
_UNDEFINED = "Backward compatibility object to ensure objects not associated with a space can be found."


def _show_fabric(region: Region, fabric: Record) -> Record:
    vlans = [vlan for vlan in region.store.data["vlans"] if vlan["fabric"] == fabric["id"]]
    return {
        "class_type": fabric["class_type"],
        "vlans": [show_vlan(region, vlan) for vlan in vlans],
        "id": fabric["id"],
        "name": fabric["name"],
        "resource_uri": f"{API}/fabrics/{fabric['id']}/",
    }


def _find_fabric(region: Region, which: str) -> Record:
    plain = which.removeprefix("name:")
    for fabric in region.store.data["fabrics"]:
        if plain in (str(fabric["id"]), fabric["name"]):
            found: Record = fabric
            return found
    raise missing("Fabric")


def _check_name(region: Region, table: str, title: str, name: str, record: Record | None) -> None:
    errors = Errors()
    if not _NAME.fullmatch(name):
        errors.add("name", "Enter a valid value.")
    elif any(one["name"] == name for one in region.store.data[table] if one is not record):
        errors.add("name", f"{title} with this Name already exists.")
    errors.refuse()


def list_fabrics(region: Region, request: Request) -> list[Record]:
    """`GET fabrics/`"""
    return [_show_fabric(region, fabric) for fabric in region.store.data["fabrics"]]


def create_fabric(region: Region, request: Request) -> Record:
    """`POST fabrics/`; it comes with an untagged VLAN."""
    admins_only(request)
    name = str(request.data.get("name") or "")
    if name:
        _check_name(region, "fabrics", "Fabric", name, None)
    made = new_fabric(region, name, str(request.data.get("description") or ""), request.data.get("class_type") or None)
    return _show_fabric(region, made)


def read_fabric(region: Region, request: Request, which: str) -> Record:
    """`GET fabrics/{id}/`"""
    return _show_fabric(region, _find_fabric(region, which))


def update_fabric(region: Region, request: Request, which: str) -> Record:
    """`PUT fabrics/{id}/`"""
    fabric = _find_fabric(region, which)
    if not request.is_admin:
        raise forbidden()
    if request.data.get("name"):
        _check_name(region, "fabrics", "Fabric", str(request.data.get("name")), fabric)
    for key in ("name", "description", "class_type"):
        if request.data.get(key) is not None:
            fabric[key] = str(request.data.get(key)) or (None if key == "class_type" else fabric[key])
    return _show_fabric(region, fabric)


def delete_fabric(region: Region, request: Request, which: str) -> Response:
    """`DELETE fabrics/{id}/`: not the default one, nor one with subnets or interfaces."""
    fabric = _find_fabric(region, which)
    if not request.is_admin:
        raise forbidden()
    if fabric["id"] == 0:
        raise Refusal(400, {"__all__": ["This fabric is the default fabric, it cannot be deleted."]})
    vlans = {vlan["id"] for vlan in region.store.data["vlans"] if vlan["fabric"] == fabric["id"]}
    subnets = [subnet["cidr"] for subnet in region.store.data["subnets"] if subnet["vlan"] in vlans]
    if subnets:
        message = f"Can't delete fabric; the following subnets are still present: {', '.join(subnets)}"
        raise Refusal(400, {"__all__": [message]})
    used = [
        f"{interface['name']} on {machine['hostname']}"
        for machine in region.store.data["machines"]
        for interface in machine["interfaces"]
        if interface["vlan"] in vlans
    ]
    if used:
        message = f"Can't delete fabric; the following interfaces are still connected: {', '.join(used)}"
        raise Refusal(400, {"__all__": [message]})
    data = region.store.data
    data["vlans"] = [vlan for vlan in data["vlans"] if vlan["id"] not in vlans]
    data["fabrics"].remove(fabric)
    return NO_CONTENT


# -- VLANs -----------------------------------------------------------------------------------------------------------


def _find_vlan(region: Region, *parts: str) -> Record:
    """By (id), or by (fabric, vid or "untagged")."""
    vlans: list[Record] = region.store.data["vlans"]
    if len(parts) == 2:
        fabric = _find_fabric(region, parts[0])["id"]
        vid = "0" if parts[1] == "untagged" else parts[1]
        vlans = [vlan for vlan in vlans if vlan["fabric"] == fabric and str(vlan["vid"]) == vid]
    else:
        vlans = [vlan for vlan in vlans if str(vlan["id"]) == parts[0]]
    if not vlans:
        raise missing("VLAN")
    return vlans[0]


def _number(data: Any, name: str, least: int, most: int, errors: Errors, message: str = "") -> int | None:
    given = data.get(name)
    if given is None or given == "":
        return None
    try:
        value = int(given)
    except ValueError:
        errors.add(name, "Enter a whole number.")
        return None
    if value < least:
        errors.add(name, message or f"Ensure this value is greater than or equal to {least}.")
    elif value > most:
        errors.add(name, message or f"Ensure this value is less than or equal to {most}.")
    return value


def _vlan_changes(region: Region, data: Any, vlan: Record, errors: Errors) -> Record:
    """What a form wants to be different in a VLAN."""
    changes: Record = {}
    vid = _number(data, "vid", 0, 4094, errors, "VID must be between 0 and 4094.")
    if vid is not None:
        changes["vid"] = vid
    mtu = _number(data, "mtu", 552, 65535, errors)
    if mtu is not None:
        changes["mtu"] = mtu
    for key in ("name", "description"):
        if data.get(key) is not None:
            changes[key] = str(data.get(key)) or ("" if key == "description" else None)
    racks = {one["system_id"] for one in region.store.data["controllers"] if one["node_type"] == RACK}
    for key in ("primary_rack", "secondary_rack"):
        given = data.get(key)
        if given == "":
            changes[key] = None
        elif given is not None:
            if given in racks:
                changes[key] = str(given)
            else:
                errors.add(key, NO_CHOICE)
    for key, table in (("space", "spaces"), ("relay_vlan", "vlans")):
        given = data.get(key)
        if given == "":
            changes[key] = None
        elif given is not None:
            names = [one["id"] for one in region.store.data[table] if str(given) in (str(one["id"]), one["name"])]
            names = names[:1] if table == "spaces" else [number for number in names if str(number) == str(given)]
            if names:
                changes[key] = names[0]
            else:
                errors.add(key, NO_CHOICE)
    if data.get("dhcp_on") is not None:
        changes["dhcp_on"] = bool(string_bool(data.get("dhcp_on")))
    return changes


def _check_dhcp(region: Region, vlan: Record, changes: Record, errors: Errors) -> None:
    wanted = {**vlan, **changes}
    if wanted["primary_rack"] and wanted["primary_rack"] == wanted["secondary_rack"]:
        errors.add("__all__", "Primary and secondary rack must be different.")
    if not changes.get("dhcp_on"):
        return
    subnets = {subnet["id"] for subnet in region.store.data["subnets"] if subnet["vlan"] == vlan["id"]}
    ranges = region.store.data["ipranges"]
    if not any(one["type"] == "dynamic" and one["subnet"] in subnets for one in ranges):
        errors.add("dhcp_on", "dhcp can only be turned on when a dynamic IP range is defined.")
    if not wanted["primary_rack"]:
        errors.add("__all__", "dhcp can only be turned on when a primary rack controller is set.")


def list_vlans(region: Region, request: Request, fabric: str) -> list[Record]:
    """`GET fabrics/{id}/vlans/`"""
    number = _find_fabric(region, fabric)["id"]
    return [show_vlan(region, vlan) for vlan in region.store.data["vlans"] if vlan["fabric"] == number]


def create_vlan(region: Region, request: Request, fabric: str) -> Record:
    """`POST fabrics/{id}/vlans/`"""
    admins_only(request)
    number = _find_fabric(region, fabric)["id"]
    errors = Errors()
    if request.data.get("vid") in (None, ""):
        errors.add("vid", "This field is required.")
        errors.refuse()
    changes = _vlan_changes(region, request.data, {}, errors)
    _check_unique(region, number, changes.get("vid"), None, errors)
    errors.refuse()
    return show_vlan(region, new_vlan(region, number, **{"name": None, **changes}))


def _check_unique(region: Region, fabric: Any, vid: int | None, vlan: Record | None, errors: Errors) -> None:
    for one in region.store.data["vlans"]:
        if one is not vlan and vid is not None and (one["fabric"], one["vid"]) == (fabric, vid):
            errors.add("vid", "A VLAN with the specified VID already exists in the destination fabric.")


def read_vlan(region: Region, request: Request, *parts: str) -> Record:
    """`GET vlans/{id}/` and `GET fabrics/{id}/vlans/{vid}/`"""
    return show_vlan(region, _find_vlan(region, *parts))


def update_vlan(region: Region, request: Request, *parts: str) -> Record:
    """`PUT vlans/{id}/` and `PUT fabrics/{id}/vlans/{vid}/`"""
    vlan = _find_vlan(region, *parts)
    if not request.is_admin:
        raise forbidden()
    errors = Errors()
    changes = _vlan_changes(region, request.data, vlan, errors)
    fabric = request.data.get("fabric")
    if fabric not in (None, ""):
        changes["fabric"] = _find_fabric(region, str(fabric))["id"]
    _check_unique(region, changes.get("fabric", vlan["fabric"]), changes.get("vid", vlan["vid"]), vlan, errors)
    _check_dhcp(region, vlan, changes, errors)
    errors.refuse()
    vlan.update(changes)
    if vlan["dhcp_on"]:
        vlan["relay_vlan"] = None
    return show_vlan(region, vlan)


def delete_vlan(region: Region, request: Request, *parts: str) -> Response:
    """`DELETE vlans/{id}/` and `DELETE fabrics/{id}/vlans/{vid}/`: not a fabric's untagged one; subnets go along."""
    vlan = _find_vlan(region, *parts)
    if not request.is_admin:
        raise forbidden()
    if vlan["vid"] == 0:
        message = "This VLAN is the default VLAN in the fabric, it cannot be deleted."
        raise Refusal(400, {"__all__": [message]})
    data = region.store.data
    gone = {subnet["id"] for subnet in data["subnets"] if subnet["vlan"] == vlan["id"]}
    data["subnets"] = [subnet for subnet in data["subnets"] if subnet["id"] not in gone]
    data["ipranges"] = [one for one in data["ipranges"] if one["subnet"] not in gone]
    data["vlans"].remove(vlan)
    return NO_CONTENT


# -- spaces ----------------------------------------------------------------------------------------------------------


def _show_space(region: Region, space: Record) -> Record:
    number = None if space["id"] == -1 else space["id"]
    vlans = [vlan for vlan in region.store.data["vlans"] if vlan["space"] == number]
    inside = {vlan["id"] for vlan in vlans}
    return {
        **space,
        "subnets": [show_subnet(region, one) for one in region.store.data["subnets"] if one["vlan"] in inside],
        "vlans": [show_vlan(region, vlan) for vlan in vlans],
        "resource_uri": f"{API}/spaces/{'undefined' if number is None else number}/",
    }


def _find_space(region: Region, which: str) -> Record:
    if which in ("undefined", "-1"):
        return {"id": -1, "name": "undefined", "description": _UNDEFINED}
    for space in region.store.data["spaces"]:
        if which in (str(space["id"]), space["name"]):
            found: Record = space
            return found
    raise missing("Space")


def list_spaces(region: Region, request: Request) -> list[Record]:
    """`GET spaces/`: those that were made, and last what belongs to none."""
    spaces = [*region.store.data["spaces"], _find_space(region, "undefined")]
    return [_show_space(region, space) for space in spaces]


def create_space(region: Region, request: Request) -> Record:
    """`POST spaces/`"""
    admins_only(request)
    number = region.store.next_id("space")
    name = str(request.data.get("name") or f"space-{number}")
    _check_name(region, "spaces", "Space", name, None)
    space = {"id": number, "name": name, "description": str(request.data.get("description") or "")}
    return _show_space(region, region.store.add("spaces", space))


def read_space(region: Region, request: Request, which: str) -> Record:
    """`GET spaces/{id}/`"""
    return _show_space(region, _find_space(region, which))


def update_space(region: Region, request: Request, which: str) -> Record:
    """`PUT spaces/{id}/`"""
    space = _find_space(region, which)
    if not request.is_admin:
        raise forbidden()
    if request.data.get("name"):
        _check_name(region, "spaces", "Space", str(request.data.get("name")), space)
    for key in ("name", "description"):
        if request.data.get(key) is not None:
            space[key] = str(request.data.get(key))
    return _show_space(region, space)


def delete_space(region: Region, request: Request, which: str) -> Response:
    """`DELETE spaces/{id}/`: its VLANs belong to none then."""
    space = _find_space(region, which)
    if not request.is_admin:
        raise forbidden()
    for vlan in region.store.data["vlans"]:
        if vlan["space"] == space["id"]:
            vlan["space"] = None
    region.store.data["spaces"].remove(space)
    return NO_CONTENT
