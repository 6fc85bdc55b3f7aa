# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab tells the simulator: LABDIR/maas-config.json and the administrator's key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """A file of the lab is missing or wrong; the text names file, key and remedy."""


@dataclass(frozen=True)
class LabImage:
    """An image that machines can be deployed with.

    `architectures` are MAAS's ("amd64/generic"), `kernels` the kernel flavours it brings; a custom image has none.
    `subarches` are the flavours that it can be booted as; those of `kernels` when not given.
    """

    osystem: str
    series: str
    title: str = ""
    architectures: tuple[str, ...] = ("amd64/generic",)
    kernels: tuple[str, ...] = ()
    subarches: tuple[str, ...] = ()


_LAB_IMAGE = LabImage("custom", "debian-12", "Debian 12 of the lab")


@dataclass(frozen=True)
class LabSettings:
    """LABDIR/maas-config.json; every key is optional.

    Attributes:
        node_timeout_minutes: commissioning and testing time-out; twice that is given to a deployment.
        release_timeout_minutes: until a machine that is released must be off.
        images: what can be deployed; the first one is the default.
    """

    node_timeout_minutes: float = 30
    release_timeout_minutes: float = 5
    images: tuple[LabImage, ...] = field(default=(_LAB_IMAGE,))


def _image(entry: Any, where: str) -> LabImage:
    if not isinstance(entry, dict) or not entry.get("osystem") or not entry.get("series"):
        raise SettingsError(f'{where}: every image needs "osystem" and "series", for example "custom" and "debian-12"')
    unknown = set(entry) - {"osystem", "series", "title", "architectures", "kernels", "subarches"}
    if unknown:
        raise SettingsError(f"{where}: unknown key {sorted(unknown)[0]!r}: remove it")
    return LabImage(
        str(entry["osystem"]),
        str(entry["series"]),
        str(entry.get("title", "")),
        tuple(entry.get("architectures", ("amd64/generic",))),
        tuple(entry.get("kernels", ())),
        tuple(entry.get("subarches", ())),
    )


def load(path: Path) -> LabSettings:
    """Read maas-config.json.

    Raises:
        SettingsError: no JSON object, an unknown key, or a value of the wrong kind.
    """
    if not path.exists():
        return LabSettings()
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path}: no JSON ({error}): correct or remove the file") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: not a JSON object: write {{}} for the defaults")
    known = {"node_timeout_minutes", "release_timeout_minutes", "images"}
    for key, value in raw.items():
        if key not in known:
            raise SettingsError(f"{path}: unknown key {key!r}: one of {', '.join(sorted(known))}")
        if key.endswith("_minutes") and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise SettingsError(f"{path}: {key} is {value!r}: give minutes, more than 0")
        if key == "images" and not isinstance(value, list):
            raise SettingsError(f"{path}: images is no list: give objects with osystem and series")
    if "images" in raw:
        raw["images"] = tuple(_image(entry, f"{path}: images[{n}]") for n, entry in enumerate(raw["images"]))
    return LabSettings(**raw)


def load_key(path: Path) -> tuple[str, str, str]:
    """The administrator's API key (consumer, token, secret).

    Raises:
        SettingsError: the file is missing or holds no key.
    """
    try:
        parts = path.read_text(encoding="utf-8").strip().split(":")
    except OSError as error:
        raise SettingsError(f"{path}: no API key ({error.strerror}): start the lab with `python -m lab up`") from error
    if len(parts) != 3 or not all(parts):
        raise SettingsError(f"{path}: not consumer:token:secret: remove it and start the lab with `python -m lab up`")
    return parts[0], parts[1], parts[2]
