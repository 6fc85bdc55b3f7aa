# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module gpu_stress as Ansible runs it, and the filter that compares what many nodes returned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from ansible.errors import AnsibleFilterError
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.filter.compute_fleet import FilterModule
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.compute import CHECKS
from ansible_collections.firstlight.cluster.plugins.modules import gpu_stress

from tests.unit.compute.stress_node import LIBRARY, ROOT, Node, node_class

# The interpreter behind the virtual environment: it has no NumPy and no nvidia-ml-py of its own, like a node's.
PLAIN_PYTHON = getattr(sys, "_base_executable", sys.executable)
Module = Callable[..., dict[str, Any]]


@pytest.fixture
def module(capfd: pytest.CaptureFixture[str]) -> Module:
    def call(**args: Any) -> dict[str, Any]:
        with patch_module_args({"node_class": node_class(), **args}), pytest.raises(SystemExit):
            gpu_stress.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return call


def test_from_a_task_to_findings(node: Node, tmp_path: Path) -> None:
    node.change(1, compute_wrong_bit=1)
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    options = {
        "node_class": node_class(compute_soak_drop_percent={"warn": 1000, "fail": 1000}),
        "library_path": [str(LIBRARY), str(Path(numpy.__file__).parents[1])],
        "nvml_path": [str(node.nvml)],
        "size": 32,
        "buffer_bytes": 100_000,
        "soak_seconds": 0,
    }
    command = ["ansible", "localhost", "-c", "local", "-i", "localhost,", "-m", "firstlight.cluster.gpu_stress"]
    command += ["-e", f"ansible_python_interpreter={PLAIN_PYTHON}", "-a", json.dumps(options)]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "FIRSTLIGHT_"))},
        "HOME": str(tmp_path),
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    head, _arrow, content = done.stdout.partition(" => ")
    assert head == "localhost | SUCCESS", done.stdout + done.stderr
    result = json.loads(content)
    assert result["changed"] is False
    bad = [(each["check"], each["component"]) for each in result["findings"] if each["verdict"] != "pass"]
    assert bad == [("compute.exact", "gpu:1")]
    assert {each["check"] for each in result["findings"]} == {check.id for check in CHECKS[:-1]}
    # What the filter gets has gone through JSON, and comes to the same.
    found = FilterModule().filters()["compute_fleet"]({"node01": result["fleet"], "node02": result["fleet"]})
    wrong = [(node, each["component"]) for node in found for each in found[node] if each["verdict"] == "fail"]
    assert wrong == [("node01", "gpu:1"), ("node02", "gpu:1")]


def test_check_mode_runs_nothing_and_says_so(module: Module) -> None:
    found = module(_ansible_check_mode=True)["findings"]
    assert [each["check"] for each in found] == [check.id for check in CHECKS]
    assert {(each["verdict"], each["summary"]) for each in found} == {("warn", "not measured in check mode")}


@pytest.mark.parametrize(("in_service", "verdict"), [(True, "warn"), (False, "unknown")])
def test_where_somebody_computes_nothing_is_run(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_service: bool, verdict: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho {os.getpid()}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    result = module(in_service=in_service)
    assert [each["check"] for each in result["findings"]] == [check.id for check in CHECKS]
    assert {each["verdict"] for each in result["findings"]} == {verdict}
    assert f"process {os.getpid()} (" in result["findings"][0]["summary"]
    assert "measured" not in result and "fleet" not in result


def test_a_class_that_says_nothing_of_it_is_not_tested(module: Module) -> None:
    bare = node_class()
    del bare["compute"]
    assert module(node_class=bare)["findings"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size: must be greater than 0"),
        ({"buffer_bytes": -1}, "buffer_bytes: must be greater than 0"),
        ({"deadline": 0, "soak_seconds": 0}, "deadline: must be greater than 0"),
        ({"copy_deadline": 0}, "copy_deadline: must be greater than 0"),
        ({"soak_seconds": -1}, "soak_seconds: must not be negative"),
        ({"soak_seconds": 600}, "deadline: 600 s end before soak_seconds, 600 s"),
        ({"size": 0, "copy_deadline": 0}, "size: must be greater than 0, not 0; copy_deadline"),
    ],
)
def test_bad_options_are_named_and_nothing_runs(module: Module, options: dict[str, Any], words: str) -> None:
    result = module(**options)
    assert result["failed"] is True
    assert words in result["msg"]


def test_the_filter_refuses_what_is_no_result() -> None:
    with pytest.raises(AnsibleFilterError, match="by node"):
        FilterModule().filters()["compute_fleet"]([])
