# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a node from being worked on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import holders
from ansible_collections.firstlight.cluster.plugins.modules import node_busy_info


def process(proc: Path, pid: int, command: str, *files: str) -> None:
    """A process of a made-up /proc, with these files open."""
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(f"{command}\n")
    for number, file in enumerate(files):
        (folder / str(number)).symlink_to(file)


def test_a_process_with_a_gpu_open_is_named(tmp_path: Path) -> None:
    process(tmp_path, 7, "python3", "/dev/null", "/dev/nvidia3")
    process(tmp_path, 8, "bash", "/dev/null", "/home/dev/nvidia0")
    found = holders.holders_of_files(tmp_path, holders.GPUS)
    assert found == {7: "/dev/nvidia3"}
    label = "process 7 (python3) with /dev/nvidia3"
    assert holders.holders(tmp_path, [], found) == [{"pid": 7, "command": "python3", "label": label}]


def test_who_has_an_hca_open_counts_where_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, 70, "python3", "/dev/null", "/dev/infiniband/uverbs3")
    process(tmp_path, 8, "bash", "/dev/null", "/home/dev/infiniband/uverbs0")
    process(tmp_path, 9, "train", "/dev/nvidia0", "/dev/infiniband/uverbs0")
    monkeypatch.setattr(holders, "compute_processes", lambda: {9, 11})
    assert holders.on_gpus(tmp_path) == {9: "/dev/nvidia0", 11: ""}
    assert holders.on_gpus(tmp_path, hcas=True) == {
        9: "/dev/infiniband/uverbs0",
        11: "",
        70: "/dev/infiniband/uverbs3",
    }


def test_the_drivers_own_daemons_do_not_count(tmp_path: Path) -> None:
    # The kernel cuts names after 15 characters.
    process(tmp_path, 9, "nvidia-persiste", "/dev/nvidia0")
    process(tmp_path, 10, "nvidia-persisted", "/dev/nvidia0")
    busy = holders.holders(tmp_path, ["nvidia-persistenced"], holders.holders_of_files(tmp_path, holders.GPUS))
    assert [holder["pid"] for holder in busy] == [10]


def test_a_process_that_ends_meanwhile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "11").mkdir()
    (tmp_path / "self").mkdir()
    assert holders.holders_of_files(tmp_path, holders.GPUS) == {}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo 4242; echo 77", {4242, 77}),
        ("echo 'No running processes found'", set()),
        ("echo 5; exit 9", set()),
    ],
)
def test_compute_processes_of_the_driver(tmp_path: Path, body: str, expected: set[int]) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    assert holders.compute_processes(str(command)) == expected


def test_a_driver_without_its_tool_knows_no_process(tmp_path: Path) -> None:
    assert holders.compute_processes(str(tmp_path / "absent")) == set()


def test_processes_of_jobs_are_found_by_their_names(tmp_path: Path) -> None:
    process(tmp_path, 12, "slurmstepd")
    process(tmp_path, 13, "slurmd")
    # The kernel cuts names after 15 characters.
    process(tmp_path, 14, "a-name-of-sixte")
    (tmp_path / "15").mkdir()
    assert holders.named(tmp_path, ["slurmstepd", "a-name-of-sixteen"]) == {12, 14}


def test_the_module_tells_both_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    commands = {5: "slurmstepd", 7: "python3", 9: "nv-fabricmanage"}
    monkeypatch.setattr(holders, "holders_of_files", lambda _proc, _devices: {5: "", 9: "/dev/nvidia0"})
    monkeypatch.setattr(holders, "compute_processes", lambda: {7})
    monkeypatch.setattr(holders, "named", lambda _proc, names: {5} if "slurmstepd" in names else set())
    monkeypatch.setattr(holders, "command_of", lambda _proc, pid: commands[pid])
    with patch_module_args({"own": ["nv-fabricmanager"], "jobs": ["slurmstepd"]}), pytest.raises(SystemExit):
        node_busy_info.main()
    told = json.loads(capfd.readouterr().out)
    assert [holder["label"] for holder in told["holders"]] == ["process 5 (slurmstepd)", "process 7 (python3)"]
