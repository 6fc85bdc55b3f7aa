# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ssh public keys of the API key's user, with which MAAS lets people into deployed machines. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from .client import Client
from .errors import InvalidResponse, MaasError
from .reconcile import Change, Write

_PATH = "account/prefs/sshkeys/"


def identity(key: str) -> str:
    """Type and body of a public key; its comment and options do not count. Raises MaasError where it has none."""
    parts = key.split()
    for kind, body in itertools.pairwise(parts):
        if body.startswith("AAAA"):
            return f"{kind} {body}"
    raise MaasError(
        f"keys: {key[:20]!r}… is not an ssh public key.",
        remedy="Give the content of a .pub file: its type, its body, and perhaps a comment.",
    )


def name_of(key: str) -> str:
    """A short name for people: the comment, else the type, and the last characters of the body."""
    kind, body = identity(key).split()
    comment = key.partition(body)[2].strip()
    return f"{comment or kind} …{body[-12:]}"


def read_keys(client: Client) -> list[Mapping[str, Any]]:
    """The keys of the user, each with `id` and `key`."""
    keys = client.get(_PATH)
    if not isinstance(keys, list) or not all(isinstance(key, Mapping) and {"id", "key"} <= set(key) for key in keys):
        raise InvalidResponse("MAAS's list of ssh keys cannot be read.", method="GET", path=_PATH)
    return keys


def plan_keys(
    wanted: Sequence[str], present: bool, exclusive: bool, current: Sequence[Mapping[str, Any]]
) -> list[Change]:
    """Keys to add and to take away; with `exclusive` all that are not wanted go."""
    by_identity = {identity(str(key["key"])): key for key in current}
    mine: dict[str, str] = {}
    for key in wanted:
        mine.setdefault(identity(key), key)
    changes: list[Change] = []
    if present:
        changes += [
            Change("ssh_key", name_of(key), None, {"key": key.strip()}, Write("POST", _PATH, {"key": key.strip()}))
            for known, key in mine.items()
            if known not in by_identity
        ]
    for known, item in by_identity.items():
        if (exclusive and known not in mine) if present else known in mine:
            key = str(item["key"])
            changes.append(
                Change("ssh_key", name_of(key), {"key": key}, None, Write("DELETE", f"{_PATH}{item['id']}/"))
            )
    return changes
