# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module and its action as Ansible runs them: packed by AnsiballZ, over real connections, on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import NODE_HEALTH, expected_checks

from tests.unit.health.health_factory import node_class

ROOT = Path(__file__).resolve().parents[3]
# The interpreter behind the virtual environment: it has no nvidia-ml-py of its own, like a node's.
PLAIN_PYTHON = getattr(sys, "_base_executable", sys.executable)
WANTED = node_class(mounts=["/", "/no/such/mount"])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Ansible with this clone's collection and nothing else of the surroundings' configuration."""
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "FIRSTLIGHT_", "FAKE_"))}
    return {
        **kept,
        "HOME": str(tmp_path),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture
def nvml_path(tmp_path: Path) -> str:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("fake_pynvml.py"), folder / "pynvml.py")
    return str(folder)


def ad_hoc(environment: dict[str, str], *arguments: str, **options: Any) -> dict[str, Any]:
    """One run by the ansible command on this machine; what the task returned."""
    options.setdefault("history_path", str(Path(environment["HOME"]) / "health" / "counters.json"))
    command = ["ansible", "localhost", "-c", "local", "-i", "localhost,", "-m", "firstlight.cluster.node_health"]
    command += ["-e", f"ansible_python_interpreter={PLAIN_PYTHON}", "-a", json.dumps(options), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    head, _arrow, content = done.stdout.partition(" => ")
    assert head == "localhost | SUCCESS"
    result: dict[str, Any] = json.loads(content)
    return result


@pytest.mark.parametrize("mode", [[], ["--check", "--diff"]], ids=["run", "check"])
def test_the_module_reads_and_judges_this_machine(environment: dict[str, str], nvml_path: str, mode: list[str]) -> None:
    environment["FAKE_NVML"] = json.dumps({"faults": {"nvmlDeviceGetTemperature": {"3": 15}}})
    result = ad_hoc(environment, *mode, node_class=WANTED, nvml_path=[nvml_path])
    by_component = {(item["check"], item["component"]): item for item in result["findings"]}
    assert result["changed"] is False
    assert {item["check"] for item in result["findings"]} == set(NODE_HEALTH)
    assert by_component["gpu.model", "gpu:7"]["verdict"] == "pass"
    assert by_component["gpu.temperature", "gpu:3"]["verdict"] == "unknown"
    assert "GPU is lost (code 15)" in by_component["gpu.temperature", "gpu:3"]["summary"]
    assert by_component["gpu.temperature", "gpu:2"]["verdict"] == "pass"
    assert by_component["disk.mount", "mount:/no/such/mount"]["verdict"] == "fail"
    assert by_component["gpu.count", "gpu:3"]["verdict"] == "fail"
    assert result["passed"] == sum(item["verdict"] == "pass" for item in result["findings"])
    assert result["verdict"] == "fail"
    assert result["observation"]["readers"]["host"]["data"]["memory_bytes"] > 0
    assert result["observation"]["readers"]["history"]["data"]["trouble"] == ""
    assert (Path(environment["HOME"]) / "health" / "counters.json").exists() is (not mode)


def test_a_gpu_that_hangs_is_named_and_the_others_are_judged(environment: dict[str, str], nvml_path: str) -> None:
    environment["FAKE_NVML"] = json.dumps({"faults": {"nvmlDeviceGetTemperature": {"3": -2}}})
    result = ad_hoc(environment, node_class=WANTED, nvml_path=[nvml_path], deadline=3)
    reader = result["observation"]["readers"]["nvml"]
    assert (reader["status"], reader["at"]) == ("timeout", ["gpus/3"])
    gpus = {(item["check"], item["component"]): item for item in result["findings"] if item["check"].startswith("gpu.")}
    assert gpus["gpu.count", "gpu:3"]["verdict"] == "fail"
    assert "does not answer: no answer within 3 s" in gpus["gpu.count", "gpu:3"]["summary"]
    for check in ("gpu.model", "gpu.ecc.uncorrected", "gpu.row_remap.pending", "gpu.temperature", "gpu.nvlink.active"):
        verdicts = {component: item["verdict"] for (of, component), item in gpus.items() if of == check}
        assert verdicts == {f"gpu:{slot}": "unknown" if slot == 3 else "pass" for slot in range(8)}


@pytest.mark.parametrize(("code", "status"), [(-1, "error"), (-2, "timeout"), (18, "error"), (12, "missing")])
def test_a_library_that_crashes_or_hangs_costs_the_gpus_only(
    environment: dict[str, str], nvml_path: str, code: int, status: str
) -> None:
    environment["FAKE_NVML"] = json.dumps({"faults": {"nvmlInit": {"all": code}}})
    result = ad_hoc(environment, node_class=WANTED, nvml_path=[nvml_path], deadline=2)
    readers = result["observation"]["readers"]
    assert readers["nvml"]["status"] == status
    assert readers["host"]["status"] == "ok"
    gpus = {item["check"]: item["verdict"] for item in result["findings"] if item["check"] == "gpu.ecc.uncorrected"}
    assert gpus == {"gpu.ecc.uncorrected": "unknown"}


def test_without_a_binding_the_gpus_are_unknown(environment: dict[str, str]) -> None:
    result = ad_hoc(environment, node_class=WANTED, nvml_path=["/nowhere"])
    (count,) = [item for item in result["findings"] if item["check"] == "gpu.count"]
    assert count["verdict"] == "unknown"
    assert "no Python module pynvml (nvidia-ml-py) in /nowhere" in count["summary"]


def test_the_node_is_sent_readers_only_and_they_load_nothing_slow() -> None:
    """Every module that is imported there is sent as source and compiled on each node in each pass."""
    script = (
        "import sys, ansible.module_utils.basic; before = set(sys.modules);"
        "import ansible_collections.firstlight.cluster.plugins.modules.node_observation;"
        "print(*sorted(set(sys.modules) - before))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.split()
    ours = [name for name in loaded if ".plugins.module_utils." in name]
    assert ours
    assert {name.split(".plugins.module_utils.")[1].split(".")[0] for name in ours} == {"observe"}
    assert not {"http.client", "ssl", "email", "asyncio", "urllib.request"} & set(loaded)


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - firstlight.cluster.node_health:
        node_class: "{{ wanted }}"
        timeout: "{{ patience | default(60) }}"
        history_path: "{{ playbook_dir }}/health/counters.json"
        phase: validate
      register: health
    - ansible.builtin.assert:
        that:
          - health is not failed
          - health is not unreachable
          - health is not changed
          - health.verdict == verdict
          - health.observation is not defined
          - health.findings | selectattr('verdict', 'equalto', 'pass') | length == 0
      delegate_to: localhost
      vars: {ansible_connection: local, ansible_python_interpreter: "{{ python }}"}
"""


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def inventory(tmp_path: Path) -> dict[str, Any]:
    """A node that answers, and one for each way of not doing so."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": PLAIN_PYTHON}
    pid = tmp_path / "slow.pid"
    hosts = {
        "good": {**local, "verdict": "fail"},
        "away": {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": 1,
            "ansible_python_interpreter": PLAIN_PYTHON,
            "verdict": "unknown",
        },
        "without_python": {**local, "ansible_python_interpreter": "/nowhere/python3", "verdict": "unknown"},
        "babbling": {
            **local,
            "ansible_python_interpreter": script(tmp_path / "babble", "echo hello"),
            "verdict": "unknown",
        },
        "slow": {
            **local,
            "ansible_python_interpreter": script(tmp_path / "slow", f"echo $$ > {pid}; exec sleep 600"),
            "patience": 3,
            "verdict": "unknown",
        },
    }
    return {"all": {"hosts": hosts, "vars": {"wanted": WANTED, "python": PLAIN_PYTHON}}}


@pytest.mark.parametrize("mode", [[], ["--check"]], ids=["run", "check"])
def test_the_task_never_fails_and_never_loses_a_node(
    tmp_path: Path, environment: dict[str, str], mode: list[str]
) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory(tmp_path)))
    run = tmp_path / "run"
    run.mkdir()
    environment["FIRSTLIGHT_RUN_DIRECTORY"] = str(run)
    try:
        done = subprocess.run(
            ["ansible-playbook", "-i", "hosts.yml", "play.yml", *mode],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    finally:
        if (tmp_path / "slow.pid").exists():
            os.kill(int((tmp_path / "slow.pid").read_text()), signal.SIGKILL)
    assert done.returncode == 0, done.stdout + done.stderr

    findings = {}
    for host in ("good", "away", "without_python", "babbling", "slow"):
        content = json.loads((run / "nodes" / host / "validate.node_health.json").read_text())
        findings[host] = content["findings"]
    for host, says in {"away": "Connection refused", "slow": "did not return its health within 3 s"}.items():
        (only,) = findings[host]
        assert (only["check"], only["verdict"]) == ("host.reachable", "unknown")
        assert says in only["summary"]
    for host in ("without_python", "babbling"):
        verdicts = {item["check"]: item["verdict"] for item in findings[host]}
        assert set(verdicts) == set(expected_checks(WANTED))
        assert verdicts.pop("host.reachable") == "pass"
        assert set(verdicts.values()) == {"unknown"}
    assert {item["check"] for item in findings["good"]} == set(NODE_HEALTH)
    observation = json.loads((run / "nodes/good/validate.node_health.observation.json").read_text())
    assert observation["readers"]["kernel_log"]["status"]
    assert not (run / "nodes/away/validate.node_health.observation.json").exists()


def test_a_class_that_is_none_is_the_authors_error(tmp_path: Path, environment: dict[str, str]) -> None:
    """It is no node's fault, and setting every node aside for it would hide the cause."""
    command = ["ansible", "localhost", "-c", "local", "-i", "localhost,", "-m", "firstlight.cluster.node_health"]
    done = subprocess.run(
        [*command, "-a", json.dumps({"node_class": {"name": "x"}})],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "'x' has no hardware. Remedy:" in done.stdout
