# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of the system: described by what it says of itself, chosen before deployment, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.disks import Disk, root_disk
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Machine, Status
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Wanted
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.planning import Goal, foresee, next_step
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.transitions import Action, State
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.description import DiskDescription
from ansible_collections.firstlight.cluster.plugins.modules import maas_machine
from fake_maas import Box, FakeMaas, broken, text

Run = Callable[..., dict[str, Any]]

DATA = [Disk(number, "Dell Ent NVMe PM1743", f"S7{number}", 3_840_755_982_336) for number in range(1, 9)]
BOSS = Disk(9, "Dell BOSS-N1", "00a1b2", 959_656_755_200)
DISKS = (*DATA, BOSS)
WANTED = DiskDescription(model="Dell BOSS-N1*", min_gb=900, max_gb=1000)
HOST = Wanted("node01", os_disk=WANTED)
GOAL = Goal(State.DEPLOYED, "me", "ubuntu", "noble")
CHOOSE = [Action.SET_BOOT_DISK, Action.SET_STORAGE_LAYOUT]


def machine(status: Status, **changes: Any) -> Machine:
    given = {"system_id": "abc", "hostname": "node01", "status": int(status), "status_name": status.name}
    disks = {"disks": DISKS, "boot_disk": 1, "root_disk": 1}
    return Machine(**{**given, **disks, **changes})


def path(start: Machine, host: Wanted = HOST, goal: Goal = GOAL) -> list[Action]:
    return [step.action for step in foresee(start, host, goal).steps]


