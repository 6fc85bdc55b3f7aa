# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data disks of the virtual machine, which a role chooses by model, serial and size, never by a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.image.build import run


@dataclass(frozen=True)
class DataDisk:
    """A disk that a role may use. `label` is that of an old file system on it."""

    bus: str
    model: str
    serial: str
    gib: int
    label: str = ""

    @property
    def link(self) -> str:
        """Its name by what it is, as udev gives it."""
        if self.bus == "nvme":
            return f"/dev/disk/by-id/nvme-{self.model.replace(' ', '_')}_{self.serial}"
        return f"/dev/disk/by-id/wwn-{self.wwn:#x}"

    @property
    def wwn(self) -> int:
        """The world wide name of a SCSI disk: of its maker, ending as its serial number does."""
        return _MAKER | int(self.serial[-4:])

    def device(self, node: str) -> dict[str, Any]:
        """How it is plugged in: the arguments of QEMU's `device_add`, for the block node `node`."""
        if self.bus == "nvme":
            # The emulated controller has one model, which it says itself.
            return {"driver": "nvme", "id": self.serial, "drive": node, "serial": self.serial}
        says = {"vendor": VENDOR, "product": self.model, "serial": self.serial, "wwn": self.wwn, "rotation_rate": 1}
        return {"driver": "scsi-hd", "id": self.serial, "drive": node, "bus": "scsi.0", **says}


VENDOR = "FIRSTLGT"
_MAKER = 0x5001_1110_0000_0000
NVME_MODEL = "QEMU NVMe Ctrl"
DATA_DISKS = (
    DataDisk("nvme", NVME_MODEL, "FLNVME0001", 1),
    DataDisk("nvme", NVME_MODEL, "FLNVME0002", 1),
    DataDisk("scsi", "FL-SSD-2G", "FLSSD0003", 2),
    DataDisk("scsi", "FL-SSD-1G", "FLSSD0004", 1, label="old-data"),
)


def make(disk: DataDisk, path: Path) -> None:
    """A disk as it stood on the shelf. Raises BuildError."""
    with path.open("wb") as file:
        file.truncate(disk.gib << 30)
    if disk.label:
        run(["mkfs.ext4", "-q", "-F", "-L", disk.label, str(path)], f"file system of {disk.serial}")
