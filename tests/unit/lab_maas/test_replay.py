# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator answers as the recorded region did."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.maas.settings import LabImage
from lab.maas.state import Store

from .replay import CONTENT_SUMS, Replay, load
from .world import World

_UBUNTU = tuple(
    LabImage(
        "ubuntu",
        series,
        f"{number} LTS",
        ("amd64/generic", "arm64/generic"),
        (f"ga-{number}", f"hwe-{number}"),
        flavours,
    )
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


# Exchanges that are not counted: what they recorded is no part of the simulator.
APART = re.compile(r"004-describe|85\d|86[0-4]|87\d|88[0-2]")
# Exchanges whose answers differ, and why. Every other one is answered alike.
KNOWN = {
    "262-list-simple-status-new": "the real one lists the columns of its tables in the error",
    "709-events-query-before": "at level DEBUG the real one notes more, so that its numbers of events run ahead",
    "710-events-query-after": "at level DEBUG the real one notes more, so that its numbers of events run ahead",
    "762-notifications": "the real one also warns of its own deprecated parts",
}
LEAST_ALIKE = 0.95
TABLE = Path(__file__).parents[3] / "artifacts" / "maas-replay.md"


def _table(differing: dict[str, str], total: int) -> str:
    """What differs and why, for people."""
    counted = [name for name in differing if not APART.match(name)]
    lines = [
        "# Recorded exchanges of a real region, played against the lab's MAAS",
        "",
        f"{total - len(counted)} of {total} alike ({(total - len(counted)) / total:.1%}).",
        "",
        "| exchange | why | what |",
        "|---|---|---|",
    ]
    for name, difference in differing.items():
        why = "not counted" if APART.match(name) else KNOWN.get(name, "NOT KNOWN")
        what = " ".join(difference[:200].split()).replace("|", "\\|")
        lines.append(f"| {name} | {why} | {what} |")
    return "\n".join(lines) + "\n"


def test_recorded_exchanges(replay: Replay, recorded: Path) -> None:
    differing: dict[str, str] = {}
    total = 0
    for recording in load(recorded / "maas"):
        if recording.name.startswith("09"):
            # made on another region, see below
            continue
        total += not APART.match(recording.name)
        difference = replay.play(recording)
        if difference:
            differing[recording.name] = difference
    # a region without images answered these
    fresh = sum(recording.name.startswith("09") for recording in load(recorded / "maas"))
    table = _table(differing, total + fresh)
    print(table)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table, encoding="utf-8")
    counted = {name for name in differing if not APART.match(name)}
    assert counted == set(KNOWN), table
    assert 1 - len(counted) / (total + fresh) >= LEAST_ALIKE, table


def test_recorded_exchanges_with_a_fresh_region(recorded: Path, new_world: Callable[..., World]) -> None:
    replay = _replay(recorded, new_world(nodes=0, images=()))
    for recording in load(recorded / "maas"):
        if recording.name.startswith("09"):
            assert replay.play(recording) is None, recording.name


def test_a_replayed_region_is_the_same_after_a_restart(replay: Replay, recorded: Path) -> None:
    for recording in load(recorded / "maas"):
        if not recording.name.startswith("09"):
            replay.play(recording)
    store = replay.world.region.store
    with store.transaction():
        before = json.loads(json.dumps(dict(store.data)))
        # as after a kill: the snapshot is old, the journal is whole
        again = Store(_copied(replay.world.directory))
    assert json.loads(json.dumps(dict(again.data))) == before
    again.close()


def _copied(directory: Path) -> Path:
    target = directory / "copy"
    target.mkdir()
    for name in ("maas.json", "maas.journal"):
        shutil.copy(directory / name, target)
    return target / "maas.json"
