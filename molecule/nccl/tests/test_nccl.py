# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role nccl on a node, and its entry point for the host that MPI is started from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

VERSION = "2.27.7-1+cuda12.9"
# Of the same version, for a CUDA that the driver does not run; apt would take it.
OTHER_BUILD = "2.27.7-1+cuda13.0"
OLDER = "2.26.5-1+cuda13.0"
WITHOUT = [*PACKAGE_MANAGERS, "file /usr/"]
SETTINGS = {
    "NCCL_DEBUG": "WARN",
    "NCCL_IB_HCA": "=" + ",".join(f"mlx5_{index}" for index in range(8)),
    "NCCL_NVLS_ENABLE": "1",
}
TOPOLOGY = '<system version="1"><cpu numaid="0"/></system>\n'


def settings(machine: Machine) -> dict[str, str]:
    """As NCCL reads them."""
    lines = [line for line in machine.read("/etc/nccl.conf").splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_nccl_is_of_the_version_held_and_pinned(machine: Machine) -> None:
    assert machine.host.package("libnccl2").version == VERSION
    assert "libnccl2" in machine.run("apt-mark showhold").split()
    assert re.search(r"2\.27\.7-1\+cuda12\.9 1001$", machine.run("apt-cache policy libnccl2"), re.MULTILINE)
    assert f"Candidate: {VERSION}" in machine.run("apt-cache policy libnccl-dev")
    assert re.search(r"2\.27\.7-1\+cuda13\.0 500$", machine.run("apt-cache policy libnccl2"), re.MULTILINE)


def test_packages_come_from_the_vendors_signed_repository(machine: Machine, scenario: Scenario) -> None:
    sources = machine.read("/etc/apt/sources.list.d/firstlight-nvidia.sources")
    assert scenario.lab["upstream"]["nvidia"] in sources and "BEGIN PGP PUBLIC KEY BLOCK" in sources


def test_settings_hold_for_every_program(machine: Machine) -> None:
    """The class's, the site's and the rails."""
    assert settings(machine) == SETTINGS
    assert machine.host.file("/etc/nccl.conf").mode == 0o644


def test_all_reduce_runs_over_mpi(machine: Machine) -> None:
    command = "mpirun --allow-run-as-root --oversubscribe -np 2 all_reduce_perf -b 8 -e 1024 -f 2 -g 4 -n 1 -w 0"
    answer = machine.run(f"{command} 2>&1")
    assert "Out of bounds values : 0 OK" in answer
    assert "Avg bus bandwidth" in answer
    assert answer.count("NVIDIA H100 80GB HBM3") == 8


def test_the_launch_host_starts_programs_and_has_no_nccl(machines: dict[str, Machine]) -> None:
    head = machines["head01"]
    program = "from mpi4py import MPI; print(MPI.COMM_WORLD.Get_size())"
    command = "mpirun --allow-run-as-root --oversubscribe -np 2 python3 -c %s"
    assert head.run(command, program).split() == ["2", "2"]
    assert not head.host.package("libnccl2").is_installed


def test_drift_is_repaired_and_nothing_else_is_touched(machines: dict[str, Machine], scenario: Scenario) -> None:
    node, head = machines["node01"], machines["head01"]
    before = {name: machine.state() for name, machine in machines.items()}
    node.run(
        "apt-mark unhold libnccl2"
        f" && apt-get -qq install --yes libnccl2={OTHER_BUILD} > /dev/null 2>&1"
        " && apt-get -qq remove --yes nccl-tests > /dev/null 2>&1"
        " && sed -i s/mlx5_7/mlx5_9/ /etc/nccl.conf"
        " && rm /etc/apt/preferences.d/firstlight-nccl"
    )
    head.run("apt-get -qq remove --yes openmpi-bin > /dev/null 2>&1")
    drifted = {name: machine.state() for name, machine in machines.items()}

    run = scenario.converge()

    after = {name: machine.state() for name, machine in machines.items()}
    assert run.returncode == 0, run.tail
    links = "file /etc/alternatives/"
    for name in machines:
        assert after[name].differences(before[name], without=WITHOUT) == set()
    assert after["node01"].touched_since(drifted["node01"], without=WITHOUT) == {
        "file /etc/apt/preferences.d/firstlight-nccl",
        "file /etc/nccl.conf",
        "package libnccl2",
        "package nccl-tests",
    }
    touched = after["head01"].touched_since(drifted["head01"], without=[*WITHOUT, links])
    # What needs it went with it, and came back with it.
    assert touched == {"package openmpi-bin", "package mpi-default-bin", "package python3-mpi4py"}
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_a_version_that_no_repository_has_is_refused(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"nccl_version": "2.99.1"})

    assert run.returncode != 0
    assert "libnccl2 2.99.1 is not in http://" in run.messages, run.tail
    assert f"which offers {OTHER_BUILD}, {VERSION}, {OLDER}" in run.messages
    assert "Correct the version in the node class" in run.messages
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()


def test_a_topology_file_is_installed_and_named(machine: Machine, scenario: Scenario, tmp_path: Path) -> None:
    file = tmp_path / "topology.xml"
    file.write_text(TOPOLOGY)
    before = machine.state()
    try:
        run = scenario.converge(variables={"nccl_topology_file": str(file)})

        assert run.returncode == 0, run.tail
        assert settings(machine) == {**SETTINGS, "NCCL_TOPO_FILE": "/etc/nccl/topology.xml"}
        assert machine.read("/etc/nccl/topology.xml") == TOPOLOGY
        assert machine.state().touched_since(before) == {
            "file /etc/nccl",
            "file /etc/nccl.conf",
            "file /etc/nccl/topology.xml",
        }
    finally:
        scenario.converge()
        machine.run("rm -r /etc/nccl")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"nccl_environment": {"NCCL_IB_DISABLE": True}}, "NCCL_IB_DISABLE is true, which NCCL does not read"),
        pytest.param(
            {"nccl_environment": {"NCCL_PXN_DISABEL": 1}}, "Remedy: write NCCL_PXN_DISABLE", marks=pytest.mark.long
        ),
        pytest.param({"nccl_topology_file": "/proc/version"}, "the topology file is no XML", marks=pytest.mark.long),
        pytest.param(
            {"nccl_topology_file": "/nowhere.xml"}, "the topology file is not there, or empty", marks=pytest.mark.long
        ),
    ],
)
def test_what_nccl_would_pass_over_is_refused(
    machine: Machine, scenario: Scenario, variables: dict[str, object], words: str
) -> None:
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert words in run.messages, run.tail
    assert machine.state().touched_since(before) == set()
