# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temperatures: well, and not."""

from __future__ import annotations

from tests.unit.health.cases import c
from tests.unit.health.health_factory import LOST, Spoil, of_gpus, put

HEALTHY = {
    "nvml": {
        "gpus": of_gpus(
            lambda _index: {
                "temperature_c": 34,
                "temperature_memory_c": 41,
                "thermal_slowdown_ns": 5_000_000,
                "power_w": 69.5,
                "power_limit_w": 700.0,
                "power_default_w": 700.0,
                "utilization_percent": 0,
                "clock_reasons": 1,
            }
        )
    }
}

NOT_SUPPORTED = {"error": "not supported", "code": 3}
FOUR_AT_WORK = [put(f"nvml|gpus|{index}|power_w", 600.0) for index in range(4)]
AT_WORK = [
    put("nvml|gpus|5|utilization_percent", 99),
    put("nvml|gpus|5|clock_reasons", 0),
    put("nvml|gpus|5|clocks_mhz|sm", 1187),
]
POWER = {"gpus": {"power_limit_w": 650}}


def slowed(seconds: float) -> Spoil:
    """GPU 5, in the last hour."""
    return put("history|changes", [["gpu:GPU-00000005/thermal_slowdown_ns", int(seconds * 1e9), 3600.0, 0.0]])


