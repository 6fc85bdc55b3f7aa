# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines did between recorded exchanges: their reports to the metadata service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

from lab.maas import actions, events, pxe, scripts
from lab.maas.power import PowerFailure

from .world import NO_RACK, phone_home

if TYPE_CHECKING:
    from .replay import Replay

_CARD = {
    "vendor": "My Corporation",
    "product": "My Gigabit Network Connection",
    "firmware_version": "1.63, 0x800009fa",
    "link_speed": 10000,
}
_SPARE = "52:54:00:aa:00:f0"


def _order(replay: Replay, system_id: str) -> dict[str, Any]:
    # The machines of the recording had no firmware: their orders were taken from the region itself.
    with mock.patch.object(pxe, "_note_request"):
        order: dict[str, Any] = replay.world.pxe(replay.machine(system_id)["interfaces"][0]["mac_address"])
    return order


def _report(replay: Replay, system_id: str, exit_status: int = 0) -> None:
    macs = [interface["mac_address"] for interface in replay.machine(system_id)["interfaces"]]
    first, second = macs[0], (macs[1:] or [_SPARE])[0]
    hardware = {
        "cpu_count": 8,
        "memory_mib": 16384,
        "interfaces": [{"mac": first, "address": "10.20.0.50/24", **_CARD}, {"mac": second, **_CARD}],
        "disks": [{"name": "sda", "size": 500_000_000_000, "tags": ["ssd", "sata"]}],
    }
    order = _order(replay, system_id)
    report = {"token": order["token"], "hardware": hardware, "exit_status": exit_status}
    answer = replay.world.report(order["results_url"], report)
    assert answer.status == 200, answer.text


def _deploy(replay: Replay, system_id: str) -> None:
    order = _order(replay, system_id)
    replay.world.report(order["installed_url"], {"token": order["token"], "result": "installed"})
    assert phone_home(replay.world, order).status == 200


def _fail_install(replay: Replay, system_id: str) -> None:
    order = _order(replay, system_id)
    answer = replay.world.report(order["installed_url"], {"token": order["token"], "result": "failed"})
    assert answer.status == 200, answer.text


N2, N3, N4, N5 = "6ahw6y", "hntcmx", "7t7whe", "msb6nb"
NORACK = "wp4qaa"


def _bmc_says(state: str) -> Callable[[Replay], None]:
    def say(replay: Replay) -> None:
        address = replay.machine(NORACK)["power_parameters"]["power_address"]
        replay.world.power.states[address] = state

    return say


def _commission_two(replay: Replay) -> None:
    _report(replay, N5)
    _report(replay, N4, exit_status=1)


def _slow_bmcs(replay: Replay) -> None:
    replay.world.power.gate.clear()


def _late_power(replay: Replay) -> None:
    """The deployments that were aborted meanwhile had their machines switched on all the same."""
    replay.world.power.gate.set()
    replay.world.wait(lambda: all(replay.machine(one)["power_state"] == "on" for one in (N2, N3)))


def _use_up_a_set(replay: Replay) -> None:
    """A deployment that was refused for want of a rack controller has used up a number all the same."""
    with replay.world.region.store.transaction():
        replay.world.region.store.next_id("script_set")


def _deploy_without_temporal(replay: Replay) -> None:
    """The region waited a minute for its workflow engine, failed, and left the machine with its user."""
    region = replay.world.region
    with region.store.transaction():
        machine = replay.machine(N3)
        actions.acquire(region, machine, "admin", "", None)
        scripts.start_set(region, machine, scripts.INSTALLATION, [])
        machine.update(osystem="ubuntu", distro_series="noble", hwe_kernel="ga-24.04")
        text = "Aborting DEPLOYING and reverting to ALLOCATED. Unable to power control the node. "
        events.add(
            region,
            machine,
            "Failed to query node's BMC",
            f"(admin) - {text}Please check power credentials.",
        )


def _nothing(replay: Replay) -> None:
    """The region refused and changed nothing."""


NO_TEMPORAL = PowerFailure(
    "Failed client connect: Server connection error: tonic::transport::Error(Transport, ConnectError(ConnectError("
    '"tcp connect error", Os { code: 111, kind: ConnectionRefused, message: "Connection refused" })))'
)
# How BMCs fail during the exchanges whose names begin so.
FAILING: dict[str, PowerFailure] = {
    **{f"{number}": NO_RACK for number in range(850, 865)},
    **dict.fromkeys(("870", "872", "873"), PowerFailure("simulated BMC failure: connection timeout")),
    "881b": NO_TEMPORAL,
}
# In place of the exchange of this name: the simulator has no workflow engine that could be missing.
INSTEAD: dict[str, Callable[[Replay], None]] = {
    "881-notemporal-power-off": _nothing,
    "881e-notemporal-deploy": _deploy_without_temporal,
    "881g-notemporal-boot-resource-with-content": _nothing,
}
# Before the exchange of this name.
PLAYED: dict[str, Callable[[Replay], None]] = {
    "343-ready": lambda replay: _report(replay, N2),
    "351-commission-n5": lambda replay: _report(replay, N3),
    "353-failed-commissioning": _commission_two,
    "397-deploy-ready-not-allocated": _slow_bmcs,
    "408-deploy-n3": _late_power,
    "409-deployed": lambda replay: _deploy(replay, N3),
    "422-in-rescue-mode": lambda replay: _report(replay, N3),
    "433-release-deployed-with-erase": lambda replay: _deploy(replay, N3),
    "439d-release-deployed-plain": lambda replay: _deploy(replay, N3),
    "439h-failed-deployment": lambda replay: _fail_install(replay, N3),
    "870-powerfail-commission": _use_up_a_set,
    "874-bmc-error-query": _bmc_says("error"),
    "875-bmc-on-query": _bmc_says("on"),
    "441-failed-testing": lambda replay: _report(replay, N5, exit_status=1),
}
