# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever may hold a secret says so, and whatever handles one is not logged: modules, actions, roles, playbooks."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = "ansible_collections.firstlight.cluster.plugins"
SECRET_NAME = re.compile(
    r"(^|_)(key|keys|pass|passwd|password|passphrase|token|secret|secrets|credential|credentials|private|htpasswd|psk)(_|$)"
)
SECRET_TEXT = re.compile(r"private key|api key|password|passphrase|secret|token|credential", re.IGNORECASE)

# Options that only look like secrets, and why they are none.
HARMLESS_OPTIONS = {
    "maas_ssh_key.keys": "public keys",
    "preflight.secret_files": "paths",
    "ssh_host_certificates.hosts": "names and principals; the keys are in the result",
    "ssh_host_certificates.valid_days": "a number",
}
# Options that do not look like it and may hold secrets.
SECRET_OPTIONS = {
    "maas_config.settings": "the key of BMCs, passwords in URLs of proxies",
    "maas_machine.machines.power_parameters": "the password of a BMC, by whatever name MAAS has for it",
    "maas_machine.machines.user_data": "private host keys, and whatever a site adds",
}
HARMLESS_VARIABLES = {
    "cluster_ssh_key_host": "name of a host",
    "cluster_ssh_host_authorities": "public keys",
    "maas_config_ssh_keys": "public keys",
    "authorized_keys": "public keys",
}
# What of a secret's result may be shown.
HARMLESS_USE = re.compile(r"\.(checksum|rc)\b| is (not )?(changed|skipped|defined|succeeded|failed)\b")
ASKED_ONLY = re.compile(r"\bif \w+ else\b")


def python_files(kind: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "plugins" / kind).glob("*.py") if path.stem != "__init__")


# Imported while tests are collected: once another test has made Ansible's loader, Python's own is out of use.
PLUGINS: dict[tuple[str, str], Any] = {
    (kind, name): importlib.import_module(f"{COLLECTION}.{kind}.{name}")
    for kind in ("modules", "action", "doc_fragments")
    for name in python_files(kind)
}


class Called(Exception):
    """Carries the argument spec that a plugin asked for."""


def argument_spec(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a module or an action plugin passes to Ansible for validation."""

    def tell(*arguments: Any, argument_spec: dict[str, Any], **others: Any) -> None:
        raise Called(argument_spec)

    plugin = PLUGINS[kind, name]
    with pytest.raises(Called) as caught:
        if kind == "modules":
            monkeypatch.setattr(plugin, "AnsibleModule", tell)
            plugin.main()
        else:
            monkeypatch.setattr(ActionBase, "run", lambda *arguments, **others: {})
            monkeypatch.setattr(ActionBase, "validate_argument_spec", tell)
            plugin.ActionModule.__new__(plugin.ActionModule).run(None, {})
    return dict(caught.value.args[0])


def flat(options: dict[str, Any], key: str, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield f"{prefix}.{name}", option
        yield from flat(option.get(key) or {}, key, f"{prefix}.{name}")


def documented(name: str) -> dict[str, str]:
    """The description of each option of a module, those of the collection's fragments included."""
    document = yaml.safe_load(PLUGINS["modules", name].DOCUMENTATION)
    options = document.get("options") or {}
    for fragment in document.get("extends_documentation_fragment", []):
        _, own, fragment_name = fragment.rpartition("firstlight.cluster.")
        if own:
            file, _, part = fragment_name.partition(".")
            shared = getattr(PLUGINS["doc_fragments", file].ModuleDocFragment, part.upper() or "DOCUMENTATION")
            options |= yaml.safe_load(shared)["options"]
    found = flat(options, "suboptions", name)
    return {option: " ".join(" ".join(told["description"]).split()) for option, told in found}


def plugins_with_options() -> list[tuple[str, str]]:
    """Modules, each through whatever reads its options: itself, or the action of its name."""
    actions = python_files("action")
    return [("action" if name in actions else "modules", name) for name in python_files("modules")]


def is_closed(option: dict[str, Any]) -> bool:
    """Ansible shows neither a value that is not logged nor anything but the name of a file."""
    kind = option.get("elements") if option.get("type") == "list" else option.get("type", "str")
    return option.get("no_log") is True or kind in ("path", "bool", "int", "float")


@pytest.mark.parametrize(("kind", "name"), plugins_with_options())
def test_options_that_may_hold_secrets_are_not_logged(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptions = documented(name)
    options = dict(flat(argument_spec(kind, name, monkeypatch), "options", name))
    assert set(options) <= set(descriptions)
    for path, option in options.items():
        suspect = SECRET_NAME.search(path.rpartition(".")[2]) or SECRET_TEXT.search(descriptions[path])
        if path in SECRET_OPTIONS or (suspect and path not in HARMLESS_OPTIONS and "options" not in option):
            assert is_closed(option), path


def test_the_exceptions_are_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        path
        for kind, name in plugins_with_options()
        for path, _ in flat(argument_spec(kind, name, monkeypatch), "options", name)
    }
    assert set(HARMLESS_OPTIONS) | set(SECRET_OPTIONS) <= known
    assert set(HARMLESS_VARIABLES) <= {path.rpartition(".")[2] for role in roles() for path, _ in variables(role)}


# -- roles and playbooks ---------------------------------------------------------------------------


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def roles() -> list[str]:
    return sorted(path.parts[-3] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))


