# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes as a node class says them: what cannot be, and what must not start without them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.wanted import LEAST, Volume, faults, units
from made_up_host import VOLUME


def volume(**changes: Any) -> Volume:
    return Volume.from_dict({**VOLUME, **changes})


def disks(count: int, **known: Any) -> dict[str, Any]:
    return {"model": "Dell*", "count": count, **known}


def told(*volumes: Volume, root: str | None = None) -> list[str]:
    return [f"{fault.volume} {fault.key} {fault.message}" for fault in faults(volumes, root)]


@pytest.mark.parametrize("layout", LEAST)
def test_each_layout_has_a_least_number_of_disks(layout: str) -> None:
    extra = {"filesystem": None, "options": None} if layout == "zfs" else {}
    assert told(volume(layout=layout, disks=disks(LEAST[layout]), **extra)) == []
    fewer = told(volume(layout=layout, disks=disks(LEAST[layout] - 1), **extra))
    assert len(fewer) == 1 and f"0 disks are {LEAST[layout] - 1}, but {layout} " in fewer[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layout": "single"}, "disks are 2, but single takes one disk"),
        ({"disks": {"count": 2}}, "disks describe no disk"),
        ({"disks": disks(2, size_gb={"min": 2, "max": 1})}, "disks have a min of 2 and a max of 1 GB"),
        ({"filesystem": None}, "filesystem is missing"),
        ({"layout": "zfs", "options": None}, "filesystem is given, but ZFS brings its own"),
        ({"layout": "zfs", "filesystem": None}, "options are given, but ZFS has properties"),
        ({"zfs": {"vdev": "mirror"}}, "zfs is given, but the layout is raid1"),
        ({"zfs": {"properties": {"atime": "off"}}}, "zfs is given, but the layout is raid1"),
        ({"zfs": {"take_over": True}}, "zfs is given, but the layout is raid1"),
        ({"name": "a-long-name-x"}, "label is 'a-long-name-x', but xfs takes 12 characters"),
        ({"mount": "/"}, "mount is /, which the system needs"),
        ({"mount": "/var"}, "mount is /var, which the system needs"),
        ({"mount": "/scratch/"}, "mount is /scratch/, which"),
        ({"mount": "/scratch/../etc"}, "mount is /scratch/../etc, which"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], words: str) -> None:
    found = told(volume(**changes))
    assert len(found) == 1 and f"0 {words}" in found[0], found


@pytest.mark.parametrize(
    "name", ["mirror", "mirror-a", "raidz", "raidz2", "draid", "draid1", "spare", "spares", "log", "c0", "c9d"]
)
def test_a_name_that_zfs_keeps_for_itself_is_of_no_pool(name: str) -> None:
    zfs = {"layout": "zfs", "filesystem": None, "options": None}
    assert told(volume(name=name, **zfs)) == [f"0 name is {name}, which ZFS keeps for itself and takes for no pool"]
    assert told(volume(name=name)) == []


@pytest.mark.parametrize("name", ["logs", "cache", "c", "tank", "data-mirror"])
def test_other_names_are_of_pools(name: str) -> None:
    assert told(volume(name=name, layout="zfs", filesystem=None, options=None)) == []


@pytest.mark.parametrize("name", ["a-long-name-x"])
def test_a_label_of_its_own_may_be_short(name: str) -> None:
    assert told(volume(name=name, label="x")) == []
    assert told(volume(name=name, filesystem="ext4")) == []


def test_volumes_are_beside_each_other() -> None:
    one, other = volume(), volume(name="other", mount="/other")
    assert told(one, other) == []
    assert told(one, volume(mount="/other")) == ["1 name is scratch, as is that of another volume"]
    assert told(one, volume(name="other")) == ["1 mount is /scratch, as is that of another volume"]
    below = told(one, volume(name="other", mount="/scratch/docker"))
    assert below == ["1 mount is /scratch/docker, below /scratch of the volume scratch"]
    assert told(one, volume(name="other", mount="/scratch2")) == []


@pytest.mark.parametrize(
    ("root", "fits"), [("/scratch/docker", 1), ("/scratch", 1), ("/scratch2", 0), ("/scratch/../x", 0)]
)
def test_the_folder_of_docker_lies_on_a_volume(root: str, fits: bool) -> None:
    assert bool(told(volume(), root=root)) is not bool(fits)


def test_what_must_not_start_without_a_mount() -> None:
    one, other = volume(required_by=["slurmd.service"]), volume(mount="/other", required_by=["slurmd.service"])
    assert units([one, other], "/var/lib/docker") == {"slurmd.service": ["/scratch", "/other"]}
    assert units([volume()], "/scratch/docker") == {"docker.service": ["/scratch"]}
    assert units([volume(required_by=["docker.service"])], "/scratch") == {"docker.service": ["/scratch"]}
    assert units([volume(mount="/var/lib")], "/var/lib/docker") == {"docker.service": ["/var/lib"]}
