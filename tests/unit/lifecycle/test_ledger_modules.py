# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules ledger and ledger_info, run as Ansible runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.modules import ledger, ledger_info

Call = Callable[..., dict[str, Any]]
FAILED = {"check": "gpu.count", "component": "host", "verdict": "fail", "summary": "7 of 8 GPUs answer"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "ledger.db")


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], path: str) -> Call:
    def run(module: ModuleType, **args: Any) -> dict[str, Any]:
        with patch_module_args({"path": path, **args}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


def test_record_and_read(call: Call) -> None:
    states = {"node01": "in_service", "node02": {"state": "set_aside", "class": "h100", "serial": "S2"}}
    args = {"run": "run1", "phase": "admit", "states": states, "findings": {"node02": [FAILED], "node01": []}}
    first = call(ledger, **args)
    assert first["changed"] is True
    assert first["diff"] == {
        "before": {"node01": None, "node02": None},
        "after": {"node01": "in_service", "node02": "set_aside"},
    }
    assert call(ledger, **args)["changed"] is False
    read = call(ledger_info, history=True, export=True)
    assert read["changed"] is False
    assert read["nodes"]["node02"]["reason"] == "fail gpu.count host: 7 of 8 GPUs answer"
    assert (read["nodes"]["node02"]["class"], read["nodes"]["node02"]["serial"]) == ("h100", "S2")
    assert [each["check"] for each in read["findings"]["node02"]] == ["gpu.count"]
    assert read["history"]["node01"][0]["to_state"] == "in_service"
    assert read["export"]["schema"] == 2
    only = call(ledger_info, nodes=["node01"])
    assert list(only["nodes"]) == ["node01"]
    assert only["findings"] == {}


def test_findings_alone_are_no_change(call: Call) -> None:
    result = call(ledger, run="run1", phase="health", findings={"node02": [FAILED]})
    assert result["changed"] is False
    assert call(ledger_info)["findings"]["node02"]


def test_passes_close_findings(call: Call) -> None:
    call(ledger, run="run1", phase="health", findings={"node02": [FAILED]})
    call(ledger, run="run2", phase="health", passed=[{"nodes": ["node01"], "checks": {"gpu.count": ["*"]}}])
    assert call(ledger_info)["findings"]["node02"], "another node's"
    both = [
        {"nodes": ["node01", "node02"], "checks": {"gpu.count": ["host"]}},
        {"nodes": ["node02"], "checks": {"disk.free": ["*"]}},
    ]
    call(ledger, run="run3", phase="health", passed=both)
    read = call(ledger_info, export=True)
    assert read["findings"] == {}
    assert {(row["node"], row["check_id"]) for row in read["export"]["passes"]} >= {
        ("node02", "gpu.count"),
        ("node02", "disk.free"),
    }


def test_check_mode_tells_and_makes_no_file(call: Call, path: str) -> None:
    args = {"run": "run1", "phase": "admit", "states": {"node01": "in_service"}, "_ansible_check_mode": True}
    told = call(ledger, **args)
    assert told["changed"] is True
    assert told["transitions"][0]["after"] == "in_service"
    assert not Path(path).parent.exists()
    assert call(ledger_info)["exists"] is False
    assert not Path(path).parent.exists()


def test_check_mode_knows_what_the_ledger_holds(call: Call) -> None:
    args = {"run": "run1", "phase": "admit", "states": {"node01": "in_service"}}
    call(ledger, **args)
    assert call(ledger, _ansible_check_mode=True, **args)["changed"] is False
    moved = call(ledger, _ansible_check_mode=True, run="run2", phase="health", states={"node01": "set_aside"})
    assert moved["changed"] is True
    assert call(ledger_info)["nodes"]["node01"]["state"] == "in_service"


def test_a_refused_state_fails_and_the_rest_is_written(call: Call) -> None:
    call(ledger, run="run1", phase="quarantine", states={"node01": {"state": "quarantined", "reason": "vendor"}})
    result = call(ledger, run="run2", phase="admit", states={"node01": "in_service", "node02": "in_service"})
    assert result["failed"] is True
    assert "node01" in result["msg"]
    assert "release" in result["msg"]
    assert call(ledger_info)["nodes"]["node02"]["state"] == "in_service"
    released = call(ledger, run="run3", phase="release", states={"node01": {"state": "set_aside", "step": "release"}})
    assert released["changed"] is True


def test_two_operators(call: Call) -> None:
    first = call(ledger, run="run1", operator="alice@ctl", lock=["node01", "node02"], lock_seconds=60)
    assert first["changed"] is False
    assert [each["node"] for each in first["locks"]] == ["node01", "node02"]
    second = call(ledger, run="run2", operator="bob@ctl", lock=["node02"], phase="x", states={"node03": "in_service"})
    assert second["failed"] is True
    assert "alice@ctl" in second["msg"]
    assert first["locks"][1]["expires"] in second["msg"]
    assert second["held"]["node02"]["owner"] == "alice@ctl"
    assert call(ledger_info)["nodes"] == {}
    assert (
        call(ledger, run="run2", operator="bob@ctl", lock=["node02"], dead_runs=["run1"])["locks"][0]["run"] == "run2"
    )
    call(ledger, run="run2", unlock=["node01", "node02"])
    assert call(ledger_info)["locks"] == {}, "run1 is over, so node01 is free as well"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"phase": "p", "states": {"n1": "in_servce"}}, "states.n1: 'in_servce' is none of planned"),
        ({"phase": "p", "states": {"n1": {"reason": "x"}}}, "states.n1: must be"),
        ({"phase": "p", "states": {"n1": {"state": "deployed", "steps": 1}}}, "states.n1: unknown key steps"),
        ({"phase": "p", "states": {"n1": {"state": "deployed", "step": "up"}}}, "'up' is none of forward"),
        ({"phase": "p", "findings": {"n1": [{"check": "a"}]}}, "findings.n1: finding without the key"),
        ({"phase": "p", "findings": {"n1": [{**FAILED, "verdict": "bad"}]}}, "findings.n1: 'bad'"),
        ({"phase": "p", "findings": {"n1": "text"}}, "findings.n1"),
        (
            {"phase": "p", "passed": [{"nodes": ["n1"], "checks": {"gpu.count": "*"}}]},
            "passed[0].checks.gpu.count: must be a list of components",
        ),
        ({"phase": "p", "passed": {"n1": {"gpu.count": ["*"]}}}, "passed"),
        ({"states": {"n1": "deployed"}}, "phase: is needed"),
        ({"lock_seconds": 0}, "lock_seconds"),
    ],
)
def test_bad_input_is_named_and_nothing_is_made(call: Call, path: str, args: dict[str, Any], words: str) -> None:
    result = call(ledger, run="run1", **args)
    assert result["failed"] is True
    assert words in result["msg"]
    assert not Path(path).exists()


