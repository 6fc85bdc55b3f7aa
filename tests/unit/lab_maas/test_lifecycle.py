# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Full lives of machines: enrolled, commissioned, deployed, released; and everything that can go wrong on the way."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from lab.maas.power import PowerFailure
from lab.maas.transitions import Status

from .world import FakePower, Machine, World, bmc_of, hardware_of, mac_of, phone_home


def _commissioned(world: World, number: int = 1, **behaviour: Any) -> tuple[str, Machine]:
    """A Ready machine and the player behind its BMC."""
    player = Machine(world, number, **behaviour)
    world.power.on_power_on = player.switched_on
    system_id = world.create(f"node{number:02d}", number)
    world.post(f"machines/{system_id}/?op=commission")
    world.wait_status(system_id, Status.READY)
    return system_id, player


def _events(world: World, system_id: str) -> list[str]:
    return [one["type"] for one in world.get(f"events/?op=query&id={system_id}&limit=1000")["events"]]


def test_a_whole_life(world: World) -> None:
    player = Machine(world, 1)
    world.power.on_power_on = player.switched_on
    system_id = world.create("node01", 1)
    assert world.machine(system_id)["hardware_info"]["system_serial"] == "Unknown"
    assert world.machine(system_id)["ip_addresses"] == []

    assert world.post(f"machines/{system_id}/?op=commission")["status_name"] == "Commissioning"
    ready = world.wait_status(system_id, Status.READY)
    assert ready["hardware_info"]["system_serial"] == "FL0001"
    assert (ready["cpu_count"], ready["memory"], ready["storage"]) == (8, 16384, 500000.0)
    assert ready["owner"] is None
    world.wait(lambda: world.region.store.machine(system_id)["power_state"] == "off")
    assert world.machine(system_id)["ip_addresses"] == []

    user_data = base64.b64encode(b"#cloud-config\n{}\n").decode()
    deploying = world.post(
        f"machines/{system_id}/?op=deploy", ("distro_series", "custom/debian-12"), ("user_data", user_data)
    )
    assert (deploying["status_name"], deploying["owner"]) == ("Deploying", "admin")
    deployed = world.wait_status(system_id, Status.DEPLOYED)
    assert (deployed["osystem"], deployed["distro_series"]) == ("custom", "debian-12")
    assert deployed["ip_addresses"] == ["198.18.7.21"]
    assert deployed["power_state"] == "on"
    assert deployed["default_gateways"]["ipv4"]["gateway_ip"] == "198.18.7.1"
    order = player.seen[-1]
    assert (order["action"], order["image"], order["hostname"]) == ("install", "custom/debian-12", "node01")
    assert base64.b64decode(order["user_data_b64"]) == b"#cloud-config\n{}\n"

    assert world.post(f"machines/{system_id}/?op=release")["status_name"] == "Releasing"
    released = world.wait_status(system_id, Status.READY)
    assert world.power.states[bmc_of(1)] == "off"
    assert (released["owner"], released["ip_addresses"], released["distro_series"]) == (None, [], "")
    assert [one for one in _events(world, system_id) if one in ("Commissioning", "Ready", "Deploying", "Released")] == [
        "Released",
        "Deploying",
        "Ready",
        "Commissioning",
    ]


def test_the_bmc_is_told_to_boot_from_the_network_and_off(world: World) -> None:
    system_id, _ = _commissioned(world)
    world.post(f"machines/{system_id}/?op=deploy")
    world.wait_status(system_id, Status.DEPLOYED)
    world.post(f"machines/{system_id}/?op=release")
    world.wait_status(system_id, Status.READY)
    assert [way for way, _ in world.power.calls] == ["on", "on", "off"]


def test_creation_commissions_by_default(world: World) -> None:
    player = Machine(world, 1)
    world.power.on_power_on = player.switched_on
    machine = world.post(
        "machines/",
        ("architecture", "amd64"),
        ("mac_addresses", mac_of(1)),
        ("power_type", "redfish"),
        ("power_parameters_power_address", bmc_of(1)),
        ("power_parameters_power_user", "admin"),
        ("power_parameters_power_pass", "pw"),
    )
    assert machine["status_name"] == "Commissioning"
    world.wait_status(machine["system_id"], Status.READY)


