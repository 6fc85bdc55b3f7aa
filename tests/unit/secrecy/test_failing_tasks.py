# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that fails while it handles a secret: the node is set aside for it, and the secret is nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.leaks import Search, Secret

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = f"""
- hosts: gpu_nodes
  gather_facts: false
  vars: {{firstlight_phase: configure}}
  tasks:
    - ignore_unreachable: true
      block:
TASK
      rescue:
        - ansible.builtin.import_tasks: {ROOT}/playbooks/tasks/failed.yml
"""
# How a task can come to be not logged: itself, by its block, by a file that it is included from.
BROKEN = '{name: Break, ansible.builtin.copy: {content: "{{ the_secret }}", dest: /nowhere/at/all}HIDDEN}'
TASKS = {
    "its own": BROKEN.replace("HIDDEN", ", no_log: true"),
    "its block's": f"{{name: Outer, no_log: true, block: [{BROKEN.replace('HIDDEN', '')}]}}",
    "of each item": BROKEN.replace("{{ the_secret }}", "{{ item }}").replace(
        "HIDDEN", ', no_log: true, loop: ["{{ the_secret }}"]'
    ),
    "a refused command": "{name: Break, no_log: true, ansible.builtin.command: {argv: [ls, '{{ the_secret }}']}}",
}


def run(tmp_path: Path, task: str, secret: str) -> tuple[str, Path]:
    """Run the task on a node of this machine; returns all that Ansible said, and the directory of the artifacts."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    node = {**here, "serial_number": "S", "node_class": "c"}
    (tmp_path / "hosts.yml").write_text(json.dumps({"gpu_nodes": {"hosts": {"node01": node}}}))
    (tmp_path / "play.yml").write_text(PLAYBOOK.replace("TASK", f"        - {task}"))
    (tmp_path / "vars.json").write_text(json.dumps({"the_secret": secret}))
    known = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        ["ansible-playbook", "play.yml", "-vvvv", "--diff", "-i", "hosts.yml", "-e", "@vars.json"],
        cwd=tmp_path,
        env=known
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOG_PATH": str(tmp_path / "artifacts" / "ansible.log"),
            "ANSIBLE_INJECT_INVOCATION": "1",
            "FIRSTLIGHT_ARTIFACTS": str(tmp_path / "artifacts"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr, tmp_path / "artifacts"


@pytest.mark.parametrize("hidden", TASKS)
def test_a_failing_task_that_is_not_logged_shows_nothing(tmp_path: Path, hidden: str) -> None:
    (tmp_path / "artifacts").mkdir()
    search = Search([Secret("planted", "hidden/word+&'of the \\ task'")])
    said, artifacts = run(tmp_path, TASKS[hidden], "hidden/word+&'of the \\ task'")
    assert search.text("output", said) == []
    assert search.tree("artifacts", artifacts) == []
    (finding,) = [
        json.loads(path.read_text())["findings"][0] for path in artifacts.glob("*/nodes/node01/*phase.task.json")
    ]
    assert finding["verdict"] == "fail"
    assert "Break" in finding["component"]
    assert "handles secrets" in finding["summary"]


def test_a_failing_task_that_is_logged_says_what_it_has(tmp_path: Path) -> None:
    """The test above would hold of a run that recorded nothing."""
    (tmp_path / "artifacts").mkdir()
    search = Search([Secret("planted", "/shown/word")])
    said, artifacts = run(tmp_path, "{name: Break, ansible.builtin.command: {argv: [ls, /shown/word]}}", "")
    assert search.text("output", said)
    assert search.tree("artifacts", artifacts)
