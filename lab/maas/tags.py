# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags and the machines that carry them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lab.maas.forms import Fields
from lab.maas.views import API, show_machine
from lab.maas.wire import NO_CONTENT, Errors, Request, Response, conflict, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_NAME = re.compile(r"[A-Za-z0-9_-]+")


def _show(tag: Record) -> Record:
    return {
        "name": tag["name"],
        "definition": tag["definition"],
        "comment": tag["comment"],
        "kernel_opts": tag["kernel_opts"],
        "resource_uri": f"{API}/tags/{tag['name']}/",
    }


def _find(region: Region, name: str) -> Record:
    found: Record | None = next((tag for tag in region.store.data["tags"] if tag["name"] == name), None)
    if found is None:
        raise missing("Tag")
    return found


def _balanced(xpath: str) -> bool:
    return all(xpath.count(left) == xpath.count(right) for left, right in ("[]", "()")) and not xpath.endswith("/")


def _take(region: Region, data: Any, tag: Record) -> None:
    """Put a form's values into a tag."""
    errors = Errors()
    name = data.get("name")
    if not name and not tag["name"]:
        errors.add("name", "This field is required.")
    elif name:
        if not _NAME.fullmatch(str(name)):
            errors.add("name", "Enter a valid value.")
        elif any(one["name"] == name for one in region.store.data["tags"] if one is not tag):
            errors.add("name", "Tag with this Name already exists.")
    definition = data.get("definition")
    if definition and not _balanced(str(definition)):
        errors.add("definition", "Invalid xpath expression: Invalid expression")
    errors.refuse()
    for key in ("name", "definition", "comment", "kernel_opts"):
        if data.get(key) is not None:
            tag[key] = str(data.get(key))


def list_tags(region: Region, request: Request) -> list[Record]:
    """`GET tags/`"""
    return [_show(tag) for tag in sorted(region.store.data["tags"], key=lambda tag: str(tag["name"]))]


def create(region: Region, request: Request) -> Record:
    """`POST tags/`"""
    if not request.is_admin:
        raise forbidden()
    tag = {"name": "", "definition": "", "comment": "", "kernel_opts": ""}
    _take(region, request.data, tag)
    return _show(region.store.add("tags", tag))


def read(region: Region, request: Request, name: str) -> Record:
    """`GET tags/{name}/`"""
    return _show(_find(region, name))


def update(region: Region, request: Request, name: str) -> Record:
    """`PUT tags/{name}/`; a new name follows to the machines."""
    if not request.is_admin:
        raise forbidden()
    tag = _find(region, name)
    _take(region, request.data, tag)
    for machine in region.store.data["machines"]:
        if name in machine["tags"]:
            machine["tags"] = [tag["name"] if one == name else one for one in machine["tags"]]
    return _show(tag)


def delete(region: Region, request: Request, name: str) -> Response:
    """`DELETE tags/{name}/`"""
    if not request.is_admin:
        raise forbidden()
    region.store.data["tags"].remove(_find(region, name))
    for machine in region.store.data["machines"]:
        if name in machine["tags"]:
            machine["tags"].remove(name)
    return NO_CONTENT


def machines(region: Region, request: Request, name: str) -> list[Record]:
    """`GET tags/{name}/?op=machines` and `op=nodes`"""
    _find(region, name)
    return [show_machine(region, machine) for machine in region.store.data["machines"] if name in machine["tags"]]


def none_of_these(region: Region, request: Request, name: str) -> list[Record]:
    """`op=devices` and the controllers: the lab has none."""
    _find(region, name)
    return []


def _ids(data: Any, key: str) -> list[str]:
    if isinstance(data, Fields):
        return data.getlist(key)
    # a bare string in JSON is gone through letter by letter, as MAAS does
    return [str(one) for one in data.get(key) or []]


def update_nodes(region: Region, request: Request, name: str) -> Record:
    """`POST tags/{name}/?op=update_nodes`: counts the nodes that were named and exist, tagged before or not."""
    tag = _find(region, name)
    if not request.is_admin:
        raise forbidden()
    definition = request.data.get("definition")
    if definition is not None and definition != tag["definition"]:
        raise conflict(f"Definition supplied '{definition}' doesn't match current definition '{tag['definition']}'")
    counted = {}
    for key in ("add", "remove"):
        wanted = _ids(request.data, key)
        named = [machine for machine in region.store.data["machines"] if machine["system_id"] in wanted]
        for machine in named:
            machine["tags"] = [one for one in machine["tags"] if one != name] + ([name] if key == "add" else [])
        counted[key] = len(named)
    return {"added": counted["add"], "removed": counted["remove"]}


def rebuild(region: Region, request: Request, name: str) -> Record:
    """`POST tags/{name}/?op=rebuild`"""
    if not request.is_admin:
        raise forbidden()
    return {"rebuilding": _find(region, name)["name"]}
