# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region's settings (get_config, set_config) as data. Pure, but for reading."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .client import Client
from .reconcile import Change, Write

_HIDDEN = "(not shown)"
_SECRET_NAME = re.compile(r"pass|secret|token|(^|_)key($|_)|k_g", re.IGNORECASE)
_SECRET_IN_URL = re.compile(r"(?<=//)[^/@\s]+@")


def as_text(value: Any) -> str:
    """A setting's value as MAAS's form takes it: a list's items joined by blanks, null as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(as_text(item) for item in value)
    return str(value)


def read_settings(client: Client, names: Sequence[str]) -> dict[str, Any]:
    """The values of these settings, one request each; raises BadRequest, naming it, for one that MAAS does not have."""
    return {name: client.get("maas/", "get_config", {"name": name}) for name in names}


def plan_settings(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> list[Change]:
    """A change for each setting whose value, as text, is another. What may be a secret is not shown in it."""
    return [
        Change(
            "setting",
            name,
            {"value": shown(name, as_text(current.get(name)))},
            {"value": shown(name, as_text(value))},
            Write("POST", "maas/", {"name": name, "value": as_text(value)}, op="set_config", idempotent=True),
        )
        for name, value in wanted.items()
        if as_text(value) != as_text(current.get(name))
    ]


def secrets(wanted: Mapping[str, Any]) -> set[str]:
    """What of the settings must never be shown: whole values by their names, and the user part of URLs."""
    found: set[str] = set()
    for name, value in wanted.items():
        text = as_text(value)
        whole = text and _SECRET_NAME.search(name)
        found |= {text} if whole else {part.removesuffix("@") for part in _SECRET_IN_URL.findall(text)}
    return found


def shown(name: str, value: str) -> str:
    """A value for eyes: hidden where the setting's name says that it is a secret, without the user part of URLs."""
    if value and _SECRET_NAME.search(name):
        return _HIDDEN
    return _SECRET_IN_URL.sub("***@", value)
