# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles as data, Ansible's own templating over their variables, and single task files with stand-ins for a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from role_files import ROLES, load

from tests.unit.conftest import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]
PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: "firstlight.cluster.{{ role }}"
        tasks_from: "{{ tasks }}"
        rolespec_validate: false
"""


def _trusted(value: Any) -> Any:
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_trusted(item) for item in value]
    return value


@pytest.fixture(scope="session", autouse=True)
def _plugins() -> None:
    init_plugin_loader([])


@pytest.fixture
def evaluate() -> Callable[..., Any]:
    """`evaluate("gpu_driver", "__gpu_driver_wanted", gpu_driver_version=...)`: a variable as the role would see it."""

    def evaluate(role: str, name: str, **variables: Any) -> Any:
        known: dict[str, Any] = {"inventory_hostname": "node01", "ansible_check_mode": False, "groups": {}}
        known |= {"ansible_managed": "managed", "ansible_search_path": [str(ROLES / role)]}
        for file in ("defaults", "vars"):
            known |= _trusted(load(ROLES / role / file / "main.yml"))
        return Templar(loader=DataLoader(), variables=known | variables).template(
            trust_as_template("{{ " + name + " }}")
        )

    return evaluate


@pytest.fixture
def render() -> Callable[..., str]:
    """`render("nccl", "nccl.conf.j2", ...)`: a template of a role."""

    def render(role: str, template: str, **variables: Any) -> str:
        known: dict[str, Any] = {"inventory_hostname": "node01", "ansible_managed": "managed", "groups": {}}
        for file in ("defaults", "vars"):
            known |= _trusted(load(ROLES / role / file / "main.yml"))
        # As the template module does.
        overrides = "#jinja2: trim_blocks: True\n"
        text = overrides + (ROLES / role / "templates" / template).read_text()
        templar = Templar(loader=DataLoader(), variables=known | variables)
        return str(templar.copy_with_new_env(available_variables=known | variables).template(trust_as_template(text)))

    return render


@pytest.fixture
def tool(tmp_path: Path) -> Callable[[str, str], None]:
    """A program of a host: a shell script."""

    def make(name: str, script: str) -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run("base_os", "system_grub_left", variable=...)`: one file of a role's tasks."""
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")

    def run(role: str, tasks: str, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        extra = json.dumps({"role": role, "tasks": tasks, "ansible_become": False, **variables})
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,"]
        return subprocess.run(
            [*command, str(tmp_path / "play.yml"), "-e", extra, *options],
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
                "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run
