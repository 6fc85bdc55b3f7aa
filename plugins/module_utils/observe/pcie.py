# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read how GPUs, HCAs, NVMe disks and NVSwitches, and the bridges above them, stand with PCI Express."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .source import SourceError, attempt, read_text

_NVIDIA, _MELLANOX = "0x10de", "0x15b3"
_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_SPEED = re.compile(r"([0-9]{1,3}(?:\.[0-9])?) GT/s(?: PCIe)?")
_COUNT = re.compile(r"[0-9]{1,20}")
_VENDOR, _CLASS = re.compile(r"0x[0-9a-f]{4}"), re.compile(r"0x[0-9a-f]{6}")
_NODE = re.compile(r"-?[0-9]{1,6}")
# The widest link that there is. What a function cannot tell the kernel shows as 255.
_MOST_LANES = 32
_REGION = re.compile(r"0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16})")
# Of a device's regions the first six are base address registers; IORESOURCE_MEM and IORESOURCE_UNSET of the kernel.
_BARS, _MEMORY, _UNSET = 6, 0x200, 0x20000000

# Configuration space, by the PCI Express Base Specification.
_STATUS, _HAS_CAPABILITIES, _FIRST_CAPABILITY = 0x06, 0x10, 0x34
_EXPRESS, _FIRST_EXTENDED, _ACS = 0x10, 0x100, 0x000D
# As many as there is room for: a list that is longer runs in a circle.
_MOST_CAPABILITIES, _MOST_EXTENDED = 48, 960

Word = Callable[[int], int]


def read_pcie(sysfs: Path) -> dict[str, Any]:
    """`devices` by PCI address: what a GPU server computes with, and every bridge between these and the root.

    Each has `kind` (`gpu`, `hca`, `nvme`, `nvswitch`, `bridge`), the state of its link (`speed_gts` in GT/s and `width`
    in lanes, with `max_` what the device can do), `errors` by severity (`correctable`, `nonfatal`, `fatal`: the counts
    of AER by name without those of zero, None where the kernel counts none for the device) and `config`: `type` (port
    type) and `control` (Device Control) of its PCI Express capability, both None without one, and of a bridge `acs`
    (ACS Control, None without that capability).

    All but bridges also have `above` (addresses of the bridges, from the root on), `numa_node` (-1 where the firmware
    tells none), `iommu` (`off`, or the type of its group's domain: `identity`, `DMA`, `DMA-FQ`) and `bars`, the memory
    regions that the device asks for: `bar`, `bytes`, `assigned`. Virtual functions are left out. Any value may be
    `{"error"}`; of a device whose `kind` is, nothing else was read. Raises OSError where the bus cannot be listed.
    """
    folder = sysfs / "bus" / "pci" / "devices"
    devices: dict[str, Any] = {}
    bridges: dict[str, None] = {}
    for entry in sorted(folder.iterdir()):
        kind = attempt(_kind, entry)
        if isinstance(kind, dict):
            devices[entry.name] = {"kind": kind}
            continue
        if not kind or (entry / "physfn").exists():
            continue
        above = attempt(_above, entry)
        devices[entry.name] = {**_function(entry, kind), "above": above, **_endpoint(entry)}
        bridges |= dict.fromkeys(above if isinstance(above, list) else ())
    return {"devices": {**devices, **{address: _function(folder / address, "bridge") for address in bridges}}}


def _kind(entry: Path) -> str:
    """What a GPU server computes with; empty for everything else on the bus, and for what has just left it.

    Raises SourceError for what cannot be told: it may be any of these.
    """
    try:
        code = _number_of(_CLASS, entry / "class")
    except FileNotFoundError:
        return ""
    # Hundreds of functions of a processor are none of these.
    if not code.startswith(("0x02", "0x03", "0x0108", "0x0680")):
        return ""
    if code.startswith("0x0108"):
        return "nvme"
    vendor = _number_of(_VENDOR, entry / "vendor")
    if code.startswith("0x0207") or (code.startswith("0x02") and vendor == _MELLANOX):
        return "hca"
    if vendor != _NVIDIA or code.startswith("0x02"):
        return ""
    return "gpu" if code.startswith("0x03") else "nvswitch"


def _number_of(wanted: re.Pattern[str], path: Path) -> str:
    text = read_text(path)
    if not wanted.fullmatch(text):
        raise SourceError(f"{path}: not such a number: {text[:80]!r}")
    return text


def _above(entry: Path) -> list[str]:
    return [part for part in str(entry.resolve()).split("/")[:-1] if _ADDRESS.fullmatch(part)]


