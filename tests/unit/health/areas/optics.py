# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transceivers of HCAs: well, and not."""

from __future__ import annotations

from typing import Any

from tests.unit.health.areas.hca import HCAS
from tests.unit.health.cases import c
from tests.unit.health.health_factory import drop, put, unreadable

CLASS = {"hardware": {"hcas": {"optics": True}}}
# What does not tell that it is copper is judged by its values.
NOT_JUDGED = {"cable"}


def measured(low: float, high: float, *values: float) -> dict[str, Any]:
    return {"values": list(values), "low": low, "high": high}


HEALTHY = {
    "optics": {
        "modules": {
            name: {
                "cable": "Optical Module (separated)",
                "temperature_c": measured(-5, 75, 54),
                "rx_power_dbm": measured(-10.41, 6, 1.886, 1.989, 2.281, 1.976),
                "tx_power_dbm": measured(-8.508, 5, 1.562, 1.427, 1.559, 1.761),
                "bias_ma": measured(2, 15, 8.38, 8.38, 8.38, 8.38),
                "raw_ber": 3e-9,
                "effective_ber": 1.5e-254,
            }
            for name in HCAS
        }
    }
}

MODULE = "optics|modules|mlx5_5"
NOT_TOLD = {"error": "mlxlink tells no Temperature [C]"}
COPPER = put(f"{MODULE}|cable", "Passive copper cable")


def lane(key: str, value: float) -> Any:
    return put(f"{MODULE}|{key}|values|0", value)


CASES = [
    c("optics.temperature", "pass", "hca:mlx5_0", "54 °C (limits -5 and 75)"),
    c("optics.temperature", "pass", "hca:mlx5_5", "69.9", lane("temperature_c", 69.9)),
    c("optics.temperature", "warn", "hca:mlx5_5", "70 °C", lane("temperature_c", 70)),
    c("optics.temperature", "fail", "hca:mlx5_5", "75 °C", lane("temperature_c", 75)),
    c("optics.temperature", "fail", "hca:mlx5_5", "-6 °C", lane("temperature_c", -6)),
    c("optics.temperature", "pass", "hca:mlx5_5", "Passive copper", put(f"{MODULE}|temperature_c", NOT_TOLD), COPPER),
    c("optics.temperature", "unknown", "hca:mlx5_5", "tells no", put(f"{MODULE}|temperature_c", NOT_TOLD)),
    c("optics.temperature", "unknown", "hca:mlx5_5", "no limits", put(f"{MODULE}|temperature_c", measured(0, 0, 0))),
    c("optics.temperature", "unknown", "hca:mlx5_5", "was not read", drop(MODULE)),
    c("optics.temperature", "unknown", "host", "no such command", unreadable("optics", "missing", "no such command")),
    c("optics.rx_power", "pass", "hca:mlx5_5", "-9.4, 1.989", lane("rx_power_dbm", -9.4)),
    c("optics.rx_power", "warn", "hca:mlx5_5", "-9.42, 1.989", lane("rx_power_dbm", -9.42)),
    c("optics.rx_power", "fail", "hca:mlx5_5", "-40, 1.989", lane("rx_power_dbm", -40)),
    c("optics.rx_power", "fail", "hca:mlx5_5", "6, 1.989", lane("rx_power_dbm", 6)),
    c("optics.rx_power", "unknown", "hca:mlx5_5", "was not read", drop(f"{MODULE}|rx_power_dbm")),
    c("optics.tx_power", "pass", "hca:mlx5_5", "1.562, 1.427"),
    c("optics.tx_power", "warn", "hca:mlx5_5", "-8, 1.427", lane("tx_power_dbm", -8)),
    c("optics.tx_power", "fail", "hca:mlx5_5", "-9, 1.427", lane("tx_power_dbm", -9)),
    c("optics.tx_power", "unknown", "hca:mlx5_5", "was not read", drop(f"{MODULE}|tx_power_dbm")),
    c("optics.bias", "pass", "hca:mlx5_5", "8.38 mA"),
    c("optics.bias", "warn", "hca:mlx5_5", "15, 8.38", lane("bias_ma", 15)),
    c("optics.bias", "unknown", "hca:mlx5_5", "was not read", drop(f"{MODULE}|bias_ma")),
    c("optics.raw_ber", "pass", "hca:mlx5_5", "3e-09 before"),
    c("optics.raw_ber", "warn", "hca:mlx5_5", "1e-07 before", put(f"{MODULE}|raw_ber", 1e-7)),
    c("optics.raw_ber", "warn", "hca:mlx5_5", "0.001 before", put(f"{MODULE}|raw_ber", 1e-3), COPPER),
    c("optics.raw_ber", "unknown", "hca:mlx5_5", "was not read", drop(f"{MODULE}|raw_ber")),
    c("optics.effective_ber", "pass", "hca:mlx5_5", "1.5e-254 after"),
    c("optics.effective_ber", "warn", "hca:mlx5_5", "1e-14 after", put(f"{MODULE}|effective_ber", 1e-14)),
    c("optics.effective_ber", "fail", "hca:mlx5_5", "1e-12 after", put(f"{MODULE}|effective_ber", 1e-12)),
    c("optics.effective_ber", "unknown", "hca:mlx5_5", "was not read", drop(f"{MODULE}|effective_ber")),
]
