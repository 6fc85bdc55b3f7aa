# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the transceivers of HCAs how they are, and their links how many bits are wrong, by mlxlink."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .source import NOT_READ, Pieces, SourceError, attempt, describe, run_tool

# "1.886,1.989,2.281,1.976 [-10.41..6]": of each lane, and the limits that the module itself has.
_NUMBER = r"-?[0-9]{1,6}(?:\.[0-9]{1,6})?"
_MEASURED = re.compile(rf"({_NUMBER}(?:,{_NUMBER})*)[A-Z]? \[({_NUMBER})\.\.({_NUMBER})\]")
_RATE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?[Ee]-[0-9]{1,3}|0")
_VALUES = {
    "temperature_c": "Temperature [C]",
    "rx_power_dbm": "Rx Power Current [dBm]",
    "tx_power_dbm": "Tx Power Current [dBm]",
    "bias_ma": "Bias Current [mA]",
}
_RATES = {"raw_ber": "Raw Physical BER", "effective_ber": "Effective Physical BER"}


def read_optics(devices: Sequence[str]) -> Pieces:
    """`modules` by the name of the HCA that each is plugged into.

    Each has `cable` (what kind it is, such as `Passive copper cable`), `temperature_c`, `rx_power_dbm`, `tx_power_dbm`
    and `bias_ma`, each with `values` (of the lanes) and the limits `low` and `high` that the module names, and the
    share of wrong bits `raw_ber` and, after correction, `effective_ber`. Any value may be `{"error"}`.
    """
    data = {"modules": {device: dict(NOT_READ) for device in devices}}
    return Pieces(data, [(("modules", device), functools.partial(_module, device)) for device in devices])


def _module(device: str) -> dict[str, Any]:
    printed = run_tool(["mlxlink", "-d", device, "-m", "-c", "--json"])
    try:
        output = json.loads(printed)["result"]["output"]
        module, counted = (dict(output[key]) for key in ("Module Info", "Physical Counters and BER Info"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(f"mlxlink of {device} cannot be understood: {describe(error)}") from error
    return {
        "cable": str(module.get("Cable Type") or ""),
        **{name: attempt(_measured, module, key) for name, key in _VALUES.items()},
        **{name: attempt(_rate, counted, key) for name, key in _RATES.items()},
    }


def _measured(module: Mapping[str, Any], key: str) -> dict[str, Any]:
    match = _MEASURED.fullmatch(_text(module, key))
    if not match:
        raise SourceError(f"mlxlink: {key}: {module[key]!r:.80} is no measurement")
    return {"values": [float(value) for value in match[1].split(",")], "low": float(match[2]), "high": float(match[3])}


def _rate(counted: Mapping[str, Any], key: str) -> float:
    if not _RATE.fullmatch(_text(counted, key)):
        raise SourceError(f"mlxlink: {key}: {counted[key]!r:.80} is no share of bits")
    return float(counted[key])


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or value == "N/A":
        raise SourceError(f"mlxlink tells no {key}")
    return value.strip()
