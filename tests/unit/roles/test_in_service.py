# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node with users on it is spared: the tasks, with stand-ins for the programs of a host."""

from __future__ import annotations

import getpass
import grp
import json
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from role_files import ROLES, load, role_names

from tests.unit.conftest import ROOT

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


ACTIVE = "LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\n"


@pytest.fixture
def host(run: Run, tool: Callable[[str, str], None], tmp_path: Path) -> Callable[..., str]:
    """Brings about what `wanted` wants of a host in service with a driver of 570; what the run said."""
    tool("dpkg-query", "echo 'driver hi  570'")
    tool("apt-get", f"touch {tmp_path}/asked; exit 1")
    tool("dpkg", f"touch {tmp_path}/asked; exit 1")
    units = "".join(f"Id={name}.service\\nNames={name}.service\\n{ACTIVE}\\n" for name in ("daemon", "exporter"))
    tool("systemctl", f"echo \"$@\" >> {tmp_path}/units; test $1 = show && printf '{units}'; exit 0")

    def wanted(*options: str, **variables: Any) -> str:
        owned = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
        given = {
            "common_packages": [{"name": "driver", "version": "580", "hold": True}],
            "common_in_service": True,
            "common_packages_guard": "guard.yml",
            "common_files": [{"path": str(tmp_path / "settings"), "content": "drift\n", **owned}],
            "__common_pins": [{"path": str(tmp_path / "pins"), "content": "580\n", **owned}],
            # By its version, and so only with its package.
            "common_services": [{"name": "daemon", "words": ["580"]}],
        }
        done = run("common", "wanted", *options, **given | variables)
        assert done.returncode == 0, done.stdout
        return " ".join(done.stdout.split())

    return wanted


def test_packages_of_a_node_in_service_wait_and_the_rest_goes_on(host: Callable[..., str], tmp_path: Path) -> None:
    said = host()
    assert "takes it out of service and brings driver 580" in said
    assert not (tmp_path / "asked").exists() and not (tmp_path / "pins").exists()
    assert (tmp_path / "settings").read_text() == "drift\n"
    assert "restart" not in (tmp_path / "units").read_text()


def test_what_is_configured_for_versions_waits_with_them(host: Callable[..., str], tmp_path: Path) -> None:
    assert "and brings driver 580" in host(common_in_step=True)
    assert not (tmp_path / "settings").exists()


def test_what_a_class_has_lately_is_not_configured_before_it_is_there(
    host: Callable[..., str], tool: Callable[[str, str], None], tmp_path: Path
) -> None:
    tool("dpkg-query", "exit 1")
    assert "and brings driver 580" in host()
    assert not (tmp_path / "settings").exists() and not (tmp_path / "asked").exists()


def test_another_kernel_than_the_pinned_one_is_no_failure_where_nothing_is_built(host: Callable[..., str]) -> None:
    host(common_packages_kernel="6.8.0-none")


def test_every_role_of_packages_in_use_is_told_that_the_node_is_in_service() -> None:
    """By the playbook, which knows whether this run has taken the node."""
    [play] = [play for play in load(ROOT / "playbooks" / "configure.yml") if "vars_files" in play]
    assert "groups['withdrawn']" in play["vars"]["reboot_in_service"]
    files = {"gpu_driver": "install", "doca_ofed": "install", "container_runtime": "run", "nccl": "main"}
    for role, file in files.items():
        assert play["vars"][f"{role}_in_service"] == "{{ reboot_in_service }}"
        text = (ROLES / role / "tasks" / f"{file}.yml").read_text()
        assert f'common_in_service: "{{{{ {role}_in_service }}}}"' in text, role
    assert "common_in_step: true" in (ROLES / "container_runtime" / "tasks" / "run.yml").read_text()


@pytest.mark.parametrize(("waiting", "expected"), [([], True), ([{"name": "driver"}], False)])
def test_a_driver_that_waits_asks_for_no_restart_and_tells_its_modes(
    evaluate: Callable[..., Any], waiting: list[Any], expected: bool
) -> None:
    look = {"common_due": {"sysfs": ["/sys/module/nvidia/version"], "packages": [], "waiting": waiting}}
    assert evaluate("gpu_driver", "__gpu_driver_modes_unknown", **look) is expected
    [ask] = [task for task in load(ROLES / "gpu_driver" / "tasks" / "install.yml") if "Ask" in task["name"]]
    assert "common_due.waiting | length == 0" in ask["when"]


