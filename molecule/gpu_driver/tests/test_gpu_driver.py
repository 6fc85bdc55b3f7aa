# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role gpu_driver on a node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

VERSION = "570.172.08"
OTHER = "575.57.08"
PACKAGES = ["nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced", "nvidia-fabricmanager-570"]
# Not asked for by the role, and the pin has to keep them in step.
DEPENDENCIES = ["libcuda1", "libnvidia-ml1", "nvidia-kernel-support"]
SERVICES = ["nvidia-persistenced", "nvidia-fabricmanager"]
VENV = "/opt/firstlight/venv"
WITHOUT = [*PACKAGE_MANAGERS, "file /usr/", f"file {VENV}", "file /root/.cache"]


def versions(machine: Machine, names: list[str]) -> dict[str, str]:
    shown = machine.run(f"dpkg-query --show --showformat='${{Package}} ${{Version}}\\n' {' '.join(names)}")
    return dict(line.split() for line in shown.splitlines())


def test_packages_are_of_the_version_held_and_pinned(machine: Machine) -> None:
    assert versions(machine, [*PACKAGES, *DEPENDENCIES]) == dict.fromkeys([*PACKAGES, *DEPENDENCIES], f"{VERSION}-1")
    assert machine.run("apt-mark showhold").split() == sorted(PACKAGES)
    # The repository has a newer one, and apt would take it.
    assert OTHER in machine.run("apt-cache madison libcuda1")
    for name in ("libcuda1", "nvidia-driver-cuda"):
        assert f"Candidate: {VERSION}-1" in machine.run("apt-cache policy %s", name)
    assert "nvidia" not in machine.run("apt-get --simulate --ignore-hold dist-upgrade")


def test_packages_come_from_the_vendors_signed_repository(machine: Machine, scenario: Scenario) -> None:
    sources = machine.read("/etc/apt/sources.list.d/firstlight-nvidia.sources")
    assert scenario.lab["upstream"]["nvidia"] in sources and "BEGIN PGP PUBLIC KEY BLOCK" in sources


def test_services_run_and_start_with_the_machine(machine: Machine) -> None:
    for name in SERVICES:
        assert machine.host.service(name).is_running and machine.host.service(name).is_enabled, name
    assert machine.run("nv-fabricmanager --version").endswith(VERSION)


def test_gpus_can_be_used(machine: Machine) -> None:
    """Fabric trained and persistence on, as their services make it."""
    shown = machine.run("nvidia-smi --query-gpu=driver_version,persistence_mode,fabric.state --format=csv,noheader")
    assert shown.splitlines() == [f"{VERSION}, Enabled, Completed"] * 8


def test_nvml_counts_the_gpus_through_the_bindings(machine: Machine) -> None:
    program = "import pynvml as n; n.nvmlInit(); print(n.nvmlDeviceGetCount(), n.nvmlSystemGetDriverVersion())"
    assert machine.run(f"{VENV}/bin/python -c %s", program) == f"8 {VERSION}"
    assert machine.run(f"{VENV}/bin/pip --disable-pip-version-check list").split()[4:6] == ["nvidia-ml-py", "13.615.71"]


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(
        "apt-mark unhold nvidia-persistenced"
        " && apt-get -qq install --yes --allow-change-held-packages nvidia-kernel-support=575.57.08-1"
        "    nvidia-kernel-open-dkms- nvidia-driver-cuda- > /dev/null 2>&1"
        f" && rm -r {VENV}/lib/python3*/site-packages/nvidia_ml_py*"
        " && sed -i s/1001/1/ /etc/apt/preferences.d/firstlight-gpu-driver"
        " && systemctl disable --quiet --now nvidia-fabricmanager"
    )
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before, without=WITHOUT) == set()
    assert after.touched_since(drifted, without=WITHOUT) == {
        "file /etc/apt/preferences.d/firstlight-gpu-driver",
        "file /etc/systemd/system/multi-user.target.wants/nvidia-fabricmanager.service",
        "package nvidia-driver-cuda",
        "package nvidia-kernel-open-dkms",
        "package nvidia-kernel-support",
        "package nvidia-persistenced",
        "unit nvidia-fabricmanager.service",
    }
    test_nvml_counts_the_gpus_through_the_bindings(machine)
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_half_an_environment_is_built_anew(machine: Machine, scenario: Scenario) -> None:
    """What a controller that was killed may leave."""
    machine.run(f"rm -r {VENV}/lib/python3*/site-packages/pip")
    drifted = machine.state()

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert machine.state().touched_since(drifted, without=WITHOUT) == set()
    test_nvml_counts_the_gpus_through_the_bindings(machine)


