# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a node from being worked on."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import holders
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing
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
    found, unread = holders.holders_of_files(tmp_path, holders.GPUS)
    assert (found, unread) == ({7: "/dev/nvidia3"}, [])
    label = "process 7 (python3) with /dev/nvidia3"
    assert holders.holders(tmp_path, [], found) == [{"pid": 7, "command": "python3", "label": label}]


def test_who_has_an_hca_open_counts_where_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(tmp_path, 70, "python3", "/dev/null", "/dev/infiniband/uverbs3")
    process(tmp_path, 8, "bash", "/dev/null", "/home/dev/infiniband/uverbs0")
    process(tmp_path, 9, "train", "/dev/nvidia0", "/dev/infiniband/uverbs0")
    monkeypatch.setattr(holders, "compute_processes", lambda: [9, 11])
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
    busy = holders.holders(tmp_path, ["nvidia-persistenced"], holders.holders_of_files(tmp_path, holders.GPUS)[0])
    assert [holder["pid"] for holder in busy] == [10]


def test_a_process_that_ends_meanwhile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "11").mkdir()
    (tmp_path / "self").mkdir()
    assert holders.holders_of_files(tmp_path, holders.GPUS) == ({}, [])


class Process:
    """Of a /proc that refuses: `fd` is what its descriptors are read as, an error is raised."""

    def __init__(self, pid: int, *fd: str | OSError) -> None:
        self.name, self.fd = str(pid), fd

    def __truediv__(self, _name: str) -> Process:
        return self

    def iterdir(self) -> list[SimpleNamespace]:
        if len(self.fd) == 1 and isinstance(self.fd[0], OSError):
            raise self.fd[0]
        return [SimpleNamespace(readlink=functools.partial(self.read, each)) for each in self.fd]

    @staticmethod
    def read(link: str | OSError) -> str:
        if isinstance(link, OSError):
            raise link
        return link


def proc_of(*processes: Process) -> Any:
    return SimpleNamespace(iterdir=lambda: processes)


GONE, DENIED = FileNotFoundError("gone"), PermissionError("denied")


def test_a_descriptor_that_is_closed_meanwhile_hides_no_other() -> None:
    proc = proc_of(Process(7, "/dev/null", GONE, "/dev/nvidia0"), Process(8, ProcessLookupError("ended")))
    assert holders.holders_of_files(proc, holders.GPUS) == ({7: "/dev/nvidia0"}, [])


def test_a_process_that_is_not_shown_is_not_one_without_files() -> None:
    proc = proc_of(Process(7, DENIED), Process(8, "/dev/null", DENIED), Process(9, DENIED, "/dev/nvidia0"))
    assert holders.holders_of_files(proc, holders.GPUS) == ({9: "/dev/nvidia0"}, [7, 8])


def refuses() -> list[int]:
    raise SourceError("nvidia-smi failed with status 18: version mismatch", 18)


def absent() -> list[int]:
    raise SourceMissing("no such command: nvidia-smi")


def hangs() -> list[int]:
    time.sleep(60)
    return []


WHOLE, PART = proc_of(Process(7, "/dev/nvidia0")), proc_of(Process(7, "/dev/nvidia0"), Process(8, DENIED))


@pytest.mark.parametrize("driver", [refuses, absent])
def test_where_the_driver_cannot_tell_the_open_files_do_if_all_were_seen(
    monkeypatch: pytest.MonkeyPatch, driver: Callable[[], list[int]]
) -> None:
    monkeypatch.setattr(holders, "compute_processes", driver)
    assert holders.on_gpus(WHOLE) == {7: "/dev/nvidia0"}
    with pytest.raises(SourceError, match=r"nvidia-smi.*process 8"):
        holders.on_gpus(PART)


def test_a_driver_that_hangs_is_no_idle_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "compute_processes", hangs)
    monkeypatch.setattr(holders, "SECONDS_FOR_NVIDIA_SMI", 0.2)
    with pytest.raises(SourceError, match="no answer"):
        holders.on_gpus(WHOLE)


def test_the_driver_knows_nothing_of_hcas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "compute_processes", lambda: [8])
    assert holders.on_gpus(PART) == {7: "/dev/nvidia0", 8: ""}
    with pytest.raises(SourceError, match="process 8"):
        holders.on_gpus(PART, hcas=True)


def test_the_module_fails_where_it_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def nobody_knows(_proc: Path, _hcas: bool) -> dict[int, str]:
        raise SourceError("nvidia-smi: no answer within 20 s")

    monkeypatch.setattr(holders, "on_gpus", nobody_knows)
    monkeypatch.setattr(holders, "named", lambda _proc, names: {5} if "slurmstepd" in names else set())
    with patch_module_args({}), pytest.raises(SystemExit):
        node_busy_info.main()
    told = json.loads(capfd.readouterr().out)
    assert told["failed"] is True
    assert told["msg"].startswith("Nobody can say whether a GPU is in use: nvidia-smi: no answer within 20 s.")
    # A job that is seen is told all the same: whose it is says more than that something hangs.
    with patch_module_args({"jobs": ["slurmstepd"]}), pytest.raises(SystemExit):
        node_busy_info.main()
    assert [holder["pid"] for holder in json.loads(capfd.readouterr().out)["holders"]] == [5]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("echo 4242; echo 77; echo 4242", [77, 4242]),
        ("echo 'No running processes found'", []),
        ("true", []),
    ],
)
def test_compute_processes_of_the_driver(tmp_path: Path, body: str, expected: list[int]) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    assert holders.compute_processes(str(command)) == expected


def test_a_driver_that_does_not_tell_is_not_one_without_processes(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        holders.compute_processes(str(tmp_path / "absent"))
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 5; exit 9\n")
    command.chmod(0o755)
    with pytest.raises(SourceError):
        holders.compute_processes(str(command))


def test_processes_of_jobs_are_found_by_their_names(tmp_path: Path) -> None:
    process(tmp_path, 12, "slurmstepd")
    process(tmp_path, 13, "slurmd")
    # The kernel cuts names after 15 characters.
    process(tmp_path, 14, "a-name-of-sixte")
    (tmp_path / "15").mkdir()
    assert holders.named(tmp_path, ["slurmstepd", "a-name-of-sixteen"]) == {12, 14}


def test_the_module_tells_both_once(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    commands = {5: "slurmstepd", 7: "python3", 9: "nv-fabricmanage"}
    monkeypatch.setattr(holders, "holders_of_files", lambda _proc, _devices: ({5: "", 9: "/dev/nvidia0"}, []))
    monkeypatch.setattr(holders, "compute_processes", lambda: [7])
    monkeypatch.setattr(holders, "named", lambda _proc, names: {5} if "slurmstepd" in names else set())
    monkeypatch.setattr(holders, "command_of", lambda _proc, pid: commands[pid])
    with patch_module_args({"own": ["nv-fabricmanager"], "jobs": ["slurmstepd"]}), pytest.raises(SystemExit):
        node_busy_info.main()
    told = json.loads(capfd.readouterr().out)
    assert [holder["label"] for holder in told["holders"]] == ["process 5 (slurmstepd)", "process 7 (python3)"]
