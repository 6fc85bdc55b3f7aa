# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of temperatures, and of what they and the power make of clocks."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from ..findings import Finding, Verdict
from .each import Judged, each_told, told
from .gpu_settings import clocks_of, processes_of
from .rates import HOUR, growth
from .view import Gpu, Judge, NodeClass, Observation, Unjudgeable, gpus_of, limit, need, number, text

# NVML's bits of why clocks are not higher.
_HARDWARE, _SOFTWARE_THERMAL, _HARDWARE_THERMAL, _POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
# GPUs that draw about as much do about as much: within a fifth, or so many watts.
_LIKE_SHARE, _LIKE_WATTS = 0.2, 50.0
# So many others must do as much before one is said to be warmer than they are.
_LIKE_LEAST = 3
# A GPU at work whose clock is below this share of its highest, with no reason for it.
_CLOCK_SHARE, _BUSY_PERCENT = 0.6, 50


def gpu_temperature(observation: Observation, node_class: NodeClass) -> list[Finding]:
    return _by_limits("gpu.temperature", "temperature_c", "gpu_temperature_c", "", observation, node_class)


def gpu_temperature_memory(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Of the memory, which is a part of its own beside the processor; GPUs without HBM do not tell it."""
    key, threshold = "temperature_memory_c", "gpu_memory_temperature_c"
    return _by_limits("gpu.temperature.memory", key, threshold, "memory ", observation, node_class)


def _by_limits(
    check: str, key: str, threshold: str, what: str, observation: Observation, node_class: NodeClass
) -> list[Finding]:
    warn, fail = limit(node_class, f"{threshold}.warn"), limit(node_class, f"{threshold}.fail")

    def judge(gpu: Gpu) -> Judged:
        degrees = number(told(gpu, key) if what else gpu.value(key))
        verdict = Verdict.FAIL if degrees >= fail else Verdict.WARN if degrees >= warn else Verdict.PASS
        summary = f"{what}{degrees:g} °C (warn {warn:g}, fail {fail:g})"
        return Judged(verdict, summary, degrees, {"below": warn})

    return each_told(check, observation, node_class, judge)


def gpu_temperature_outlier(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A GPU that is much warmer than those that draw as much has dust, a bad heat sink or a dead fan before it."""
    spread = limit(node_class, "gpu_temperature_spread_c")
    gpus = gpus_of(observation, node_class).listed

    def judge(gpu: Gpu) -> Judged:
        degrees, watts = number(gpu.value("temperature_c")), number(told(gpu, "power_w"))
        like = [warmth for drawn, warmth in _drawing(gpus, gpu) if _alike(drawn, watts)]
        if len(like) < _LIKE_LEAST:
            return Judged(Verdict.PASS, f"{degrees:g} °C; too few of the others draw about {watts:g} W")
        middle = statistics.median(like)
        verdict = Verdict.WARN if degrees - middle >= spread else Verdict.PASS
        summary = f"{degrees:g} °C, others that draw as much {middle:g} °C (warn from {spread:g} °C more)"
        return Judged(verdict, summary, degrees - middle, {"below": spread}, evidence={"watts": watts})

    return each_told("gpu.temperature.outlier", observation, node_class, judge)


def _drawing(gpus: list[Gpu], but: Gpu) -> list[tuple[float, float]]:
    """Watts and degrees of the other GPUs, as far as they tell both."""
    found = []
    for gpu in gpus:
        try:
            if gpu.slot != but.slot:
                found.append((number(gpu.value("power_w")), number(gpu.value("temperature_c"))))
        except Unjudgeable:  # noqa: PERF203 - its own findings speak of it
            continue
    return found


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= max(_LIKE_WATTS, _LIKE_SHARE * other)


def gpu_throttle_hardware(observation: Observation, node_class: NodeClass) -> list[Finding]:
    return _throttled("gpu.throttle.hardware", {_HARDWARE: Verdict.FAIL}, observation, node_class)


def gpu_throttle_thermal(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """The driver slows down gently, which only costs speed; the hardware does when that was not enough."""
    bits = {_HARDWARE_THERMAL: Verdict.FAIL, _SOFTWARE_THERMAL: Verdict.WARN}
    return _throttled("gpu.throttle.thermal", bits, observation, node_class)


def gpu_throttle_power_brake(observation: Observation, node_class: NodeClass) -> list[Finding]:
    return _throttled("gpu.throttle.power_brake", {_POWER_BRAKE: Verdict.FAIL}, observation, node_class)


def gpu_throttle_time(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What the moment of a pass does not show: for how long the driver says that heat held the clocks down."""
    warn = limit(node_class, "gpu_slowed_percent")

    def judge(gpu: Gpu) -> Judged:
        total = number(told(gpu, "thermal_slowdown_ns"))
        grown = growth(observation, f"gpu:{text(gpu.value('uuid'))}/thermal_slowdown_ns", total, HOUR)
        percent, most = (100.0 * value / (HOUR * 1e9) for value in (grown.amount, grown.most))
        verdict = Verdict.WARN if most >= warn else Verdict.PASS
        summary = f"slowed by heat for {min(100.0, percent):.3g} % of an hour (warn {warn:g} %)"
        return Judged(verdict, summary, round(percent, 3), {"below": warn}, evidence={"known_by": grown.known_by})

    return each_told("gpu.throttle.time", observation, node_class, judge)


_NAMES = {
    _HARDWARE: "the hardware slows the clocks to a half or less",
    _SOFTWARE_THERMAL: "the driver slows the clocks as it is too warm",
    _HARDWARE_THERMAL: "the hardware slows the clocks as it is too warm",
    _POWER_BRAKE: "the board's power supply slows the clocks (power brake)",
}


def _throttled(
    check: str, bits: Mapping[int, Verdict], observation: Observation, node_class: NodeClass
) -> list[Finding]:
    """By the gravest of `bits` that is set."""

    def judge(gpu: Gpu) -> Judged:
        reasons = int(number(told(gpu, "clock_reasons")))
        for bit, verdict in bits.items():
            if reasons & bit:
                return Judged(verdict, _NAMES[bit], f"{reasons:#x}", expected=f"without {bit:#x}")
        return Judged(Verdict.PASS, "the clocks are not slowed for this reason", f"{reasons:#x}")

    return each_told(check, observation, node_class, judge)


def gpu_clocks_stuck(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A GPU that works at a low clock and names no reason."""

    def judge(gpu: Gpu) -> Judged:
        busy, reasons = number(told(gpu, "utilization_percent")), int(number(told(gpu, "clock_reasons")))
        clocks = clocks_of(gpu)
        now, most = number(clocks.get("sm")), number(clocks.get("sm_max"))
        low = busy >= _BUSY_PERCENT and not reasons and now < _CLOCK_SHARE * most
        summary = f"SM clock {now:g} of {most:g} MHz, busy {busy:g} %, " + ("for a reason" if reasons else "no reason")
        verdict = Verdict.WARN if low else Verdict.PASS
        return Judged(verdict, summary, now, {"at least": _CLOCK_SHARE * most}, evidence={"reasons": f"{reasons:#x}"})

    return each_told("gpu.clocks.stuck", observation, node_class, judge)


def gpu_power_limit(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A GPU with a lower limit than the others makes all wait for it. Without a value of the class, by its default."""
    pinned = need(node_class, "hardware.gpus").get("power_limit_w")

    def judge(gpu: Gpu) -> Judged:
        now = number(told(gpu, "power_limit_w") if pinned is None else gpu.value("power_limit_w"))
        wanted = number(told(gpu, "power_default_w") if pinned is None else pinned)
        whose = "the GPU's default" if pinned is None else "the class's"
        # Both are whole watts, as people set them.
        verdict = Verdict.PASS if round(now) == round(wanted) else Verdict.WARN
        return Judged(verdict, f"power limit {now:g} W, {whose} {wanted:g} W", now, wanted)

    return each_told("gpu.power.limit", observation, node_class, judge)


def gpu_power_idle(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A GPU on which nothing runs and which draws much does not sleep, or measures wrong."""
    most = limit(node_class, "gpu_idle_power_w")

    def judge(gpu: Gpu) -> Judged:
        watts, busy = number(told(gpu, "power_w")), number(told(gpu, "utilization_percent"))
        if processes_of(gpu) or busy:
            return Judged(Verdict.PASS, f"{watts:g} W, and it is at work", watts)
        verdict = Verdict.WARN if watts >= most else Verdict.PASS
        return Judged(verdict, f"{watts:g} W, and nothing runs (warn {most:g} W)", watts, {"below": most})

    return each_told("gpu.power.idle", observation, node_class, judge)


JUDGES: Mapping[str, Judge] = {
    "gpu.temperature": gpu_temperature,
    "gpu.temperature.memory": gpu_temperature_memory,
    "gpu.temperature.outlier": gpu_temperature_outlier,
    "gpu.throttle.hardware": gpu_throttle_hardware,
    "gpu.throttle.thermal": gpu_throttle_thermal,
    "gpu.throttle.power_brake": gpu_throttle_power_brake,
    "gpu.clocks.stuck": gpu_clocks_stuck,
    "gpu.power.limit": gpu_power_limit,
    "gpu.power.idle": gpu_power_idle,
    "gpu.throttle.time": gpu_throttle_time,
}
