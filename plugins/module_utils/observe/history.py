# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember on the node what its counters said, so that growth can be told from a total.

A counter of errors tells how many there were since it was cleared, which may be years ago. What matters is how many
came lately. So each pass compares with the one before, and keeps each growth with the time in which it came. The file
is a cache: where it cannot be read or written the reading goes on without it, and says so.

It is of one boot, in which the uptime is a clock that nobody sets. A boot begins counters anew, and so does whoever
clears them after a repair: what they said before is forgotten, as it speaks of what was repaired.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import starts, xid_history
from .source import describe

SCHEMA = 1
# The longest time over which growth is judged, a day.
KEEP_SECONDS = 86400.0
# Growths of one counter that came within this time are kept as one: what is asked is growth in an hour or a day.
RESOLUTION_SECONDS = 1800.0
# A node has fewer, as counters of errors rarely change; beyond, times are kept less exactly.
MAX_CHANGES = 4096
# No pass takes longer, in seconds.
LONGEST_PASS = 600.0
MAX_BYTES = 1024 * 1024

_GPU_COUNTERS = (
    *("ecc_volatile_corrected", "pcie_replays", "thermal_slowdown_ns"),
    *(
        "nvlink_replays",
        "nvlink_recoveries",
        "nvlink_crc_errors",
        "nvlink_failed_recoveries",
        "nvlink_effective_errors",
    ),
)
_INTERFACE_COUNTERS = ("carrier_changes", "rx_missed_errors")


class Change(NamedTuple):
    """`name` grew by `delta` at some time between two ages (in seconds, `since` the older)."""

    name: str
    delta: int
    since: float
    until: float


@dataclass(frozen=True)
class Instant:
    """A moment, by the boot that it is in and the seconds since that began."""

    boot_id: str
    uptime: float


@dataclass(frozen=True)
class History:
    """Ages are those at `at`. `counters` by name: value and age when it was read; `changes`, the oldest first."""

    at: Instant
    counters: Mapping[str, tuple[int, float]]
    changes: tuple[Change, ...]


class Unusable(Exception):
    """The file tells nothing about this node's past; says why."""


