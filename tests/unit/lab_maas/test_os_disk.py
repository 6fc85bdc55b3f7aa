# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of the system, from the module to a region over HTTP: the same one however the kernel numbers the disks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.modules import maas_machine

from lab.maas.transitions import Status

from .world import FakePower, Machine, World

_DATA = [("Dell Ent NVMe PM1743", f"S7{number}", 3_840_755_982_336) for number in range(8)]
_BOSS = ("Dell BOSS-N1", "00a1b2", 959_656_755_200)
_OS_DISK = {"model": "Dell BOSS-N1*", "size_gb": {"min": 900, "max": 1000}}


def _numbered(*disks: tuple[str, str, int]) -> list[dict[str, Any]]:
    """Disks as the kernel numbers them at one boot."""
    return [
        {"name": f"nvme{number}n1", "model": model, "serial": serial, "size": size}
        for number, (model, serial, size) in enumerate(disks)
    ]


def _chosen(machine: Any) -> tuple[str, list[str]]:
    """Serials of the disk that is booted and of those that hold the root."""
    roots = [disk["serial"] for disk in machine["physicalblockdevice_set"] if disk["partitions"]]
    return machine["boot_disk"]["serial"], roots


@pytest.fixture
def run(world: World, capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run maas_machine for node01 as Ansible does; what became of it."""
    host, port = world.server.server_address[:2]
    connection = {"url": f"http://{host}:{port}/MAAS", "api_key": ":".join(world.key)}

    def start(*, check: bool = False, os_disk: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        machines = [{"name": "node01", "os_disk": os_disk or _OS_DISK}]
        controls = {"_ansible_check_mode": check, "poll_interval": 0.1, "timeout": 10}
        given = {**connection, **controls, "machines": machines, **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            maas_machine.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)["machines"]["node01"]
        return result

    return start


@pytest.fixture
def machine(world: World, power: FakePower) -> Machine:
    """node01, enrolled: its mirror is the last of nine disks."""
    played = Machine(world, 1)
    played.disks = _numbered(*_DATA, _BOSS)
    power.on_power_on = played.switched_on
    world.create("node01", 1)
    return played


def _system_id(world: World) -> str:
    return str(world.get("machines/?hostname=node01")[0]["system_id"])


def test_the_same_serial_is_chosen_however_the_disks_are_numbered(
    world: World, machine: Machine, run: Callable[..., dict[str, Any]]
) -> None:
    result = run()
    assert result["actions"] == ["commission", "set_boot_disk", "set_storage_layout", "deploy"]
    system_id = _system_id(world)
    assert _chosen(world.machine(system_id)) == ("00a1b2", ["00a1b2"])
    assert world.machine(system_id)["boot_disk"]["name"] == "nvme8n1"
    assert run()["actions"] == []

    world.post(f"machines/{system_id}/?op=release")
    world.wait_status(system_id, Status.READY)
    machine.disks = _numbered(_DATA[5], _BOSS, *_DATA[:5], *_DATA[6:])
    world.post(f"machines/{system_id}/?op=commission")
    world.wait_status(system_id, Status.READY)
    assert world.machine(system_id)["boot_disk"]["name"] == "nvme1n1"
    assert run()["actions"] == ["deploy"], "MAAS keeps what it was told"
    assert _chosen(world.machine(system_id)) == ("00a1b2", ["00a1b2"])

    # A machine that MAAS forgot and finds anew boots from whatever came first this time.
    world.post(f"machines/{system_id}/?op=release")
    world.wait_status(system_id, Status.READY)
    assert world.call("DELETE", f"machines/{system_id}/").status == 204
    world.create("node01", 1)
    assert run()["actions"] == ["commission", "set_boot_disk", "set_storage_layout", "deploy"]
    assert _chosen(world.machine(_system_id(world))) == ("00a1b2", ["00a1b2"])


def test_without_the_description_it_is_what_came_first(
    world: World, machine: Machine, run: Callable[..., dict[str, Any]]
) -> None:
    assert run(machines=[{"name": "node01"}])["actions"] == ["commission", "deploy"]
    assert _chosen(world.machine(_system_id(world))) == ("S70", ["S70"])


def test_an_allocated_machine_is_released_for_it_and_check_mode_says_so(
    world: World, machine: Machine, run: Callable[..., dict[str, Any]]
) -> None:
    run(state="allocated")
    system_id = _system_id(world)
    foretold = run(check=True)["actions"]
    assert world.machine(system_id)["status"] == Status.ALLOCATED
    assert run()["actions"] == foretold == ["release", "set_boot_disk", "set_storage_layout", "deploy"]
    assert _chosen(world.machine(system_id)) == ("00a1b2", ["00a1b2"])


def test_a_doubt_is_refused_with_the_disks_and_the_key_of_the_class(
    world: World, machine: Machine, run: Callable[..., dict[str, Any]]
) -> None:
    result = run(os_disk={"size_gb": {"min": 3000}})
    assert result["failed"] and result["actions"] == ["commission"]
    assert "8 of its 9 disks are" in result["reason"] and "hardware.os_disk" in result["remedy"]
    assert all(serial in result["reason"] for _model, serial, _size in [*_DATA, _BOSS])
    assert world.machine(_system_id(world))["status"] == Status.READY


# -- the region itself ------------------------------------------------------------------------------------------------


def test_the_region_takes_it_of_ready_machines_only(world: World, machine: Machine) -> None:
    system_id = _system_id(world)
    world.post(f"machines/{system_id}/?op=commission")
    ready = world.wait_status(system_id, Status.READY)
    first, last = (ready["physicalblockdevice_set"][position]["id"] for position in (0, -1))
    disk = f"nodes/{system_id}/blockdevices/{last}/"
    assert world.get(disk)["serial"] == "00a1b2"
    answer = world.call("POST", f"{disk}?op=set_boot_disk")
    assert (answer.status, answer.text) == (200, "OK")
    shown = world.machine(system_id)
    assert (shown["boot_disk"]["id"], _chosen(shown)[1]) == (last, ["S70"]), "the layout stays"
    layout = f"machines/{system_id}/?op=set_storage_layout"
    refused = world.call("POST", layout, ("storage_layout", "flat"), ("root_device", "nvme8n1"))
    assert refused.status == 400 and "root_device" in refused.json
    assert _chosen(world.post(layout, ("storage_layout", "flat"), ("root_device", str(first)))) == ("00a1b2", ["S70"])
    assert _chosen(world.post(layout, ("storage_layout", "flat"))) == ("00a1b2", ["00a1b2"])
    assert world.call("POST", f"nodes/{system_id}/blockdevices/999/?op=set_boot_disk").status == 404
    world.post("machines/?op=allocate", ("system_id", system_id))
    answer = world.call("POST", f"{disk}?op=set_boot_disk")
    assert (answer.status, answer.text) == (409, "Cannot set as boot disk because the machine is not Ready.")


def test_a_boot_disk_that_is_taken_out_is_forgotten(world: World, machine: Machine) -> None:
    system_id = _system_id(world)
    world.post(f"machines/{system_id}/?op=commission")
    disks = world.wait_status(system_id, Status.READY)["physicalblockdevice_set"]
    world.call("POST", f"nodes/{system_id}/blockdevices/{disks[-1]['id']}/?op=set_boot_disk")
    machine.disks = _numbered(*_DATA)
    world.post(f"machines/{system_id}/?op=commission")
    assert _chosen(world.wait_status(system_id, Status.READY)) == ("S70", ["S70"])
