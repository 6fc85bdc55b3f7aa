# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware and stored settings of a machine's HCAs: the file `hcas.json` in its machine directory.

What the vendor's tools on the node flash and set there is in force after the next reset, as which a start of the
machine counts. README.md beside this file describes the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab import files

FILE_NAME = "hcas.json"
PSID = "MT_0000000838"
FACTORY_FIRMWARE = "28.39.1002"


def read(machine_dir: Path) -> dict[str, Any]:
    """By PCI address what was stored: `firmware` or the name of a setting, each with `running` and `stored`."""
    return dict(files.read_json(machine_dir / FILE_NAME, {}))


def running_firmware(machine_dir: Path, address: str) -> str:
    """The version that the HCA at `address` runs."""
    firmware = read(machine_dir).get(address, {}).get("firmware", {})
    return str(firmware.get("running", FACTORY_FIRMWARE))


def reset(machine_dir: Path) -> None:
    """What was stored is in force, and the machine's sysfs shows it."""
    state = read(machine_dir)
    if not state:
        return
    for hca in state.values():
        for part in hca.values():
            part["running"] = part["stored"]
    files.write_json(machine_dir / FILE_NAME, state)
    for shown in machine_dir.glob("sysfs/class/infiniband/*/device/uevent"):
        address = shown.read_text().partition("PCI_SLOT_NAME=")[2].split("\n")[0]
        files.write_text(shown.parents[1] / "fw_ver", f"{running_firmware(machine_dir, address)}\n")