def _function(path: Path, kind: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "speed_gts": attempt(_speed, path / "current_link_speed"),
        "width": attempt(_width, path / "current_link_width"),
        "max_speed_gts": attempt(_speed, path / "max_link_speed"),
        "max_width": attempt(_width, path / "max_link_width"),
        "errors": {
            severity: attempt(_errors, path / f"aer_dev_{severity}")
            for severity in ("correctable", "nonfatal", "fatal")
        },
        "config": attempt(_config, path / "config", kind == "bridge"),
    }


def _endpoint(path: Path) -> dict[str, Any]:
    return {
        "numa_node": attempt(_node, path / "numa_node"),
        "iommu": attempt(_iommu, path / "iommu_group"),
        "bars": attempt(_bars, path / "resource"),
    }


def _speed(path: Path) -> float:
    """`32.0 GT/s PCIe` -> 32.0; `Unknown` of a link that is not there is an error."""
    text = read_text(path)
    match = _SPEED.fullmatch(text)
    if not match:
        raise SourceError(f"{path}: not a speed: {text[:80]!r}")
    return float(match[1])


def _width(path: Path) -> int:
    """Lanes; 0 for a link that is down."""
    text = read_text(path)
    if not _COUNT.fullmatch(text) or int(text) > _MOST_LANES:
        raise SourceError(f"{path}: not a width: {text[:80]!r}")
    return int(text)


def _errors(path: Path) -> dict[str, int] | None:
    """Counts by the kernel's names (`BadTLP`, `Receiver Error`), without its total and without those of zero."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        return None
    counts = {}
    for line in text.splitlines():
        name, _space, count = line.rpartition(" ")
        if not name or not _COUNT.fullmatch(count):
            raise SourceError(f"{path}: not a count: {line[:80]!r}")
        if int(count) and not name.startswith("TOTAL_ERR_"):
            counts[name] = int(count)
    return counts


def _node(path: Path) -> int:
    text = read_text(path)
    if not _NODE.fullmatch(text):
        raise SourceError(f"{path}: not a NUMA node: {text[:80]!r}")
    return int(text)


def _iommu(group: Path) -> str:
    return read_text(group / "type") if group.exists() else "off"


def _bars(path: Path) -> list[dict[str, Any]]:
    """A line is start, end and flags. For what begins at zero or is said to be unset there was no room."""
    bars = []
    for number, line in enumerate(read_text(path).splitlines()[:_BARS]):
        match = _REGION.fullmatch(line)
        if not match:
            raise SourceError(f"{path}: not a region: {line[:80]!r}")
        start, end, flags = (int(part, 16) for part in match.groups())
        if flags & _MEMORY:
            bars.append({"bar": number, "bytes": end - start + 1, "assigned": start > 0 and not flags & _UNSET})
    return bars


def _config(path: Path, bridge: bool) -> dict[str, Any]:
    """Without a buffer: each word that is read is a question to the device, and most of the space is of no use here."""
    # Path.open is what a recorded tree answers, too.
    with path.open("rb", buffering=0) as stream:

        def word(at: int) -> int:
            stream.seek(at)
            read = stream.read(2)
            if len(read) < 2:
                # The kernel shows the first 64 bytes to everybody and the rest to root.
                raise SourceError(f"{path} ends before {at:#x}: is it read by root?")
            return int.from_bytes(read, "little")

        if word(0) == 0xFFFF:
            raise SourceError(f"{path}: the device does not answer")
        express = _capability(word)
        found = {
            "type": None if express is None else word(express + 2) >> 4 & 0xF,
            "control": None if express is None else word(express + 8),
        }
        if bridge:
            access = None if express is None else _extended(word, _ACS)
            found["acs"] = None if access is None else word(access + 6)
        return found


def _capability(word: Word) -> int | None:
    """Where the PCI Express capability begins."""
    at = word(_FIRST_CAPABILITY) & 0xFC if word(_STATUS) & _HAS_CAPABILITIES else 0
    for _step in range(_MOST_CAPABILITIES):
        if not at:
            return None
        header = word(at)
        if header & 0xFF == _EXPRESS:
            return at
        at = header >> 8 & 0xFC
    raise SourceError("the list of capabilities has no end")


def _extended(word: Word, wanted: int) -> int | None:
    """Where the extended capability `wanted` begins."""
    at = _FIRST_EXTENDED
    for _step in range(_MOST_EXTENDED):
        identity, link = word(at), word(at + 2)
        if identity == 0xFFFF:
            raise SourceError("the device does not answer")
        if identity == wanted:
            return at
        at = link >> 4 & 0xFFC
        if at < _FIRST_EXTENDED:
            return None
    raise SourceError("the list of extended capabilities has no end")
