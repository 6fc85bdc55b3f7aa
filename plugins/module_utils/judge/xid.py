# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what the kernel log says about GPUs: XIDs, and GPUs that fell off the bus without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..catalog import nvlink_xid
from ..catalog.checks import finding
from ..catalog.xid import (
    BUCKETS,
    CURE_SHOWN_BY,
    NVLINK,
    NVLINK_5,
    RECOVERY_ACTION,
    bucket_of,
    is_nonfatal,
    meaning_of,
    reset_was_made,
)
from ..findings import Finding, Verdict, worst
from .gpu_memory import gpu_ecc_uncorrected
from .nvlink import gpu_nvlink_active
from .view import Gpus, Unjudgeable, data_of, gpus_of, items, limit, number

_VERDICTS = {
    "drain_rma": Verdict.FAIL,
    "reset_gpu": Verdict.FAIL,
    "connection": Verdict.FAIL,
    "reboot": Verdict.FAIL,
    "recovery": Verdict.FAIL,
    "info": Verdict.WARN,
    "app": Verdict.PASS,
    "ignore": Verdict.PASS,
}
# Buckets from the gravest: the gravest event of a GPU decides what to do.
_GRAVITY = ("drain_rma", "reboot", "recovery", "connection", "reset_gpu", "info", "app", "ignore")
# Lines within this time, in microseconds, are of one event.
_BURST_US = 60_000_000
# What a reset ends, for a time at least.
_ENDED_BY_RESET = ("reset_gpu", "connection")
# The judges of what catalog.xid.CURE_SHOWN_BY names.
_CURES = {"gpu.ecc.uncorrected": gpu_ecc_uncorrected, "gpu.nvlink.active": gpu_nvlink_active}


@dataclass(frozen=True)
class _Event:
    name: str
    bucket: str
    verdict: Verdict
    raw: Mapping[str, Any]


def gpu_xid(observation: Mapping[str, Any], node_class: Mapping[str, Any]) -> list[Finding]:
    """One finding for each device with a notable event, or one pass.

    A log of which only a part was read is unknown, unless that part is bad enough. What a reset cures and
    is older than the class's window warns only, if something shows that the GPU was reset since.
    """
    log = data_of(observation, "kernel_log")
    window = limit(node_class, "xid_window_hours") * 3600
    uptime = _uptime(observation)
    places = _places(observation, node_class)
    resets = _Resets(observation, node_class, log)
    events: dict[str, list[_Event]] = defaultdict(list)
    for raw in items(log.get("xids")):
        code = int(number(raw.get("code")))
        bucket, meaning = classified(raw, node_class)
        verdict, doubt = _VERDICTS[bucket], ""
        device = str(raw.get("device") or "")
        if bucket in _ENDED_BY_RESET and _age(raw, uptime) > window:
            if resets.seen_since(raw, code, places.component_at(device)):
                verdict = Verdict.WARN
            else:
                doubt = "; no sign of a reset since"
        name = f"Xid {code} ({meaning}{doubt})"
        events[device].append(_Event(name, bucket, verdict, raw))
    for raw in items(log.get("off_bus")):
        name = "GPU has fallen off the bus"
        events[str(raw.get("device") or "")].append(_Event(name, "reboot", Verdict.FAIL, raw))

    found = [_of_device(places.component_at(device), device, all_) for device, all_ in sorted(events.items())]
    notable = [item for item in found if item.verdict is not Verdict.PASS]
    if log.get("truncated") != "" and worst(item.verdict for item in notable) is not Verdict.FAIL:
        summary = f"the kernel log was read in part only: {log.get('truncated')}"
        notable.append(finding("gpu.xid", "host", Verdict.UNKNOWN, summary, observed=log.get("lines")))
    if notable:
        return _one_of_each(notable)
    evidence: dict[str, Any] = {"lines": log.get("lines")}
    harmless = [event.raw for all_ in events.values() for event in all_]
    if harmless:
        evidence["harmless"] = harmless
    if log.get("first_sequence"):
        evidence["overwritten"] = "messages before the oldest that the kernel still has are not judged"
    summary = "no XID that speaks of a defect" + (f", {len(harmless)} harmless" if harmless else "")
    return [finding("gpu.xid", "host", Verdict.PASS, summary, observed=[], expected=[], evidence=evidence)]


