# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power of a machine: every way through its states, with a board and a network that do as the test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.bmc import pxe
from lab.bmc.power import PXE_TRIES, Boot, Conflict, PowerOwner, State

from .world import REBOOT, Board, Maas

PXE_ONCE = Boot("Pxe", "Once", "UEFI")
INSTALL = pxe.Install("debian", "node01", "i-1", b"user", b"vendor", "http://maas/installed", "tok")
COMMISSION = pxe.Commission("http://maas/results", "tok")


class Bench:
    """A power owner at work, and a wait for what it comes to."""

    def __init__(self, path: Path, board: Board, maas: Maas, retry_seconds: float = 0.001) -> None:
        self.board, self.maas = board, maas
        self.log: list[str] = []
        self.owner = PowerOwner(board, maas, "52:54:00:00:00:21", path, self.log.append, retry_seconds)
        self._thread = threading.Thread(target=self.owner.run, daemon=True)
        self._thread.start()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, (self.owner.state, self.log)
            time.sleep(0.002)

    def comes_to(self, stage: str) -> State:
        self.until(lambda: self.owner.state.stage == stage)
        return self.owner.state

    def close(self) -> None:
        self.owner.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(board: Board | None = None, maas: Maas | None = None, **options: Any) -> Bench:
        made.append(Bench(tmp_path / "state.json", board or Board(), maas or Maas(), **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_on_boots_the_disk(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.reset("On")
    assert one.owner.state.power == "On", "Redfish shows it at once"
    state = one.comes_to("running")
    assert (state.source, state.boots, one.board.boots, one.maas.asked) == ("Hdd", 1, 1, 0)


@pytest.mark.parametrize(("override", "source"), [(Boot(), "Pxe"), (Boot("Hdd", "Once"), "Hdd")])
def test_the_boot_order_counts_without_an_override(bench: Callable[..., Bench], override: Boot, source: str) -> None:
    one = bench()
    one.owner.boot_source = lambda: "Pxe"
    one.owner.set_boot(override)
    one.owner.reset("On")
    assert (one.comes_to("running").source, one.maas.asked) == (source, int(source == "Pxe"))


@pytest.mark.parametrize("kind", ["ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle"])
def test_off_refuses_everything_but_on(bench: Callable[..., Bench], kind: str) -> None:
    with pytest.raises(Conflict, match="off"):
        bench().owner.reset(kind)


def test_on_refuses_on(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.reset("On")
    with pytest.raises(Conflict, match="on"):
        one.owner.reset("On")


def test_force_off(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.reset("On")
    one.comes_to("running")
    one.owner.reset("ForceOff")
    assert one.comes_to("off").power == "Off"
    assert not one.board.on


@pytest.mark.parametrize("kind", ["ForceRestart", "PowerCycle"])
def test_hard_restart_is_a_new_boot(bench: Callable[..., Bench], kind: str) -> None:
    one = bench()
    one.owner.reset("On")
    one.comes_to("running")
    one.owner.reset(kind)
    one.until(lambda: one.board.boots == 2)
    assert one.comes_to("running").power == "On"


def test_graceful_requests_leave_the_work_to_the_system(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.reset("On")
    one.comes_to("running")
    one.owner.reset("GracefulShutdown")
    one.until(lambda: one.board.buttons == ["power"])
    assert one.owner.state.power == "On", "it may take its time, or never do it"
    one.owner.reset("GracefulRestart")
    one.until(lambda: one.board.buttons == ["power", "reboot"])


def test_a_reboot_of_the_system_is_a_new_boot(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.reset("On")
    one.comes_to("running")
    one.board.end(REBOOT)
    one.until(lambda: one.board.boots == 2)
    assert one.comes_to("running").boots == 2


@pytest.mark.parametrize("exit_status", [130, 0, 1])
def test_a_system_that_ends_otherwise_leaves_the_power_off(bench: Callable[..., Bench], exit_status: int) -> None:
    one = bench()
    one.owner.reset("On")
    one.comes_to("running")
    one.board.end(exit_status)
    assert one.comes_to("off").power == "Off"
    assert one.board.boots == 1


def test_pxe_once_is_used_up_by_one_boot(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    state = one.comes_to("running")
    assert (state.source, state.boot) == ("Pxe", Boot("None", "Disabled", "UEFI"))
    one.board.end(REBOOT)
    one.until(lambda: one.board.boots == 2)
    assert (one.comes_to("running").source, one.maas.asked) == ("Hdd", 1)


def test_pxe_continuous_stays(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.set_boot(Boot("Pxe", "Continuous", "UEFI"))
    one.owner.reset("On")
    one.comes_to("running")
    one.board.end(REBOOT)
    one.until(lambda: one.maas.asked == 2)
    assert one.owner.state.boot.enabled == "Continuous"


def test_disabling_the_override_forgets_its_target(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.set_boot(PXE_ONCE)
    one.owner.set_boot(Boot("Pxe", "Disabled", "UEFI"))
    assert one.owner.state.boot == Boot()


def test_commissioning_reports_the_hardware_and_switches_off(bench: Callable[..., Bench]) -> None:
    one = bench(maas=Maas(COMMISSION))
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    one.until(lambda: one.maas.reports)
    assert one.comes_to("off").power == "Off"
    ((url, token, report),) = one.maas.reports
    assert (url, token) == ("http://maas/results", "tok")
    assert (report["hardware"], report["exit_status"]) == ({"serial": "S1"}, 0)
    assert one.board.boots == 0


def test_install_writes_the_disk_reports_and_boots_it(bench: Callable[..., Bench]) -> None:
    one = bench(board=Board(disk=False), maas=Maas(INSTALL))
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    one.comes_to("running")
    assert one.board.installed == [INSTALL]
    assert one.maas.reports == [("http://maas/installed", "tok", {"result": "installed"})]


def test_a_failed_install_is_reported_and_nothing_boots(bench: Callable[..., Bench]) -> None:
    board = Board()
    board.fails = "disk is full"
    one = bench(board=board, maas=Maas(INSTALL))
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    assert one.comes_to("failed").power == "On"
    assert one.maas.reports == [("http://maas/installed", "tok", {"result": "failed", "error": "disk is full"})]
    assert board.boots == 0


def test_a_stale_token_halts_the_machine(bench: Callable[..., Bench]) -> None:
    one = bench(maas=Maas(INSTALL, reports=(pxe.Refused("409"),)))
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    assert one.comes_to("halted").power == "On"
    assert one.board.boots == 0


def test_maas_that_answers_late_is_asked_again(bench: Callable[..., Bench]) -> None:
    one = bench(maas=Maas(pxe.Unreachable("down"), pxe.Unreachable("down"), COMMISSION))
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    one.until(lambda: one.maas.reports)
    assert one.maas.asked == 3


@pytest.mark.parametrize(("answer", "asked"), [(pxe.Unreachable("down"), PXE_TRIES), (pxe.Refused("404"), 1)])
def test_without_an_answer_the_disk_boots(bench: Callable[..., Bench], answer: Exception, asked: int) -> None:
    one = bench(maas=Maas(answer))
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    one.comes_to("running")
    assert one.maas.asked == asked


def test_no_disk_and_no_network_is_no_boot_device(bench: Callable[..., Bench]) -> None:
    one = bench(board=Board(disk=False))
    one.owner.reset("On")
    assert one.comes_to("no-boot-device").power == "On"


def test_force_off_interrupts_a_network_boot(bench: Callable[..., Bench]) -> None:
    one = bench(maas=Maas(pxe.Unreachable("down")), retry_seconds=3600)
    one.owner.set_boot(PXE_ONCE)
    one.owner.reset("On")
    one.until(lambda: one.maas.asked)
    one.owner.reset("ForceOff")
    assert one.comes_to("off").power == "Off"
    assert one.maas.asked == 1


def test_power_button_without_a_system_is_answered_by_the_firmware(bench: Callable[..., Bench]) -> None:
    one = bench(board=Board(disk=False))
    one.owner.reset("On")
    one.comes_to("no-boot-device")
    one.owner.reset("GracefulShutdown")
    assert one.comes_to("off").power == "Off"
    assert one.board.buttons == []


def test_a_new_controller_takes_over_a_running_machine(bench: Callable[..., Bench]) -> None:
    board = Board()
    first = bench(board=board)
    first.owner.reset("On")
    first.comes_to("running")
    first.close()
    second = bench(board=board)
    second.comes_to("running")
    board.end(REBOOT)
    second.until(lambda: board.boots == 2)


def test_a_new_controller_notices_what_happened_meanwhile(bench: Callable[..., Bench]) -> None:
    board = Board()
    first = bench(board=board)
    first.owner.reset("On")
    first.comes_to("running")
    first.close()
    board.end(130)
    second = bench(board=board)
    assert second.comes_to("off").power == "Off"


@pytest.mark.parametrize("stage", ["starting", "pxe", "installing"])
def test_a_new_controller_goes_on_with_an_interrupted_install(
    tmp_path: Path, bench: Callable[..., Bench], stage: str
) -> None:
    boot = {"target": "None", "enabled": "Disabled", "mode": "UEFI"}
    state = {"power": "On", "stage": stage, "source": "Pxe", "boots": 1, "boot": boot}
    (tmp_path / "state.json").write_text(json.dumps(state))
    one = bench(board=Board(disk=False), maas=Maas(INSTALL))
    one.comes_to("running")
    assert one.board.installed == [INSTALL]


def test_an_old_boot_that_ends_does_not_end_the_new_one(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.owner.reset("On")
    one.comes_to("running")
    for boots in (2, 3, 4):
        one.owner.reset("PowerCycle")
        one.until(lambda boots=boots: one.board.boots == boots and one.owner.state.stage == "running")
    one.owner.reset("GracefulShutdown")
    # Everything that came before this has been worked through.
    one.until(lambda: one.board.buttons == ["power"])
    assert (one.owner.state.power, one.board.boots) == ("On", 4)
