# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a collective: their command lines, their bounds, and what is made of how they end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.measure import Collective, Status

Make = Callable[..., Any]


def forever() -> float:
    return 1000.0


def test_command_of_one_host_has_no_launcher() -> None:
    command = Collective(gpus=4, min_bytes=8, max_bytes=64, iterations=3, warmup_iterations=1).command(["node01"])
    assert command == ["all_reduce_perf", "-b", "8", "-e", "64", "-f", "2", "-g", "4", "-n", "3", "-w", "1", "-c", "1"]


def test_command_of_several_hosts() -> None:
    collective = Collective(network="10.20.0.0/22", environment={"NCCL_DEBUG": "WARN", "A": "b c"})
    command = collective.command(["node01", "node02"])
    assert command[:5] == ["mpirun", "-np", "2", "--host", "node01:1,node02:1"]
    text = "\0".join(command)
    assert "\0--mca\0oob_tcp_if_include\00010.20.0.0/22\0" in text
    assert "\0--mca\0btl_tcp_if_include\00010.20.0.0/22\0" in text
    assert "\0-x\0A=b c\0-x\0NCCL_DEBUG=WARN\0all_reduce_perf\0" in text


def test_network_is_left_out_when_none_is_given() -> None:
    assert not any("if_include" in word for word in Collective().command(["node01", "node02"]))


def test_good_run(fake: Make) -> None:
    measurement = fake().collective().run(["node01", "node02"], forever)
    assert (measurement.status, measurement.busbw, measurement.detail) == (Status.OK, 40.0, "")
    assert measurement.meets(40.0)
    assert not measurement.meets(40.1)
    assert measurement.meets(None)


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ({"exit": 3}, "exited with status 3: node02: Test NCCL failure"),
        ({"wrong": 7}, "7 wrong values"),
        ({"cut": True}, "without its closing lines"),
        ({"lost": 1}, "ran on 14 GPUs instead of 16"),
    ],
)
def test_bad_runs(fake: Make, rule: dict[str, Any], word: str) -> None:
    measurement = fake({"hosts": ["node02"], **rule}).collective().run(["node01", "node02"], forever)
    assert measurement.status is Status.FAILED
    assert word in measurement.detail
    assert not measurement.meets(None)
    assert measurement.tail


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("how", ["polite", "deaf"])
def test_a_hang_is_a_failure_and_leaves_no_process(fake: Make, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ansible_collections.firstlight.cluster.plugins.module_utils.collective.measure._GRACE_SECONDS", 0.5
    )
    stuck = fake({"hosts": ["node02"], "hang": how})
    started = time.monotonic()
    measurement = stuck.collective(timeout=1.0).run(["node01", "node02"], forever)
    assert measurement.status is Status.FAILED
    assert "hung" in measurement.detail
    assert time.monotonic() - started < 20
    assert len(stuck.children) == 2
    deadline = time.monotonic() + 10
    while not all(gone(pid) for pid in stuck.children):
        assert time.monotonic() < deadline, "a process of the run is left"


def test_a_run_cut_short_by_the_deadline_is_not_measured(fake: Make) -> None:
    measurement = fake({"hosts": ["node02"], "hang": "polite"}).collective().run(["node01", "node02"], lambda: 0.5)
    assert measurement.status is Status.UNMEASURED
    assert "cut short" in measurement.detail


def test_nothing_is_started_after_the_deadline(fake: Make) -> None:
    late = fake()
    measurement = late.collective().run(["node01", "node02"], lambda: 0.0)
    assert measurement.status is Status.UNMEASURED
    assert late.runs == []


def test_a_missing_program_is_not_measured() -> None:
    measurement = Collective(binary="/nonexistent/all_reduce_perf").run(["node01"], forever)
    assert measurement.status is Status.UNMEASURED
    assert "/nonexistent/all_reduce_perf" in measurement.detail
    assert not measurement.meets(None)


def test_much_output_on_stderr_does_not_block(fake: Make) -> None:
    measurement = fake({"hosts": ["node01"], "noise": 500_000}).collective().run(["node01"], forever)
    assert measurement.status is Status.OK
