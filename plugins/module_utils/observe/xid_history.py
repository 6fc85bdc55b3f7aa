# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remember on the node which GPU had which XID, over boots: one that comes back again and again is no accident.

What observe.history remembers is of one boot, and of a day. This is of a month: each GPU by its UUID, so that one that
was replaced begins anew, with the days on which it had an XID and since which reset. Days are by the node's clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = 1
KEEP_DAYS = 30
_DAY = 86400.0
# A node has fewer; beyond, the oldest are forgotten.
MAX_NAMES, MAX_SIGHTINGS = 512, 64
MAX_BYTES = 1024 * 1024
FALLEN_OFF = 79


class Event(NamedTuple):
    """An XID in the log of this boot: how often, and when last (microseconds since the boot, None if not told)."""

    device: str
    code: int
    times: int
    last_us: int | None


class Sighting(NamedTuple):
    """A GPU had an XID on `day` (since 1970), and was last reset at `since`. `times` and `last_us` are of the log."""

    day: int
    since: str
    times: int
    last_us: int


@dataclass(frozen=True)
class Log:
    """What a boot's log tells. `uuids` by PCI address are of the GPUs that answer."""

    boot_id: str
    uptime: float
    loaded_us: int | None
    events: tuple[Event, ...]
    uuids: Mapping[str, str]


@dataclass(frozen=True)
class XidHistory:
    """Sightings by `UUID/code`, or `address/code` of a GPU that never told its UUID. `uuids` also of GPUs now lost."""

    sightings: Mapping[str, tuple[Sighting, ...]] = field(default_factory=dict)
    uuids: Mapping[str, str] = field(default_factory=dict)


class Damaged(Exception):
    """The file tells nothing; says why."""


def log_of(results: Mapping[str, Mapping[str, Any]], boot_id: str, uptime: float) -> Log | None:
    """What the readers have read of it, None where the kernel log was not read."""
    log = results.get("kernel_log", {}).get("data")
    if not isinstance(log, Mapping):
        return None
    events = [*log["xids"], *({"code": FALLEN_OFF, **lost} for lost in log["off_bus"] if lost["device"])]
    gpus = (results.get("nvml", {}).get("data") or {}).get("gpus") or []
    return Log(
        boot_id,
        uptime,
        log["driver_loaded_us"],
        tuple(Event(each["device"], each["code"], each["count"], each["last_us"]) for each in events),
        {
            gpu["pci"]: gpu["uuid"]
            for gpu in gpus
            if isinstance(gpu.get("pci"), str) and isinstance(gpu.get("uuid"), str)
        },
    )


def update(before: XidHistory, log: Log, now: float) -> XidHistory:
    """The history at `now` (Unix time), with what the log has that was not seen yet."""
    uuids = {**before.uuids, **log.uuids}
    today = int(now // _DAY)
    kept = {
        name: tuple(each for each in sightings if 0 <= today - each.day < KEEP_DAYS)
        for name, sightings in before.sightings.items()
    }
    for event in _merged(log.events):
        name = f"{uuids.get(event.device, event.device)}/{event.code}"
        kept[name] = _with(kept.get(name, ()), event, log, now)
    latest = sorted((name for name in kept if kept[name]), key=lambda name: kept[name][-1].day)
    return XidHistory({name: kept[name][-MAX_SIGHTINGS:] for name in latest[-MAX_NAMES:]}, uuids)


def _merged(events: tuple[Event, ...]) -> list[Event]:
    """One of each GPU and code: the reader tells some apart by what their lines say."""
    found: dict[tuple[str, int], Event] = {}
    for event in events:
        other = found.get((event.device, event.code))
        if other:
            last = max(event.last_us or 0, other.last_us or 0)
            event = event._replace(times=event.times + other.times, last_us=last)
        found[event.device, event.code] = event
    return list(found.values())


def _with(sightings: tuple[Sighting, ...], event: Event, log: Log, now: float) -> tuple[Sighting, ...]:
    last_us = event.last_us or 0
    loaded = log.loaded_us is not None and last_us > log.loaded_us
    since = f"{log.boot_id}/{log.loaded_us}" if loaded else log.boot_id
    before = [each for each in sightings if each.since.partition("/")[0] == log.boot_id]
    # The log forgets its oldest lines, so that it may have fewer than before.
    if before and last_us <= before[-1].last_us and event.times <= before[-1].times:
        return sightings
    age = max(0.0, log.uptime - last_us / 1e6) if event.last_us is not None else 0.0
    seen = Sighting(int((now - age) // _DAY), since, event.times, last_us)
    if before and (before[-1].day, before[-1].since) == (seen.day, seen.since):
        return (*sightings[:-1], seen)
    return (*sightings, seen)


def told(history: XidHistory, now: float) -> dict[str, list[list[Any]]]:
    """By name `[days ago, since]` of each sighting."""
    today = int(now // _DAY)
    return {name: [[today - each.day, each.since] for each in seen] for name, seen in history.sightings.items()}


def load(path: Path) -> XidHistory:
    """What was remembered; raises Damaged, and OSError. That there is no file yet is no trouble."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return XidHistory()
    try:
        read = json.loads(content)
        if read["schema"] != SCHEMA:
            raise Damaged(f"its schema is {read['schema']!r:.40}, not {SCHEMA}")
        sightings = {
            str(name): tuple(Sighting(int(day), str(since), int(times), int(last)) for day, since, times, last in seen)
            for name, seen in read["sightings"].items()
        }
        return XidHistory(sightings, {str(address): str(uuid) for address, uuid in read["uuids"].items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged("it is damaged") from error


def content_of(history: XidHistory) -> dict[str, Any]:
    """As `load` reads it."""
    return {"schema": SCHEMA, "sightings": dict(history.sightings), "uuids": dict(history.uuids)}
