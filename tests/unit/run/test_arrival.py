# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that MAAS did not deploy is not waited for, and is not called unreachable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Port 1 of loopback refuses.
INVENTORY = """
gpu_nodes:
  vars: {ansible_host: 127.0.0.1, ansible_port: 1}
  hosts: {undeployed: {}, silent: {}}
head_nodes: {}
"""
PLAYBOOK = f"""
- hosts: gpu_nodes
  gather_facts: false
  vars:
    firstlight_phase: provision
    maas_arrival_timeout: 1
    __deployed_before: false
    __deployment: {{machines: {{undeployed: {{failed: true}}, silent: {{failed: false}}}}}}
  tasks:
    - ansible.builtin.import_tasks: {ROOT}/playbooks/tasks/arrive.yml
"""


def test_only_what_was_deployed_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    environment = os.environ | {
        "FIRSTLIGHT_ARTIFACTS": str(tmp_path / "artifacts"),
        "ANSIBLE_LOG_PATH": str(tmp_path / "ansible.log"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.yml")]
    done = subprocess.run(
        [*command, str(tmp_path / "play.yml")],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        node: {
            (finding["check"], finding["verdict"])
            for path in tmp_path.glob(f"artifacts/*/nodes/{node}/provision.*.json")
            for finding in json.loads(path.read_text())["findings"]
        }
        for node in ("undeployed", "silent")
    }
    assert found == {"undeployed": {("phase.complete", "fail")}, "silent": {("host.reachable", "unknown")}}
