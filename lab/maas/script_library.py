# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`scripts/`: list, upload, read, change, revert, tag and delete scripts."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lab.maas.builtin_scripts import BUILT_IN
from lab.maas.forms import raw, string_bool
from lab.maas.network import API
from lab.maas.script_form import BAD_TYPE, HARDWARE, PARALLEL, TYPES, changes, number
from lab.maas.script_results import date
from lab.maas.wire import NO_CONTENT, Refusal, Request, Response, admins_only, forbidden, missing, required

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_HARDWARE_NAMES = {**{value: key.capitalize() for key, value in HARDWARE.items()}, 1: "CPU", 5: "GPU"}
_PARALLEL_NAMES = {
    0: "Disabled",
    1: "Run along other instances of this script",
    2: "Run along any other script.",
}


def install(region: Region) -> None:
    """Give a new region its built-in scripts."""
    if region.store.data["scripts"]:
        return
    for script in BUILT_IN:
        history = [{**script["history"][0], "created": region.now()}]
        region.store.add("scripts", {**script, "history": history})
    region.store.data["counters"]["script"] = max(script["id"] for script in BUILT_IN)
    region.store.data["counters"]["script_revision"] = region.store.data["counters"]["script"]


def _show(script: Record, with_content: bool = False) -> Record:
    shown = {key: value for key, value in script.items() if key != "history"}
    history = []
    for revision in script["history"]:
        one = {"id": revision["id"], "comment": revision["comment"], "created": date(revision["created"])}
        if with_content:
            one["data"] = base64.b64encode(raw(revision["data"])).decode()
        history.append(one)
    return {
        **shown,
        "timeout": str(timedelta(seconds=script["timeout"])),
        "history": history,
        "hardware_type_name": _HARDWARE_NAMES[script["hardware_type"]],
        "parallel_name": _PARALLEL_NAMES[script["parallel"]],
        "type_name": next(name for name, value in TYPES.items() if value == script["type"]).capitalize() + " script",
        "resource_uri": f"{API}/scripts/{script['name']}",
    }


def _find(region: Region, which: str) -> Record:
    for script in region.store.data["scripts"]:
        if which in (script["name"], str(script["id"])):
            found: Record = script
            return found
    raise missing("Script")


def _wants_content(request: Request) -> bool:
    return bool(string_bool(request.query.get("include_script", False)))


def list_scripts(region: Region, request: Request) -> list[Record]:
    """`GET scripts/`"""
    query = request.query
    kinds = [number(TYPES, given) for given in query.getlist("type")]
    if None in kinds:
        raise Refusal(400, BAD_TYPE)
    hardware = [number(HARDWARE, given) for given in query.getlist("hardware_type")]
    words = {word for given in query.getlist("filters") for word in given.split(",")}
    return [
        _show(script, _wants_content(request))
        for script in region.store.data["scripts"]
        if (not kinds or script["type"] in kinds)
        and (not hardware or script["hardware_type"] in hardware)
        and (not words or words & {script["name"], *script["tags"]})
    ]


def _content(request: Request) -> tuple[Any, str | None]:
    """(fields, text of the script): a field or a file `script`, or the only file, whose field names the script."""
    data = request.data
    content = request.files.get("script")
    if content is None and data.get("script"):
        content = str(data.get("script"))
    files = list(request.files)
    if content is None and len(files) == 1:
        fields = dict(data.items())
        return {"name": files[0], **fields}, request.files.get(files[0])
    return data, content


def _revision(region: Region, request: Request, content: str) -> Record:
    return {
        "id": region.store.next_id("script_revision"),
        "comment": request.data.get("comment"),
        "created": region.now(),
        "data": content,
    }


def _tag_by_hardware(script: Record) -> None:
    """Every script carries its hardware's name."""
    name = next(key for key, value in HARDWARE.items() if value == script["hardware_type"])
    script["tags"] = [tag for tag in script["tags"] if tag not in HARDWARE or tag == name]
    if name not in script["tags"]:
        script["tags"].append(name)


def create(region: Region, request: Request) -> Record:
    """`POST scripts/`"""
    admins_only(request)
    data, content = _content(request)
    new = changes(region, data, content, None)
    script: Record = {
        "type": TYPES["testing"],
        "title": "",
        "description": "",
        "tags": [],
        "hardware_type": HARDWARE["node"],
        "parallel": PARALLEL["disabled"],
        "results": {},
        "parameters": {},
        "packages": {},
        "timeout": 0,
        "destructive": False,
        "default": False,
        "for_hardware": [],
        "may_reboot": False,
        "recommission": False,
        "apply_configured_networking": False,
        **new,
        "id": region.store.next_id("script"),
        "history": [_revision(region, request, content or "")],
    }
    _tag_by_hardware(script)
    return _show(region.store.add("scripts", script))


def read(region: Region, request: Request, which: str) -> Record:
    """`GET scripts/{name}`"""
    return _show(_find(region, which), _wants_content(request))


def update(region: Region, request: Request, which: str) -> Record:
    """`PUT scripts/{name}`; a new text is a new revision."""
    admins_only(request)
    script = _find(region, which)
    data, content = _content(request)
    if script["default"] and content:
        raise Refusal(400, {"script": ["Not allowed to change on default scripts."]})
    script.update(changes(region, data, content, script))
    _tag_by_hardware(script)
    if content:
        script["history"].insert(0, _revision(region, request, content))
    return _show(script)


def delete(region: Region, request: Request, which: str) -> Response:
    """`DELETE scripts/{name}`: not a built-in one."""
    admins_only(request)
    script = _find(region, which)
    if script["default"]:
        raise Refusal(400, "Unable to delete default script")
    region.store.data["scripts"].remove(script)
    return NO_CONTENT


def download(region: Region, request: Request, which: str) -> Response:
    """`GET scripts/{name}?op=download`: its text, of its latest or of the given revision."""
    script = _find(region, which)
    wanted = request.query.get("revision")
    for revision in script["history"]:
        if wanted is None or str(revision["id"]) == wanted:
            return Response(200, raw(revision["data"]), "application/binary")
    raise missing("VersionedTextFile")


def revert(region: Region, request: Request, which: str) -> Record:
    """`POST scripts/{name}?op=revert`: `to` is a revision, or how many to go back (-1)."""
    admins_only(request)
    script = _find(region, which)
    given = required(request.data, "to")
    if not given.lstrip("-").isdigit():
        raise Refusal(400, "Invalid to: Please enter an integer value")
    to, history = int(given), script["history"]
    if to <= 0:
        if -to >= len(history):
            raise Refusal(400, "Goes too far back.")
        script["history"] = history[-to:]
        return _show(script)
    found = [place for place, revision in enumerate(history) if revision["id"] == to]
    if not found:
        raise Refusal(400, f"{to} not found in history")
    script["history"] = history[found[0] :]
    return _show(script)


def _tag(request: Request) -> str:
    if not request.is_admin:
        raise forbidden("This method is reserved for admin users.")
    tag = required(request.data, "tag")
    if "," in tag:
        raise Refusal(400, "Tag may not contain a ','.")
    return tag


def add_tag(region: Region, request: Request, which: str) -> Record:
    """`POST scripts/{name}?op=add_tag`"""
    tag, script = _tag(request), _find(region, which)
    if tag not in script["tags"]:
        script["tags"].append(tag)
    return _show(script)


def remove_tag(region: Region, request: Request, which: str) -> Record:
    """`POST scripts/{name}?op=remove_tag`"""
    tag, script = _tag(request), _find(region, which)
    script["tags"] = [one for one in script["tags"] if one != tag]
    return _show(script)
