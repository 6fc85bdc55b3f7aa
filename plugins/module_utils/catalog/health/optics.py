# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of the transceivers of HCAs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model import Check, Thresholds

_NEEDS = ("hardware.hcas.devices", "hardware.hcas.optics")
_CLEAN = (
    "Clean the fibre and both transceivers with a fresh cassette; replace the transceiver, then the fibre, if it stays."
)

CHECKS: tuple[Check, ...] = (
    Check(
        "optics.temperature",
        "No transceiver of an HCA is too warm or too cold",
        ("optics",),
        "datacentre",
        (
            "Look for a blocked air way or a fan that stands still at the HCA; replace the transceiver if it alone is"
            " warm."
        ),
        "validate",
        source="`mlxlink -d HCA -m`: Temperature and its alarm thresholds",
        fails=(
            "A transceiver is beyond the limits of temperature that it names itself; it warns optics_margin_c below "
            "the upper one."
        ),
        needs=_NEEDS,
    ),
    Check(
        "optics.rx_power",
        "Every lane of a transceiver gets enough light",
        ("optics",),
        "network",
        _CLEAN,
        "validate",
        source="`mlxlink -d HCA -m`: Rx Power of each lane and its alarm thresholds",
        fails=(
            "The light that a lane gets is beyond the limits that the transceiver names itself; it warns within "
            "optics_margin_db of the lower one."
        ),
        needs=_NEEDS,
    ),
    Check(
        "optics.tx_power",
        "Every lane of a transceiver sends enough light",
        ("optics",),
        "network",
        "Replace the transceiver: its laser grows weak or has failed.",
        "validate",
        source="`mlxlink -d HCA -m`: Tx Power of each lane and its alarm thresholds",
        fails=(
            "The light that a lane sends is beyond the limits that the transceiver names itself; it warns within "
            "optics_margin_db of the lower one."
        ),
        needs=_NEEDS,
    ),
    Check(
        "optics.bias",
        "No laser of a transceiver draws more or less current than it should",
        ("optics",),
        "network",
        "Have a transceiver at hand to replace this one: a laser that draws more and more is near its end.",
        "validate",
        source="`mlxlink -d HCA -m`: Bias Current of each lane and its alarm thresholds",
        fails="It warns where a laser's bias current is beyond the limits that the transceiver names itself.",
        severity="warn",
        needs=_NEEDS,
    ),
    Check(
        "optics.raw_ber",
        "No HCA's link has many wrong bits before correction",
        ("optics",),
        "network",
        _CLEAN,
        "validate",
        source="`mlxlink -d HCA -c`: Raw Physical BER",
        fails="It warns where the share of wrong bits before correction reaches optics_raw_ber.",
        severity="warn",
        needs=_NEEDS,
    ),
    Check(
        "optics.effective_ber",
        "No HCA's link has wrong bits after correction",
        ("optics",),
        "network",
        _CLEAN,
        "validate",
        source="`mlxlink -d HCA -c`: Effective Physical BER",
        fails=(
            "The share of wrong bits after correction reaches optics_effective_ber.fail; it warns from "
            "optics_effective_ber.warn on."
        ),
        needs=_NEEDS,
    ),
)


def optical_hcas(node_class: Mapping[str, Any]) -> list[str]:
    """The HCAs of the class whose transceivers are asked."""
    hcas = (node_class.get("hardware") or {}).get("hcas") or {}
    return list(hcas.get("devices") or ()) if hcas.get("optics") else []


THRESHOLDS: Thresholds = {
    # sichek warns 10 degrees below the alarm of common modules; NDR modules work within 20 of theirs under load.
    "optics_margin_c": 5,
    # sichek's margin.
    "optics_margin_db": 1.0,
    # Oracle's limit for links of 400 Gb/s. Such links always have some, which the code corrects.
    "optics_raw_ber": 1e-7,
    # UFM takes a port for bad at 1e-12. A healthy link has none that can be counted, which is told as 15E-255.
    "optics_effective_ber": {"warn": 1e-14, "fail": 1e-12},
}
