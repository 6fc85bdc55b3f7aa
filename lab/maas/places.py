# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource pools and availability zones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lab.maas.views import show_pool, show_zone
from lab.maas.wire import NO_CONTENT, Errors, Refusal, Request, Response, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_NAME = {
    "pools": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _-]*[A-Za-z0-9_-])?"),
    "zones": re.compile(r"[A-Za-z0-9._-]+"),
}
_TITLES = {"pools": "Resource pool", "zones": "Physical zone"}


def _take(region: Region, kind: str, data: Any, record: Record) -> None:
    """Put a form's values into a pool or zone."""
    errors = Errors()
    name = data.get("name")
    if (name is None and not record["name"]) or name == "":
        errors.add("name", "This field is required.")
    elif name is not None:
        if not _NAME[kind].fullmatch(str(name)):
            errors.add("name", "Enter a valid value.")
        elif any(one["name"] == name for one in region.store.data[kind] if one is not record):
            errors.add("name", f"{_TITLES[kind]} with this Name already exists.")
        record["name"] = str(name)
    errors.refuse()
    if data.get("description") is not None:
        record["description"] = str(data.get("description"))


def _create(region: Region, request: Request, kind: str) -> Record:
    if not request.is_admin:
        raise forbidden()
    record = {"id": 0, "name": "", "description": ""}
    _take(region, kind, request.data, record)
    record["id"] = 1 + max(one["id"] for one in region.store.data[kind])
    return region.store.add(kind, record)


def _find(region: Region, kind: str, which: str) -> Record:
    for one in region.store.data[kind]:
        # a zone is known by its name only
        if which == one["name"] or (kind == "pools" and which == str(one["id"])):
            found: Record = one
            return found
    raise missing("ResourcePool" if kind == "pools" else "Zone")


def _update(region: Region, request: Request, kind: str, which: str) -> Record:
    if not request.is_admin:
        raise forbidden()
    record = _find(region, kind, which)
    _take(region, kind, request.data, record)
    return record


def list_pools(region: Region, request: Request) -> list[Record]:
    """`GET resourcepools/`"""
    return [show_pool(pool) for pool in region.store.data["pools"]]


def create_pool(region: Region, request: Request) -> Record:
    """`POST resourcepools/`"""
    return show_pool(_create(region, request, "pools"))


def read_pool(region: Region, request: Request, which: str) -> Record:
    """`GET resourcepool/{id or name}/`"""
    return show_pool(_find(region, "pools", which))


def update_pool(region: Region, request: Request, which: str) -> Record:
    """`PUT resourcepool/{id or name}/`"""
    return show_pool(_update(region, request, "pools", which))


def delete_pool(region: Region, request: Request, which: str) -> Response:
    """`DELETE resourcepool/{id or name}/`: not while machines are in it."""
    if not request.is_admin:
        raise forbidden()
    pool = _find(region, "pools", which)
    if pool["id"] == 0:
        raise Refusal(400, "This is the default pool, it cannot be deleted.")
    if any(machine["pool"] == pool["id"] for machine in region.store.data["machines"]):
        raise Refusal(400, "Pool has machines in it, it cannot be deleted.")
    region.store.data["pools"].remove(pool)
    return NO_CONTENT


def list_zones(region: Region, request: Request) -> list[Record]:
    """`GET zones/`"""
    return [show_zone(zone) for zone in region.store.data["zones"]]


def create_zone(region: Region, request: Request) -> Record:
    """`POST zones/`"""
    return show_zone(_create(region, request, "zones"))


def read_zone(region: Region, request: Request, name: str) -> Record:
    """`GET zones/{name}/`"""
    return show_zone(_find(region, "zones", name))


def update_zone(region: Region, request: Request, name: str) -> Record:
    """`PUT zones/{name}/`"""
    return show_zone(_update(region, request, "zones", name))


def delete_zone(region: Region, request: Request, name: str) -> Response:
    """`DELETE zones/{name}/`: its machines go to the default zone."""
    if not request.is_admin:
        raise forbidden()
    zone = _find(region, "zones", name)
    if zone["id"] == 1:
        raise Refusal(400, "This zone is the default zone, it cannot be deleted.")
    for machine in region.store.data["machines"]:
        if machine["zone"] == zone["id"]:
            machine["zone"] = 1
    region.store.data["zones"].remove(zone)
    return NO_CONTENT


def set_zone(region: Region, request: Request) -> None:
    """`POST machines/?op=set_zone` with `zone` and `nodes`"""
    if not request.is_admin:
        raise forbidden()
    name = str(request.data.get("zone", ""))
    zone = next((one for one in region.store.data["zones"] if one["name"] == name), None)
    if zone is None:
        raise Refusal(400, {"zone": ["Select a valid choice. That choice is not one of the available choices."]})
    wanted = request.data.getlist("nodes")
    for machine in region.store.data["machines"]:
        if machine["system_id"] in wanted:
            machine["zone"] = zone["id"]