@pytest.mark.parametrize(
    ("described", "found"),
    [
        (WANTED, [9]),
        (DiskDescription(model="*BOSS*"), [9]),
        (DiskDescription(model="dell boss-n1"), []),
        (DiskDescription(serial="00a1b?"), [9]),
        (DiskDescription(min_gb=900), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (DiskDescription(max_gb=959.656755), []),
        (DiskDescription(max_gb=959.7), [9]),
        (DiskDescription(model="Dell*", serial="S73"), [3]),
        (DiskDescription(model="Dell BOSS-N1*", max_gb=500), []),
    ],
)
def test_what_is_described_must_all_hold(described: DiskDescription, found: list[int]) -> None:
    assert [disk.id for disk in described.among(DISKS)] == found


def test_a_disk_that_says_nothing_is_no_disk_with_a_serial() -> None:
    silent = Disk.from_json({"id": 1, "model": None, "serial": "", "size": 10**12})
    assert not DiskDescription(serial="?*").among([silent])
    assert str(silent) == "no model, 1000 GB, serial unknown"


def test_where_the_root_lies() -> None:
    root = {"filesystem": {"mount_point": "/"}}
    assert root_disk([]) is None
    assert root_disk([{"id": 1, "filesystem": None, "partitions": []}, {"id": 2, **root}]) == 2
    assert root_disk([{"id": 1}, {"id": 2, "partitions": [{"filesystem": None}, root]}]) == 2
    # A volume group: MAAS mounts a volume, none of the partitions.
    assert root_disk([{"id": 1, "partitions": [{"filesystem": {"mount_point": None}}]}]) is None


@pytest.mark.parametrize(
    ("start", "actions"),
    [
        (machine(Status.READY), [*CHOOSE, Action.DEPLOY, Action.DONE]),
        (machine(Status.READY, boot_disk=9, root_disk=9), [Action.DEPLOY, Action.DONE]),
        # A run was interrupted between the two, or the layout is another than flat.
        (machine(Status.READY, boot_disk=9), [Action.SET_STORAGE_LAYOUT, Action.DEPLOY, Action.DONE]),
        (machine(Status.READY, boot_disk=9, root_disk=None), [Action.SET_STORAGE_LAYOUT, Action.DEPLOY, Action.DONE]),
        (machine(Status.READY, root_disk=9), [Action.SET_BOOT_DISK, Action.DEPLOY, Action.DONE]),
        (machine(Status.ALLOCATED, owner="me"), [Action.RELEASE, *CHOOSE, Action.DEPLOY, Action.DONE]),
        (machine(Status.ALLOCATED, owner="me", boot_disk=9, root_disk=9), [Action.DEPLOY, Action.DONE]),
        (machine(Status.ALLOCATED, owner="me", boot_disk=9, root_disk=None), [Action.DEPLOY, Action.DONE]),
        (machine(Status.FAILED_DEPLOYMENT), [Action.RELEASE, *CHOOSE, Action.DEPLOY, Action.DONE]),
        (machine(Status.DEPLOYED, osystem="ubuntu", distro_series="noble"), [Action.DONE]),
        # What commissioning will find is not known, whatever was there before.
        (machine(Status.NEW), [Action.COMMISSION, Action.DEPLOY, Action.DONE]),
        (machine(Status.COMMISSIONING, disks=()), [Action.WAIT, Action.DEPLOY, Action.DONE]),
        (machine(Status.READY, locked=True), [Action.REFUSE]),
        (machine(Status.READY, owner="alice"), [Action.REFUSE]),
    ],
)
def test_the_disk_is_chosen_before_the_machine_is_deployed(start: Machine, actions: list[Action]) -> None:
    assert path(start) == actions


def test_without_a_description_maas_chooses() -> None:
    assert path(machine(Status.READY), Wanted("node01")) == [Action.DEPLOY, Action.DONE]


@pytest.mark.parametrize("state", [State.COMMISSIONED, State.ALLOCATED, State.RELEASED])
def test_for_no_other_state_is_a_disk_chosen(state: State) -> None:
    assert not {*CHOOSE} & {*path(machine(Status.READY), goal=Goal(state, "me"))}


def test_after_commissioning_the_disk_is_chosen_by_what_was_found() -> None:
    step = next_step(machine(Status.READY), HOST, GOAL, [Action.COMMISSION])
    assert (step.action, step.disk) == (Action.SET_BOOT_DISK, 9)


def test_what_had_no_effect_is_not_repeated_for_ever() -> None:
    step = next_step(machine(Status.READY), HOST, GOAL, [Action.SET_BOOT_DISK])
    assert step.action is Action.REFUSE and "set_boot_disk had no effect" in step.reason


@pytest.mark.parametrize(
    ("disks", "wanted", "words"),
    [
        (
            DISKS,
            DiskDescription(model="Dell EC*"),
            ["None of its 9 disks is", "(model Dell EC*)", "Dell BOSS-N1, 960 GB"],
        ),
        (DISKS[:3], DiskDescription(min_gb=3000), ["3 of its 3 disks are", "at least 3000 GB", "3841 GB, serial S72"]),
        ((), WANTED, ["no disk"]),
    ],
)
def test_none_and_several_are_refused_with_the_disks_that_are_there(
    disks: tuple[Disk, ...], wanted: DiskDescription, words: list[str]
) -> None:
    for status in (Status.READY, Status.ALLOCATED):
        step = next_step(machine(status, owner="me", disks=disks), Wanted("node01", os_disk=wanted), GOAL)
        assert step.action is Action.REFUSE
        assert all(word in step.reason for word in words), step.reason
        assert "commission" in step.remedy and (not disks or "hardware.os_disk in the node class" in step.remedy)


# -- the module against a MAAS that fails -----------------------------------------------------------------------------


def box(**changes: Any) -> Box:
    disks = [{"id": disk.id, "model": disk.model, "serial": disk.serial, "size": disk.size} for disk in DISKS]
    return Box("a", "n1", **{"disks": disks, "boot_disk": 1, "root_disk": 1, **changes})


MACHINES = [{"name": "n1", "os_disk": {"model": "Dell BOSS-N1*", "size_gb": {"min": 900, "max": 1000}}}]
OPTIONS: dict[str, Any] = {"machines": MACHINES, "osystem": "ubuntu", "distro_series": "noble", "diff": True}
WRITES = [
    "nodes/a/blockdevices/9/?op=set_boot_disk",
    "machines/a/?op=set_storage_layout",
    "machines/a/?op=deploy",
]


def test_check_mode_says_it_and_sends_nothing(run: Run) -> None:
    maas = FakeMaas(box())
    foretold = run(maas_machine, maas, check=True, **OPTIONS)
    assert maas.writes == []
    real = run(maas_machine, maas, **OPTIONS)
    assert maas.writes == WRITES
    assert real["machines"]["n1"]["actions"] == ["set_boot_disk", "set_storage_layout", "deploy"]
    assert foretold["machines"]["n1"]["actions"] == real["machines"]["n1"]["actions"]
    assert foretold["diff"] == real["diff"]
    assert real["diff"]["before"]["n1"]["boot_disk"] == "Dell Ent NVMe PM1743, 3841 GB, serial S71"
    assert real["diff"]["after"]["n1"]["root_disk"] == "Dell BOSS-N1, 960 GB, serial 00a1b2"
    maas.requests.clear()
    assert run(maas_machine, maas, **OPTIONS)["changed"] is False and maas.writes == []


@pytest.mark.parametrize("failure", [broken(sent=True), text(500, "boom"), text(503, "busy")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_may_be_repeated_is_until_it_is_done(run: Run, failure: Any, when: str) -> None:
    maas = FakeMaas(box())
    left = {"set_boot_disk": 2, "set_storage_layout": 2}

    def fail(method: str, what: str) -> Any:
        op = what.rpartition("=")[2]
        if left.get(op):
            left[op] -= 1
            return failure
        return None

    setattr(maas, when, fail)
    result = run(maas_machine, maas, **OPTIONS)["machines"]["n1"]
    assert not result["failed"] and result["actions"] == ["set_boot_disk", "set_storage_layout", "deploy"]
    assert maas.counts["machines/a/?op=deploy"] == 1
    assert (maas.boxes["a"].boot_disk, maas.boxes["a"].root_disk) == (9, 9)


def test_a_machine_whose_disk_maas_does_not_change_is_not_deployed(run: Run) -> None:
    maas = FakeMaas(box())
    ignored = text(200, "{}")
    maas.before = lambda method, what: ignored if what.endswith("set_boot_disk") else None
    result = run(maas_machine, maas, **OPTIONS)["machines"]["n1"]
    assert result["failed"] and "set_boot_disk had no effect" in result["reason"]
    assert maas.writes == WRITES[:1]


def test_a_key_that_may_not_choose_disks_is_told(run: Run) -> None:
    maas = FakeMaas(box())
    maas.before = lambda method, what: text(403, "") if what.endswith("set_boot_disk") else None
    result = run(maas_machine, maas, **OPTIONS)["machines"]["n1"]
    assert result["failed"] and "administrator" in result["reason"] + result["remedy"]
    assert maas.counts["machines/a/?op=deploy"] == 0


@pytest.mark.parametrize("os_disk", [{}, {"name": "nvme0n1"}, {"size_gb": {"minimum": 1}}])
def test_a_description_that_describes_nothing_is_refused(run: Run, os_disk: dict[str, Any]) -> None:
    maas = FakeMaas(box())
    result = run(maas_machine, maas, machines=[{"name": "n1", "os_disk": os_disk}])
    assert result["failed"] is True and "os_disk" in result["msg"]
    assert maas.requests == []
