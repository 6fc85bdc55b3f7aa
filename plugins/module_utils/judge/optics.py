# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the transceivers of HCAs, by the limits that each module names itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .each import Judged
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, items, limit, need, number, unread

Module = Mapping[str, Any]

_COPPER = "copper"


def _each(
    check: str, observation: Observation, node_class: NodeClass, judge: Callable[[Module], Judged]
) -> list[Finding]:
    modules = data_of(observation, "optics").get("modules")
    if unread(modules) or not isinstance(modules, dict):
        raise Unjudgeable(f"optics: {unread(modules) or 'lists no modules'}")
    found = []
    for device in need(node_class, "hardware.hcas.devices"):
        read = modules.get(device)
        try:
            if unread(read) or not isinstance(read, dict):
                raise Unjudgeable(unread(read) or "is no transceiver")
            judged = judge(read)
        except Unjudgeable as reason:
            judged = Judged(Verdict.UNKNOWN, str(reason))
        summary, observed, expected = f"{device}: {judged.summary}", judged.observed, judged.expected
        found.append(finding(check, f"hca:{device}", judged.verdict, summary, observed=observed, expected=expected))
    return found


def _measured(
    check: str, key: str, unit: str, observation: Observation, node_class: NodeClass, grade: Callable[..., Verdict]
) -> list[Finding]:
    """Every lane by `grade(value, low, high)`: the gravest counts."""

    def judge(module: Module) -> Judged:
        if _COPPER in str(module.get("cable")).lower():
            return Judged(Verdict.PASS, f"nothing to judge: {module['cable']}")
        read = module.get(key)
        if unread(read) or not isinstance(read, dict):
            raise Unjudgeable(unread(read) or f"{read!r:.80} is no measurement")
        low, high = number(read.get("low")), number(read.get("high"))
        values = [number(value) for value in items(read.get("values"))]
        if not values or low >= high:
            raise Unjudgeable("the module names no limits")
        verdicts = [grade(value, low, high) for value in values]
        verdict = next((each for each in (Verdict.FAIL, Verdict.WARN) if each in verdicts), Verdict.PASS)
        shown = ", ".join(f"{value:g}" for value in values)
        return Judged(verdict, f"{shown} {unit} (limits {low:g} and {high:g})", values, {"low": low, "high": high})

    return _each(check, observation, node_class, judge)


def optics_temperature(observation: Observation, node_class: NodeClass) -> list[Finding]:
    margin = limit(node_class, "optics_margin_c")

    def grade(value: float, low: float, high: float) -> Verdict:
        if not low <= value < high:
            return Verdict.FAIL
        return Verdict.WARN if value >= high - margin else Verdict.PASS

    return _measured("optics.temperature", "temperature_c", "°C", observation, node_class, grade)


def _power(check: str, key: str, observation: Observation, node_class: NodeClass) -> list[Finding]:
    margin = limit(node_class, "optics_margin_db")

    def grade(value: float, low: float, high: float) -> Verdict:
        if not low < value < high:
            return Verdict.FAIL
        return Verdict.WARN if value <= low + margin else Verdict.PASS

    return _measured(check, key, "dBm", observation, node_class, grade)


def optics_rx_power(observation: Observation, node_class: NodeClass) -> list[Finding]:
    return _power("optics.rx_power", "rx_power_dbm", observation, node_class)


def optics_tx_power(observation: Observation, node_class: NodeClass) -> list[Finding]:
    return _power("optics.tx_power", "tx_power_dbm", observation, node_class)


def optics_bias(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def grade(value: float, low: float, high: float) -> Verdict:
        return Verdict.PASS if low < value < high else Verdict.WARN

    return _measured("optics.bias", "bias_ma", "mA", observation, node_class, grade)


def optics_raw_ber(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn = limit(node_class, "optics_raw_ber")

    def judge(module: Module) -> Judged:
        rate = number(module.get("raw_ber"))
        verdict = Verdict.WARN if rate >= warn else Verdict.PASS
        return Judged(verdict, f"share of wrong bits {rate:g} before correction (warn {warn:g})", rate, {"below": warn})

    return _each("optics.raw_ber", observation, node_class, judge)


def optics_effective_ber(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn, fail = limit(node_class, "optics_effective_ber.warn"), limit(node_class, "optics_effective_ber.fail")

    def judge(module: Module) -> Judged:
        rate = number(module.get("effective_ber"))
        verdict = Verdict.FAIL if rate >= fail else Verdict.WARN if rate >= warn else Verdict.PASS
        summary = f"share of wrong bits {rate:g} after correction (warn {warn:g}, fail {fail:g})"
        return Judged(verdict, summary, rate, {"below": warn})

    return _each("optics.effective_ber", observation, node_class, judge)


JUDGES: Mapping[str, Judge] = {
    "optics.temperature": optics_temperature,
    "optics.rx_power": optics_rx_power,
    "optics.tx_power": optics_tx_power,
    "optics.bias": optics_bias,
    "optics.raw_ber": optics_raw_ber,
    "optics.effective_ber": optics_effective_ber,
}