def test_a_failed_installation(world: World) -> None:
    system_id, _ = _commissioned(world, install="failed")
    world.post(f"machines/{system_id}/?op=deploy")
    failed = world.wait_status(system_id, Status.FAILED_DEPLOYMENT)
    assert failed["status_action"] == "mark_failed"
    assert failed["error_description"].startswith("Installation failed")
    events = world.get(f"events/?op=query&id={system_id}&level=ERROR")["events"]
    assert [one["description"] for one in events if one["type"] == "Node installation failure"] == ["'curtin' no disk"]
    world.post(f"machines/{system_id}/?op=release")
    world.wait_status(system_id, Status.READY)


def test_a_failed_commissioning(world: World) -> None:
    world.power.on_power_on = Machine(world, 1, exit_status=1).switched_on
    system_id = world.create("node01", 1)
    world.post(f"machines/{system_id}/?op=commission")
    failed = world.wait_status(system_id, Status.FAILED_COMMISSIONING)
    assert failed["commissioning_status_name"] == "Failed"
    assert failed["status_message"] == "Failed commissioning"


@pytest.mark.parametrize(("operation", "status"), [("deploy", "Deploying"), ("commission", "Commissioning")])
def test_a_machine_that_never_reports_times_out(new_world: Callable[..., World], operation: str, status: str) -> None:
    world = new_world(node_timeout_minutes=0.002)
    system_id = world.create("node01", 1, kind="manual")
    with world.region.store.transaction():
        if operation == "deploy":
            world.region.store.machine(system_id)["status"] = int(Status.READY)
    world.post(f"machines/{system_id}/?op={operation}")
    expected = Status.FAILED_DEPLOYMENT if operation == "deploy" else Status.FAILED_COMMISSIONING
    failed = world.wait_status(system_id, expected)
    minutes = 0.004 if operation == "deploy" else 0.002
    comment = f"Node operation '{status}' timed out after {minutes:g} minutes."
    assert failed["error_description"] == comment
    assert failed["status_message"] == f"Marking node failed - {comment}"


def test_a_machine_that_does_not_go_off_fails_to_be_released(new_world: Callable[..., World]) -> None:
    world = new_world(release_timeout_minutes=0.005)
    system_id, _ = _commissioned(world)
    world.post(f"machines/{system_id}/?op=deploy")
    world.wait_status(system_id, Status.DEPLOYED)
    world.power.sticky = True
    world.post(f"machines/{system_id}/?op=release")
    assert world.wait_status(system_id, Status.FAILED_RELEASING)["status_name"] == "Releasing failed"
    world.power.sticky = False
    world.post(f"machines/{system_id}/?op=release")
    world.wait_status(system_id, Status.READY)


def test_a_bmc_that_refuses_while_deploying(world: World) -> None:
    system_id, _ = _commissioned(world)
    world.wait(lambda: world.region.store.machine(system_id)["power_state"] == "off")
    world.power.failure = PowerFailure("Redfish request failed with response status code: 401.")
    world.post(f"machines/{system_id}/?op=deploy")
    failed = world.wait_status(system_id, Status.FAILED_DEPLOYMENT)
    assert "401" in failed["error_description"]
    assert failed["power_state"] == "error"


def test_a_bmc_that_refuses_to_commission_is_the_answer(world: World) -> None:
    system_id = world.create("node01", 1)
    world.power.failure = PowerFailure("no route to host")
    answer = world.call("POST", f"machines/{system_id}/?op=commission")
    assert (answer.status, answer.text) == (500, "no route to host")
    assert world.machine(system_id)["status_name"] == "New"


@pytest.mark.parametrize(
    ("operation", "fault", "status"),
    [
        ("deploy", "fail", Status.FAILED_DEPLOYMENT),
        ("deploy", "hang", Status.FAILED_DEPLOYMENT),
        ("commission", "fail", Status.FAILED_COMMISSIONING),
        ("commission", "hang", Status.FAILED_COMMISSIONING),
    ],
)
def test_faults_of_one_machine(new_world: Callable[..., World], operation: str, fault: str, status: Status) -> None:
    world = new_world(node_timeout_minutes=0.01)
    players = [Machine(world, number) for number in (1, 2)]
    world.power.on_power_on = lambda address: [player.switched_on(address) for player in players]
    faults = {"machine": {"node02": {operation: fault}}}
    systems = [world.create(f"node{number:02d}", number) for number in (1, 2)]
    if operation == "deploy":
        for system_id in systems:
            world.post(f"machines/{system_id}/?op=commission")
            world.wait_status(system_id, Status.READY)
    (world.directory / "maas-faults.json").write_text(json.dumps(faults), encoding="utf-8")
    for system_id in systems:
        world.post(f"machines/{system_id}/?op={operation}")
    world.wait_status(systems[0], Status.DEPLOYED if operation == "deploy" else Status.READY)
    world.wait_status(systems[1], status)


