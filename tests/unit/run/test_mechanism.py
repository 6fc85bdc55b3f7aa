# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gate, findings, progress and report as Ansible runs them: real playbooks on local and on unreachable hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.page.markup import read

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "plugins" / "module_utils" / "schemas" / "report.schema.json"
# `lost` answers until the middle of the phase; port 1 of loopback refuses.
INVENTORY = """
gpu_nodes:
  vars:
    ansible_connection: local
    ansible_python_interpreter: PYTHON
    serial_number: S
    node_class: c
  hosts:
    fit: {}
    broken: {}
    dead: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
    lost: {}
    racked_later: {state: planned}
"""
PLAYBOOK = f"""
- hosts: gpu_nodes
  gather_facts: false
  vars: {{firstlight_phase: configure}}
  tasks:
    - ansible.builtin.import_tasks: {ROOT}/playbooks/tasks/reach.yml
    - ignore_unreachable: true
      block:
        - name: Break
          ansible.builtin.command: {{argv: ["false"]}}
          changed_when: false
          when: inventory_hostname == 'broken'
        - name: Lose
          ansible.builtin.ping:
          vars:
            ansible_connection: "{{{{ 'ssh' if inventory_hostname == 'lost' else 'local' }}}}"
            ansible_host: 127.0.0.1
            ansible_port: 1
        - firstlight.cluster.finding: {{phase: configure, check: phase.complete, verdict: pass, summary: done}}
      rescue:
        - ansible.builtin.import_tasks: {ROOT}/playbooks/tasks/failed.yml
- hosts: gpu_nodes:!racked_later
  gather_facts: false
  vars: {{firstlight_phase: configure}}
  tasks:
    - firstlight.cluster.gate: {{phase: configure, checks: [phase.complete]}}
      run_once: true
      register: gate
    - ansible.builtin.group_by:
        key: "{{{{ 'set_aside' if inventory_hostname in gate.set_aside else 'passed' }}}}"
      changed_when: false
- hosts: gpu_nodes:!set_aside:!racked_later
  gather_facts: false
  vars: {{firstlight_phase: later}}
  tasks:
    - ansible.builtin.debug: {{msg: "later on {{{{ inventory_hostname }}}}"}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yml").write_text(INVENTORY.replace("PYTHON", sys.executable), encoding="utf-8")
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    return tmp_path


def run(site: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_LOG_PATH": str(site / "log"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DISPLAY_OK_HOSTS": "1",
        "ANSIBLE_CONNECTION_RETRIES": "0",
        "FIRSTLIGHT_ARTIFACTS": str(site / "artifacts"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(site / "hosts.yml")]
    done = subprocess.run(
        [*command, str(site / "play.yml"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    latest = site / "artifacts" / "latest" / "report.json"
    report = json.loads(latest.read_text(encoding="utf-8")) if latest.exists() else {}
    if report:
        jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
        assert report["completed"] is (done.returncode == 0)
        page = latest.with_name("report.html")
        read(page.read_text(encoding="utf-8"), page.parent)
        assert re.findall(r"^(?:Report|Page): .+", done.stdout, re.MULTILINE) == [
            f"{name}: {site / 'artifacts' / report['run'] / file}"
            for name, file in (("Report", "report.json"), ("Page", "report.html"))
        ]
    return done.returncode, done.stdout + done.stderr, report


def test_only_what_was_proved_goes_on_and_each_other_has_its_reason(site: Path) -> None:
    returncode, output, report = run(site)
    assert returncode == 0, output
    assert report["stopped_by"] == [], "what was rescued or ignored did not stop the run"
    assert report["summary"] == {
        "total": 4,
        "admitted": 1,
        "set_aside": 1,
        "unreachable": 2,
        "deferred": 0,
        "unjudged": 0,
    }
    states = {name: node["state"] for name, node in report["nodes"].items()}
    assert states == {"fit": "admitted", "broken": "set_aside", "dead": "unreachable", "lost": "unreachable"}
    (reason,) = report["nodes"]["broken"]["findings"]
    assert (reason["check"], reason["component"], reason["verdict"]) == ("phase.task", "task:Break", "fail")
    assert re.findall("later on [a-z]+", output) == ["later on fit"]
    assert [(phase["name"], phase["nodes_in"], phase["nodes_out"]) for phase in report["phases"]] == [
        ("configure", 4, 1),
        ("later", 1, 1),
    ]
    assert "phase configure: 1 done, 3 set aside, 0 left" in output


def test_a_limit_is_the_whole_world_of_a_run(site: Path) -> None:
    returncode, output, report = run(site, "--limit", "broken")
    assert returncode == 0, output
    assert report["summary"] == {
        "total": 1,
        "admitted": 0,
        "set_aside": 1,
        "unreachable": 0,
        "deferred": 0,
        "unjudged": 0,
    }


def test_a_run_in_which_every_node_fails_is_reported(site: Path) -> None:
    returncode, output, report = run(site, "--limit", "dead,broken")
    assert returncode == 0, output
    assert report["summary"]["admitted"] == 0
    assert report["summary"]["total"] == 2


def test_a_run_that_stops_reports_nobody_fit(site: Path) -> None:
    stopping = """