# -- containers


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A Docker daemon: what it answers by path, and where it listens."""
    answers: dict[str, Any] = {"/info": {"LiveRestoreEnabled": False}, "/containers/json": [{"Names": ["/train"]}]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answers[self.path]).encode())

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: Any) -> None:
            pass

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "sock"), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield answers
        server.shutdown()


@pytest.fixture
def guard(run: Run, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """What came of it, the action chosen for the daemon, and what was said."""

    def guard(keys: list[str], packages: tuple[str, ...] = (), **variables: Any) -> tuple[int, str, str]:
        service = {"name": "docker", "state": "restarted", "why": ["reads it"], "changed_keys": keys}
        look = {"services": [service], "packages": [{"name": name} for name in packages], "waiting": []}
        given = {"common_due": look, "__container_runtime_socket": str(tmp_path / "sock"), **variables}
        done = run("container_runtime", "guard", "-v", **given)
        said = " ".join(done.stdout.split())
        chosen = said.partition('"__container_runtime_action": "')[2].partition('"')[0]
        return done.returncode, chosen, said

    return guard


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["live-restore", "registry-mirrors"], "reloaded"),
        (["log-opts", "registry-mirrors"], "refused"),
        (["features"], "refused"),
        ([], "refused"),
    ],
)
def test_a_daemon_is_not_restarted_under_containers(
    guard: Callable[..., tuple[int, str, str]], daemon: dict[str, Any], keys: list[str], expected: str
) -> None:
    status, chosen, said = guard(keys)
    assert (status == 0, chosen) == (expected == "reloaded", expected.replace("refused", "restarted")), said
    words = (
        "needs a restart of Docker, but containers run that would end, as live-restore is not in force: train. Nothing"
    )
    assert (words in said) is (expected == "refused")


def test_containers_that_outlive_a_restart_do_not_keep_it_from_being_made(
    guard: Callable[..., tuple[int, str, str]], daemon: dict[str, Any]
) -> None:
    daemon["/info"] = {"LiveRestoreEnabled": True}
    assert guard(["log-opts"])[:2] == (0, "restarted")
    # A daemon that starts without it ends what it finds.
    off = {"container_runtime_daemon_extra": {"live-restore": False}}
    status, _chosen, said = guard(["log-opts", "live-restore"], **off)
    assert status != 0 and "would end, as live-restore is not in force: train" in said
    assert guard(["live-restore"], **off)[:2] == (0, "reloaded")
    # But packages are not changed under them.
    status, _chosen, said = guard([], ("docker.io",))
    assert status != 0 and "needs a change of docker.io, but containers run: train. Nothing was changed." in said
    daemon["/containers/json"] = []
    assert guard([], ("docker.io",))[:2] == (0, "restarted")


def test_a_restart_is_put_off_on_a_node_in_service(
    guard: Callable[..., tuple[int, str, str]], daemon: dict[str, Any], evaluate: Callable[..., Any]
) -> None:
    status, chosen, said = guard(["log-opts"], container_runtime_in_service=True)
    assert (status, chosen) == (0, "left")
    assert "brings a restart of Docker, which would end containers (train)" in said
    given = {"container_runtime_nvidia_toolkit": False}
    for action, services in (
        ("left", []),
        ("reloaded", [("docker", "reloaded")]),
        ("restarted", [("docker", "restarted")]),
    ):
        found = evaluate(
            "container_runtime", "__container_runtime_services", __container_runtime_action=action, **given
        )
        assert [(item["name"], item["action"]) for item in found] == services


def test_a_daemon_that_hangs_is_not_restarted_unseen(guard: Callable[..., tuple[int, str, str]]) -> None:
    status, _chosen, said = guard(["log-opts"])
    assert status != 0 and "runs and does not say which containers run. Nothing was changed." in said