@pytest.fixture
def holder(machine: Machine) -> Iterator[str]:
    """A process that has a GPU open: its id. The lab has no device files, so there is a plain one."""
    machine.run("touch /dev/nvidia0")
    machine.run("systemd-run --quiet --unit=holder --property=StandardInput=file:/dev/nvidia0 sleep infinity")
    yield machine.run("systemctl show --property=MainPID --value holder")
    machine.run("systemctl stop holder && rm /dev/nvidia0")


def test_the_driver_is_not_changed_under_who_uses_it(machine: Machine, scenario: Scenario, holder: str) -> None:
    before = machine.state()

    run = scenario.converge(variables={"gpu_driver_version": OTHER, "gpu_driver_fabric_manager_version": OTHER})

    assert run.returncode != 0
    assert f"needs a change of the GPU driver ({OTHER})" in run.messages, run.tail
    assert f"held by process {holder} (sleep)" in run.messages and "Drain the node" in run.messages
    assert machine.state().touched_since(before) == set()
    # Where nothing is to be changed, nobody is disturbed.
    unchanged = scenario.converge()
    assert (unchanged.returncode, unchanged.changes) == (0, []), unchanged.tail


def test_a_missing_hold_is_put_back_under_who_uses_the_driver(
    machine: Machine, scenario: Scenario, holder: str
) -> None:
    before = machine.state()
    machine.run("apt-mark unhold nvidia-persistenced")
    drifted = machine.state()

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert machine.state().differences(before, without=WITHOUT) == set()
    assert machine.state().touched_since(drifted, without=WITHOUT) == {"package nvidia-persistenced"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"gpu_driver_fabric_manager_version": OTHER},
            [f"fabric_manager is {OTHER}, but gpu_driver is {VERSION}", "give both the same version"],
        ),
        (
            {"gpu_driver_version": "570.999.99", "gpu_driver_fabric_manager_version": "570.999.99"},
            [
                "nvidia-driver-cuda 570.999.99 is not in http://",
                f"which offers {OTHER}-1, {VERSION}-1",
                "Correct the version",
            ],
        ),
        (
            {
                "gpu_driver_version": OTHER,
                "gpu_driver_fabric_manager_version": OTHER,
                "gpu_driver_kernel": "6.1.0-1-amd64",
            },
            ["and 6.1.0-1-amd64 is pinned", "would be built for the wrong one", "Nothing was changed"],
        ),
    ],
)
def test_what_cannot_be_is_refused(
    machine: Machine, scenario: Scenario, variables: dict[str, object], words: list[str]
) -> None:
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert [word for word in words if word not in run.messages] == [], run.tail
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()


def test_another_branch_takes_the_place_of_the_old_one(machine: Machine, scenario: Scenario) -> None:
    """Names of packages change with it, and holds with them."""
    run = scenario.converge(variables={"gpu_driver_version": OTHER, "gpu_driver_fabric_manager_version": OTHER})

    assert run.returncode == 0, run.tail
    names = [*PACKAGES[:-1], "nvidia-fabricmanager-575"]
    assert versions(machine, [*names, *DEPENDENCIES]) == dict.fromkeys([*names, *DEPENDENCIES], f"{OTHER}-1")
    assert machine.run("apt-mark showhold").split() == sorted(names)
    assert (
        machine.run("nvidia-smi --query-gpu=driver_version,fabric.state --format=csv,noheader").splitlines()
        == [f"{OTHER}, Completed"] * 8
    )
