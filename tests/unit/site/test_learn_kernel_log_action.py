# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What healthy nodes' logs say is written by class; what people wrote stays; in check mode nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.firstlight.cluster.plugins.action import learn_kernel_log
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import finding
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import ENVIRONMENT, RunDirectory
from ansible_collections.firstlight.cluster.plugins.module_utils.site.kernel_log import load_file

Learn = Callable[..., dict[str, Any]]


class Told(str):
    """A text as Ansible has it, of a type of its own."""

    __slots__ = ()


LATE = 601 * 10**6


def log(*at_start: str, later: tuple[str, ...] = (), **other: Any) -> dict[str, Any]:
    """What was read of a node whose log says so."""
    templates = {each: [1, 5, "", 1] for each in at_start} | {each: [1, LATE, "", 0] for each in later}
    return {"readers": {"kernel_log": {"data": {
        "templates": templates, "first_sequence": 0, "first_us": 0, "truncated": "", **other
    }}}}  # fmt: skip


@pytest.fixture
def learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Learn:
    """The action, on a site below `tmp_path`; nodes by what was read of them, and by the verdict on those unfit."""
    monkeypatch.setattr(learn_kernel_log.ActionBase, "run", lambda *_: {})

    def call(
        nodes: dict[str, Any], check: bool = False, unfit: str = "", classes: dict[str, str] | None = None
    ) -> dict[str, Any]:
        run = RunDirectory(tmp_path / f"20260101T00000{len([*tmp_path.iterdir()])}Z-abcdef")
        monkeypatch.setenv(ENVIRONMENT, str(run.path))
        for node, read in nodes.items():
            verdict = Verdict(unfit) if unfit and node == "node02" else Verdict.WARN
            run.record(node, "learn", "node_health", [finding("gpu.xid", "gpu:1", verdict, "so")], read)
        action = learn_kernel_log.ActionModule.__new__(learn_kernel_log.ActionModule)
        told = {Told(node): Told(name) for node, name in (classes or dict.fromkeys(nodes, "h100")).items()}
        given = {"classes": told, "phase": "learn"}
        action._task = SimpleNamespace(args=given, check_mode=check)
        return action.run(task_vars={"inventory_dir": str(tmp_path)})

    return call


def learned(tmp_path: Path, name: str = "h100", *keys: str) -> dict[str, Any]:
    data, problems = load_file(tmp_path / "kernel_log" / f"{name}.yml")
    assert not problems
    return {key: data["learned"][key] for key in keys or ("nodes", "templates")}


def counted(**said: tuple[int, int]) -> dict[str, Any]:
    """What was read of a node that said each so many times at its start, and first after so many seconds."""
    read = log()
    for template, (lines, second) in said.items():
        read["readers"]["kernel_log"]["data"]["templates"][template] = [lines + 7, second * 10**6, "", lines]
    return read


def test_what_all_say_equally_often_and_when_is_learned(learn: Learn, tmp_path: Path) -> None:
    learn({"node01": counted(a=(8, 1), b=(2, 3), c=(1, 4), d=(4, 5)), "node02": counted(a=(8, 2), b=(3, 3), c=(1, 9))})
    # Once is what being there says already; what one has not, or has another number of times, says nothing.
    assert learned(tmp_path, "h100", "lines", "seconds") == {
        "lines": {"a": 8},
        "seconds": {"a": [1.0, 2.0], "b": [3.0, 3.0], "c": [4.0, 9.0]},
    }
    learn({"node03": counted(a=(7, 0), b=(2, 3), c=(1, 5))})
    assert learned(tmp_path, "h100", "lines", "seconds") == {
        "lines": {},
        "seconds": {"a": [0.0, 2.0], "b": [3.0, 3.0], "c": [4.0, 9.0]},
    }
    # What was open once stays open; a line that is new, after an upgrade, is not.
    again = counted(a=(8, 1), b=(2, 3), new=(5, 6))
    learn(dict.fromkeys(("node01", "node02", "node03"), again))
    assert learned(tmp_path, "h100", "lines", "seconds") == {
        "lines": {"new": 5},
        "seconds": {"a": [0.0, 2.0], "b": [3.0, 3.0], "new": [6.0, 6.0]},
    }


def test_a_template_has_the_number_of_the_nodes_that_said_it_while_they_started(learn: Learn, tmp_path: Path) -> None:
    nodes = {"node01": log("a *", "b *"), "node02": log("a *", later=("b *", "c *")), "node03": log("a *", "b *")}
    assert learn(nodes)["changed"]
    assert learned(tmp_path) == {"nodes": [*nodes], "templates": {"a *": 3, "b *": 2, "c *": 0}}
    assert not learn(nodes)["changed"], "a node counts once"


def test_every_class_has_its_file(learn: Learn, tmp_path: Path) -> None:
    found = learn({"node01": log("a *"), "node02": log("b *")}, classes={"node01": "h100", "node02": "b200"})
    assert learned(tmp_path)["templates"] == {"a *": 1}
    assert learned(tmp_path, "b200")["templates"] == {"b *": 1}
    assert [told.rpartition("/")[2] for told in found["told"]] == [
        "b200.yml: 1 kinds of lines, the whole start of 1 nodes",
        "h100.yml: 1 kinds of lines, the whole start of 1 nodes",
    ]


