# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands as a person types them, where there is no lab or only its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab import __main__ as cli
from lab import faults, files, inventory, machine_view, status
from lab.errors import LabError
from lab.machines import Site
from lab.site import Lab
from lab.vendor import gpus

from .conftest import NETWORK

SCHEMA = json.loads((Path(status.__file__).parent / "status.schema.json").read_text())


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    monkeypatch.setattr(Lab, "from_environment", classmethod(lambda cls: lab))


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, err = capfd.readouterr()
    return code, out, err


def status_json(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code, out, _ = run(capfd, "status", "--json")
    assert code == 0
    answer: dict[str, Any] = json.loads(out)
    jsonschema.validate(answer, SCHEMA)
    return answer


def test_status_without_a_lab(capfd: pytest.CaptureFixture[str]) -> None:
    answer = status_json(capfd)
    assert (answer["up"], answer["machines"]) == (False, {})
    assert not any(process["running"] for process in answer["processes"].values())
    assert "not up" in run(capfd, "status")[1]


def test_status_of_a_lab_with_a_virtual_machine(capfd: pytest.CaptureFixture[str], lab: Lab, site: Site) -> None:
    assert status_json(capfd)["virtual_machine"] is None
    files.write_json(lab.directory / "vm.json", {"name": "vm01", "address": "198.18.7.210"})
    assert status_json(capfd)["virtual_machine"] == {"name": "vm01", "address": "198.18.7.210", "running": False}
    assert "vm01       198.18.7.210    -      off" in run(capfd, "status")[1]


def test_a_lab_with_an_inventory_of_its_own_says_so(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lab: Lab
) -> None:
    monkeypatch.setattr(cli, "up", lambda *arguments, **options: None)
    assert "--inventory" not in run(capfd, "up")[1]
    inventory.place(lab).mkdir()
    assert f"`ansible-playbook --inventory {lab.clone}/.lab/test.inventory site.yml`" in run(capfd, "up")[1]


def test_a_virtual_machine_needs_a_lab(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    code, _, err = run(capfd, "vm", "up")
    assert (code, "`python -m lab up` brings one up" in err) == (1, True)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    code, _, err = run(capfd, "vm", "down")
    assert (code, "run it with sudo" in err) == (1, True)


def test_status_of_a_lab_with_a_fault(capfd: pytest.CaptureFixture[str], lab: Lab, site: Site) -> None:
    directory = lab.machine_directory("node01")
    machine_view.prepare(directory, site.machines["node01"], NETWORK)
    gpus.write(directory, gpus.healthy(8, "FL0000N01"))
    faults.inject(lab, "node01", "gpu-missing", {"gpu": 3})
    boot = {"target": "None", "enabled": "Disabled", "mode": "UEFI"}
    files.write_json(
        lab.directory / "bmc" / "node02.json",
        {"power": "On", "stage": "running", "source": "Pxe", "boots": 2, "boot": boot},
    )
    machines = status_json(capfd)["machines"]
    assert machines["node01"]["faults"] == [{"kind": "gpu-missing", "parameters": {"gpu": 3}}]
    assert (machines["node02"]["power"], machines["node02"]["state"]) == ("On", "running")
    assert (machines["head01"]["power"], machines["head01"]["role"]) == ("Off", "head")
    assert "gpu-missing gpu=3" in run(capfd, "status")[1]


def test_fault_list_needs_no_lab(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "fault", "--list", "--json")
    assert (code, json.loads(out)) == (0, faults.kinds())
    assert "xid-79" in run(capfd, "fault", "--list")[1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["fault"], "lab fault NODE KIND"),
        (["fault", "node01", "xid-79"], "lab up"),
        (["heal", "node01"], "lab up"),
        (["ssh", "node01"], "lab up"),
        (["logs"], "lab up"),
    ],
)
def test_without_a_lab_every_command_says_so(
    capfd: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    code, out, err = run(capfd, *arguments)
    assert (code, out) == (1, "")
    assert word in err


def test_ssh_to_a_machine_that_is_off_says_so(capfd: pytest.CaptureFixture[str], site: Site) -> None:
    code, _, err = run(capfd, "ssh", "node01", "true")
    assert (code, "node01" in err, "off" in err) == (1, True, True)


def test_logs(capfd: pytest.CaptureFixture[str], lab: Lab, site: Site) -> None:
    (lab.directory / "log").mkdir()
    (lab.directory / "log" / "bmc.log").write_text("hello\n")
    assert run(capfd, "logs", "bmc")[:2] == (0, "hello\n")
    assert "node02 (console)" in run(capfd, "logs")[1]
    code, _, err = run(capfd, "logs", "nothing")
    assert (code, "bmc.log" in err) == (1, True)


def test_up_that_is_stopped_says_what_remains(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lab: Lab
) -> None:
    def stopped(one: Lab, say: object, *, bare: bool) -> None:
        raise cli._Stopped

    monkeypatch.setattr(cli, "up", stopped)
    code, _, err = run(capfd, "up")
    assert code == 130
    assert str(lab.directory) in err
    assert "lab down" in err


@pytest.mark.parametrize(("arguments", "bare"), [(["up"], False), (["up", "--bare"], True)])
def test_up_makes_a_lab_whose_nodes_maas_knows_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], bare: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(cli, "up", lambda one, say, *, bare: asked.append(bare))
    assert cli.main(arguments) == 0
    assert asked == [bare]


def test_up_that_fails_says_why(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(one: Lab, say: object, *, bare: bool) -> None:
        raise LabError("the disk is too small")

    monkeypatch.setattr(cli, "up", failed)
    code, _, err = run(capfd, "up")
    assert (code, "lab: the disk is too small" in err) == (1, True)


def test_who_may_not_read_the_lab_is_told_so(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lab: Lab
) -> None:
    def refused(one: Lab) -> dict[str, Any]:
        raise PermissionError(13, "Permission denied", str(lab.directory))

    monkeypatch.setattr(status, "read", refused)
    code, _, err = run(capfd, "status")
    assert (code, "sudo" in err, str(lab.directory) in err) == (1, True, True)


@pytest.mark.parametrize("separator", [[], ["--"]])
def test_ssh_verifies_the_host_and_passes_the_command_on(
    monkeypatch: pytest.MonkeyPatch, lab: Lab, site: Site, separator: list[str]
) -> None:
    boot = {"target": "None", "enabled": "Disabled", "mode": "UEFI"}
    state = {"power": "On", "stage": "running", "source": "Hdd", "boots": 1, "boot": boot}
    files.write_json(lab.directory / "bmc" / "head01.json", state)
    executed: list[list[str]] = []
    monkeypatch.setattr("os.execvp", lambda program, arguments: executed.append(arguments))
    cli.main(["ssh", "head01", *separator, "ls", "-l"])
    (arguments,) = executed
    assert arguments[-3:] == ["debian@198.18.7.10", "ls", "-l"]
    assert "StrictHostKeyChecking=yes" in arguments
    assert "HostKeyAlias=head01" in arguments
