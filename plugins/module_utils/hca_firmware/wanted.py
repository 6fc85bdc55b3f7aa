# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which firmware a node class wants of an HCA, by the PSID of its board. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})+")


@dataclass(frozen=True)
class Wanted:
    """A version that an HCA has at least, or exactly. Without an image `image_uri` and `sha256` are empty."""

    version: str
    exact: bool = False
    image_uri: str = ""
    sha256: str = ""

    def met_by(self, version: str) -> bool:
        """Whether an HCA with `version` is as wanted."""
        return version == self.version if self.exact else not older(version, self.version)


def wanted_of(hcas: Mapping[str, Any], psid: str) -> Wanted:
    """What `hardware.hcas` of a class wants of a board.

    An image of the class is for the boards of one PSID; the others have `firmware`, and nothing to burn.
    """
    firmware = str(hcas.get("firmware") or "")
    for image in hcas.get("firmware_images") or ():
        if image["psid"] == psid:
            version = str(image.get("version") or firmware)
            return Wanted(version, bool(image.get("exact")), str(image["image_uri"]), str(image["sha256"]).lower())
    return Wanted(firmware)


def is_version(text: Any) -> TypeGuard[str]:
    """Whether it is a version as firmware has it, 28.46.1006."""
    return isinstance(text, str) and bool(_VERSION.fullmatch(text))


def older(version: str, than: str) -> bool:
    """Whether the first of two versions is the older one; what is no version is older than any."""
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")] if is_version(version) else []
