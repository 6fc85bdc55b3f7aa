# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data disks: whatever is found on them, nothing is written to what is not free, or was not named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.block_devices import (
    parse_mounts,
    read_block_devices,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvme import file_name
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.baseline import is_record_of
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.description import DiskDescription
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.machine import Machine
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.mounting import Entry, parse_fstab
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.plan import Plan, plan
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.wanted import LEAST, RAID, Volume
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tests.unit.properties.junk import JSON, TEXTS, mutated

DISKS = ("a", "b", "c")
SYSTEM = "s"
UUIDS = st.sampled_from(["u-1", "u-2"])
# What may be on a disk, ours (by kind and label) or anybody's.
MARKS = st.builds(
    lambda kind, uuid, label: {"type": kind, "uuid": uuid, "label": label},
    st.sampled_from(["linux_raid_member", "LVM2_member", "zfs_member", "xfs", "ext4", "gpt", "crypto_LUKS"]),
    UUIDS,
    st.sampled_from(["", "vol", "node01:vol", "old"]),
)


# What each layout leaves on its disks.
OWN = {"single": "xfs", "lvm": "LVM2_member", "zfs": "zfs_member"}


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], Volume]:
    """A volume, and an observation of its disks and the system's: often nearly as wanted, and possible or not."""
    layout = draw(st.sampled_from([*LEAST]))
    names = DISKS[: 1 if layout == "single" else draw(st.integers(max(2, LEAST[layout]), 3))]
    seldom = st.sampled_from([False] * 9 + [True])
    devices: list[dict[str, Any]] = []

    def device(name: str, kind: str, **more: Any) -> None:
        made = {"name": name, "path": f"/dev/{name}", "type": kind, "size": 10**12, "model": "", "serial": ""}
        made |= {"number": f"9:{len(devices)}", "mounted": [], "parents": [], "holders": [], "links": []}
        devices.append({**made, "physical": False, "claimed": False, "signatures": [], **more})

    own = {"type": OWN.get(layout, "linux_raid_member"), "uuid": "u-1", "label": "vol"}
    usual = draw(st.sampled_from([[], [own]]))
    for name in names:
        marks = draw(st.lists(MARKS, max_size=2)) if draw(seldom) else usual
        known = {"model": "data", "serial": f"S{name}", "physical": True}
        device(name, "disk", **known, signatures=marks, claimed=draw(seldom))
    device(SYSTEM, "disk", model="data" if draw(seldom) else "os", serial="Ss", physical=True, mounted=["/"])
    arrays = {}
    built = "md0" if layout in RAID else "dm-0"
    for name, kind in (("md0", "raid1"), ("dm-0", "lvm"), ("part", "part")):
        if not (draw(st.booleans()) and usual if name == built else draw(seldom)):
            continue
        parents = [*names[: draw(st.integers(1, 3)) if draw(seldom) else 3]]
        path = "/dev/mapper/vg_vol-data" if kind == "lvm" else f"/dev/{name}"
        mounted = draw(st.sampled_from([[], ["/vol"], ["/home"]]))
        marks = draw(
            st.sampled_from([[], [{"type": "xfs", "uuid": "u-1", "label": "vol"}]]) | st.lists(MARKS, max_size=1)
        )
        device(name, kind, path=path, parents=parents, signatures=marks, mounted=mounted)
        if kind != "part":
            for each in devices:
                each["holders"] += [name] if each["name"] in parents else []
        if kind == "raid1":
            state = "inactive" if draw(seldom) else "clean"
            values = {"level": layout, "degraded": int(draw(seldom)), "state": state, "action": "idle"}
            arrays[name] = {**values, "disks": len(parents), "members": parents}
    group = draw(st.sampled_from(["", "vg_vol"]))
    rows = [{"pv_name": f"/dev/{name}", "vg_name": "vg_old" if draw(seldom) else group} for name in names]
    logical = {"vg_name": "vg_vol", "lv_name": "data", "lv_path": "/dev/vg_vol/data", "lv_active": "active"}
    there = draw(st.booleans())
    observed = {
        "devices": devices,
        "arrays": arrays,
        "physical_volumes": rows if draw(st.booleans()) else [],
        "volumes": [logical] if there else [],
        "pools": {"vol": {"health": "ONLINE", "mountpoint": "/vol"}} if there else {},
        "mounts": [
            {"point": point, "number": each["number"], "root": "/", "type": "xfs", "source": "x", "options": ["rw"]}
            for each in devices
            for point in each["mounted"]
        ],
        "points": {"/vol": {"kind": "directory", "entries": ["file"] if draw(seldom) else []}},
        "fstab": draw(st.sampled_from(["", "UUID=u-1 /vol xfs noatime,nofail 0 0\n"])),
        "mdadm_conf": "",
        "initramfs": {},
    }
    volume = {
        "name": "vol",
        "disks": {"model": "data", "count": len(names)},
        "layout": layout,
        "mount": "/vol",
        **({} if layout == "zfs" else {"filesystem": "xfs", "options": ["noatime"]}),
    }
    return observed, Volume.from_dict(volume)