def classified(raw: Mapping[str, Any], node_class: Mapping[str, Any]) -> tuple[str, str]:
    """Bucket and meaning of an XID; of one of NVLinks by its registers, where the log has them."""
    code, said = int(number(raw.get("code"))), str(raw.get("text") or "")
    bucket, meaning = bucket_of(code, said), meaning_of(code)
    registers, links = raw.get("registers"), raw.get("links")
    if not isinstance(registers, list) or not isinstance(links, list):
        return bucket, meaning
    words = [int(number(register)) for register in registers]
    if code in NVLINK_5:
        bucket, detail = nvlink_xid.of_unit(str(raw.get("unit") or ""), words, is_nonfatal(said))
    elif code == NVLINK and nvlink_xid.is_hopper(_model(node_class)):
        bucket, detail = nvlink_xid.of_registers(words, _times_apart(raw))
    else:
        return bucket, meaning
    where = "link" if len(links) == 1 else "links"
    return bucket, f"{meaning} on {where} {', '.join(map(str, links))}: {detail}"


def _times_apart(raw: Mapping[str, Any]) -> int:
    """How often it happened; what the driver writes in one burst happened once."""
    first, last = raw.get("first_us"), raw.get("last_us")
    burst = isinstance(first, int) and isinstance(last, int) and last - first < _BURST_US
    return 1 if burst else int(number(raw.get("count")))


def _model(node_class: Mapping[str, Any]) -> str:
    return str(((node_class.get("hardware") or {}).get("gpus") or {}).get("model") or "")


class _Resets:
    """What shows that a GPU was reset after an event: lines of the kernel log, or the state of the GPU itself."""

    def __init__(self, observation: Mapping[str, Any], node_class: Mapping[str, Any], log: Mapping[str, Any]) -> None:
        self._judged = observation, node_class
        self._loaded = log.get("driver_loaded_us")
        # By device, when its driver ceased to ask for a reset.
        self._made = {
            str(raw.get("device") or ""): raw.get("last_us")
            for raw in items(log.get("xids"))
            if raw.get("code") == RECOVERY_ACTION and reset_was_made(str(raw.get("text") or ""))
        }

    def seen_since(self, raw: Mapping[str, Any], code: int, component: str) -> bool:
        last = raw.get("last_us")
        signs = (self._loaded, self._made.get(str(raw.get("device") or "")))
        if isinstance(last, int) and any(isinstance(sign, int) and sign > last for sign in signs):
            return True
        return code in CURE_SHOWN_BY and component in self._passing(CURE_SHOWN_BY[code])

    def _passing(self, check: str) -> set[str]:
        try:
            return {each.component for each in _CURES[check](*self._judged) if each.verdict is Verdict.PASS}
        except Unjudgeable:
            return set()


def _of_device(component: str, device: str, events: list[_Event]) -> Finding:
    ordered = sorted(events, key=lambda event: _GRAVITY.index(event.bucket))
    notable = [event for event in ordered if event.verdict is not Verdict.PASS] or ordered
    told = ", ".join(event.name + _times(event.raw) for event in notable)
    return finding(
        "gpu.xid",
        component,
        worst(event.verdict for event in ordered),
        f"{device or 'a GPU that the log does not name'}: {told}",
        observed=[event.raw.get("code", event.name) for event in notable],
        expected=[],
        remedy=BUCKETS[notable[0].bucket],
        evidence={"events": [dict(event.raw) for event in ordered]},
    )


def _times(raw: Mapping[str, Any]) -> str:
    count = raw.get("count")
    return f" {count} times" if isinstance(count, int) and count > 1 else ""


def _one_of_each(findings: list[Finding]) -> list[Finding]:
    """A component has one finding of a check: of several (two addresses of one slot) the worst stays."""
    kept: dict[str, Finding] = {}
    for item in findings:
        other = kept.get(item.component)
        if other is None or worst((item.verdict, other.verdict)) is not other.verdict:
            kept[item.component] = item
    return list(kept.values())


def _uptime(observation: Mapping[str, Any]) -> float | None:
    try:
        return number(data_of(observation, "host").get("uptime_seconds"))
    except Unjudgeable:
        return None


def _age(raw: Mapping[str, Any], uptime: float | None) -> float:
    """Seconds since the last such event; 0, so as if just now, where that cannot be told."""
    last = raw.get("last_us")
    if uptime is None or not isinstance(last, int):
        return 0.0
    return max(0.0, uptime - last / 1e6)


def _places(observation: Mapping[str, Any], node_class: Mapping[str, Any]) -> Gpus:
    """Which GPU sits where; without NVML only by the class's list of addresses."""
    try:
        return gpus_of(observation, node_class)
    except Unjudgeable:
        gpus = (node_class.get("hardware") or {}).get("gpus") or {}
        return Gpus(listed=[], missing=None, addresses=[str(a).lower() for a in gpus.get("pci_addresses") or ()])
