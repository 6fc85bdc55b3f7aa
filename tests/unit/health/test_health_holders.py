# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from role_files import ROLES


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_holders", ROLES / "gpu_driver" / "files" / "gpu_holders.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def process(proc: Path, pid: int, command: str, *files: str) -> None:
    """A process of a made-up /proc, with these files open."""
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(f"{command}\n")
    for number, file in enumerate(files):
        (folder / str(number)).symlink_to(file)


def test_a_process_with_a_gpu_open_is_named(script: ModuleType, tmp_path: Path) -> None:
    process(tmp_path, 7, "python3", "/dev/null", "/dev/nvidia3")
    process(tmp_path, 8, "bash", "/dev/null", "/home/dev/nvidia0")
    found = script.holders_of_files(tmp_path)
    assert found == {7}
    assert script.holders(tmp_path, [], found) == [{"pid": 7, "command": "python3", "label": "process 7 (python3)"}]


def test_the_drivers_own_daemons_do_not_count(script: ModuleType, tmp_path: Path) -> None:
    # The kernel cuts names after 15 characters.
    process(tmp_path, 9, "nvidia-persiste", "/dev/nvidia0")
    process(tmp_path, 10, "nvidia-persisted", "/dev/nvidia0")
    found = script.holders(tmp_path, ["nvidia-persistenced"], script.holders_of_files(tmp_path))
    assert [holder["pid"] for holder in found] == [10]


def test_a_process_that_ends_meanwhile_is_passed_over(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "11").mkdir()
    (tmp_path / "self").mkdir()
    assert script.holders_of_files(tmp_path) == set()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo 4242; echo 77", {4242, 77}),
        ("echo 'No running processes found'", set()),
        ("echo 5; exit 9", set()),
    ],
)
def test_compute_processes_of_the_driver(script: ModuleType, tmp_path: Path, body: str, expected: set[int]) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    assert script.compute_processes(str(command)) == expected


def test_a_driver_without_its_tool_knows_no_process(script: ModuleType, tmp_path: Path) -> None:
    assert script.compute_processes(str(tmp_path / "absent")) == set()