def test_the_release_fault_hangs_until_the_time_out(new_world: Callable[..., World]) -> None:
    world = new_world(release_timeout_minutes=0.005)
    system_id, _ = _commissioned(world)
    world.post(f"machines/{system_id}/?op=deploy")
    world.wait_status(system_id, Status.DEPLOYED)
    faults = {"machine": {"node01": {"release": "hang"}}}
    (world.directory / "maas-faults.json").write_text(json.dumps(faults), encoding="utf-8")
    world.post(f"machines/{system_id}/?op=release")
    world.wait_status(system_id, Status.FAILED_RELEASING)


def test_stale_tokens_are_refused(world: World) -> None:
    system_id, player = _commissioned(world)
    world.post(f"machines/{system_id}/?op=deploy")
    world.wait_status(system_id, Status.DEPLOYED)
    order = player.seen[-1]
    late = world.report(order["installed_url"], {"token": order["token"], "result": "failed"})
    assert late.status == 409
    assert world.machine(system_id)["status_name"] == "Deployed"
    assert phone_home(world, order).status == 200, "cloud-init may repeat itself"
    world.post(f"machines/{system_id}/?op=release")
    world.wait_status(system_id, Status.READY)
    world.power.on_power_on = None
    world.post(f"machines/{system_id}/?op=deploy")
    assert phone_home(world, order).status == 409
    assert world.machine(system_id)["status_name"] == "Deploying"


def test_an_installed_machine_boots_its_disk(world: World) -> None:
    system_id, _ = _commissioned(world)
    world.power.on_power_on = None
    world.post(f"machines/{system_id}/?op=deploy")
    order = world.pxe(mac_of(1))
    assert world.pxe(mac_of(1))["token"] == order["token"], "a machine that was reset installs again"
    world.report(order["installed_url"], {"token": order["token"], "result": "installed"})
    assert world.pxe(mac_of(1)) == {"action": "local"}
    assert world.machine(system_id)["netboot"] is False
    phone_home(world, order)
    assert world.machine(system_id)["status_name"] == "Deployed"


def test_unknown_and_idle_machines_boot_their_disks(world: World) -> None:
    world.create("node01", 1)
    assert world.pxe("52:54:00:ff:ff:ff") == {"action": "local"}
    assert world.pxe(mac_of(1).upper().replace(":", "-")) == {"action": "local"}


@pytest.mark.parametrize(
    "report",
    [{"exit_status": 0, "hardware": "x"}, {"exit_status": 0, "hardware": {"cpu_count": "many"}}, {"hardware": None}],
)
def test_reports_that_cannot_be_used(world: World, report: dict[str, Any]) -> None:
    system_id = world.create("node01", 1)
    world.post(f"machines/{system_id}/?op=commission")
    order = world.pxe(mac_of(1))
    answer = world.report(order["results_url"], {"token": order["token"], **report})
    assert answer.status == 400
    assert world.machine(system_id)["status_name"] == "Commissioning"
    good = {"token": order["token"], "hardware": hardware_of(1), "exit_status": 0}
    assert world.report(order["results_url"], good).status == 200


def test_a_restart_in_the_middle_of_a_deployment(new_world: Callable[..., World]) -> None:
    first = new_world()
    system_id, _ = _commissioned(first)
    first.power.on_power_on = None
    first.post(f"machines/{system_id}/?op=deploy")
    order = first.pxe(mac_of(1))
    first.report(order["installed_url"], {"token": order["token"], "result": "installed"})
    calls = len(first.power.calls)
    first.close()

    second = new_world()
    second.region.lifecycle.resume()
    assert second.machine(system_id)["status_name"] == "Deploying"
    assert phone_home(second, order).status == 200
    assert second.machine(system_id)["status_name"] == "Deployed"
    assert len(second.power.calls) == calls, "a machine that is being installed is not switched again"