def counters_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The counters that the readers have read, by name: `hca:mlx5_0/link_downed`, `gpu:UUID/ecc_volatile_corrected`,
    `memory:mc0/corrected`, `pcie:0000:18:00.0/fatal`.

    An HCA with more than one port has `hca:mlx5_0/1/link_downed`, as its findings have. GPUs are named by their UUID,
    as NVML's numbers shift when one is lost. What could not be read is left out.
    """
    found: dict[str, Any] = {}
    devices = (results.get("infiniband", {}).get("data") or {}).get("devices") or {}
    for device, read in devices.items():
        ports = read.get("ports") or {}
        for number, port in ports.items():
            place = f"hca:{device}" if len(ports) == 1 else f"hca:{device}/{number}"
            found |= {f"{place}/{name}": value for name, value in port["counters"].items()}
    for gpu in (results.get("nvml", {}).get("data") or {}).get("gpus") or []:
        if isinstance(gpu.get("uuid"), str):
            found |= {f"gpu:{gpu['uuid']}/{name}": gpu.get(name) for name in _GPU_COUNTERS}
    controllers = (results.get("cpu_memory", {}).get("data") or {}).get("controllers") or {}
    for controller, counts in controllers.items():
        if isinstance(counts, Mapping):
            found[f"memory:{controller}/corrected"] = counts.get("corrected")
    for address, device in ((results.get("pcie", {}).get("data") or {}).get("devices") or {}).items():
        for severity, errors in device["errors"].items():
            # None where the kernel counts none, and a text behind "error".
            if isinstance(errors, Mapping) and "error" not in errors:
                found[f"pcie:{address}/{severity}"] = sum(errors.values())
    for interface, read in ((results.get("network", {}).get("data") or {}).get("interfaces") or {}).items():
        found |= {f"net:{interface}/{name}": read.get(name) for name in _INTERFACE_COUNTERS}
    for disk, read in ((results.get("nvme", {}).get("data") or {}).get("disks") or {}).items():
        found[f"nvme:{disk}/hot_minutes"] = read.get("hot_minutes")
    found["host/oom_kills"] = (results.get("host", {}).get("data") or {}).get("oom_kills")
    return {name: value for name, value in found.items() if isinstance(value, int)}


def update(before: History | None, now: Instant, counters: Mapping[str, int]) -> History:
    """The history at `now`, after `before`, and what the counters say now.

    A counter that was not seen in this boot has grown at some time since it began. One that fell was cleared: it has
    grown from zero since it was seen last. Raises Unusable where `before` is of a later time.
    """
    if before is None or before.at.boot_id != now.boot_id:
        before = History(now, {}, ())
    passed = now.uptime - before.at.uptime
    if passed < 0:
        if passed < -LONGEST_PASS:
            raise Unusable("it is from the future")
        # Another pass began later and was done first. What this one has read is older, and would look cleared.
        return before
    seen = {name: (value, age + passed) for name, (value, age) in before.counters.items()}
    cleared = {name for name, value in counters.items() if name in seen and value < seen[name][0]}
    changes = [
        change._replace(since=change.since + passed, until=change.until + passed)
        for change in before.changes
        if change.until + passed < KEEP_SECONDS and change.name not in cleared
    ]
    for name, value in counters.items():
        last, age = seen.get(name, (0, now.uptime))
        delta = value if name in cleared else value - last
        if delta:
            changes.append(Change(name, delta, age, 0.0))
        seen[name] = (value, 0.0)
    return History(now, seen, _bounded(changes))


def _bounded(changes: list[Change]) -> tuple[Change, ...]:
    """As exact as there is room for."""
    resolution = RESOLUTION_SECONDS
    merged = _merged(changes, resolution)
    while len(merged) > MAX_CHANGES and resolution < 2 * KEEP_SECONDS:
        resolution *= 2
        merged = _merged(changes, resolution)
    return tuple(merged[-MAX_CHANGES:])


def _merged(changes: list[Change], resolution: float) -> list[Change]:
    """Growths of one counter that lie within `resolution` as one."""
    of: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        mine = of[change.name]
        if mine and mine[-1].since - change.until <= resolution:
            last = mine.pop()
            change = Change(change.name, last.delta + change.delta, max(last.since, change.since), change.until)
        mine.append(change)
    return sorted((change for mine in of.values() for change in mine), key=lambda change: -change.until)


def remember(path: Path, now: Instant, counters: Mapping[str, int], *, write: bool) -> dict[str, Any]:
    """What the counters have grown by, and the file brought up to now.

    Returns `changes`, a list of `[name, delta, since, until]` with ages in seconds, of the last `KEEP_SECONDS`, and
    `trouble`, why the past is not known or will not be, or empty. Without `write` the file stays as it is.
    """
    trouble = []
    with contextlib.ExitStack() as stack:
        if write:
            try:
                stack.enter_context(_locked(path.parent))
            except OSError as error:
                trouble.append(f"not written: {describe(error)}")
                write = False
        try:
            history = update(_load(path), now, counters)
        except Unusable as reason:
            trouble.append(f"begun anew: {path}: {reason}")
            history = update(None, now, counters)
        if write:
            try:
                _save(path, history)
            except OSError as error:
                trouble.append(f"not written: {describe(error)}")
    return {"changes": [list(change) for change in history.changes], "trouble": "; ".join(trouble)}


def remember_xids(path: Path, log: xid_history.Log | None, now: float, write: bool) -> dict[str, Any]:
    """Bring the file at `path` up to date with the log, and tell which GPU had which XID in the last month.

    Returns `xids`, by `UUID/code` a list of `[days ago, since which reset]`, and `xids_trouble`, as `remember` does.
    Without a log only what is remembered is told.
    """
    trouble = []
    try:
        history = xid_history.load(path)
    except (xid_history.Damaged, OSError) as reason:
        trouble.append(f"begun anew: {path}: {describe(reason)}")
        history = xid_history.XidHistory()
    if log is None:
        trouble.append("the kernel log was not read")
    else:
        history = xid_history.update(history, log, now)
        if write:
            try:
                with _locked(path.parent):
                    _replace(path, xid_history.content_of(history))
            except OSError as error:
                trouble.append(f"not written: {describe(error)}")
    return {"xids": xid_history.told(history, now), "xids_trouble": "; ".join(trouble)}


def remember_start(path: Path, log: Mapping[str, Any] | None, now: Instant, write: bool) -> dict[str, Any]:
    """Bring the file at `path` up to date with what the kernel log says of this start.

    Returns `starts`: what `starts.told` does, where the log has lost its beginning with the lines of that, and
    `trouble` as `remember` does. Without a log, or where its lines are not asked for, `starts` is None.
    """
    if log is None or "templates" not in log:
        return {"starts": None}
    trouble = []
    try:
        known = starts.load(path)
    except (starts.Damaged, OSError) as reason:
        trouble.append(f"begun anew: {path}: {describe(reason)}")
        known = ()
    seen = starts.start_of(log, now.boot_id)
    news = starts.update(known, seen if starts.is_over(log, now.uptime) else None)
    if write and news != known:
        try:
            with _locked(path.parent):
                _replace(path, starts.content_of(news))
        except BlockingIOError:
            pass  # another pass writes the same
        except OSError as error:
            trouble.append(f"not written: {describe(error)}")
    told = starts.told(news, now.boot_id, seen)
    if log["first_sequence"] == 0:
        told["start"] = None  # whoever has the log has it
    return {"starts": {**told, "trouble": "; ".join(trouble)}}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two passes at once would count one growth twice: the second reads only. Raises OSError."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _load(path: Path) -> History | None:
    """What was remembered; raises Unusable. That there is no file yet is no trouble."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unusable(describe(error)) from error
    if len(content) > MAX_BYTES:
        raise Unusable(f"it has more than {MAX_BYTES} bytes")
    try:
        read = json.loads(content)
        if read["schema"] != SCHEMA:
            raise Unusable(f"its schema is {read['schema']!r:.40}, not {SCHEMA}")
        at = Instant(_text(read["boot_id"]), _seconds(read["uptime"]))
        counters = {_text(name): (_count(value), _seconds(age)) for name, (value, age) in read["counters"].items()}
        changes = tuple(_change(*change) for change in read["changes"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unusable("it is damaged") from error
    return History(at, counters, changes)


def _change(name: Any, delta: Any, since: Any, until: Any) -> Change:
    change = Change(_text(name), _count(delta), _seconds(since), _seconds(until))
    if change.since < change.until:
        raise ValueError(change)
    return change


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(value)
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(value)
    return float(value)


def _save(path: Path, history: History) -> None:
    """Replace the file in one step, under the lock of its folder. Raises OSError."""
    content = {
        "schema": SCHEMA,
        "boot_id": history.at.boot_id,
        "uptime": history.at.uptime,
        "counters": {name: [value, round(age, 1)] for name, (value, age) in history.counters.items()},
        "changes": [[name, delta, round(since, 1), round(until, 1)] for name, delta, since, until in history.changes],
    }
    _replace(path, content)


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    # The lock makes one name enough, so that killed passes leave at most one such file.
    incoming = path.with_name(f"{path.name}.new")
    incoming.unlink(missing_ok=True)
    handle = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        # The umask of whoever runs the pass does not decide who may read it.
        os.fchmod(handle, 0o644)
        json.dump(content, stream, separators=(",", ":"))
    incoming.replace(path)
