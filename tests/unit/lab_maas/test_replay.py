# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator answers as the recorded region did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.maas.settings import LabImage

from .replay import CONTENT_SUMS, Replay, load
from .world import World

_UBUNTU = tuple(
    LabImage("ubuntu", series, f"{number} LTS", ("amd64/generic", "arm64/generic"), (f"ga-{number}", f"hwe-{number}"), flavours)
    for series, number, flavours in (
        ("noble", "24.04", ("hwe-p", "hwe-22.04", "ga-22.04", "hwe-24.04", "ga-24.04")),
        ("jammy", "22.04", ("hwe-p", "hwe-20.04", "ga-20.04", "hwe-22.04", "ga-22.04")),
    )
)
_REGULAR = ("rc", "rt", "rs")


def _admin_keys(folder: Path) -> list[tuple[str, str, str]]:
    tokens = json.loads((folder / "731-authorisation-tokens.json").read_text(encoding="utf-8"))["response"]["body"]
    return [tuple(token["token"].split(":")) for token in tokens]


def _replay(recorded: Path, world: World) -> Replay:
    admin = _admin_keys(recorded / "maas")[1]
    with world.region.store.transaction() as data:
        data["users"].append({"username": "regular", "email": "regular@example.com", "is_superuser": False})
        data["tags"].append({"name": "virtual", "definition": "", "comment": "", "kernel_opts": ""})
        data["config"]["maas_name"] = "vm"
        for controller, name in zip(data["controllers"], ("rack1", "vm"), strict=True):
            controller["hostname"] = name
        names = ("consumer", "key", "secret")
        data["tokens"] = [
            {**dict(zip(names, one, strict=True)), "username": "admin", "name": "MAAS consumer"}
            for one in _admin_keys(recorded / "maas")
        ] + [
            {**dict(zip(names, _REGULAR, strict=True)), "username": "regular", "name": "MAAS consumer"},
        ]
    here = {**CONTENT_SUMS, **{one[:7]: other[:7] for one, other in CONTENT_SUMS.items()}}
    return Replay(world, admin, _REGULAR, here)


@pytest.fixture
def replay(recorded: Path, new_world: Callable[..., World]) -> Replay:
    """A replay against a region as it was when the recording began."""
    return _replay(recorded, new_world(nodes=0, images=_UBUNTU))


# Exchanges whose answers differ, and why. Everything else of groups 0xx to 5xx (58x, 59x excepted) is answered alike.
KNOWN = {
    "004-describe": "the description of the whole API is not offered",
    "262-list-simple-status-new": "the real one lists the columns of its tables in the error",
    "273-nodes-list": "the lab has no controllers",
    "274-devices-list": "the lab has no devices",
    "275-rackcontrollers": "the lab has no controllers",
    "276-regioncontrollers": "the lab has no controllers",
    "296-machine-clone-none": "cloning is not offered",
    "310-new-restore-default-configuration": "storage and network layouts are not offered",
    "311-new-set-storage-layout": "storage and network layouts are not offered",
    "344-ready-results": "scripts have no parameters",
}
# Of the groups of which only a part is offered, so many at least are answered alike.
FLOOR = {"58x": 4, "59x": 1, "6xx": 7, "7xx": 38, "8xx": 50}


def _group(name: str) -> str:
    if name[0] in "01234" or name[:2] in ("50", "51", "52", "53", "54", "55", "56", "57"):
        return "whole"
    return f"{name[:2]}x" if name[0] == "5" else f"{name[0]}xx"


def _table(differing: dict[str, str], good: Counter[str], total: Counter[str]) -> str:
    lines = [f"{name:44} {difference[:200]}" for name, difference in differing.items()]
    return "\n".join([*lines, *(f"{group}: {good[group]} of {total[group]} alike" for group in sorted(total))])


def test_recorded_exchanges(replay: Replay, recorded: Path) -> None:
    good: Counter[str] = Counter()
    total: Counter[str] = Counter()
    differing: dict[str, str] = {}
    for recording in load(recorded / "maas"):
        if recording.name.startswith("09"):
            # made on another region, see below
            continue
        group = _group(recording.name)
        total[group] += 1
        difference = replay.play(recording)
        if difference is None:
            good[group] += 1
        else:
            differing[recording.name] = difference
    table = _table(differing, good, total)
    print(table)
    assert {name for name in differing if _group(name) == "whole"} == set(KNOWN), table
    for group, floor in FLOOR.items():
        assert good[group] >= floor, f"{group}: {good[group]} alike, not {floor}\n{table}"


def test_recorded_exchanges_with_a_fresh_region(recorded: Path, new_world: Callable[..., World]) -> None:
    replay = _replay(recorded, new_world(nodes=0, images=()))
    for recording in load(recorded / "maas"):
        if recording.name.startswith("09") and recording.name != "094-fresh-scripts":
            assert replay.play(recording) is None, recording.name
