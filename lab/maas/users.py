# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and their API keys."""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

from lab.maas.forms import string_bool
from lab.maas.views import API
from lab.maas.wire import NO_CONTENT, Refusal, Request, Response, admins_only, missing, required, taken

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_LETTERS = string.ascii_letters + string.digits


def show_user(user: Record) -> Record:
    return {
        "is_superuser": user["is_superuser"],
        "username": user["username"],
        "email": user["email"],
        "is_local": True,
        "resource_uri": f"{API}/users/{user['username']}/",
    }


def whoami(region: Region, request: Request) -> Record:
    """`GET users/?op=whoami`"""
    user = region.user(request.username)
    assert user is not None
    return show_user(user)


def list_users(region: Region, request: Request) -> list[Record]:
    """`GET users/`"""
    return [show_user(user) for user in sorted(region.store.data["users"], key=lambda user: str(user["username"]))]


def read(region: Region, request: Request, name: str) -> Record:
    """`GET users/{name}/`"""
    user = region.user(name)
    if user is None:
        raise missing("User")
    return show_user(user)


def create(region: Region, request: Request) -> Record:
    """`POST users/`"""
    admins_only(request)
    name = required(request.data, "username")
    email = required(request.data, "email")
    required(request.data, "password")
    superuser = request.data.get("is_superuser")
    if isinstance(superuser, bool):
        # its validator wants a text, and says nothing when it gets none
        raise Refusal(500, "")
    if region.user(name):
        raise taken()
    user = {"username": name, "email": email, "is_superuser": bool(string_bool(required(request.data, "is_superuser")))}
    return show_user(region.store.add("users", user))


def delete(region: Region, request: Request, name: str) -> Response:
    """`DELETE users/{name}/`; deleting nobody succeeds."""
    admins_only(request)
    if name == request.username:
        raise Refusal(400, "An administrator cannot self-delete.")
    data = region.store.data
    data["users"] = [user for user in data["users"] if user["username"] != name]
    data["tokens"] = [token for token in data["tokens"] if token["username"] != name]
    return NO_CONTENT


def list_tokens(region: Region, request: Request) -> list[Record]:
    """`GET account/?op=list_authorisation_tokens`"""
    return [
        {"name": token["name"], "token": f"{token['consumer']}:{token['key']}:{token['secret']}"}
        for token in region.store.data["tokens"]
        if token["username"] == request.username
    ]


def create_token(region: Region, request: Request) -> Record:
    """`POST account/?op=create_authorisation_token`"""
    token = {
        "consumer": "".join(secrets.choice(_LETTERS) for _ in range(18)),
        "key": "".join(secrets.choice(_LETTERS) for _ in range(18)),
        "secret": "".join(secrets.choice(_LETTERS) for _ in range(32)),
        "username": request.username,
        "name": str(request.data.get("name") or "MAAS consumer"),
        "made": True,
    }
    region.store.data["tokens"].append(token)
    return {
        "token_key": token["key"],
        "token_secret": token["secret"],
        "consumer_key": token["consumer"],
        "name": token["name"],
    }


def delete_token(region: Region, request: Request) -> Response:
    """`POST account/?op=delete_authorisation_token`"""
    key = required(request.data, "token_key")
    tokens = region.store.data["tokens"]
    mine = [token for token in tokens if token["key"] == key and token["username"] == request.username]
    if not mine:
        raise missing("Token")
    tokens.remove(mine[0])
    return NO_CONTENT
