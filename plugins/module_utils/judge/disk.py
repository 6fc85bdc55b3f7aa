# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of file systems and disks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .rates import DAY, growth
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, flag, items, limit, need, number, text, unread

_GIB = 1024**3
_NO_SPARE = ("raid0", "linear")
# Of a controller that is resetting, or was just found.
_IN_BETWEEN = ("new", "resetting", "connecting")


def disk_mount(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(read: Mapping[str, Any]) -> tuple[Verdict, str, Any]:
        mounted = flag(read.get("mounted"))
        verdict = Verdict.PASS if mounted else Verdict.FAIL
        return verdict, "a file system is mounted there" if mounted else "nothing is mounted there", mounted

    return _each_mount("disk.mount", observation, node_class, judge, True)


def disk_read_only(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(read: Mapping[str, Any]) -> tuple[Verdict, str, Any]:
        read_only = flag(read.get("read_only"))
        verdict = Verdict.FAIL if read_only else Verdict.PASS
        return verdict, "is mounted read-only" if read_only else "can be written", read_only

    return _each_mount("disk.read_only", observation, node_class, _if_mounted(judge), False)


def disk_free(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn, fail = _limits(node_class)

    def judge(read: Mapping[str, Any]) -> tuple[Verdict, str, Any]:
        used, size = number(read.get("used_percent")), number(read.get("size_bytes"))
        told = f"{used:g} % of {size / _GIB:.1f} GiB used (warn {warn:g} %, fail {fail:g} %)"
        return _filled(used, warn, fail), told, used

    return _each_mount("disk.free", observation, node_class, _if_mounted(judge), {"used_percent_below": warn})


def disk_inodes(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn, fail = _limits(node_class)

    def judge(read: Mapping[str, Any]) -> tuple[Verdict, str, Any]:
        if number(read.get("inodes")) == 0:
            return Verdict.PASS, "has no fixed number of inodes", None
        used = number(read.get("inodes_used_percent"))
        told = f"{used:g} % of its inodes used (warn {warn:g} %, fail {fail:g} %)"
        return _filled(used, warn, fail), told, used

    return _each_mount("disk.inodes", observation, node_class, _if_mounted(judge), {"used_percent_below": warn})


def _limits(node_class: NodeClass) -> tuple[float, float]:
    return limit(node_class, "disk_used_percent.warn"), limit(node_class, "disk_used_percent.fail")


def _filled(used: float, warn: float, fail: float) -> Verdict:
    return Verdict.FAIL if used >= fail else Verdict.WARN if used >= warn else Verdict.PASS


_JudgeMount = Callable[[Mapping[str, Any]], "tuple[Verdict, str, Any] | None"]


def _if_mounted(judge: _JudgeMount) -> _JudgeMount:
    """`disk.mount` speaks of the others: what lies there without a mount is another file system's."""
    return lambda read: judge(read) if flag(read.get("mounted")) else None


def _each_mount(
    check: str, observation: Observation, node_class: NodeClass, judge: _JudgeMount, expected: Any
) -> list[Finding]:
    found = []
    for mount in need(node_class, "hardware.mounts"):
        try:
            judged = judge(data_of(observation, f"storage:{mount}"))
        except Unjudgeable as reason:
            judged = (Verdict.UNKNOWN, str(reason), None)
        if judged:
            verdict, told, observed = judged
            summary = f"{mount}: {told}"
            found.append(finding(check, f"mount:{mount}", verdict, summary, observed=observed, expected=expected))
    if not found:
        raise Unjudgeable("storage: none of the class's file systems is mounted")
    return found


def disk_raid(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    found = []
    for array in items(data_of(observation, "disks").get("arrays")):
        if not isinstance(array, dict):
            raise Unjudgeable(f"disks: {array!r:.80} is no array")
        name = text(array.get("name"))
        try:
            verdict, told = _array(array)
        except Unjudgeable as reason:
            verdict, told = Verdict.UNKNOWN, str(reason)
        found.append(finding("disk.raid", f"array:{name}", verdict, f"{name}: {told}", observed=dict(array)))
    return found or [finding("disk.raid", "host", Verdict.PASS, "the node has no array of disks")]


def _array(array: Mapping[str, Any]) -> tuple[Verdict, str]:
    failed = [text(member) for member in items(array.get("failed"))]
    if not flag(array.get("active")):
        return Verdict.FAIL, "is not active"
    level = text(array.get("level"))
    wanted, working = (None if array.get(key) is None else number(array[key]) for key in ("wanted", "working"))
    lost = f"; failed: {', '.join(failed)}" if failed else ""
    if level in _NO_SPARE:
        return (Verdict.FAIL, f"{level} has lost a disk{lost}") if failed else (Verdict.PASS, f"{level} is whole")
    # A container of the firmware's metadata counts no members.
    if wanted is None or working is None:
        return (Verdict.WARN, f"{level}{lost}") if failed else (Verdict.PASS, f"{level} tells no loss")
    told = f"{level} with {working:g} of {wanted:g} disks{lost}"
    if array.get("action") in ("recovery", "resync", "reshape"):
        return Verdict.WARN, f"{told}, {array['action']} is under way"
    return (Verdict.WARN if failed or working < wanted else Verdict.PASS), told


def _nvme(observation: Observation) -> Mapping[str, Any]:
    disks = data_of(observation, "disks").get("nvme")
    if unread(disks) or not isinstance(disks, dict):
        raise Unjudgeable(f"disks: {unread(disks) or 'lists no NVMe disks'}")
    return disks


def nvme_count(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted, disks = int(number(need(node_class, "hardware.nvme_disks"))), _nvme(observation)
    for name, read in disks.items():
        if unread(read):
            raise Unjudgeable(f"disks: {name}: {unread(read)}")
    count = len(disks)
    verdict = Verdict.FAIL if count < wanted else Verdict.WARN if count > wanted else Verdict.PASS
    summary = f"{count} NVMe disks are there, the class has {wanted}"
    return [finding("disk.nvme.count", "host", verdict, summary, observed=count, expected=wanted)]


def nvme_state(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    found = []
    for name, read in _nvme(observation).items():
        state = None
        try:
            state = text(read.get("state") if isinstance(read, dict) and not unread(read) else read)
            between = Verdict.WARN if state in _IN_BETWEEN else Verdict.FAIL
            verdict, told = (Verdict.PASS if state == "live" else between), f"its controller is {state}"
        except Unjudgeable as reason:
            verdict, told = Verdict.UNKNOWN, str(reason)
        summary = f"{name}: {told}"
        found.append(finding("disk.nvme.state", f"nvme:{name}", verdict, summary, observed=state, expected="live"))
    return found or [finding("disk.nvme.state", "host", Verdict.PASS, "the node has no NVMe disk")]


def nvme_firmware(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    versions: dict[str, dict[str, list[str]]] = {}
    for name, read in _nvme(observation).items():
        if not isinstance(read, dict):
            raise Unjudgeable(f"disks: {name}: {read!r:.80} is no disk")
        model, firmware = text(read.get("model")), text(read.get("firmware"))
        versions.setdefault(model, {}).setdefault(firmware, []).append(name)
    mixed = {model: of for model, of in versions.items() if len(of) > 1}
    told = "; ".join(
        f"{model}: " + ", ".join(f"{firmware} ({' '.join(names)})" for firmware, names in sorted(of.items()))
        for model, of in mixed.items()
    )
    verdict = Verdict.WARN if mixed else Verdict.PASS
    summary = f"different firmware of one model: {told}" if mixed else "disks of one model run one firmware"
    return [finding("disk.nvme.firmware", "host", verdict, summary, observed=versions)]


_JudgeDisk = Callable[[Mapping[str, Any], str], "tuple[Verdict, str, Any]"]
# Bits of the critical warning, by the NVMe specification (SMART / Health Information).
_TEMPERATURE = 1 << 1
_WARNINGS = {
    1 << 0: "it has no spare blocks left",
    _TEMPERATURE: "its temperature is outside of its limits",
    1 << 2: "it is not reliable",
    1 << 3: "it can only be read",
    1 << 4: "its backup of power has failed",
    1 << 5: "its persistent memory cannot be relied upon",
}


def nvme_health(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    def judge(read: Mapping[str, Any], _name: str) -> tuple[Verdict, str, Any]:
        warning = int(number(read.get("critical_warning")))
        told = [words for bit, words in _WARNINGS.items() if warning & bit]
        if not warning:
            return Verdict.PASS, "it warns of nothing", warning
        verdict = Verdict.WARN if warning == _TEMPERATURE else Verdict.FAIL
        return verdict, " and ".join(told) or f"critical warning {warning:#x}", warning

    return _each_disk("disk.nvme.health", observation, judge, 0)


def nvme_wear(observation: Observation, node_class: NodeClass) -> list[Finding]:
    return _measured(
        "disk.nvme.wear", observation, node_class, "nvme_used_percent", "used_percent", "% of its endurance is used"
    )


def nvme_temperature(observation: Observation, node_class: NodeClass) -> list[Finding]:
    return _measured("disk.nvme.temperature", observation, node_class, "nvme_temperature_c", "temperature_c", "°C")


def _measured(
    check: str, observation: Observation, node_class: NodeClass, threshold: str, key: str, unit: str
) -> list[Finding]:
    warn, fail = limit(node_class, f"{threshold}.warn"), limit(node_class, f"{threshold}.fail")

    def judge(read: Mapping[str, Any], _name: str) -> tuple[Verdict, str, Any]:
        value = number(read.get(key))
        return _filled(value, warn, fail), f"{value:g} {unit} (warn {warn:g}, fail {fail:g})", value

    return _each_disk(check, observation, judge, {"below": warn})


def nvme_spare(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    def judge(read: Mapping[str, Any], _name: str) -> tuple[Verdict, str, Any]:
        spare, least = number(read.get("spare_percent")), number(read.get("spare_threshold_percent"))
        verdict = Verdict.FAIL if spare <= least else Verdict.PASS
        return verdict, f"{spare:g} % of its spare blocks are left (threshold {least:g} %)", spare

    return _each_disk("disk.nvme.spare", observation, judge, "above its threshold")


def nvme_media_errors(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    def judge(read: Mapping[str, Any], _name: str) -> tuple[Verdict, str, Any]:
        now, before = number(read.get("media_errors")), number(read.get("media_errors_before"))
        new = now - before
        return (
            (Verdict.WARN if new > 0 else Verdict.PASS),
            f"{max(0, new):g} errors of its medium (had {before:g})",
            now,
        )

    return _each_disk("disk.nvme.media_errors", observation, judge, "no new ones")


def _each_disk(check: str, observation: Observation, judge: _JudgeDisk, expected: Any) -> list[Finding]:
    disks = data_of(observation, "nvme").get("disks")
    if unread(disks) or not isinstance(disks, dict):
        raise Unjudgeable(f"nvme: {unread(disks) or 'lists no disks'}")
    found = []
    for name, read in disks.items():
        try:
            if unread(read) or not isinstance(read, dict):
                raise Unjudgeable(unread(read) or f"{read!r:.80} is no disk")
            verdict, told, observed = judge(read, name)
        except Unjudgeable as reason:
            verdict, told, observed = Verdict.UNKNOWN, str(reason), None
        summary = f"{name}: {told}"
        found.append(finding(check, f"nvme:{name}", verdict, summary, observed=observed, expected=expected))
    if not found:
        raise Unjudgeable("nvme: there is no NVMe disk")
    return found


def nvme_overheated(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """By the disk's own clock of how long it was above its limits, whatever its temperature is now."""
    warn = limit(node_class, "nvme_hot_minutes_per_day")

    def judge(read: Mapping[str, Any], name: str) -> tuple[Verdict, str, Any]:
        grown = growth(observation, f"nvme:{name}/hot_minutes", number(read.get("hot_minutes")), DAY)
        return grown.verdict(warn), f"too warm for {grown.told(warn)} minutes of a day (warn {warn:g})", grown.amount

    return _each_disk("disk.nvme.overheated", observation, judge, {"below": warn})


def disk_filesystem_errors(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    counts = data_of(observation, "disks").get("ext4")
    if unread(counts) or not isinstance(counts, dict):
        raise Unjudgeable(f"disks: {unread(counts) or 'lists no file systems'}")
    recorded = {name: int(number(count)) for name, count in counts.items()}
    bad = {name: count for name, count in recorded.items() if count}
    told = ", ".join(f"{name} {count}" for name, count in bad.items())
    summary = f"file systems with recorded errors: {told}" if bad else f"none of {len(recorded)} has recorded an error"
    verdict = Verdict.WARN if bad else Verdict.PASS
    return [finding("disk.filesystem_errors", "host", verdict, summary, observed=recorded)]


JUDGES: Mapping[str, Judge] = {
    "disk.mount": disk_mount,
    "disk.read_only": disk_read_only,
    "disk.free": disk_free,
    "disk.inodes": disk_inodes,
    "disk.raid": disk_raid,
    "disk.nvme.count": nvme_count,
    "disk.nvme.state": nvme_state,
    "disk.nvme.firmware": nvme_firmware,
    "disk.nvme.health": nvme_health,
    "disk.nvme.wear": nvme_wear,
    "disk.nvme.spare": nvme_spare,
    "disk.nvme.media_errors": nvme_media_errors,
    "disk.nvme.temperature": nvme_temperature,
    "disk.filesystem_errors": disk_filesystem_errors,
    "disk.nvme.overheated": nvme_overheated,
}
