# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the callback leaves on the disk at the end of a run, also when something is wrong with the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.callback import progress
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import Gate, RunDirectory

RUN = "20261123T141000Z-ab12cd"


class Screen:
    """What a person sees."""

    verbosity = 0

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def display(self, text: str, **_how: Any) -> None:
        self.lines.append(text)

    def warning(self, text: str, **_how: Any) -> None:
        self.warnings.append(text)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def callback(tmp_path: Path, screen: Screen) -> progress.CallbackModule:
    """At the end of a run that judged node01 fit."""
    made = progress.CallbackModule(display=screen)
    made._plugin_options = {"display_ok_hosts": False}
    made._playbook = "health"
    made._run = RunDirectory(tmp_path / RUN)
    made._nodes = {"node01": {"class": "c", "serial": "s", "location": "r1/1"}}
    made._phases = [progress.Phase("health")]
    made._run.record_gate(Gate("health", passed=["node01"]))
    return made


def end(callback: progress.CallbackModule, failed: tuple[str, ...] = ()) -> None:
    callback.v2_playbook_on_stats(SimpleNamespace(failures=dict.fromkeys(failed, 1), dark={}, processed={}))


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def failure(host: str, result: dict[str, Any], run_once: bool = False) -> Any:
    task = SimpleNamespace(get_name=lambda: "Install the driver", run_once=run_once)
    return SimpleNamespace(host=SimpleNamespace(get_name=lambda: host), task=task, result=result)


def test_report_and_page_lie_side_by_side_and_are_the_latest(
    callback: progress.CallbackModule, screen: Screen, tmp_path: Path
) -> None:
    end(callback)
    assert files(tmp_path / "latest") == ["gates", "junit.xml", "report.html", "report.json", "report.txt"]
    assert screen.lines[-2:] == [f"Report: {tmp_path / RUN / 'report.json'}", f"Page: {tmp_path / RUN / 'report.html'}"]
    assert (tmp_path / RUN / "report.html").stat().st_mode & 0o777 == 0o644
    assert not screen.warnings


@pytest.mark.parametrize(
    ("phases", "said"),
    [(["health"], "1 fit of 1"), (["preflight", "configure"], "1 passed of 1"), (["admit"], "1 admitted of 1")],
)
def test_the_last_lines_call_nodes_admitted_only_where_they_are(
    callback: progress.CallbackModule, screen: Screen, phases: list[str], said: str
) -> None:
    assert callback._run
    callback._phases = [progress.Phase(name) for name in phases]
    callback._run.record_gate(Gate(phases[-1], passed=["node01"]))
    end(callback)
    assert f"\nhealth: {said}" in screen.lines


def test_latest_is_switched_when_the_page_is_there(
    callback: progress.CallbackModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []
    monkeypatch.setattr(
        progress, "_point_at", lambda link, target: there.append((tmp_path / target / "report.html").exists())
    )
    end(callback)
    assert there == [True]


@pytest.mark.parametrize(
    ("form", "file"),
    [("report_page", "report.html"), ("report_text", "report.txt"), ("report_junit", "junit.xml")],
)
@pytest.mark.parametrize("moment", ["rendering", "writing"])
def test_a_form_that_fails_costs_nothing_but_its_file(
    callback: progress.CallbackModule,
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    form: str,
    file: str,
) -> None:
    def full(*_arguments: object) -> str:
        raise OSError(28, "No space left on device")

    half: Callable[..., str] = full if moment == "rendering" else lambda *_arguments: "half of it \udc80"
    monkeypatch.setattr(getattr(progress, form), "render", half)
    end(callback)
    assert json.loads((tmp_path / "latest" / "report.json").read_text(encoding="utf-8"))["summary"]["admitted"] == 1
    assert files(tmp_path / "latest") == sorted(
        {"gates", "junit.xml", "report.html", "report.json", "report.txt"} - {file}
    )
    assert f"Report: {tmp_path / RUN / 'report.json'}" in screen.lines
    assert ("Page: " in screen.lines[-1]) is (file != "report.html")
    (warning,) = screen.warnings
    assert f"{file} could not be written" in warning


def test_what_stopped_the_run_is_told_once_with_its_hosts(callback: progress.CallbackModule, tmp_path: Path) -> None:
    for host in ("head02", "head01", "node01"):
        callback.v2_runner_on_failed(failure(host, {"msg": "no such package"}))
    callback.v2_runner_on_failed(failure("node01", {"msg": "ignored"}), ignore_errors=True)
    end(callback, failed=("head02", "head01"))
    report = json.loads((tmp_path / "latest" / "report.json").read_text(encoding="utf-8"))
    assert report["completed"] is False
    assert report["stopped_by"] == [
        {"phase": "health", "task": "Install the driver", "hosts": ["head01", "head02"], "message": "no such package"}
    ]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"msg": "no"}, "no"),
        ({"msg": "non-zero return code", "stderr": "E: no space"}, "non-zero return code\nE: no space"),
        ({"msg": "items", "results": [{"failed": True, "msg": "b"}, {"msg": "a"}, {"failed": True, "msg": "b"}]}, "b"),
        ({"censored": "the output has been hidden"}, "the output has been hidden"),
        ({}, "no message"),
    ],
)
def test_the_message_of_a_failed_task(result: dict[str, Any], message: str) -> None:
    assert progress.message(result) == message


def test_a_message_without_end_is_cut() -> None:
    assert len(progress.message({"msg": "x" * 1_000_000})) < 5000


def said(action: str, result: dict[str, Any], run_once: bool = False) -> Any:
    task = SimpleNamespace(action=action, run_once=run_once)
    host = SimpleNamespace(get_name=lambda: "node01")
    return SimpleNamespace(host=host, task=task, result=result, is_changed=lambda: bool(result.get("changed")))


def test_what_a_task_tells_is_shown_once_though_nothing_changed(
    callback: progress.CallbackModule, screen: Screen
) -> None:
    callback.v2_runner_on_ok(said("ansible.builtin.debug", {"msg": "one is idle"}))
    callback.v2_runner_on_ok(said("ansible.builtin.debug", {"msg": "two are idle"}, run_once=True))
    assert screen.lines == ["node01: one is idle", "two are idle"]
    callback._plugin_options = {"display_ok_hosts": True}
    callback.v2_runner_on_ok(said("ansible.builtin.debug", {"msg": "shown by Ansible itself"}))
    assert len(screen.lines) == 2


@pytest.mark.parametrize(
    ("action", "result"),
    [
        pytest.param("ansible.builtin.debug", {"msg": "would", "changed": True}, id="shown by Ansible itself"),
        pytest.param("ansible.builtin.debug", {"censored": "hidden"}, id="secret"),
        pytest.param("ansible.builtin.command", {"msg": "done"}, id="another action"),
    ],
)
def test_nothing_else_is_shown(
    callback: progress.CallbackModule, screen: Screen, action: str, result: dict[str, Any]
) -> None:
    callback.v2_runner_on_ok(said(action, result))
    assert screen.lines == []
