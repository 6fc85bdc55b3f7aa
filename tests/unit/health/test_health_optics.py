# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mlxlink prints of transceivers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any
from unittest import mock

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import optics
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.optics import read_optics

from tests.unit.properties.areas.optics import printed

# Of two NDR ports, of which one has a copper cable.
MODULE = {
    "Temperature [C]": "54 [-5..75]",
    "Voltage [mV]": "3261.2 [2970..3630]",
    "Bias Current [mA]": "8.380,8.380,8.380,8.380 [2..15]",
    "Rx Power Current [dBm]": "1.886,1.989,2.281,1.976 [-10.41..6]",
    "Tx Power Current [dBm]": "N/A",
    "Cable Type": "Optical Module (separated)",
}
COUNTERS = {"Effective Physical BER": "15E-255", "Raw Physical BER": "3E-9"}


def read(output: Any) -> dict[str, Any]:
    asked: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> str:
        asked.append(command)
        return output if isinstance(output, str) else json.dumps({"result": {"output": output}})

    with mock.patch.object(optics, "run_tool", run):
        module: dict[str, Any] = read_optics(["mlx5_0"]).whole()["modules"]["mlx5_0"]
    assert asked == [["mlxlink", "-d", "mlx5_0", "-m", "-c", "--json"]]
    return module


def test_what_a_module_measures_is_read_with_its_limits() -> None:
    module = read({"Module Info": MODULE, "Physical Counters and BER Info": COUNTERS})
    assert module == {
        "cable": "Optical Module (separated)",
        "temperature_c": {"values": [54.0], "low": -5.0, "high": 75.0},
        "rx_power_dbm": {"values": [1.886, 1.989, 2.281, 1.976], "low": -10.41, "high": 6.0},
        "tx_power_dbm": {"error": "mlxlink tells no Tx Power Current [dBm]"},
        "bias_ma": {"values": [8.38] * 4, "low": 2.0, "high": 15.0},
        "raw_ber": 3e-9,
        "effective_ber": 15e-255,
    }


@pytest.mark.parametrize("value", ["warm", "54", "[-5..75]", "54 [75]", "1,,2 [0..3]", 54, None])
def test_what_is_no_measurement_is_none(value: Any) -> None:
    module = read({"Module Info": {"Temperature [C]": value}, "Physical Counters and BER Info": COUNTERS})
    assert "error" in module["temperature_c"]


@pytest.mark.parametrize("value", ["many", "1E+3", "-1E-9", "NaN", "inf", 0.1, None])
def test_what_is_no_share_of_bits_is_none(value: Any) -> None:
    counters = {**COUNTERS, "Raw Physical BER": value}
    assert "error" in read({"Module Info": MODULE, "Physical Counters and BER Info": counters})["raw_ber"]


@pytest.mark.parametrize("output", ["", "-E- Failed to open device", "[]", "[" * 100_000, {}, {"Module Info": MODULE}])
def test_another_answer_is_told(output: Any) -> None:
    assert "cannot be understood" in read(output)["error"]


def test_the_made_up_machines_print_the_same_keys() -> None:
    output = printed(Random(1))["result"]["output"]
    assert set(output["Module Info"]) <= set(MODULE)
    assert set(COUNTERS) <= set(output["Physical Counters and BER Info"])
