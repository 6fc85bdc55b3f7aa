# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the GPUs that the PCI bus shows, whether or not the driver can use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .source import attempt, read_text

_NVIDIA = "0x10de"
# Display controllers: VGA (0x0300) and 3D (0x0302), as data-centre GPUs present themselves.
_DISPLAY = "0x03"


def read_pci(sysfs: Path) -> dict[str, Any]:
    """`gpus`: for every NVIDIA display controller its `address` and PCI `device` id, in address order.

    Raises OSError where the bus cannot be listed.
    """
    gpus = []
    for entry in sorted((sysfs / "bus" / "pci" / "devices").iterdir()):
        vendor = attempt(read_text, entry / "vendor")
        kind = attempt(read_text, entry / "class")
        if vendor == _NVIDIA and isinstance(kind, str) and kind.startswith(_DISPLAY):
            gpus.append({"address": entry.name, "device": attempt(read_text, entry / "device")})
    return {"gpus": gpus}
