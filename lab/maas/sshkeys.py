# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh keys of the caller: `account/prefs/sshkeys/`."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from lab.maas.network import API
from lab.maas.wire import BARE_TEXT, NO_CONTENT, Errors, Request, Response, as_json, forbidden, missing, required

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_INVALID = "Invalid SSH public key: Invalid value."


def _show(key: Record) -> Record:
    return {
        "id": key["id"],
        "key": key["key"],
        "keysource": None,
        "resource_uri": f"{API}/account/prefs/sshkeys/{key['id']}/",
    }


def _find(region: Region, number: str) -> Record:
    for key in region.store.data["sshkeys"]:
        if str(key["id"]) == number:
            found: Record = key
            return found
    raise missing("SSHKey")


def _is_key(text: str) -> bool:
    """Whether it is "type base64 [comment]", the type being the one inside the base64."""
    words = text.split(None, 2)
    if len(words) < 2 or "\n" in text.strip():
        return False
    try:
        raw = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        return False
    length = int.from_bytes(raw[:4], "big")
    return raw[4 : 4 + length] == words[0].encode() and len(raw) > 4 + length


def list_keys(region: Region, request: Request) -> list[Record]:
    """`GET account/prefs/sshkeys/`"""
    return [_show(key) for key in region.store.data["sshkeys"] if key["user"] == request.username]


def create(region: Region, request: Request) -> Response:
    """`POST account/prefs/sshkeys/`"""
    text, errors = str(request.data.get("key") or "").strip(), Errors()
    if not text:
        errors.add("key", "This field is required.")
    elif not _is_key(text):
        errors.add("key", _INVALID)
    elif any((one["user"], one["key"]) == (request.username, text) for one in region.store.data["sshkeys"]):
        errors.add("key", "This key has already been added for this user.")
    errors.refuse()
    record = {"id": region.store.next_id("sshkey"), "user": request.username, "key": text}
    return as_json(_show(region.store.add("sshkeys", record)), 201)


def read(region: Region, request: Request, number: str) -> Record:
    """`GET account/prefs/sshkeys/{id}/`"""
    return _show(_find(region, number))


def delete(region: Region, request: Request, number: str) -> Response:
    """`DELETE account/prefs/sshkeys/{id}/`"""
    key = _find(region, number)
    if key["user"] != request.username:
        raise forbidden("Can't delete a key you don't own.")
    region.store.data["sshkeys"].remove(key)
    return NO_CONTENT


def import_keys(region: Region, request: Request) -> Response:
    """`POST account/prefs/sshkeys/?op=import`: the lab reaches neither Launchpad nor GitHub."""
    source = required(request.data, "keysource")
    message = f"Unable to import SSH keys. There are no SSH keys for {source}."
    return Response(400, message.encode(), BARE_TEXT)
