# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot sources, from which a region would download its images, and what it would take from each."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from lab.maas.forms import raw, values_of
from lab.maas.network import API
from lab.maas.wire import NO_CONTENT, Errors, Request, Response, admins_only, as_json, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_REQUIRED = "This field is required."
_URL = "http://images.maas.io/ephemeral-v3/stable/"
_KEYRING = "/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg"


def install(region: Region) -> None:
    """Give a new region its source."""
    if "boot_source" in region.store.data["counters"]:
        return
    number, now = region.store.next_id("boot_source"), region.now()
    source = {"id": number, "url": _URL, "keyring_filename": _KEYRING, "keyring_data": ""}
    region.store.add("boot_sources", {**source, "created": now, "updated": now, "selections": []})


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"


def _show(source: Record) -> Record:
    return {
        "created": _time(source["created"]),
        "updated": _time(source["updated"]),
        "url": source["url"],
        "keyring_filename": source["keyring_filename"],
        "keyring_data": source["keyring_data"],
        "id": source["id"],
        "resource_uri": f"{API}/boot-sources/{source['id']}/",
    }


def _find(region: Region, number: str) -> Record:
    for source in region.store.data["boot_sources"]:
        if str(source["id"]) == number:
            found: Record = source
            return found
    raise missing("BootSource")


def _take(region: Region, request: Request, source: Record) -> Record:
    """The form's values over those of a source."""
    data, errors = request.data, Errors()
    new = {key: source[key] for key in ("url", "keyring_filename", "keyring_data")}
    for key in ("url", "keyring_filename"):
        if data.get(key) is not None:
            new[key] = str(data.get(key))
    uploaded = request.files.get("keyring_data")
    if uploaded is not None:
        new["keyring_data"] = base64.b64encode(raw(uploaded)).decode()
    if not new["url"]:
        errors.add("url", _REQUIRED)
    elif not new["url"].startswith(("http://", "https://")):
        errors.add("url", "Enter a valid URL.")
    elif any(one["url"] == new["url"] for one in region.store.data["boot_sources"] if one["id"] != source["id"]):
        errors.add("url", "Boot source with this Url already exists.")
    if new["keyring_filename"] and new["keyring_data"]:
        errors.add("__all__", "Only one of keyring_filename or keyring_data can be specified.")
    elif not new["keyring_filename"] and not new["keyring_data"]:
        errors.add("__all__", "One of keyring_data or keyring_filename must be specified.")
    errors.refuse()
    return new


def list_sources(region: Region, request: Request) -> list[Record]:
    """`GET boot-sources/`"""
    admins_only(request)
    return [_show(source) for source in region.store.data["boot_sources"]]


def create(region: Region, request: Request) -> Response:
    """`POST boot-sources/`"""
    admins_only(request)
    empty = {"id": None, "url": "", "keyring_filename": "", "keyring_data": ""}
    new, now = _take(region, request, empty), region.now()
    new.update(id=region.store.next_id("boot_source"), created=now, updated=now, selections=[])
    return as_json(_show(region.store.add("boot_sources", new)), 201)


def read(region: Region, request: Request, number: str) -> Record:
    """`GET boot-sources/{id}/`"""
    admins_only(request)
    return _show(_find(region, number))


def update(region: Region, request: Request, number: str) -> Record:
    """`PUT boot-sources/{id}/`"""
    admins_only(request)
    source = _find(region, number)
    source.update(_take(region, request, source), updated=region.now())
    return _show(source)


def delete(region: Region, request: Request, number: str) -> Response:
    """`DELETE boot-sources/{id}/`; its selections go along."""
    admins_only(request)
    region.store.data["boot_sources"].remove(_find(region, number))
    return NO_CONTENT


# -- selections ------------------------------------------------------------------------------------------------------


def _show_selection(source: Record, selection: Record) -> Record:
    return {
        "boot_source_id": source["id"],
        **selection,
        "resource_uri": f"{API}/boot-sources/{source['id']}/selections/{selection['id']}/",
    }


def _find_selection(region: Region, number: str, which: str) -> tuple[Record, Record]:
    source = _find(region, number)
    for selection in source["selections"]:
        if str(selection["id"]) == which:
            return source, selection
    raise missing("BootSourceSelection")


def _list(data: Any, key: str) -> list[str]:
    return [str(one) for one in values_of(data, key)]


def _take_selection(data: Any, source: Record, selection: Record) -> Record:
    errors = Errors()
    new = dict(selection)
    for key in ("os", "release"):
        if data.get(key) is not None:
            new[key] = str(data.get(key))
        if not new[key]:
            errors.add(key, _REQUIRED)
    for key in ("arches", "subarches", "labels"):
        if data.get(key) is not None:
            new[key] = _list(data, key)
    others = [one for one in source["selections"] if one["id"] != selection["id"]]
    if any((one["os"], one["release"]) == (new["os"], new["release"]) for one in others):
        errors.add("__all__", "Boot source selection with this Boot source, Os and Release already exists.")
    errors.refuse()
    return new


def list_selections(region: Region, request: Request, number: str) -> list[Record]:
    """`GET boot-sources/{id}/selections/`"""
    admins_only(request)
    source = _find(region, number)
    return [_show_selection(source, selection) for selection in source["selections"]]


def create_selection(region: Region, request: Request, number: str) -> Record:
    """`POST boot-sources/{id}/selections/`"""
    admins_only(request)
    source = _find(region, number)
    every = {"arches": ["*"], "subarches": ["*"], "labels": ["*"]}
    new = _take_selection(request.data, source, {"id": None, "os": "", "release": "", **every})
    new["id"] = region.store.next_id("boot_source_selection")
    source["selections"].append(new)
    return _show_selection(source, source["selections"][-1])


def read_selection(region: Region, request: Request, number: str, which: str) -> Record:
    """`GET boot-sources/{id}/selections/{id}/`"""
    admins_only(request)
    return _show_selection(*_find_selection(region, number, which))


def update_selection(region: Region, request: Request, number: str, which: str) -> Record:
    """`PUT boot-sources/{id}/selections/{id}/`"""
    admins_only(request)
    source, selection = _find_selection(region, number, which)
    selection.update(_take_selection(request.data, source, selection))
    return _show_selection(source, selection)


def delete_selection(region: Region, request: Request, number: str, which: str) -> Response:
    """`DELETE boot-sources/{id}/selections/{id}/`"""
    admins_only(request)
    source, selection = _find_selection(region, number, which)
    source["selections"].remove(selection)
    return NO_CONTENT