def test_a_restart_before_the_machine_was_switched_on(new_world: Callable[..., World], power: FakePower) -> None:
    first = new_world()
    system_id, _ = _commissioned(first)
    first.wait(lambda: first.region.store.machine(system_id)["power_state"] == "off")
    power.on_power_on = None
    power.gate.clear()
    first.post(f"machines/{system_id}/?op=deploy")
    first.region.store.snapshot()
    saved = (first.directory / "maas.json").read_text(encoding="utf-8")
    power.gate.set()
    # unlike a process that is killed, the worker of this one still has its say
    first.wait(lambda: first.region.store.machine(system_id)["job"]["stage"] == "wait")
    first.close()
    (first.directory / "maas.json").write_text(saved, encoding="utf-8")

    second = new_world()
    power.on_power_on = Machine(second, 1).switched_on
    second.region.lifecycle.resume()
    second.wait_status(system_id, Status.DEPLOYED)


def test_a_restart_after_the_deadline(new_world: Callable[..., World]) -> None:
    first = new_world()
    system_id, _ = _commissioned(first)
    first.power.on_power_on = None
    first.post(f"machines/{system_id}/?op=deploy")
    first.wait(lambda: first.region.store.machine(system_id)["job"]["stage"] == "wait")
    with first.region.store.transaction():
        first.region.store.machine(system_id)["job"]["deadline"] = 0
    first.close()
    second = new_world()
    second.region.lifecycle.resume()
    second.wait_status(system_id, Status.FAILED_DEPLOYMENT)


def test_a_deployment_without_addresses_left(world: World) -> None:
    system_id, _ = _commissioned(world)
    with world.region.store.transaction() as data:
        data["subnets"][0]["cidr"] = "10.0.0.0/31"
    other, _ = _commissioned(world, number=9)
    with world.region.store.transaction():
        held = world.region.store.machine(system_id)["interfaces"][0]["links"]
        held += [{"id": 90 + n, "mode": "static", "ip_address": f"10.0.0.{n}", "subnet": 1} for n in (0, 1)]
    answer = world.call("POST", f"machines/{other}/?op=deploy")
    assert (answer.status, answer.text) == (
        503,
        f"{other}: Unable to allocate static IP due to address exhaustion.",
    )
    assert world.machine(other)["status_name"] == "Allocated"


def test_erasing_before_release(world: World) -> None:
    system_id, player = _commissioned(world)
    world.post(f"machines/{system_id}/?op=deploy")
    world.wait_status(system_id, Status.DEPLOYED)
    world.power.on_power_on = None
    assert world.post(f"machines/{system_id}/?op=release", ("erase", "true"))["status_name"] == "Disk erasing"
    order = world.pxe(mac_of(1))
    assert order["purpose"] == "erase"
    world.report(order["results_url"], {"token": order["token"], "exit_status": 0})
    released = world.wait_status(system_id, Status.READY)
    assert released["owner"] is None
    assert player.world.power.states[bmc_of(1)] == "off"


def test_a_machine_that_is_left_on_after_its_commissioning_is_switched_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.maas.lifecycle._SETTLE", 0.0)
    system_id = world.create("node01", 1)
    world.post(f"machines/{system_id}/?op=commission")
    order = world.pxe(mac_of(1))
    world.report(order["results_url"], {"token": order["token"], "hardware": hardware_of(1), "exit_status": 0})
    world.wait(lambda: world.power.states[bmc_of(1)] == "off")


def test_deleting_a_machine_ends_its_deployment(world: World) -> None:
    system_id, player = _commissioned(world)
    world.power.on_power_on = None
    world.post(f"machines/{system_id}/?op=deploy")
    order = world.pxe(mac_of(1))
    assert world.call("DELETE", f"machines/{system_id}/").status == 204
    assert world.report(order["installed_url"], {"token": order["token"], "result": "installed"}).status == 404
    assert player.seen


def test_many_machines_at_once(new_world: Callable[..., World]) -> None:
    world = new_world(nodes=12)
    players = [Machine(world, number) for number in range(1, 13)]
    world.power.on_power_on = lambda address: [player.switched_on(address) for player in players]
    systems = [world.create(f"node{number:02d}", number) for number in range(1, 13)]
    for system_id in systems:
        world.post(f"machines/{system_id}/?op=commission")
    for system_id in systems:
        world.wait_status(system_id, Status.READY)
        world.post(f"machines/{system_id}/?op=deploy")
    addresses = [world.wait_status(system_id, Status.DEPLOYED)["ip_addresses"][0] for system_id in systems]
    assert addresses == [f"198.18.7.{20 + number}" for number in range(1, 13)]
