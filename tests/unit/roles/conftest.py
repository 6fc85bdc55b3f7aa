# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles as data, and Ansible's own templating over their variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from role_files import ROLES, load


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