@pytest.mark.parametrize("verdict", ["fail", "unknown"])
def test_from_a_node_that_is_not_well_nothing_is_learned(learn: Learn, tmp_path: Path, verdict: str) -> None:
    found = learn({"node01": log("a *"), "node02": log("b *")}, unfit=verdict)
    assert learned(tmp_path) == {"nodes": ["node01"], "templates": {"a *": 1}}
    assert found["refused"] == {"node02": f"{verdict} gpu.xid gpu:1"}


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (log("b *", truncated="too fast"), "in part only: too fast"),
        ({"readers": {"kernel_log": {"error": "no permission"}}}, "was not read: no permission"),
        ({"readers": {}}, "tells no templates"),
    ],
)
def test_a_log_that_is_not_all_there_teaches_nothing(learn: Learn, tmp_path: Path, read: Any, why: str) -> None:
    assert why in learn({"node01": log("a *"), "node02": read})["refused"]["node02"]
    assert learned(tmp_path)["nodes"] == ["node01"]


def test_a_log_that_has_lost_its_beginning_tells_what_is_known_and_not_what_is_expected(
    learn: Learn, tmp_path: Path
) -> None:
    learn({"node01": log("a *"), "node02": log("b *", first_sequence=7), "node03": log("c *", first_sequence=None)})
    assert learned(tmp_path) == {"nodes": ["node01"], "templates": {"a *": 1, "b *": 0, "c *": 0}}


def test_a_clock_that_does_not_begin_at_0_is_counted_from_the_first_record(learn: Learn, tmp_path: Path) -> None:
    read = log("a *")
    read["readers"]["kernel_log"]["data"] |= {"first_us": LATE, "templates": {"a *": [1, LATE + 5, "", 1]}}
    learn({"node01": read})
    assert learned(tmp_path)["templates"] == {"a *": 1}


def test_what_a_node_no_longer_says_is_not_expected(learn: Learn, tmp_path: Path) -> None:
    learn({"node01": log("old *", "a *"), "node02": log("old *", "a *")})
    learn({"node01": log("new *", "a *"), "node02": log("new *", "a *"), "node03": log("new *", "a *")})
    assert learned(tmp_path) == {
        "nodes": ["node01", "node02", "node03"],
        "templates": {"a *": 3, "new *": 3, "old *": 0},
    }


def test_what_people_wrote_stays_to_the_letter(learn: Learn, tmp_path: Path) -> None:
    mine = """# Ours.
accepted:
  - {template: "wlan*: gone", reason: not used, author: ops, expires: "2026-12-15"}  # ticket 7
"""
    bad = """# Never.
bad:
  - {template: "mce: *", reason: replace it, author: ops}
"""
    file = tmp_path / "kernel_log" / "h100.yml"
    file.parent.mkdir()
    file.write_text(
        f"{mine}learned:\n  nodes: [node09]\n\n  templates:\n    x y: 1\n  lines: {{}}\n  seconds: {{}}\n{bad}",
        encoding="utf-8",
    )
    learn({"node01": log("a *", "x y")})
    text = file.read_text(encoding="utf-8")
    assert text.startswith(mine) and text.endswith(bad)
    assert learned(tmp_path) == {"nodes": ["node01", "node09"], "templates": {"a *": 1, "x y": 2}}
    assert not learn({"node01": log("a *", "x y")})["changed"]


@pytest.mark.parametrize(
    "template", ["x" * 120, 'a "b" *: c # d', "- x", "\x07\x7f\x85", "é…", "null", "1", "? a", "'"]
)
def test_any_template_comes_back_as_it_was(learn: Learn, tmp_path: Path, template: str) -> None:
    learn({"node01": log(template, "a *")})
    learn({"node01": log(template, "a *"), "node02": log(template)})
    assert learned(tmp_path)["templates"] == {template: 2, "a *": 1}


def test_check_mode_shows_the_file_and_writes_none(learn: Learn, tmp_path: Path) -> None:
    found = learn({"node01": log("a *")}, check=True)
    assert found["changed"] and "a *: 1" in found["diff"][0]["after"] and not (tmp_path / "kernel_log").exists()


def test_a_file_with_a_mistake_is_left_as_it_is(learn: Learn, tmp_path: Path) -> None:
    file = tmp_path / "kernel_log" / "h100.yml"
    file.parent.mkdir()
    file.write_text("acepted: []\n", encoding="utf-8")
    with pytest.raises(AnsibleActionFail, match="did you mean 'accepted'"):
        learn({"node01": log("a *"), "node02": log("b *")}, classes={"node01": "h100", "node02": "b200"})
    assert [each.name for each in file.parent.iterdir()] == ["h100.yml"]


def test_a_run_without_a_healthy_node_fails(learn: Learn, tmp_path: Path) -> None:
    found = learn({"node02": log("a *")}, unfit="fail")
    assert found["failed"] and "node02: fail gpu.xid gpu:1. Remedy" in found["msg"]
    assert learn({}, classes={"node07": "h100"})["refused"] == {"node07": "it was not judged"}
    assert not (tmp_path / "kernel_log").exists()


def test_what_is_written_says_who_wrote_it(learn: Learn, tmp_path: Path) -> None:
    learn({"node01": log("a *")})
    text = (tmp_path / "kernel_log" / "h100.yml").read_text(encoding="utf-8")
    assert text.startswith("---\n#") and "# Written by learn_kernel_log.yml" in text
    assert [*yaml.safe_load(text)] == ["learned"]
