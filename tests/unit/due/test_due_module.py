# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules due and package_choice, run as Ansible runs them, on a host of made-up tools."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.action.due import ActionModule
from ansible_collections.firstlight.cluster.plugins.module_utils.due.files import hash_of_text
from ansible_collections.firstlight.cluster.plugins.modules import due, package_choice

Call = Callable[..., dict[str, Any]]
OWNED = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
RUNNING = "Id=d.service\nNames=d.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    def run(module: ModuleType, **args: Any) -> dict[str, Any]:
        stamps = {"stamps": str(tmp_path / "stamps")} if module is due else {}
        with patch_module_args({**stamps, **args}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A tool that prints a text and writes down that it was asked; returns the list of its calls."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    def make(name: str, output: str = "", code: int = 0) -> Path:
        calls = tmp_path / f"{name}.calls"
        (tmp_path / f"{name}.output").write_text(output)
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {calls}\ncat {tmp_path}/{name}.output\nexit {code}\n')
        path.chmod(0o755)
        return calls

    return make


def test_a_host_that_is_as_wanted(call: Call, tool: Callable[..., Path], tmp_path: Path) -> None:
    queries = tool("dpkg-query", "chrony hi  4.3-2\n", code=1)
    audits = tool("dpkg")
    tool("systemctl", RUNNING)
    file = tmp_path / "file"
    file.write_text("all of it")
    file.chmod(0o644)
    arguments: dict[str, Any] = {
        "packages": [{"name": "chrony", "version": "4.3", "hold": True}],
        "replaced": ["ntp*"],
        "files": [
            {"path": str(file), "content": "all of it", **OWNED},
            {"path": str(tmp_path / "old"), "state": "absent"},
        ],
        "texts": [{"name": "t", "path": str(file), "contains": ["all"]}],
        "services": [{"name": "d", "reads": [str(file)]}],
    }
    first = call(due, **arguments)
    assert first["why"] == ["service d: was last started with another configuration"]
    stamps = tmp_path / "stamps"
    stamps.mkdir()
    (stamps / "d").write_text(first["services"][0]["stamp"])

    found = call(due, **arguments)
    assert found["due"] is found["changed"] is False
    assert found["why"] == found["packages"] == found["files"] == found["texts"] == found["services"] == []
    assert queries.read_text().splitlines()[-1].endswith("chrony ntp*")
    assert not audits.exists(), "half-configured packages are looked for only when something is due"


def test_a_service_waits_for_what_the_kernel_has_loaded(call: Call, tool: Callable[..., Path], tmp_path: Path) -> None:
    tool("systemctl", RUNNING)
    version = tmp_path / "version"
    wanted = {"sysfs": {str(version): "2"}, "services": [{"name": "d", "words": ["2"], "waits_for": [str(version)]}]}
    version.write_text("1\n")
    waiting = call(due, **wanted)
    assert (waiting["sysfs"], [item["state"] for item in waiting["services"]]) == ([str(version)], [""])

    version.write_text("2\n")
    assert [item["state"] for item in call(due, **wanted)["services"]] == ["restarted"]
    # A module that is not loaded keeps nobody waiting.
    version.unlink()
    assert [item["state"] for item in call(due, **wanted)["services"]] == ["restarted"]
    failed = call(due, services=[{"name": "d", "waits_for": ["/sys/none"]}])
    assert failed["msg"] == "services: d: waits for /sys/none, which is not among sysfs. Add it there."


def test_a_host_on_which_everything_is_due(call: Call, tool: Callable[..., Path], tmp_path: Path) -> None:
    tool("dpkg-query", "ntp-old hi  1\nheld-later ii  2\nheld-newer ii  2\n")
    tool("dpkg", "The following packages are only half configured:\n x\n")
    tool("systemctl", "Id=d.service\nNames=d.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n")
    settings, hosts = tmp_path / "daemon.json", tmp_path / "hosts"
    settings.write_text('{"debug": true}')
    hosts.write_text("127.0.1.1 me\n")
    (tmp_path / "thp").write_text("always [madvise] never\n")
    found = call(
        due,
        packages=[
            {"name": "chrony", "repository": "there"},
            {"name": "held-later", "hold": True},
            {"name": "held-newer", "version": "3", "hold": True},
        ],
        replaced=["ntp*"],
        users=[{"name": "nobody-knows-it"}],
        files=[
            {"path": str(settings), "json": {"debug": False}, **OWNED},
            {"path": str(tmp_path / "new"), "content": "", "owner": "nobody-knows-it"},
        ],
        texts=[
            {"name": "n", "path": str(hosts), "lacks": ["^127"], "mode": "u=rw,go="},
            {"name": "menu", "path": str(tmp_path / "grub.cfg"), "made_of": [str(hosts)]},
        ],
        sysctl={"kernel.none_such": 1},
        sysfs={str(tmp_path / "thp*"): "never"},
        services=[{"name": "d", "reads": [str(settings)]}],
    )
    assert found["due"] is True
    assert found["changed"] is False
    assert found["packages"] == [
        {"name": "chrony", "version": "", "hold": False, "repository": "there", "installed": False},
        {"name": "held-newer", "version": "3", "hold": True, "repository": "", "installed": True},
    ]
    assert found["unheld"] == ["held-later"]
    assert "package held-later: is not held" in found["why"]
    assert "half configured" in found["broken"]
    assert found["replaced"] == ["ntp-old"]
    # Also where nothing takes its place: what held it may be gone.
    tool("dpkg-query", "chrony ii  1\nntp-old hi  1\n")
    assert call(due, packages=[{"name": "chrony"}], replaced=["ntp*"])["replaced"] == ["ntp-old"]
    assert found["users"] == ["nobody-knows-it"]
    assert found["files"] == [
        {"path": str(settings), "strangers": []},
        {"path": str(tmp_path / "new"), "strangers": ["owner"]},
    ]
    assert {path: json.loads(text) for path, text in found["merged"].items()} == {str(settings): {"debug": False}}
    assert found["texts"] == ["n", "menu"]
    assert found["sysctl_unknown"] == ["kernel.none_such"]
    assert (found["sysfs"], found["kernel"]) == ([str(tmp_path / "thp*")], os.uname().release)
    assert [(item["name"], item["state"], item["present"]) for item in found["services"]] == [("d", "restarted", False)]
    assert found["why"][0] == "package chrony: is not installed"
    assert f"file {settings}: lacks settings" in found["why"]
    assert json.loads(settings.read_text()) == {"debug": True}, "a look changes nothing"


def test_packages_in_use_wait_until_the_host_is_out_of_service(call: Call, tool: Callable[..., Path]) -> None:
    tool("dpkg-query", "driver hi  570\ndriver-old hi  570\nother ii  1\n")
    audits = tool("dpkg", "half configured: x\n")
    driver = {"name": "driver", "version": "580", "hold": True}
    tools = {"name": "tools"}
    asked = {"packages": [driver, tools], "replaced": ["driver-*"]}

    found = call(due, **asked, in_service=True)
    assert [(item["name"], item["version"], item["installed"]) for item in found["waiting"]] == [
        ("driver", "580", True),
        ("tools", "", False),
    ]
    assert found["packages"] == found["replaced"] == []
    assert found["due"] is False and found["why"][0] == "package driver: has version 570, wanted is 580"
    assert not audits.exists(), "a repair would change packages, too"
    # What nobody's work depends on does not wait, and nothing waits on a host out of service.
    alone = call(due, packages=[tools, {"name": "other", "version": "2"}], in_service=True)
    assert ([item["name"] for item in alone["packages"]], alone["waiting"]) == (["tools", "other"], [])
    taken = call(due, **asked)
    assert ([item["name"] for item in taken["packages"]], taken["waiting"]) == (["driver", "tools"], [])


@pytest.mark.parametrize(
    ("damage", "restarted"),
    [
        (lambda path: path.write_text("{}"), True),
        (lambda path: path.unlink(), True),
        (lambda path: path.chmod(0o600), False),
    ],
)
def test_a_service_that_reads_what_was_changed_by_hand(
    call: Call, tool: Callable[..., Path], tmp_path: Path, damage: Callable[[Path], None], restarted: bool
) -> None:
    tool("systemctl", RUNNING)
    plain, merged = tmp_path / "plain", tmp_path / "merged"
    for path in (plain, merged):
        path.write_text('{"ours": 1}')
        path.chmod(0o644)
    (tmp_path / "stamps").mkdir()

    def look(**reads: Any) -> dict[str, Any]:
        return call(due, files=[{**reads, **OWNED}], services=[{"name": "d", "reads": [reads["path"]]}])

    for path, content in ((plain, {"content": '{"ours": 1}'}), (merged, {"json": {"ours": 1}})):
        (tmp_path / "stamps" / "d").unlink(missing_ok=True)
        (tmp_path / "stamps" / "d").write_text(look(path=str(path), **content)["services"][0]["stamp"])
        assert not look(path=str(path), **content)["due"]
        damage(path)

        found = look(path=str(path), **content)

        assert [item["path"] for item in found["files"]] == [str(path)]
        assert [item["state"] for item in found["services"]] == ["restarted"] * restarted
        assert [item["drifted"] for item in found["services"]] == [True] * restarted


def test_a_service_that_gets_another_configuration_keeps_its_stamp_until_then(
    call: Call, tool: Callable[..., Path], tmp_path: Path
) -> None:
    """A configuration that is refused must not cost the restart of a service that goes on with the old one."""
    tool("systemctl", RUNNING)
    path = tmp_path / "d.conf"
    path.write_text("old")
    path.chmod(0o644)
    (tmp_path / "stamps").mkdir()

    def look(content: str) -> list[dict[str, Any]]:
        files = [{"path": str(path), "content": content, **OWNED}]
        services: list[dict[str, Any]] = call(due, files=files, services=[{"name": "d", "reads": [str(path)]}])[
            "services"
        ]
        return services

    (tmp_path / "stamps" / "d").write_text(look("old")[0]["stamp"])
    assert [(item["state"], item["drifted"]) for item in look("new")] == [("restarted", False)]
    path.write_text("new")
    assert [(item["state"], item["drifted"]) for item in look("new")] == [("restarted", False)]
    assert [(item["state"], item["drifted"]) for item in look("old")] == [("restarted", True)]


def test_a_service_tells_which_keys_of_its_settings_are_new_to_it(
    call: Call, tool: Callable[..., Path], tmp_path: Path
) -> None:
    tool("systemctl", RUNNING)
    path, stamp = tmp_path / "daemon.json", tmp_path / "stamps" / "d"
    stamp.parent.mkdir()
    path.write_text('{"theirs": {"a": 1}, "ours": 1}')
    path.chmod(0o644)

    def look(**ours: Any) -> dict[str, Any]:
        files = [{"path": str(path), "json": ours, **OWNED}]
        [service] = call(due, files=files, services=[{"name": "d", "reads": [str(path)]}])["services"]
        return dict(service)

    assert look(ours=2)["changed_keys"] == [], "nobody knows what it was started with"
    stamp.write_text(look(ours=1)["stamp"])
    assert look(ours=2)["changed_keys"] == ["ours"]
    assert look(theirs={"b": 2}, new=[])["changed_keys"] == ["new", "theirs"]
    # Of a run that was killed after it had written the file nothing is known.
    path.write_text('{"theirs": {"a": 1}, "ours": 2}')
    assert look(ours=2)["changed_keys"] == []


def test_a_dpkg_that_was_interrupted_is_due_alone(call: Call, tool: Callable[..., Path]) -> None:
    tool("dpkg", "half configured: x\n")
    assert call(due)["due"] is False
    found = call(due, audit=True)
    assert found["due"] is True
    assert found["why"] == ["dpkg: was interrupted"]


def test_settings_that_cannot_be_merged_are_named(call: Call, tmp_path: Path) -> None:
    settings = tmp_path / "daemon.json"
    settings.write_text("[]")
    found = call(due, files=[{"path": str(settings), "json": {}, **OWNED}])
    assert found["failed"] is True
    assert found["msg"].startswith(f"{settings} is not a JSON object")


def test_a_service_reads_only_files_that_are_looked_at(call: Call, tool: Callable[..., Path]) -> None:
    tool("systemctl", RUNNING)
    found = call(due, services=[{"name": "d", "reads": ["/etc/none"]}])
    assert found["failed"] is True
    assert "d: reads /etc/none, which is not among files" in found["msg"]


def test_a_tool_that_fails_is_named(call: Call, tool: Callable[..., Path]) -> None:
    tool("systemctl", "System has not been booted with systemd\n", code=1)
    found = call(due, services=[{"name": "d"}])
    assert found["failed"] is True
    assert found["msg"] == "systemctl show ended with 1: System has not been booted with systemd"


def test_a_mode_that_makes_no_sense_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    found = call(due, files=[{"path": str(tmp_path / "f"), "mode": "u+x", **OWNED}])
    assert found["failed"] is True
    assert "'u+x' is no absolute mode" in found["msg"]


def test_contents_stay_on_the_controller() -> None:
    sent: dict[str, Any] = {}

    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        sent.update(module_args, module=module_name)
        return {"changed": False}

    files = [{"path": "/a", "content": "secret"}, {"path": "/b", "state": "directory"}, {"path": "/c", "content": None}]
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={"files": files, "audit": True}, async_val=0, check_mode=False, diff=False)
    action._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    action._execute_module = execute  # type: ignore[method-assign]
    action._make_tmp_path = lambda: None  # type: ignore[method-assign]
    assert action.run(task_vars={}) == {"changed": False}
    assert sent == {
        "module": "firstlight.cluster.due",
        "audit": True,
        "files": [
            {"path": "/a", "sha256": hash_of_text("secret")},
            {"path": "/b", "state": "directory"},
            {"path": "/c", "sha256": hash_of_text("")},
        ],
    }
    assert files[0]["content"] == "secret", "the task that writes the file needs it"


def test_a_choice_among_what_is_offered(call: Call, tool: Callable[..., Path]) -> None:
    calls = tool("apt-cache", " p | 2-1 | there\n p | 1-1 | there\n")
    found = call(package_choice, packages=[{"name": "p", "version": "1"}, {"name": "q"}], repository="there")
    assert found["specifiers"] == ["p=1-1"]
    assert found["absent"] == ["q"]
    assert found["message"] == "q is not in there, which offers no version of it."
    assert found["offered"] == {"p": ["2-1", "1-1"]}
    assert found["changed"] is False
    # In check mode too, apt-cache would write its caches.
    assert calls.read_text().split() == [
        "--option",
        "Dir::Cache::pkgcache=",
        "--option",
        "Dir::Cache::srcpkgcache=",
        "madison",
        "p",
        "q",
    ]


def test_lists_that_cannot_be_read_are_no_empty_offer(call: Call, tool: Callable[..., Path]) -> None:
    tool("apt-cache", code=100)
    found = call(package_choice, packages=[{"name": "p"}])
    assert found["failed"] is True
    assert found["msg"].startswith("apt-cache madison ended with 100")