def test_all_bad_input_is_named_at_once(call: Call) -> None:
    message = call(ledger, run="r", states={"n1": "x"}, findings={"n2": [{}]}, lock_seconds=-1)["msg"]
    assert all(word in message for word in ("states.n1", "findings.n2", "phase:", "lock_seconds:"))


def test_a_damaged_ledger_is_named(call: Call, path: str) -> None:
    Path(path).parent.mkdir()
    Path(path).write_text("no database " * 100)
    for result in (call(ledger, run="r"), call(ledger_info)):
        assert result["failed"] is True
        assert path in result["msg"]


PARTS = {
    "node02": {"gpu": {"complete": True, "parts": [{"slot": "s1", "component": "gpu:1", "serial": "A", "uid": "U"}]}}
}


def test_parts_and_actions_are_written_and_told(call: Call) -> None:
    actions = [{"node": "node02", "action": "drained", "detail": "a GPU"}]
    first = call(ledger, run="run1", phase="health", states={"node02": "set_aside"}, parts=PARTS, actions=actions)
    assert first["drained"] == ["node02"]
    swapped = {"node02": {"gpu": {"complete": True, "parts": [{"slot": "s1", "component": "gpu:1", "serial": "B"}]}}}
    assert call(ledger, run="run2", phase="health", parts=swapped)["changed"] is False
    read = call(
        ledger_info,
        history=True,
        parts=True,
        part="A",
        compare={"node": "node02", "before": "run1", "after": None},
        repeat={"times": 1, "days": 1},
        weeks=1,
        roster=["node01", "node02"],
    )
    assert [action["action"] for action in read["actions"]["node02"]] == ["drained", "part_swapped"]
    assert [part["serial"] for part in read["parts"]["node02"]] == ["B"]
    assert [stay["node"] for stay in read["part"][0]["stays"]] == ["node02"]
    assert [part["serial"] for part in read["comparison"]["removed"]] == ["A"]
    assert [entry["node"] for entry in read["repeat"]["nodes"]] == ["node02"]
    assert (read["weeks"][0]["nodes"], read["weeks"][0]["rate"]) == (2, 0.5)