- hosts: gpu_nodes:localhost
  gather_facts: false
  any_errors_fatal: true
  vars: {firstlight_phase: preflight}
  tasks:
    - name: Check the cable plan
      ansible.builtin.assert: {that: false, fail_msg: "cable_plan.yml: no such rail"}
      run_once: true
"""
    (site / "play.yml").write_text(stopping + PLAYBOOK, encoding="utf-8")
    returncode, output, report = run(site)
    assert returncode == 2, output
    assert report["summary"]["unjudged"] == 4
    (stop,) = report["stopped_by"]
    assert stop == {
        "phase": "preflight",
        "task": "Check the cable plan",
        "hosts": [],
        "message": "cable_plan.yml: no such rail",
    }
    assert [(phase["name"], phase["nodes_out"]) for phase in report["phases"]] == [("preflight", 0)]
    assert "phase preflight: 0 done" in output


def test_a_playbook_that_judges_nobody_writes_no_report(site: Path) -> None:
    play = "- {hosts: fit, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n"
    (site / "play.yml").write_text(play, encoding="utf-8")
    returncode, output, report = run(site)
    assert returncode == 0, output
    assert report == {}
    assert not list(site.glob("artifacts/2*"))


def test_a_loop_that_fails_is_told_by_the_item_that_failed(site: Path) -> None:
    playbook = site / "play.yml"
    looped = """command: {argv: [ls, "/nowhere/{{ item.name }}"]}
          loop: [{name: docker, content: of a file}, {name: chrony}]"""
    text = playbook.read_text(encoding="utf-8")
    assert text.count('command: {argv: ["false"]}') == 1
    playbook.write_text(text.replace('command: {argv: ["false"]}', looped), encoding="utf-8")

    _code, _output, report = run(site)

    [found] = [item for item in report["nodes"]["broken"]["findings"] if item["check"] == "phase.task"]
    assert found["component"] == "task:Break"
    assert found["summary"].startswith("docker: ")
    assert "/nowhere/docker" in found["evidence"]["stderr"]
    assert "of a file" not in json.dumps(found)


def test_a_node_without_a_working_python_costs_no_other_node_the_phase(site: Path) -> None:
    hosts = site / "hosts.yml"
    text = hosts.read_text(encoding="utf-8")
    hosts.write_text(text.replace("broken: {}", "broken: {ansible_python_interpreter: /bin/false}"), encoding="utf-8")

    _code, output, report = run(site)

    assert "later on fit" in output
    [found] = [item for item in report["nodes"]["broken"]["findings"] if item["component"] == "task:Reach | Connect"]
    assert (found["check"], found["verdict"]) == ("phase.task", "fail")
    assert found["summary"]


def test_a_node_that_does_not_answer_ends_no_play_of_others() -> None:
    """Under any_errors_fatal Ansible fails every host for one that is unreachable, whatever ignore_unreachable says."""
    plays = [
        (path.name, play)
        for path in sorted((ROOT / "playbooks").glob("*.yml"))
        for play in yaml.safe_load(path.read_text(encoding="utf-8"))
        if "ignore_unreachable" in str(play) or "reach.yml" in str(play)
    ]
    assert plays
    assert [name for name, play in plays if play.get("any_errors_fatal")] == []
