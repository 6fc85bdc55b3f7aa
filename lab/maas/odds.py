# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of users, notifications, and kinds of object of which the lab has none or always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.maas.forms import raw
from lab.maas.network import API
from lab.maas.wire import HTML, NO_CONTENT, Refusal, Request, Response, missing, required

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_NO_DHCP = (
    "DHCP is not enabled on any VLAN.  This will prevent machines from being able to PXE boot, unless an external "
    "DHCP server is being used."
)
_ARCHIVES = (
    ("main_archive", "http://archive.ubuntu.com/ubuntu", ["amd64", "i386"]),
    ("ports_archive", "http://ports.ubuntu.com/ubuntu-ports", ["armhf", "arm64", "ppc64el", "s390x"]),
)


def none(region: Region, request: Request) -> list[Record]:
    """A collection of something that the lab does not have."""
    return []


# -- files -----------------------------------------------------------------------------------------------------------


def _show_file(file: Record) -> Record:
    return {
        "filename": file["filename"],
        "anon_resource_uri": f"{API}/files/?op=get_by_key&key={file['key']}",
        "resource_uri": f"{API}/files/{file['filename']}/",
    }


def _file(region: Region, request: Request, name: str) -> Record | None:
    files = region.store.data["files"]
    return next((one for one in files if (one["filename"], one["owner"]) == (name, request.username)), None)


def list_files(region: Region, request: Request) -> list[Record]:
    """`GET files/`: the caller's."""
    prefix = str(request.query.get("prefix") or "")
    mine = [one for one in region.store.data["files"] if one["owner"] == request.username]
    return [_show_file(one) for one in mine if one["filename"].startswith(prefix)]


def create_file(region: Region, request: Request) -> Response:
    """`POST files/`; replaces the caller's file of that name."""
    name = request.data.get("filename")
    if not name:
        raise Refusal(400, "Filename not supplied")
    content = request.files.get("file")
    if content is None:
        raise Refusal(400, "File not supplied")
    before = _file(region, request, str(name))
    if before:
        before["content"] = content
    else:
        record = {"filename": str(name), "owner": request.username, "key": region.new_uuid(), "content": content}
        region.store.add("files", record)
    return Response(201, b"", HTML)


def get_file(region: Region, request: Request) -> Response:
    """`GET files/?op=get`"""
    found = _file(region, request, required(request.query, "filename"))
    if found is None:
        raise Refusal(404, "File not found")
    return Response(200, raw(found["content"]), HTML)


def get_by_key(region: Region, request: Request) -> Response:
    """`GET files/?op=get_by_key`: whoever knows the key."""
    key = required(request.query, "key")
    for one in region.store.data["files"]:
        if one["key"] == key:
            return Response(200, raw(one["content"]), HTML)
    raise missing("FileStorage")


def read_file(region: Region, request: Request, name: str) -> Record | Response:
    """`GET files/{name}/`"""
    found = _file(region, request, name)
    return _show_file(found) if found else Response(404, b"Not Found", HTML)


def delete_file(region: Region, request: Request, name: str) -> Response:
    """`DELETE files/{name}/`"""
    found = _file(region, request, name)
    if found is None:
        return Response(404, b"Not Found", HTML)
    region.store.data["files"].remove(found)
    return NO_CONTENT


# -- what a region says of itself ------------------------------------------------------------------------------------


def notifications(region: Region, request: Request) -> list[Record]:
    """`GET notifications/`"""
    if any(vlan["dhcp_on"] for vlan in region.store.data["vlans"]):
        return []
    return [
        {
            "ident": "dhcp_disabled_all_vlans",
            "user": None,
            "users": False,
            "admins": True,
            "message": _NO_DHCP,
            "context": {},
            "category": "warning",
            "dismissable": True,
            "id": 1,
            "resource_uri": f"{API}/notifications/1/",
        }
    ]


def package_repositories(region: Region, request: Request) -> list[Record]:
    """`GET package-repositories/`"""
    return [
        {
            "name": name,
            "url": url,
            "distributions": [],
            "disabled_pockets": [],
            "disabled_components": [],
            "disable_sources": True,
            "components": [],
            "arches": arches,
            "key": "",
            "enabled": True,
            "id": number,
            "resource_uri": f"{API}/package-repositories/{number}/",
        }
        for number, (name, url, arches) in enumerate(_ARCHIVES, start=1)
    ]
