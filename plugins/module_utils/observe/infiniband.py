# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the HCAs and their ports from sysfs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .source import SourceError, SourceMissing, attempt, describe, read_text

_COUNTERS = (
    "link_downed",
    "link_error_recovery",
    "symbol_error",
    "port_rcv_errors",
    "port_xmit_discards",
    "excessive_buffer_overrun_errors",
    "local_link_integrity_errors",
    "port_rcv_remote_physical_errors",
    "port_rcv_constraint_errors",
    "VL15_dropped",
)
# What the HCA's own transport has counted, as mlx5 has it.
_HARDWARE_COUNTERS = ("local_ack_timeout_err", "packet_seq_err")
# The table of a port has 128 places. The subnet manager fills it from the first on and leaves few empty in between, and
# each is a question to the firmware.
_PKEY_PLACES, _EMPTY_PLACES, _NO_PKEY = 128, 4, 0
_GUID = re.compile(r"[0-9a-f]{4}(?::[0-9a-f]{4}){3}")
_SLOT = re.compile(r"^PCI_SLOT_NAME=([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$", re.MULTILINE)
_STATE = re.compile(r"(\d+)\s*:\s*(\S.*)")
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*Gb/sec")
# A counter below zero or written otherwise would be under every limit.
_NUMBER = re.compile(r"[0-9]{1,20}|0x[0-9A-Fa-f]{1,16}")


def read_infiniband(sysfs: Path) -> dict[str, Any]:
    """All RDMA devices below `sysfs` (/sys).

    Returns `devices` by name, each `node_guid`, `board_id`, `firmware`, `pci` (its address) and `ports` by number:
    `state` (`ACTIVE`), `physical_state` (`LinkUp`), `rate_gbps`, `link_layer`, `lid`, `sm_lid` (0 without a subnet
    manager), `pkeys` (those in the table, as numbers with the bit of full membership), and `counters` by name (totals
    since they were cleared). Any value may be `{"error"}`. Raises SourceMissing where the kernel has no class of RDMA
    devices.
    """
    folder = sysfs / "class" / "infiniband"
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError as error:
        raise SourceMissing(f"no {folder}: is the RDMA driver loaded?") from error
    return {"devices": {name: attempt(_device, folder / name) for name in names}}


def _device(path: Path) -> dict[str, Any]:
    try:
        ports = sorted(port.name for port in (path / "ports").iterdir())
    except OSError as error:
        raise SourceError(describe(error)) from error
    return {
        "node_guid": attempt(_guid, path / "node_guid"),
        "board_id": attempt(read_text, path / "board_id"),
        "firmware": attempt(read_text, path / "fw_ver"),
        "pci": attempt(_slot, path / "device" / "uevent"),
        "ports": {port: _port(path / "ports" / port) for port in ports},
    }


def _port(path: Path) -> dict[str, Any]:
    return {
        "state": attempt(_state, path / "state"),
        "physical_state": attempt(_state, path / "phys_state"),
        "rate_gbps": attempt(_rate, path / "rate"),
        "link_layer": attempt(read_text, path / "link_layer"),
        "lid": attempt(_number, path / "lid"),
        "sm_lid": attempt(_number, path / "sm_lid"),
        "pkeys": attempt(_pkeys, path / "pkeys"),
        "counters": {
            **{name: attempt(_number, path / "counters" / name) for name in _COUNTERS},
            **{name: attempt(_number, path / "hw_counters" / name) for name in _HARDWARE_COUNTERS},
        },
    }


def _guid(path: Path) -> str:
    text = read_text(path)
    if not _GUID.fullmatch(text):
        raise SourceError(f"{path}: not a GUID: {text[:80]!r}")
    return text


def _slot(path: Path) -> str:
    text = read_text(path)
    match = _SLOT.search(text)
    if not match:
        raise SourceError(f"{path} names no PCI slot")
    return match[1]


def _pkeys(folder: Path) -> list[int]:
    pkeys: list[int] = []
    empty = 0
    for place in range(_PKEY_PLACES):
        try:
            pkey = _number(folder / str(place))
        except FileNotFoundError:
            if not place:
                raise
            break
        empty = empty + 1 if pkey == _NO_PKEY else 0
        if empty == _EMPTY_PLACES:
            break
        pkeys += [pkey] if pkey != _NO_PKEY else []
    return pkeys


def _number(path: Path) -> int:
    """Decimal, or hexadecimal with 0x."""
    text = read_text(path)
    if not _NUMBER.fullmatch(text):
        raise SourceError(f"{path}: not a number: {text[:80]!r}")
    return int(text, 16 if text.startswith("0x") else 10)


def _state(path: Path) -> str:
    """`4: ACTIVE` -> `ACTIVE`."""
    text = read_text(path)
    match = _STATE.fullmatch(text)
    if not match:
        raise SourceError(f"{path}: not a port state: {text[:80]!r}")
    return match[2]


def _rate(path: Path) -> float:
    """`400 Gb/sec (4X NDR)` -> 400.0."""
    text = read_text(path)
    match = _RATE.match(text)
    if not match:
        raise SourceError(f"{path}: not a rate: {text[:80]!r}")
    return float(match[1])
