# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_health with what the agent found last: taken where it is as good as a reading, else the node is read."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.firstlight.cluster.plugins.action.node_health import ActionModule
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import expected_checks
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.agent import fingerprint
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import health_of

from tests.unit.health.health_factory import healthy, node_class, put

WANTED = node_class()
OBSERVED = healthy()
UPTIME: float = OBSERVED["readers"]["host"]["data"]["uptime_seconds"]
BOOT: str = OBSERVED["readers"]["host"]["data"]["boot_id"]
OTHERS = [check for check in expected_checks(WANTED) if not check.startswith("agent.")]


def left(age: float = 100.0, **other: Any) -> dict[str, Any]:
    """A full pass that saw a GPU fail, which the node does not show now."""
    seen = healthy()
    put("nvml|gpus|3|temperature_c", 99)(seen)
    findings = [each.to_dict() for each in health_of(seen, WANTED, OTHERS)]
    return {
        "boot_id": BOOT,
        "uptime": UPTIME - age,
        "class": "test",
        "class_sha256": fingerprint(WANTED),
        "findings": findings,
        **other,
    }


def judged(monkeypatch: pytest.MonkeyPatch, of_agent: Any, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """What the task returns, and the modules that it ran."""
    monkeypatch.delenv("FIRSTLIGHT_RUN_DIRECTORY", raising=False)
    ran = []

    def execute(module_name: str, **_others: Any) -> dict[str, Any]:
        ran.append(module_name.rpartition(".")[2])
        if module_name.endswith("node_observation"):
            return {"observation": json.dumps(OBSERVED)}
        if isinstance(of_agent, BaseException):
            raise of_agent
        if "passes" not in of_agent:
            return dict(of_agent)
        return {"content": json.dumps({**of_agent, "observation": OBSERVED})}

    task = MagicMock(args={"node_class": WANTED, **options}, async_val=0, check_mode=False)
    action = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    monkeypatch.setattr(action, "_execute_module", execute)
    return action.run(task_vars={"inventory_hostname": "node01"}), ran


def failed(result: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["check"], each["component"]) for each in result["findings"] if each["verdict"] == "fail"}


def test_what_the_agent_found_is_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    result, ran = judged(monkeypatch, {"passes": {"full": left(), "light": None}}, source="agent")
    assert (ran, result["read_anew"], result["verdict"]) == (["node_agent_info"], "", "fail")
    assert failed(result) == {("gpu.temperature", "gpu:3")}
    # The checks of the agent itself are judged here, by what was just read.
    assert {each["check"] for each in result["findings"]} == {*expected_checks(WANTED)}


def test_without_being_asked_for_the_agent_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result, ran = judged(monkeypatch, {"passes": {"full": left(), "light": None}})
    assert (ran, failed(result), result["verdict"]) == (["node_observation"], set(), "pass")


@pytest.mark.parametrize(
    ("of_agent", "words"),
    [
        ({"passes": {"full": left(age=5000), "light": None}}, "not judged in the last 4500 s"),
        ({"passes": {"full": left(boot_id="earlier"), "light": None}}, "no pass holds"),
        ({"passes": {"full": left(class_sha256="0"), "light": None}}, "no pass holds"),
        ({"passes": {"full": None, "light": left(findings=[])}}, "not judged"),
        ({"passes": {"full": {"error": "damaged"}, "light": None}}, ""),
        ({"msg": "MODULE FAILURE", "failed": True}, "content"),
        (ConnectionResetError("gone"), "gone"),
    ],
)
def test_what_is_not_as_good_is_read_anew(monkeypatch: pytest.MonkeyPatch, of_agent: Any, words: str) -> None:
    result, ran = judged(monkeypatch, of_agent, source="agent")
    assert ran == ["node_agent_info", "node_observation"]
    assert words in result["read_anew"] != ""
    assert (failed(result), result["verdict"]) == (set(), "pass")