def test_a_comparison_that_cannot_be_made_is_named(call: Call) -> None:
    result = call(ledger_info, compare={"node": "node02", "before": "run1"})
    assert result["failed"] is True
    assert "node02: no reading of its parts" in result["msg"]


def test_held_nodes_can_be_left_out(call: Call) -> None:
    call(ledger, run="run1", operator="alice@ctl", lock=["node01"])
    args = {"run": "run2", "operator": "bob@ctl", "lock": ["node01", "node02"], "phase": "x", "when_held": "skip"}
    states = {"node01": "set_aside", "node02": "set_aside"}
    result = call(ledger, **args, states=states)
    assert not result.get("failed")
    assert [lock["node"] for lock in result["locks"]] == ["node02"]
    assert (list(result["held"]), result["held"]["node01"]["owner"]) == (["node01"], "alice@ctl")
    assert list(call(ledger_info)["nodes"]) == ["node02"]
    refused = call(ledger, run="run3", phase="x", states=states)
    assert refused["failed"] is True
    assert "node01: it is held by alice@ctl (run run1)" in refused["msg"]
    assert call(ledger, run="run2", unlock_all=True)["unlocked"] == ["node02"]
    assert list(call(ledger_info)["locks"]) == ["node01"]


def test_check_mode_takes_no_lock(call: Call, path: str) -> None:
    told = call(ledger, run="run1", operator="alice@ctl", lock=["node01"], _ansible_check_mode=True)
    assert [lock["node"] for lock in told["locks"]] == ["node01"]
    assert not Path(path).exists()
    call(ledger, run="run1", operator="alice@ctl", lock=["node01"])
    told = call(ledger, run="run2", lock=["node01"], when_held="skip", _ansible_check_mode=True)
    assert list(told["held"]) == ["node01"]
    assert [lock["run"] for lock in call(ledger_info)["locks"].values()] == ["run1"]


def test_backup_restore_and_export(call: Call, path: str, tmp_path: Path) -> None:
    call(ledger, run="run1", phase="admit", states={"node01": "in_service"})
    folder, out = str(tmp_path / "backups"), str(tmp_path / "out")
    assert call(ledger, backup=folder, _ansible_check_mode=True)["changed"] is True
    assert not Path(folder).exists()
    made = call(ledger, backup=folder)
    [copy] = made["files"]
    assert made["changed"] is True
    call(ledger, run="run2", phase="admit", states={"node02": "in_service"})
    assert call(ledger, restore=copy, _ansible_check_mode=True)["replaced"] == ""
    assert sorted(call(ledger_info)["nodes"]) == ["node01", "node02"]
    replaced = call(ledger, restore=copy)["replaced"]
    assert Path(replaced).exists()
    assert list(call(ledger_info)["nodes"]) == ["node01"]
    for check in (True, False):
        exported = call(ledger, export=out, export_format="csv", _ansible_check_mode=check)
        assert exported["changed"] is True
        assert str(tmp_path / "out" / "stays.csv") in exported["files"]
        assert Path(out).exists() is not check
    assert call(ledger, export=out, export_format="csv")["changed"] is False
    refused = call(ledger, restore=str(tmp_path / "nothing.db"))
    assert refused["failed"] is True
    assert "there is no backup of a ledger" in refused["msg"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"lock": ["n1"]}, "run: is needed"),
        ({"run": "r", "actions": [{"node": "n1", "action": "drained"}]}, "phase: is needed"),
        ({"run": "r", "phase": "p", "actions": [{"node": "n1", "action": "Was drained"}]}, "actions[0].action"),
        ({"run": "r", "phase": "p", "parts": {"n1": {"gpu": []}}}, "parts.n1: gpu: must be"),
        ({"run": "r", "phase": "p", "parts": {"n1": {"gpu": {"parts": [{"slot": "s"}]}}}}, "`serial` or `uid`"),
        ({"run": "r", "phase": "p", "parts": {"n1": {"gpu": {"parts": [{"slto": "s"}]}}}}, "unknown key slto"),
        ({"run": "r", "phase": "p", "parts": {"n1": "x"}}, "parts.n1"),
        ({"backup_keep": 0, "backup": "/nowhere"}, "backup_keep"),
    ],
)
def test_bad_parts_actions_and_copies_are_named(call: Call, path: str, args: dict[str, Any], words: str) -> None:
    result = call(ledger, **args)
    assert result["failed"] is True
    assert words in result["msg"]
    assert not Path(path).exists()
