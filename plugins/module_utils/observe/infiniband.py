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
)
_STATE = re.compile(r"(\d+)\s*:\s*(\S.*)")
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*Gb/sec")
# A counter below zero or written otherwise would be under every limit.
_NUMBER = re.compile(r"[0-9]{1,20}|0x[0-9A-Fa-f]{1,16}")


def read_infiniband(sysfs: Path) -> dict[str, Any]:
    """All RDMA devices below `sysfs` (/sys).

    Returns `devices` by name, each `node_guid`, `board_id`, `firmware` and `ports` by number: `state`
    (`ACTIVE`), `physical_state` (`LinkUp`), `rate_gbps`, `link_layer`, `lid`, and `counters` by name (totals since
    they were cleared). Any value may be `{"error"}`. Raises SourceMissing where the kernel has no RDMA devices' class.
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
        "node_guid": attempt(read_text, path / "node_guid"),
        "board_id": attempt(read_text, path / "board_id"),
        "firmware": attempt(read_text, path / "fw_ver"),
        "ports": {port: _port(path / "ports" / port) for port in ports},
    }


def _port(path: Path) -> dict[str, Any]:
    return {
        "state": attempt(_state, path / "state"),
        "physical_state": attempt(_state, path / "phys_state"),
        "rate_gbps": attempt(_rate, path / "rate"),
        "link_layer": attempt(read_text, path / "link_layer"),
        "lid": attempt(_number, path / "lid"),
        "counters": {name: attempt(_number, path / "counters" / name) for name in _COUNTERS},
    }


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
