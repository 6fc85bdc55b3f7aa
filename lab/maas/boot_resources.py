# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`boot-resources/`: the region's own images, and custom ones: announced, uploaded in pieces, checked, deleted.

The content lies beside the database, one file per upload. How much of it counts says the database: what a killed
simulator has written beyond that is written again.
"""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.maas import images
from lab.maas.forms import raw, string_bool
from lab.maas.network import API
from lab.maas.wire import NO_CONTENT, TEXT, Errors, Refusal, Request, Response, admins_only, as_json, forbidden, missing
from lab.maas.wire import text as plain

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

FILE_TYPES = {
    "tgz": "root-tgz",
    "tbz": "root-tbz",
    "txz": "root-txz",
    "ddtgz": "root-dd",
    "ddtar": "root-dd.tar",
    "ddraw": "root-dd.raw",
    "ddtbz": "root-dd.tar.bz2",
    "ddtxz": "root-dd.tar.xz",
    "ddbz2": "root-dd.bz2",
    "ddgz": "root-dd.gz",
    "ddxz": "root-dd.xz",
}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_RESERVED = re.compile(r"(centos\d\d?|ubuntu|rhel|esxi|windows)")
_REQUIRED = "This field is required."


def content_path(region: Region, number: int) -> Path:
    """Where the content of file `number` lies."""
    return region.store.directory / "maas-images" / str(number)


def _show_file(resource: Record, file: Record) -> Record:
    shown = {
        "filename": file["filetype"],
        "filetype": file["filetype"],
        "sha256": file["sha256"],
        "filename_on_disk": file["sha256"][:7],
        "size": file["size"],
        "complete": file["complete"],
    }
    if not file["complete"]:
        shown["progress"] = 100.0 * file["received"] / file["size"] if file["size"] else 0.0
        shown["upload_uri"] = f"{API}/boot-resources/{resource['id']}/upload/{file['id']}/"
    return shown


def _show_set(resource: Record, one: Record) -> Record:
    file = one["file"]
    shown = {
        "version": one["version"],
        "label": "uploaded",
        "size": file["size"] if file else 0,
        "complete": bool(file and file["complete"]),
        "files": {file["filetype"]: _show_file(resource, file)} if file else {},
    }
    if not shown["complete"]:
        shown["progress"] = shown["files"][file["filetype"]]["progress"] if file else 0.0
    return shown


def _show(resource: Record, whole: bool = True) -> Record:
    shown = {
        "id": resource["id"],
        "type": "Uploaded",
        "name": resource["name"],
        "architecture": resource["architecture"],
        "resource_uri": f"{API}/boot-resources/{resource['id']}/",
        "last_deployed": None,
        "title": resource["title"],
        "subarches": "generic",
    }
    if resource["base_image"]:
        shown["base_image"] = resource["base_image"]
    if whole:
        shown["sets"] = {one["version"]: _show_set(resource, one) for one in reversed(resource["sets"])}
    return shown


def _find(region: Region, number: str) -> Record | None:
    return next((one for one in region.store.data["images"] if str(one["id"]) == number), None)


def list_resources(region: Region, request: Request) -> list[Record]:
    """`GET boot-resources/`"""
    wanted = str(request.query.get("type", "all"))
    if wanted not in ("all", "synced", "uploaded"):
        raise Refusal(400, f"'{wanted}' is not a valid boot resource type. Available types: ['synced', 'uploaded']")
    found = [*images.synced(region), *(_show(one, whole=False) for one in region.store.data["images"])]
    found = [one for one in found if wanted in ("all", str(one["type"]).lower())]
    return sorted(found, key=lambda resource: (str(resource["name"]), int(resource["id"])))


def read(region: Region, request: Request, number: str) -> Record:
    """`GET boot-resources/{id}/`"""
    uploaded = _find(region, number)
    if uploaded:
        return _show(uploaded)
    synced = next((one for one in images.synced(region) if str(one["id"]) == number), None)
    if synced is None:
        raise missing("BootResource")
    return synced


# -- announce --------------------------------------------------------------------------------------------------------


def _check_base_image(data: Any, region: Region, name: str, errors: Errors) -> str | None:
    """What a custom image is made of; an image of a known system is made of itself."""
    given = str(data.get("base_image") or "")
    if "/" in name:
        return None
    if not given:
        return images.default_base(region)
    if given.count("/") != 1 or not all(given.split("/")):
        errors.add("base_image", "a base image must follow the format: <osystem>/<series>")
    return given


def _form(region: Region, request: Request) -> Record:
    data, errors = request.data, Errors()
    content = request.files.get("content")
    name = str(data.get("name") or "").removeprefix("custom/")
    if not name:
        errors.add("name", _REQUIRED)
    elif _RESERVED.fullmatch(name):
        errors.add("name", f"{name} is a reserved name")
    architecture = str(data.get("architecture") or "")
    usable = images.architectures(region)
    if not architecture:
        errors.add("architecture", _REQUIRED)
    elif architecture not in usable:
        choices = ", ".join(repr(one) for one in usable)
        errors.add("architecture", f"{architecture!r} is not a valid architecture.  It should be one of: {choices}.")
    kind = str(data.get("filetype") or "tgz")
    if kind not in FILE_TYPES:
        errors.add("filetype", f"Select a valid choice. {kind} is not one of the available choices.")
    sha256, size = str(data.get("sha256") or ""), str(data.get("size") or "")
    if content is None:
        if not sha256:
            errors.add("sha256", _REQUIRED)
        elif not _SHA256.fullmatch(sha256):
            errors.add("sha256", "Enter a valid value.")
        if not size:
            errors.add("size", _REQUIRED)
        elif not size.isdigit():
            errors.add("size", "Enter a whole number.")
    base = _check_base_image(data, region, name, errors)
    errors.refuse()
    return {
        "name": name,
        "architecture": architecture,
        "title": str(data.get("title") or ""),
        "base_image": base,
        "filetype": FILE_TYPES[kind],
        "sha256": sha256.lower(),
        "size": int(size) if size.isdigit() else 0,
        "keep_old": bool(string_bool(data.get("keep_old", False))),
    }


def _version(region: Region, resource: Record) -> str:
    today = time.strftime("%Y%m%d", time.gmtime(region.now()))
    taken = {one["version"] for one in resource["sets"]}
    version, number = today, 0
    while version in taken:
        number += 1
        version = f"{today}.{number}"
    return version


def create(region: Region, request: Request) -> Response:
    """`POST boot-resources/`: announce a content, or bring it along; then neither its size nor its sum is checked."""
    admins_only(request)
    form = _form(region, request)
    resource = next(
        (
            one
            for one in region.store.data["images"]
            if (one["name"], one["architecture"]) == (form["name"], form["architecture"])
        ),
        None,
    )
    if resource is None:
        number = max(region.store.next_id("boot_resource"), len(images.synced(region)) + 1)
        region.store.data["counters"]["boot_resource"] = number
        new = {"id": number, "name": form["name"], "architecture": form["architecture"], "title": "", "sets": []}
        resource = region.store.add("images", {**new, "base_image": None})
    resource.update(title=form["title"] or resource["title"], base_image=form["base_image"])
    if not form["keep_old"]:
        for one in resource["sets"]:
            _drop(region, request, one)
    file: Record = {"id": region.store.next_id("boot_file"), "received": 0, "complete": False}
    file.update({key: form[key] for key in ("filetype", "sha256", "size")})
    content = request.files.get("content")
    if content is not None:
        whole = raw(content)
        _write(region, file, whole)
        file.update(size=len(whole), received=len(whole), complete=True, sha256=hashlib.sha256(whole).hexdigest())
    resource["sets"].append({"version": _version(region, resource), "file": file})
    newest = {**_show(resource)}
    return as_json(newest, 201)


def _drop(region: Region, request: Request, one: Record) -> None:
    """Forget the file of a set; its content goes once that is committed."""
    if one["file"]:
        path = content_path(region, one["file"]["id"])
        one["file"] = None
        request.after_commit.append(lambda: path.unlink(missing_ok=True))


def delete(region: Region, request: Request, number: str) -> Response:
    """`DELETE boot-resources/{id}/`; one that is not there is an error of the server."""
    admins_only(request)
    resource = _find(region, number)
    if resource is None:
        if any(str(one["id"]) == number for one in images.synced(region)):
            raise Refusal(400, "The lab's own images stay: they are in its maas-config.json.")
        raise Refusal(500, "BootResource matching query does not exist.")
    for one in resource["sets"]:
        _drop(region, request, one)
    region.store.data["images"].remove(resource)
    return NO_CONTENT


# -- upload ----------------------------------------------------------------------------------------------------------


def _write(region: Region, file: Record, piece: bytes) -> None:
    path = content_path(region, file["id"])
    path.parent.mkdir(exist_ok=True)
    with path.open("r+b" if path.exists() else "w+b") as stream:
        stream.seek(file["received"])
        stream.write(piece)
        stream.truncate()


def _file(region: Region, number: str, file_number: str) -> Record:
    resource = _find(region, number)
    if resource is None:
        if any(str(one["id"]) == number for one in images.synced(region)):
            raise forbidden("Cannot upload to a resource of type: Synced. ")
        raise missing("BootResource")
    for one in resource["sets"]:
        if one["file"] and str(one["file"]["id"]) == file_number:
            found: Record = one["file"]
            return found
    raise missing("BootResourceFile")


def upload(region: Region, request: Request, number: str, file_number: str) -> Response:
    """`PUT boot-resources/{id}/upload/{file}/`: the next piece; the last one completes the file if its sum is right.

    Done outside the transaction (see api): the sum of a large file takes a while.
    """
    admins_only(request)
    piece = request.body
    with region.uploading:
        with region.store.transaction():
            file = _file(region, number, file_number)
            if not piece:
                raise Refusal(400, "Missing data.")
            if file["complete"]:
                raise Refusal(400, "Cannot upload to a complete file.")
            if file["received"] + len(piece) > file["size"]:
                raise Refusal(400, "Too much data received.")
            _write(region, file, piece)
            file["received"] += len(piece)
            whole, wanted = file["received"] == file["size"], file["sha256"]
        if whole:
            right = _sum(content_path(region, int(file_number))) == wanted
            with region.store.transaction():
                file = _file(region, number, file_number)
                file.update(complete=right, received=file["received"] if right else 0)
            if not right:
                raise Refusal(400, "Saved content does not match given SHA256 value.")
    return plain("OK")


def _sum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# -- deployment ------------------------------------------------------------------------------------------------------


def serve(region: Region, request: Request, number: str) -> Response:
    """`GET /images/{file}`: the content of a complete file, as a machine fetches it that is being installed."""
    for resource in region.store.data["images"]:
        for one in resource["sets"]:
            if one["file"] and str(one["file"]["id"]) == number and one["file"]["complete"]:
                return Response(200, content_type="application/octet-stream", file=content_path(region, int(number)))
    raise missing("BootResourceFile")


# -- import ----------------------------------------------------------------------------------------------------------


def is_importing(region: Region, request: Request) -> bool:
    """`GET boot-resources/?op=is_importing`: there is nothing to download, so an import is over at once."""
    return False


def start_import(region: Region, request: Request) -> Response:
    """`POST boot-resources/?op=import`"""
    admins_only(request)
    return plain("Import of boot resources started", content_type=TEXT)


def stop_import(region: Region, request: Request) -> Response:
    """`POST boot-resources/?op=stop_import`"""
    admins_only(request)
    return plain("Import of boot resources is being stopped", content_type=TEXT)