def judged(case: tuple[dict[str, Any], Volume], erase: set[str]) -> tuple[Machine, Plan]:
    machine = Machine.from_dict(json.loads(json.dumps(case[0])))
    return machine, plan(machine, [case[1]], erase, DiskDescription(model="os"))


ERASE = st.sets(st.sampled_from(["Sa", "Sb", "Sc", "Ss"])) | st.just({"Sa", "Sb", "Sc", "Ss"})


@given(cases(), ERASE)
def test_nothing_is_written_to_what_is_not_free_or_named(case: tuple[dict[str, Any], Volume], erase: set[str]) -> None:
    observed, volume = case
    machine, found = judged(case, erase)
    if found.refusals:
        return
    named = {path for step in found.steps if step.kind == "erase" for path in step.arguments["paths"]}
    built = {path for step in found.steps for path in step.arguments.get("disks", []) if step.kind != "assemble"}
    made = {step.arguments["path"] for step in found.steps if step.kind == "filesystem"}
    assert f"/dev/{SYSTEM}" not in named | built | made
    orphans = {row["pv_name"] for row in observed["physical_volumes"] if row["vg_name"] == ""}
    for name in DISKS[: volume.count]:
        disk, path = machine.devices[name], f"/dev/{name}"
        if path in named:
            assert disk.serial in erase and not disk.holders and not machine.points_of(disk) and not disk.claimed
        elif path in (built | made):
            only = [mark.type for mark in disk.signatures]
            orphan = volume.layout == "lvm" and path in orphans and only == ["LVM2_member"]
            assert machine.is_bare(disk) or orphan
    for device in machine.devices.values():
        if device.path in made and device.path not in named:
            assert not device.signatures
    assert not (observed["points"]["/vol"]["entries"] and machine.mounted_at("/vol") is None)


@pytest.mark.parametrize(
    "kind", ["array", "assemble", "volume_group", "logical_volume", "filesystem", "erase", "mount"]
)
def test_the_cases_reach_every_kind_of_step(kind: str) -> None:
    """Else the property above would say nothing."""

    def reached(case: tuple[tuple[dict[str, Any], Volume], set[str]]) -> bool:
        found = judged(*case)[1]
        return not found.refusals and kind in {step.kind for step in found.steps}

    find(st.tuples(cases(), ERASE), reached, settings=settings(max_examples=2000, database=None))


def tools(answers: dict[str, str]) -> Any:
    def run(command: Sequence[str]) -> str:
        if command[0] not in answers:
            raise SourceMissing(command[0])
        return answers[command[0]]

    return run


LSBLK = json.dumps(
    {
        "blockdevices": [
            {
                "kname": "sda",
                "path": "/dev/sda",
                "type": "disk",
                "size": 10**12,
                "model": "x",
                "serial": "y",
                "maj:min": "8:0",
                "mountpoints": [None],
            }
        ]
    }
)
SIGNATURES = json.dumps({"signatures": [{"device": "sda", "offset": "0x1", "type": "xfs", "uuid": "u", "label": "l"}]})
ANY = TEXTS | JSON.map(lambda value: json.dumps(value, default=str))


@given(
    st.just(LSBLK) | ANY | mutated(LSBLK), st.just(SIGNATURES) | ANY | mutated(SIGNATURES), ANY | mutated(SIGNATURES)
)
def test_any_output_of_a_tool_is_read_or_refused(lsblk: str, wipefs: str, pvs: str) -> None:
    root = Path("/nonexistent")
    answers = {"lsblk": lsblk, "wipefs": wipefs, "pvs": pvs, "lvs": pvs, "zpool": wipefs, "zfs": pvs}
    try:
        read_block_devices([], root=root, run=tools(answers), claimed=lambda path: False)
    except (SourceError, OSError):
        # There is no /proc below the root; what comes before it was understood.
        return


@given(TEXTS)
def test_any_text_has_mounts_or_none(text: str) -> None:
    for mount in parse_mounts(text):
        assert mount["point"] is not None
    assert all(entry.source for entry in parse_fstab(text))


WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789/=-_.", min_size=1, max_size=12)


@given(st.builds(Entry, WORDS.map(lambda word: f"UUID={word}"), WORDS.map(lambda word: f"/{word}"), WORDS, WORDS))
def test_an_entry_of_fstab_is_read_as_it_is_written(entry: Entry) -> None:
    assert list(parse_fstab(f"# comment\n\n{entry}\n")) == [entry]


@given(st.lists(st.text(max_size=12), min_size=2, max_size=6, unique=True))
def test_each_disk_has_its_own_file(serials: list[str]) -> None:
    names = {file_name(serial) for serial in serials}
    assert len(names) == len(serials)
    assert not any("/" in name or (name.startswith(".") and name != ".json") for name in names)


@given(ANY, st.text(max_size=8))
def test_any_text_is_a_record_or_none(text: str, serial: str) -> None:
    assert is_record_of(text, serial) in (True, False)