CASES = [
    c("gpu.throttle.time", "pass", "gpu:5", "for 0 % of an hour"),
    c("gpu.throttle.time", "pass", "gpu:5", "for 0.986 % of an hour", slowed(35.5)),
    c("gpu.throttle.time", "warn", "gpu:5", "for 1 % of an hour", slowed(36)),
    c("gpu.throttle.time", "pass", "gpu:4", "for 0 % of an hour", slowed(3600)),
    c("gpu.throttle.time", "pass", "gpu:5", "nothing", put("nvml|gpus|5|thermal_slowdown_ns", NOT_SUPPORTED)),
    c("gpu.throttle.time", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|thermal_slowdown_ns", LOST)),
    c("gpu.temperature", "pass", "gpu:0", "34 °C"),
    c("gpu.temperature", "pass", "gpu:5", "82 °C", put("nvml|gpus|5|temperature_c", 82)),
    c("gpu.temperature", "warn", "gpu:5", "83 °C", put("nvml|gpus|5|temperature_c", 83)),
    c("gpu.temperature", "fail", "gpu:5", "90 °C", put("nvml|gpus|5|temperature_c", 90)),
    c("gpu.temperature.memory", "pass", "gpu:0", "memory 41 °C"),
    c("gpu.temperature.memory", "pass", "gpu:5", "94 °C", put("nvml|gpus|5|temperature_memory_c", 94)),
    c("gpu.temperature.memory", "warn", "gpu:5", "95 °C", put("nvml|gpus|5|temperature_memory_c", 95)),
    c("gpu.temperature.memory", "fail", "gpu:5", "105 °C", put("nvml|gpus|5|temperature_memory_c", 105)),
    c("gpu.temperature.memory", "pass", "gpu:5", "nothing", put("nvml|gpus|5|temperature_memory_c", NOT_SUPPORTED)),
    c("gpu.temperature.memory", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|temperature_memory_c", LOST)),
    c("gpu.temperature.outlier", "pass", "gpu:5", "53 °C", put("nvml|gpus|5|temperature_c", 53)),
    c("gpu.temperature.outlier", "warn", "gpu:5", "54 °C", put("nvml|gpus|5|temperature_c", 54)),
    c("gpu.temperature.outlier", "pass", "gpu:0", "others", put("nvml|gpus|5|temperature_c", 54)),
    c("gpu.temperature.outlier", "warn", "gpu:0", "54 °C", put("nvml|gpus|0|temperature_c", 54), *FOUR_AT_WORK),
    c(
        "gpu.temperature.outlier",
        "pass",
        "gpu:0",
        "too few",
        put("nvml|gpus|0|temperature_c", 54),
        *FOUR_AT_WORK[:3],
    ),
    c("gpu.temperature.outlier", "pass", "gpu:5", "34 °C", put("nvml|gpus|4|power_w", LOST)),
    c("gpu.temperature.outlier", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|power_w", LOST)),
    c("gpu.throttle.hardware", "pass", "gpu:5", "not slowed", put("nvml|gpus|5|clock_reasons", 0x44)),
    c("gpu.throttle.hardware", "fail", "gpu:5", "half or less", put("nvml|gpus|5|clock_reasons", 0x48)),
    c("gpu.throttle.hardware", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|clock_reasons", LOST)),
    c("gpu.throttle.thermal", "pass", "gpu:5", "not slowed", put("nvml|gpus|5|clock_reasons", 0x4)),
    c("gpu.throttle.thermal", "warn", "gpu:5", "the driver slows", put("nvml|gpus|5|clock_reasons", 0x20)),
    c("gpu.throttle.thermal", "fail", "gpu:5", "the hardware slows", put("nvml|gpus|5|clock_reasons", 0x60)),
    c("gpu.throttle.thermal", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|clock_reasons", LOST)),
    c("gpu.throttle.power_brake", "pass", "gpu:5", "not slowed", put("nvml|gpus|5|clock_reasons", 0x4)),
    c("gpu.throttle.power_brake", "fail", "gpu:5", "power brake", put("nvml|gpus|5|clock_reasons", 0x88)),
    c("gpu.throttle.power_brake", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|clock_reasons", LOST)),
    c("gpu.clocks.stuck", "pass", "gpu:0", "345 of 1980 MHz"),
    c("gpu.clocks.stuck", "warn", "gpu:5", "1187 of 1980 MHz, busy 99 %", *AT_WORK),
    c("gpu.clocks.stuck", "pass", "gpu:5", "for a reason", *AT_WORK, put("nvml|gpus|5|clock_reasons", 4)),
    c("gpu.clocks.stuck", "pass", "gpu:5", "busy 49 %", *AT_WORK, put("nvml|gpus|5|utilization_percent", 49)),
    c("gpu.clocks.stuck", "pass", "gpu:5", "1188 of 1980", *AT_WORK, put("nvml|gpus|5|clocks_mhz|sm", 1188)),
    c("gpu.clocks.stuck", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|clocks_mhz|sm", LOST)),
    c("gpu.clocks.stuck", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|utilization_percent", LOST)),
    c("gpu.power.limit", "pass", "gpu:0", "700 W, the GPU's default 700 W"),
    c("gpu.power.limit", "warn", "gpu:5", "400 W, the GPU's default", put("nvml|gpus|5|power_limit_w", 400.0)),
    c("gpu.power.limit", "warn", "gpu:5", "the class's 650 W", **POWER),
    c("gpu.power.limit", "pass", "gpu:5", "the class's 650 W", put("nvml|gpus|5|power_limit_w", 650.0), **POWER),
    c("gpu.power.limit", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|power_limit_w", LOST)),
    c("gpu.power.limit", "pass", "gpu:5", "nothing to judge", put("nvml|gpus|5|power_limit_w", NOT_SUPPORTED)),
    c("gpu.power.limit", "unknown", "gpu:5", "not supp", put("nvml|gpus|5|power_limit_w", NOT_SUPPORTED), **POWER),
    c("gpu.power.idle", "pass", "gpu:0", "69.5 W, and nothing runs"),
    c("gpu.power.idle", "warn", "gpu:5", "200 W, and nothing runs", put("nvml|gpus|5|power_w", 200.0)),
    c(
        "gpu.power.idle",
        "pass",
        "gpu:5",
        "at work",
        put("nvml|gpus|5|power_w", 200.0),
        put("nvml|gpus|5|processes", {"7": "S"}),
    ),
    c(
        "gpu.power.idle",
        "pass",
        "gpu:5",
        "at work",
        put("nvml|gpus|5|power_w", 200.0),
        put("nvml|gpus|5|utilization_percent", 1),
    ),
    c("gpu.power.idle", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|power_w", LOST)),
    c("gpu.power.idle", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|processes", LOST)),
    c("gpu.temperature", "unknown", "gpu:5", "is lost", put("nvml|gpus|5|temperature_c", LOST)),
    c("gpu.temperature", "fail", "gpu:0", "34 °C", thresholds={"gpu_temperature_c": {"warn": 20, "fail": 30}}),
]
