# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds an HCA or a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from role_files import ROLES


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device_holders", ROLES / "doca_ofed" / "files" / "device_holders.py")
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


def test_who_has_an_hca_or_a_gpu_open_is_named(script: ModuleType, tmp_path: Path) -> None:
    process(tmp_path, 70, "python3", "/dev/null", "/dev/infiniband/uverbs3")
    process(tmp_path, 8, "bash", "/dev/null", "/home/dev/infiniband/uverbs0")
    process(tmp_path, 9, "train", "/dev/nvidia0")
    assert [holder["label"] for holder in script.holders(tmp_path, [])] == [
        "process 9 (train) with /dev/nvidia0",
        "process 70 (python3) with /dev/infiniband/uverbs3",
    ]


def test_the_drivers_own_daemons_do_not_count(script: ModuleType, tmp_path: Path) -> None:
    # The kernel cuts names after 15 characters.
    process(tmp_path, 9, "nvidia-persiste", "/dev/nvidia0")
    process(tmp_path, 10, "ibacm", "/dev/infiniband/umad0")
    process(tmp_path, 11, "ibacm2", "/dev/infiniband/umad0")
    assert [holder["pid"] for holder in script.holders(tmp_path, ["nvidia-persistenced", "ibacm"])] == [11]


def test_a_process_that_ends_meanwhile_is_passed_over(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "11").mkdir()
    (tmp_path / "self").mkdir()
    assert script.holders(tmp_path, []) == []
