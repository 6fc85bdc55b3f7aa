# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root disk of the virtual machine, made in plain files: a host need have no loop devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.image.build import run

_MIB = 1 << 20
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_SWAP = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"


@dataclass(frozen=True)
class Partition:
    """One partition of the root disk; sizes in MiB."""

    kind: str
    start: int
    size: int


# As an installer does it: room for GRUB, the system, swap. A MiB at either end is left to the partition table.
BOOT, ROOT, SWAP = Partition(_BIOS_BOOT, 1, 1), Partition(_LINUX, 2, 5120), Partition(_SWAP, 5122, 256)
DISK_MIB = SWAP.start + SWAP.size + 1


def partition_table() -> str:
    """The root disk's, as sfdisk takes it."""
    lines = [f"start={part.start}MiB, size={part.size}MiB, type={part.kind}" for part in (BOOT, ROOT, SWAP)]
    return "\n".join(["label: gpt", *lines, ""])


def make_root_disk(root: Path, raw: Path) -> None:
    """A disk image with the file system that is in the folder `root`, and no boot loader yet. Raises BuildError."""
    with raw.open("wb") as file:
        file.truncate(DISK_MIB * _MIB)
    table, swap = raw.with_suffix(".table"), raw.with_suffix(".swap")
    table.write_text(partition_table())
    run(["sh", "-c", 'sfdisk --quiet "$1" < "$2"', "sh", str(raw), str(table)], "partition table")
    # Written at once, or the machine's kernel would go on writing them behind a test.
    options = f"offset={ROOT.start * _MIB},lazy_itable_init=0,lazy_journal_init=0"
    command = ["mkfs.ext4", "-q", "-F", "-L", "root", "-E", options, "-d", str(root), str(raw), f"{ROOT.size}m"]
    run(command, "root file system")
    with swap.open("wb") as file:
        file.truncate(SWAP.size * _MIB)
    run(["mkswap", "--label", "swap", str(swap)], "swap space")
    with swap.open("rb") as source, raw.open("r+b") as target:
        target.seek(SWAP.start * _MIB)
        # All there is of an empty swap space is its first page.
        target.write(source.read(_MIB))
    table.unlink()
    swap.unlink()


def convert(raw: Path, image: Path) -> None:
    """The same disk in QEMU's own format, without the zeros; `raw` is gone. Raises BuildError."""
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], f"disk image {image.name}")
    raw.unlink()


def overlay(base: Path, path: Path) -> None:
    """A disk that is `base` until something is written on it. Raises BuildError."""
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(path)], f"disk {path.name}")