def variables(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Variables of a role, those inside of dictionaries too."""
    for spec in load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"].values():
        yield from flat(spec.get("options", {}), "options", role)


def secret_variables() -> set[str]:
    return {
        path.rpartition(".")[2] for role in roles() for path, option in variables(role) if option.get("no_log") is True
    }


@pytest.mark.parametrize("role", roles())
def test_variables_that_may_hold_secrets_are_declared(role: str) -> None:
    for path, option in variables(role):
        name = path.rpartition(".")[2]
        suspect = SECRET_NAME.search(name) or SECRET_TEXT.search(str(option["description"]))
        if suspect and name not in HARMLESS_VARIABLES and "options" not in option:
            assert is_closed(option), path


def tasks(entries: list[dict[str, Any]], hidden: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """All tasks of a file, those in blocks and in plays too, each with whether it is not logged."""
    for entry in entries:
        unlogged = hidden or entry.get("no_log") is True
        yield entry, unlogged
        for section in ("block", "rescue", "always", "pre_tasks", "tasks", "post_tasks", "handlers"):
            yield from tasks(entry.get(section) or [], unlogged)


def task_files() -> list[Path]:
    return sorted(
        path
        for pattern in ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml", "playbooks/tasks/*.yml")
        for path in ROOT.glob(pattern)
    )


def shown(task: dict[str, Any]) -> str:
    """The templates of a task whose values Ansible prints: in its name, options and loop; conditions are not."""
    hidden = ("when", "until", "failed_when", "changed_when", "block", "rescue", "always", "tasks", "register")
    options = {key: value for key, value in task.items() if key not in hidden}
    for action in [key for key in options if key.startswith("firstlight.cluster.bmc_")]:
        # Ansible shows none of them: test_options_that_may_hold_secrets_are_not_logged sees to that.
        options[action] = {key: value for key, value in options[action].items() if not SECRET_NAME.search(key)}
    for action in ("ansible.builtin.assert", "assert"):
        options[action] = {key: value for key, value in (options.get(action) or {}).items() if key != "that"}
    text = yaml.safe_dump(options, width=10**6, allow_unicode=True)
    templates = " ".join(re.findall(r"\{\{.*?\}\}|\{%.*?%\}|\bvar: [^\n]*", text, re.DOTALL))
    return HARMLESS_USE.sub(" SHOWN", ASKED_ONLY.sub("if it else", templates))


def uses(task: dict[str, Any], names: set[str]) -> list[str]:
    """Those of the variables whose values the task would print; what of them may be shown does not count."""
    return sorted(name for name in names if re.search(rf"\b{re.escape(name)}\b(?! SHOWN)", shown(task)))


def unhidden(entries: list[dict[str, Any]], names: set[str]) -> list[tuple[str, list[str]]]:
    """Tasks that are logged and print a secret: one of `names`, or the result of a task that is not logged."""
    every = list(tasks(entries))
    results = {task["register"] for task, hidden in every if hidden and "register" in task}
    found = [(task.get("name", "?"), uses(task, names | results)) for task, hidden in every if not hidden]
    return [(name, used) for name, used in found if used]


@pytest.mark.parametrize("path", task_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_tasks_that_handle_secrets_are_not_logged(path: Path) -> None:
    entries = load(path) or []
    neighbours = [load(file) or [] for file in path.parent.glob("*.yml")] if "roles" in path.parts else [entries]
    results = {task["register"] for file in neighbours for task, hidden in tasks(file) if hidden and "register" in task}
    assert unhidden(entries, secret_variables() | results) == []


def role_secrets(role: str) -> set[str]:
    """Declared secrets, results of tasks of the role that are not logged, and plain variables made of these."""
    found = secret_variables()
    for path in (ROOT / "roles" / role / "tasks").glob("*.yml"):
        found |= {task["register"] for task, hidden in tasks(load(path) or []) if hidden and "register" in task}
    plain = {name: value for name, value in role_variables(role).items() if isinstance(value, str)}
    while True:
        more = {name for name, value in plain.items() if name not in found and uses({"value": value}, found)}
        if not more:
            return found
        found |= more


def role_variables(role: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        path = ROOT / "roles" / role / folder / "main.yml"
        known |= (load(path) or {}) if path.exists() else {}
    return known


def files(value: Any) -> Iterator[dict[str, Any]]:
    """Files that a role wants, wherever they stand in its variables."""
    if isinstance(value, dict):
        if "path" in value and "content" in value:
            yield value
        value = list(value.values())
    for member in value if isinstance(value, list) else ():
        yield from files(member)


def open_files(variables: dict[str, Any], names: set[str]) -> list[str]:
    """Files with a secret in them that would be logged, or that others could read."""
    secret = [file for file in files(variables) if uses({"content": file["content"]}, names)]
    closed = re.compile(r"u=[rwx]+,(g=r?,)?g?o=|0?6[04]0")
    return [
        file["path"]
        for file in secret
        if file.get("secret") is not True or not closed.fullmatch(str(file.get("mode", "")))
    ]


@pytest.mark.parametrize("role", roles())
def test_files_that_hold_secrets_say_so_and_are_closed(role: str) -> None:
    assert open_files(role_variables(role), role_secrets(role)) == []


def test_files_that_say_so_are_written_without_log_and_diff() -> None:
    loops = {
        str(task["loop"]): (hidden, task.get("diff"))
        for path in (ROOT / "roles" / "common" / "tasks").glob("*.yml")
        for task, hidden in tasks(load(path))
        if "content" in task.get("ansible.builtin.copy", {}) and "__common_files_due" in str(task.get("loop"))
    }
    assert (True, False) in loops.values()
    for loop, how in loops.items():
        assert how == (True, False) or "rejectattr('secret', 'defined')" in loop, loop


@pytest.mark.parametrize(
    ("file", "is_open"),
    [
        ({"mode": "u=rw,go=", "secret": True}, False),
        ({"mode": "u=rw,g=r,o=", "secret": True}, False),
        ({"mode": "u=rw,go="}, True),
        ({"mode": "u=rw,go=r", "secret": True}, True),
        ({"secret": True}, True),
    ],
)
def test_the_rule_of_files_finds_what_breaks_it(file: dict[str, Any], is_open: bool) -> None:
    wanted = {"x": [{"path": "/x", "content": "{{ the_secret }}", **file}], "y": {"path": "/y", "content": "y"}}
    assert open_files(wanted, {"the_secret"}) == (["/x"] if is_open else [])


def test_the_roles_have_secrets() -> None:
    """The test above would hold of roles that declare none."""
    assert {"registry_tls_key", "registry_htpasswd"} <= secret_variables()
    assert "__cluster_ssh_private_key" in role_secrets("cluster_ssh")
    for role in ("registry", "cluster_ssh"):
        assert [file for file in files(role_variables(role)) if uses({"content": file["content"]}, role_secrets(role))]


GOOD = """
- name: Hidden
  ansible.builtin.copy: {content: "{{ the_secret }}", dest: /x}
  no_log: true
  register: written
- name: Only what may be shown
  ansible.builtin.debug: {msg: "{{ written.checksum }}"}
  when: the_secret | length > 0
- name: Hidden as a whole
  no_log: true
  block:
    - {name: Inside, ansible.builtin.debug: {msg: "{{ the_secret }}"}}
- name: Assert
  ansible.builtin.assert: {that: "the_secret is search('x')", fail_msg: set the_secret}
"""


@pytest.mark.parametrize(
    "task",
    [
        '{name: Bad, ansible.builtin.copy: {content: "{{ the_secret }}", dest: /x}}',
        '{name: Bad, ansible.builtin.debug: {msg: "{{ item }}"}, loop: "{{ [the_secret] }}"}',
        '{name: Bad, block: [{name: Inner, vars: {x: "{{ the_secret }}"}, ansible.builtin.debug: {msg: "{{ x }}"}}]}',
        '{name: Bad, ansible.builtin.debug: {msg: "{{ written.content }}"}}',
        '{name: Bad, ansible.builtin.assert: {that: the_secret, fail_msg: "{{ the_secret }}"}}',
        "{name: Bad, ansible.builtin.debug: {var: the_secret}}",
    ],
)
def test_the_rules_find_what_breaks_them(task: str) -> None:
    assert unhidden(yaml.safe_load(GOOD), {"the_secret"}) == []
    assert unhidden(yaml.safe_load(f"{GOOD}- {task}"), {"the_secret"})
