# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of temperatures, clocks and power of GPUs."""

from __future__ import annotations

from lab.kinds.model import GPU, Kind, reset_gpu, set_gpu

KINDS: tuple[Kind, ...] = (
    Kind(
        "gpu-hot",
        "gpu.temperature",
        "a GPU is too hot",
        set_gpu({"temperature": 91}),
        reset_gpu("temperature"),
        (GPU,),
    ),
    Kind(
        "gpu-memory-hot",
        "gpu.temperature.memory",
        "the memory of a GPU is too hot",
        set_gpu({"temperature_memory": 106}),
        reset_gpu("temperature_memory"),
        (GPU,),
    ),
    Kind(
        "gpu-warmer",
        "gpu.temperature.outlier",
        "a GPU is much warmer than the others",
        set_gpu({"temperature": 60}),
        reset_gpu("temperature"),
        (GPU,),
    ),
    Kind(
        "gpu-slowdown",
        "gpu.throttle.hardware",
        "the hardware of a GPU slows its clocks",
        set_gpu({"clocks_event_reasons": 0x8}),
        reset_gpu("clocks_event_reasons"),
        (GPU,),
    ),
    Kind(
        "gpu-thermal-slowdown",
        "gpu.throttle.thermal",
        "the hardware of a GPU slows its clocks as it is too warm",
        set_gpu({"clocks_event_reasons": 0x40}),
        reset_gpu("clocks_event_reasons"),
        (GPU,),
    ),
    Kind(
        "gpu-power-brake",
        "gpu.throttle.power_brake",
        "the board's power supply slows the clocks of a GPU",
        set_gpu({"clocks_event_reasons": 0x80}),
        reset_gpu("clocks_event_reasons"),
        (GPU,),
    ),
    Kind(
        "gpu-clock-stuck",
        "gpu.clocks.stuck",
        "a GPU works at a low clock and tells no reason",
        set_gpu({"utilization_gpu": 99, "clocks_event_reasons": 0}),
        reset_gpu("utilization_gpu", "clocks_event_reasons"),
        (GPU,),
    ),
    Kind(
        "gpu-power-limit",
        "gpu.power.limit",
        "a GPU has a lower power limit than the others",
        set_gpu({"power_limit_mw": 400000}),
        reset_gpu("power_limit_mw"),
        (GPU,),
    ),
    Kind(
        "gpu-restless",
        "gpu.power.idle",
        "a GPU draws much power while nothing runs on it",
        set_gpu({"power_mw": 250000}),
        reset_gpu("power_mw"),
        (GPU,),
    ),
)
