# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operating systems that a lab's machines can have, and which one a lab was brought up with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab import files
from lab.errors import LabError

VARIABLE = "LAB_RELEASE"


@dataclass(frozen=True)
class Release:
    """A release of Debian: its `name` as MAAS has its image, its `suite`, and how that stands now with Debian.

    `software` has the versions of a node class that are others here than in inventories/lab.
    """

    name: str
    title: str
    suite: str
    standing: str
    software: Mapping[str, str] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """As vendors call it in the paths of their repositories: debian12."""
        return self.name.replace("-", "")

    def cache(self, top: Path) -> Path:
        """Where below a clone's cache what is made for this release is kept, out of the way of the others'."""
        return top if self is DEFAULT else top / self.name

    def describe(self) -> dict[str, Any]:
        """What an inventory needs to know of it."""
        return {**asdict(self), "system": self.system}


DEFAULT = Release("debian-12", "Debian 12", "bookworm", "oldstable")
RELEASES = {
    release.name: release
    for release in (
        DEFAULT,
        # NVIDIA has packages of DOCA for it since 3.2; Docker is Debian's own.
        Release("debian-13", "Debian 13", "trixie", "stable", {"doca_ofed": "3.2.1-044000", "docker": "26.1"}),
    )
}


def from_environment() -> Release | None:
    """The release that `LAB_RELEASE` names; None when it is unset.

    :raises LabError: there is none of that name.
    """
    name = os.environ.get(VARIABLE)
    if name and name not in RELEASES:
        raise LabError(f"{VARIABLE}={name!r}: the lab has no such release; there are: {', '.join(RELEASES)}")
    return RELEASES[name] if name else None


def of(directory: Path) -> Release:
    """The release of the lab whose state directory this is.

    :raises LabError: `lab up` has not come as far as choosing one.
    """
    name = files.read_json(directory / "image.json", {}).get("release")
    if name not in RELEASES:
        raise LabError(f"{directory / 'image.json'} names no release; `python -m lab down`, then `python -m lab up`")
    return RELEASES[name]
