# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Habits that every role keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from role_files import ROLES, load, role_names

from tests.mutation.simulated import without_scenario
from tests.unit.conftest import ROOT

PUBLIC = [name for name in role_names() if name != "common"]


def task_files(role: str) -> list[Path]:
    return sorted((ROLES / role / "tasks").glob("*.yml"))


def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All tasks, also those in blocks."""
    for entry in entries:
        yield entry
        for section in ("block", "rescue", "always"):
            yield from tasks(entry.get(section, []))


def options(role: str) -> dict[str, Any]:
    """Options of all entry points."""
    specs = load(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for spec in specs.values() for name, option in spec["options"].items()}


def described(options: dict[str, Any]) -> bool:
    return all(option.get("description") and described(option.get("options", {})) for option in options.values())


@pytest.mark.parametrize("role", role_names())
def test_every_variable_is_described_and_defaults_agree(role: str) -> None:
    defaults, spec = load(ROLES / role / "defaults" / "main.yml"), options(role)
    assert described(spec)
    assert set(defaults) <= set(spec)
    for name, option in spec.items():
        if option.get("required"):
            assert role == "common" or name not in defaults
        elif "default" in option:
            assert defaults[name] == option["default"], name
        else:
            assert name in defaults or role == "common", name


@pytest.mark.parametrize("role", PUBLIC)
def test_the_readme_names_every_variable_and_shows_an_example(role: str) -> None:
    text = (ROLES / role / "README.md").read_text()
    for name in options(role):
        # A row may give a family of variables by the end of their names.
        assert f"`{name}`" in text or any(f"`_{end}`" in text for end in endings(role, name)), name
    assert "```yaml" in text and f"firstlight.cluster.{role}" in text


def endings(role: str, name: str) -> list[str]:
    words = name.removeprefix(f"{role}_").split("_")
    return ["_".join(words[start:]) for start in range(len(words))]


@pytest.mark.parametrize("role", role_names())
def test_variables_carry_the_name_of_their_role(role: str) -> None:
    assert all(name.startswith(f"{role}_") for name in load(ROLES / role / "defaults" / "main.yml"))
    assert all(name.startswith(f"__{role}_") for name in load(ROLES / role / "vars" / "main.yml"))


# They configure something beside the host, which may be off or not be there yet.
BESIDE_THE_HOST = {"bmc"}


@pytest.mark.parametrize("role", sorted(set(PUBLIC) - BESIDE_THE_HOST))
def test_a_role_refuses_unsupported_systems_first(role: str) -> None:
    first = load(ROLES / role / "tasks" / "main.yml")[0]["ansible.builtin.import_role"]
    assert (first["name"], first["tasks_from"]) == ("firstlight.cluster.common", "platform")


@pytest.mark.parametrize("role", role_names())
def test_tasks_hide_no_failure_and_go_through_what_is_shared(role: str) -> None:
    for file in task_files(role):
        assert len(file.read_text().splitlines()) < 120, file
        for task in tasks(load(file)):
            assert not task.get("ignore_errors"), task
            assert "ansible.builtin.shell" not in task, task
            if role != "common":
                assert not {"apt", "template", "systemd_service"} & {
                    key.removeprefix("ansible.builtin.") for key in task
                }
                # What lies on the controller belongs to whoever runs Ansible: `wanted` writes files of root's.
                if task.get("delegate_to") != "localhost":
                    assert task.get("ansible.builtin.copy", {"remote_src": True}).get("remote_src") is True, task


@pytest.mark.parametrize("role", role_names())
def test_facts_are_read_from_ansible_facts(role: str) -> None:
    for file in (ROLES / role).rglob("*"):
        if file.suffix in (".yml", ".j2"):
            assert not re.search("ansible_(distribution|os_family|hostname)", file.read_text()), file


def test_every_role_has_a_scenario_or_says_what_runs_it_instead() -> None:
    tests = without_scenario()
    scenarios = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
    assert {*role_names()} - {*tests} == {*role_names()} & scenarios
    assert {*tests} <= {*role_names()}
    assert [test for test in tests.values() if not (ROOT / test).is_file()] == []
