# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A healthy node's observation and its class, to be spoiled by the tests."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from ansible_collections.firstlight.cluster.plugins.module_utils.judge.agent import fingerprint

from tests.unit.health.areas import areas

ADDRESSES = [f"0000:{bus:02x}:00.0" for bus in (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)]
LOST = {"error": "GPU is lost", "code": 15}
DENIED = {"error": "insufficient permissions", "code": 4}

WITH_ADDRESSES = {"gpus": {"pci_addresses": ADDRESSES}}
# A unit that runs, as systemd shows it.
RUNS = {"load": "loaded", "active": "active", "sub": "running", "result": "success"}


def of_gpus(values: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    """What an area has of each GPU."""
    return [values(index) for index in range(len(ADDRESSES))]


def merged(one: Any, other: Any) -> Any:
    """A copy of both: mappings by their keys, lists by their positions. A value belongs to one alone."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = one.keys() & other.keys()
        alone = copy.deepcopy({key: value for key, value in {**one, **other}.items() if key not in both})
        return {**alone, **{key: merged(one[key], other[key]) for key in both}}
    if isinstance(one, list) and isinstance(other, list):
        return [merged(*pair) for pair in zip(one, other, strict=True)]
    raise ValueError(f"two areas have {one!r} and {other!r} in one place")


def of_areas(name: str) -> Any:
    """What the areas have under `name`, as one."""
    return functools.reduce(merged, (getattr(area, name, {}) for area in areas()), {})


def node_class(**hardware: Any) -> dict[str, Any]:
    """The class, with parts of `hardware.gpus` replaced (`gpus={...}`) or other hardware replaced whole."""
    common = {"schema": 1, "name": "test", "description": "a class for tests", "checks": {"exclude": []}}
    result: dict[str, Any] = {**common, **of_areas("CLASS")}
    result["hardware"]["gpus"].update(hardware.pop("gpus", {}))
    result["hardware"].update(hardware)
    return result


def healthy() -> dict[str, Any]:
    """What a node without fault shows."""
    data = of_areas("HEALTHY")
    for last in data["agent"]["passes"].values():
        # Of the class that all areas make.
        if "class_sha256" in last:
            last["class_sha256"] = fingerprint(node_class())
    readers = {name: {"status": "ok", "data": content, "seconds": 0.1} for name, content in data.items()}
    return {"schema": 1, "taken_at": "2026-01-01T00:00:00+00:00", "seconds": 0.2, "readers": readers}


Spoil = Callable[[dict[str, Any]], None]


def put(path: str, value: Any) -> Spoil:
    """Replace what a reader read: `nvml|gpus|3|temperature_c`. Numbers are positions in lists."""

    def spoil(observation: dict[str, Any]) -> None:
        reader, *keys = path.split("|")
        target: Any = observation["readers"][reader]
        keys = ["data", *keys]
        for key in keys[:-1]:
            target = target[int(key) if isinstance(target, list) else key]
        last = keys[-1]
        target[int(last) if isinstance(target, list) else last] = copy.deepcopy(value)

    return spoil


def drop(path: str) -> Spoil:
    """Take one element out of what a reader read; path as for `put`."""

    def spoil(observation: dict[str, Any]) -> None:
        reader, *keys = path.split("|")
        target: Any = observation["readers"][reader]["data"]
        for key in keys[:-1]:
            target = target[int(key) if isinstance(target, list) else key]
        del target[int(keys[-1]) if isinstance(target, list) else keys[-1]]

    return spoil


def unreadable(
    reader: str, status: str = "timeout", error: str = "no answer within 20 s", code: int | None = None
) -> Spoil:
    """The reader gave nothing; `code` is its source's own number for that, if it has one."""

    def spoil(observation: dict[str, Any]) -> None:
        given = {} if code is None else {"code": code}
        observation["readers"][reader] = {"status": status, "error": error, "seconds": 20.0, **given}

    return spoil


def partly(reader: str, error: str, status: str = "timeout") -> Spoil:
    """The reader came to grief in one thing of many; what it read of the others is there."""

    def spoil(observation: dict[str, Any]) -> None:
        observation["readers"][reader] |= {"status": status, "error": error}

    return spoil


def counted(hca: str, counter: str, total: int, *changes: tuple[int, float, float]) -> Spoil:
    """A counter of an HCA's port stands at `total`; `changes` are growths, with the ages between which each came."""

    def spoil(observation: dict[str, Any]) -> None:
        data = {name: read["data"] for name, read in observation["readers"].items()}
        data["infiniband"]["devices"][hca]["ports"]["1"]["counters"][counter] = total
        data["history"]["changes"] += [[f"hca:{hca}/{counter}", *change] for change in changes]

    return spoil


def absent(reader: str) -> Spoil:
    """The reader did not even run."""

    def spoil(observation: dict[str, Any]) -> None:
        del observation["readers"][reader]

    return spoil


def xid(
    code: int, device: str = ADDRESSES[2], *, text: str = "", count: int = 1, last_us: int | None = 7_100_000_000
) -> dict[str, Any]:
    """One event as the kernel log's reader gives it; the default is 100 seconds old."""
    return {"code": code, "device": device, "count": count, "first_us": last_us, "last_us": last_us, "text": text}


def spoiled(*spoils: Spoil) -> dict[str, Any]:
    observation = healthy()
    for spoil in spoils:
        spoil(observation)
    return observation
