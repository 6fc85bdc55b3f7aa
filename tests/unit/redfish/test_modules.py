# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible runs them, where the role does not: triage, an update, and what they never say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Request, Response
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish import ansible_module
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.evidence import gather
from ansible_collections.firstlight.cluster.plugins.modules import (
    bmc_bios,
    bmc_boot,
    bmc_event_log_info,
    bmc_firmware,
    bmc_info,
    bmc_triage,
)

from lab.bmc.places import SIMPLE_UPDATE, TEST_EVENT
from lab.bmc.profiles import PROFILES
from tests.unit.lab_bmc.world import MACHINE

from .bench import PASSWORD, Bench, answer, broken

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a module against a bench; returns what it prints."""

    def start(module: ModuleType, bench: Bench, *, check: bool = False, **options: Any) -> dict[str, Any]:
        monkeypatch.setattr(
            ansible_module,
            "connect",
            lambda params, password=None, reading=False: bench.client(
                password or params["password"], params["user"], silent_attempts=2 if reading else None
            ),
        )
        monkeypatch.setattr(module, "connect", ansible_module.connect)
        given = {"address": "198.18.7.121", "user": "admin", "password": PASSWORD, **options}
        controls = {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({**given, **controls}), pytest.raises(SystemExit):
            module.main()
        printed = capfd.readouterr()
        assert PASSWORD not in printed.out + printed.err
        result: dict[str, Any] = json.loads(printed.out)
        return result

    return start


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- triage ------------------------------------------------------------------------------------

UPDATE = [{"component": "BIOS", "version": "2.0", "image_uri": "http://mirror/bios"}]
FAILED = {"maas": {"status": "Failed commissioning", "scripts": []}, "power": {"ordered": True}}


@pytest.mark.parametrize("profile", PROFILES)
def test_what_every_bmc_tells_is_enough_for_the_boot_order(tmp_path: Path, run: Run, profile: str) -> None:
    bench = Bench(tmp_path, profile)
    bench.bmc.start()
    evidence = {**FAILED, "dhcp": {"lease": False}}
    result = run(bmc_triage, bench, evidence=evidence)
    assert result["finding"]["check"] == "boot.order" and not result["changed"]
    bench.bmc.service.board.set_boot_order(["Boot0002", "Boot0001"])
    assert run(bmc_triage, bench, evidence=evidence)["finding"]["check"] == "boot.no_lease"
    assert bench.written() == []


def test_a_machine_that_is_off_and_one_without_link(bench: Bench, run: Run) -> None:
    assert run(bmc_triage, bench, evidence=FAILED)["finding"]["check"] == "boot.no_power"
    unordered = {**FAILED, "power": {"ordered": False}, "dhcp": {"lease": False}}
    # The NIC of a machine that is off has no link, whatever the cable does.
    assert run(bmc_triage, bench, evidence=unordered)["finding"]["check"] != "boot.no_link"
    bench.bmc.start()
    bench.bmc.faults["no-link"] = 1
    assert run(bmc_triage, bench, evidence=unordered)["finding"]["check"] == "boot.no_link"
    # Which of several NICs boots is not known, so that its link is not either.
    result = run(bmc_triage, bench, evidence=unordered, boot_mac="aa:bb:cc:00:00:09")
    assert result["finding"]["check"] != "boot.no_link" and "nic" not in result["evidence"]


@pytest.mark.parametrize(
    ("trouble", "password", "check"),
    [
        (broken(permanent=True), PASSWORD, "boot.bmc_unreachable"),
        (broken(permanent=True, text="its certificate is not trusted (expired)"), PASSWORD, "boot.bmc_certificate"),
        (None, "another-word", "boot.bmc_login"),
    ],
)
def test_a_bmc_that_cannot_be_asked_is_the_finding(
    bench: Bench, run: Run, trouble: Exception | None, password: str, check: str
) -> None:
    def fail(request: Request) -> Response | None:
        if trouble is not None:
            raise trouble
        return None

    bench.before = fail
    result = run(bmc_triage, bench, password=password)
    assert result["finding"]["check"] == check and result["finding"]["verdict"] == "fail"


def test_without_a_bmc_only_the_evidence_is_judged(bench: Bench, run: Run) -> None:
    evidence = {"maas": {"status": "Deployed", "scripts": []}, "ssh": {"answers": False, "error": "refused"}}
    result = run(bmc_triage, bench, address=None, user=None, password=None, evidence=evidence)
    assert result["finding"]["check"] == "boot.no_ssh" and not bench.requests
    assert "BMC" in result["finding"]["evidence"]["not_known"]


@pytest.mark.parametrize(("behind", "known"), [(0, True), (7 * 3600, False), (86_400, True), (5000, True)])
def test_a_bmc_that_is_off_by_a_time_zone_says_nothing_of_the_clock(bench: Bench, behind: int, known: bool) -> None:
    bench.bmc.start()
    bench.bmc.faults["clock-wrong"] = behind
    evidence = gather(bench.client, now=lambda: bench.bmc.now)
    assert evidence.get("clock") == ({"offset_seconds": -behind, "of": "BMC"} if known else None)


def test_how_long_a_self_test_takes_is_told_by_the_bmcs_own_clock(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "supermicro")
    bench.bmc.owner._keep(power="On", stage="starting", boots=1)
    bench.bmc.faults["post-stuck"] = 1
    bench.client().get("/redfish/v1/")
    bench.bmc.now += 90
    post = gather(bench.client)["post"]
    assert post == {"done": False, "state": "MemoryInitializationStarted", "seconds": 90.0}


def test_disks_are_known_by_their_serial(bench: Bench, run: Run) -> None:
    bench.bmc.start()
    serial = f"{MACHINE.serial}-D0"
    evidence = {"maas": {"status": "Deployed", "scripts": []}, "disks": {"wanted": serial}}
    result = run(bmc_triage, bench, evidence=evidence)
    assert result["evidence"]["disks"] == {"seen": {serial: None}, "wanted": serial}
    assert result["finding"]["check"] == "boot.unexplained"
    evidence["disks"] = {"wanted": "another"}
    assert run(bmc_triage, bench, evidence=evidence)["finding"]["check"] == "boot.no_disk"


# -- firmware, identity, boot ------------------------------------------------------------------


@pytest.mark.parametrize("profile", sorted({*PROFILES} - {"plain"}))
@pytest.mark.parametrize("on", [True, False])
def test_firmware_is_brought_to_its_version_whatever_the_vendor(
    tmp_path: Path, run: Run, profile: str, on: bool
) -> None:
    bench = Bench(tmp_path, profile)
    if on:
        bench.bmc.start()
    wanted = UPDATE
    bench.bmc.images["http://mirror/bios"] = b'{"component": "BIOS", "version": "2.0"}'
    tried = run(bmc_firmware, bench, check=True, firmware=wanted)
    assert tried["updates"] == {"BIOS": "2.0"} and bench.written() == []
    assert tried["diff"] == {"before": {"BIOS": "1.0"}, "after": {"BIOS": "2.0"}}
    done = run(bmc_firmware, bench, firmware=wanted)
    assert done.get("changed") is True, done
    assert bench.bmc.service.board["firmware"]["BIOS"] == "2.0"
    assert bench.bmc.owner.state.power == ("On" if on else "Off")
    again = run(bmc_firmware, bench, firmware=wanted)
    assert (again["changed"], again["same"]) == (False, ["BIOS"])


def test_a_task_that_is_not_told_is_found_in_the_list(bench: Bench, run: Run) -> None:
    bench.bmc.start()
    bench.bmc.images["http://mirror/bios"] = b'{"component": "BIOS", "version": "2.0"}'

    def silent(request: Request) -> Response | None:
        if not request.url.endswith("SimpleUpdate"):
            return None
        bench.bmc.ask("POST", SIMPLE_UPDATE, json.loads(request.body or b""))
        return answer(204)

    bench.before = silent
    assert run(bmc_firmware, bench, firmware=UPDATE).get("changed") is True
    assert bench.bmc.service.board["firmware"]["BIOS"] == "2.0"


def test_without_any_task_the_machine_is_not_restarted_into_a_download(tmp_path: Path, run: Run) -> None:
    bench = Bench(tmp_path, "plain")
    bench.bmc.start()
    bench.bmc.images["http://mirror/bios"] = b'{"component": "BIOS", "version": "2.0"}'
    result = run(bmc_firmware, bench, firmware=UPDATE)
    assert result["failed"] and "tells no task, so the machine was not restarted: BIOS is 1.0" in result["msg"]
    assert [path.rpartition("/")[2] for _method, path in bench.written()] == ["UpdateService.SimpleUpdate"]


def test_an_update_that_fails_says_why(bench: Bench, run: Run) -> None:
    result = run(
        bmc_firmware, bench, firmware=[{"component": "BIOS", "version": "2", "image_uri": "http://mirror/none"}]
    )
    assert result["failed"] and "could not be downloaded" in result["msg"] and "for this model" in result["msg"]


def test_identity_and_boot_options_are_told(bench: Bench, run: Run) -> None:
    result = run(bmc_info, bench, name="node01")
    assert result["identity"]["serial"] == MACHINE.serial
    assert result["enrolment"]["power_parameters"]["power_address"] == "https://198.18.7.121"
    assert [option["kind"] for option in result["boot"]["options"]] == ["disk", "pxe"]
    assert {item["id"]: item["version"] for item in result["firmware"]}["BIOS"] == "1.0"


def test_a_kind_of_boot_option_that_is_not_there_is_refused(bench: Bench, run: Run) -> None:
    result = run(bmc_boot, bench, order=["usb"])
    assert result["failed"] and "no boot option of kind usb; it has: Disk: NVMe 0 (disk)" in result["msg"]
    assert bench.written() == []


def test_of_the_event_log_only_what_is_worth_telling_comes_back(bench: Bench, run: Run) -> None:
    for severity in ("OK", "Critical", "OK"):
        bench.bmc.ask("POST", TEST_EVENT, {"Message": f"this is {severity}", "Severity": severity})
    result = run(bmc_event_log_info, bench)
    assert (result["count"], len(result["findings"])) == (3, 1)
    assert "this is OK" not in str(result), "a site keeps what this tells of every node in memory"
    assert run(bmc_event_log_info, bench, mark=result["mark"])["count"] == 0


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (bmc_bios, {"attributes": {"SysProfile": "Custom"}, "restart": True}),
        (bmc_boot, {"order": ["pxe", "disk"]}),
        (bmc_firmware, {"firmware": UPDATE}),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_another_nodes_machine_is_neither_changed_nor_restarted(
    bench: Bench, run: Run, module: ModuleType, options: dict[str, Any], check: bool
) -> None:
    result = run(module, bench, check=check, serial="OTHER", **options)
    assert result["failed"] and f"has the serial {MACHINE.serial}, wanted is OTHER" in result["msg"]
    assert "Correct bmc_address" in result["msg"] and bench.written() == []
    assert "failed" not in run(module, bench, check=True, serial=MACHINE.serial.lower(), **options)


@pytest.mark.parametrize(
    ("module", "options", "check", "times"),
    [
        (bmc_info, {"name": "node01"}, False, 2),
        (bmc_event_log_info, {}, False, 2),
        (bmc_boot, {"order": ["pxe"]}, True, 2),
        (bmc_bios, {"attributes": {}}, True, 2),
        (bmc_firmware, {"firmware": UPDATE}, True, 2),
        (bmc_boot, {"order": ["pxe"]}, False, 3),
    ],
)
def test_who_only_reads_asks_a_silent_bmc_twice_and_a_busy_one_as_often_as_any(
    bench: Bench, run: Run, module: ModuleType, options: dict[str, Any], check: bool, times: int
) -> None:
    def silent(request: Request) -> Response | None:
        raise broken()

    bench.before = silent
    result = run(module, bench, check=check, **options)
    assert (result["failure"]["kind"], len(bench.requests)) == ("Unreachable", times)
    bench.requests.clear()
    bench.before = lambda request: answer(503)
    assert run(module, bench, check=check, **options)["failure"]["kind"] == "Unavailable"
    assert len(bench.requests) == 3
