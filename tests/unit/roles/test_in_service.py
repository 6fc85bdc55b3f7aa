# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node with users on it is spared: the tasks, with stand-ins for the programs of a host."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from role_files import ROLES, load, role_names

Run = Callable[..., subprocess.CompletedProcess[str]]


# -- processes


@pytest.fixture
def job(tmp_path: Path) -> Iterator[str]:
    """A process that stands for a scheduler's: its name."""
    program = tmp_path / "jobstepd-test"
    shutil.copy("/usr/bin/sleep", program)
    with subprocess.Popen([program, "300"]) as process:
        yield program.name
        process.kill()


@pytest.mark.parametrize(
    ("role", "tasks", "words"),
    [
        (
            "gpu_driver",
            "busy",
            "needs a change of the GPU driver (580.1), but its GPUs are held, or jobs run, by process",
        ),
        (
            "doca_ofed",
            "busy",
            "needs a change of DOCA-OFED (3), but its HCAs or GPUs are held, or jobs run, by process",
        ),
        ("reboot", "restart", "must be restarted (another kernel), but its GPUs are held, or jobs run, by process"),
    ],
)
def test_nothing_is_changed_under_a_job_that_holds_no_gpu(
    run: Run, job: str, role: str, tasks: str, words: str
) -> None:
    given = {
        "gpu_driver_version": "580.1",
        "__doca_ofed_change": "DOCA-OFED (3)",
        "reboot_due": {"reasons": ["another kernel"], "in_vain": False},
        "common_job_processes": [job],
    }
    done = run(role, tasks, "--check", **given)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert words in said and f"({job})" in said and "Drain the node" in said, done.stdout


def test_who_may_hold_a_gpu_is_one_list() -> None:
    own = load(ROLES / "common" / "defaults" / "main.yml")["common_own_processes"]
    assert {"dcgm-exporter", "nvlsm", "nv-hostengine", "nvidia-persistenced", "ibacm"} <= {*own}
    for role in role_names():
        lists = [value for value in load(ROLES / role / "defaults" / "main.yml").values() if isinstance(value, list)]
        assert role == "common" or [value for value in lists if {*own} & {*map(str, value)}] == []
    for path in ROLES.glob("*/tasks/*.yml"):
        for line in path.read_text().splitlines():
            if line.strip().startswith("own:"):
                assert line.split(":", 1)[1].strip() == '"{{ common_own_processes }}"', path


# -- packages


def asks_packages(task: dict[str, Any]) -> bool:
    """Whether a task may change packages."""
    if "ansible.builtin.apt" in task:
        return not task["ansible.builtin.apt"].get("update_cache")
    argv = (task.get("ansible.builtin.command") or {}).get("argv") or [""]
    return argv[0] == "apt-get" or (argv[0] == "dpkg" and "--configure" in argv)


def test_no_service_is_restarted_behind_the_back_of_whoever_uses_it() -> None:
    """needrestart, of Ubuntu 24.04, would do so after every change of packages."""
    assert load(ROLES / "common" / "vars" / "main.yml")["__common_apt_environment"]["NEEDRESTART_MODE"] == "l"
    found = []
    for path in sorted(ROLES.glob("*/tasks/*.yml")):
        tasks = load(path) or []
        for task in [*tasks, *(inner for outer in tasks for inner in outer.get("block", []))]:
            if asks_packages(task):
                assert task.get("environment") == "{{ __common_apt_environment }}", (path, task["name"])
                found.append(f"{path.parent.parent.name}/{path.name}")
    assert {*found} == {"common/install.yml", "common/repair.yml"}
