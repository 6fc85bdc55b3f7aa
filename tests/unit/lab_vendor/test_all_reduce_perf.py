# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""all_reduce_perf of the lab, as one process; over MPI it runs in the lab itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from vendor_machine import Machine

from lab.vendor.packages import FILES, compile_nccl

pytest.importorskip("numpy", reason="numpy is not installed: the program cannot run here")

ROW = re.compile(
    r"^ +(?P<bytes>\d+) +(?P<count>\d+) +(?P<type>\w+) +(?P<op>\w+) +-1"
    r"(?: +(?P<time>[\d.]+) +(?P<algbw>[\d.]+) +(?P<busbw>[\d.]+) +(?P<wrong>\d+|N/A)){2}$"
)


def perf(machine: Machine, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return machine.run(sys.executable, FILES / "all_reduce_perf", *arguments, timeout=timeout)


@pytest.fixture
def trained(machine: Machine) -> Iterator[Machine]:
    for gpu in machine.gpus:
        gpu["fabric_state"] = 3
    machine.write()
    yield machine


def test_output_has_the_form_of_nccl_tests(trained: Machine) -> None:
    done = perf(trained, "-b", "8", "-e", "2K", "-f", "4", "-g", "8", "-n", "3", "-w", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "# nccl-tests version 2.17.6 nccl-headers=22707 nccl-library=22707"
    assert lines[2] == (
        "# nThread 1 nGpus 8 minBytes 8 maxBytes 2048 step: 4(factor) warmup iters: 1 iters: 3 agg iters: 1 "
        "validation: 1 graph: 0"
    )
    devices = [line for line in lines if line.startswith("#  Rank")]
    assert len(devices) == 8
    assert re.fullmatch(
        r"#  Rank  7 Group  0 Pid +\d+ on +\S+ device  7 \[0000:db:00\] NVIDIA H100 80GB HBM3", devices[7]
    )
    rows = [match for line in lines if (match := ROW.match(line))]
    assert [int(row["bytes"]) for row in rows] == [8, 32, 128, 512, 2048]
    assert {(row["type"], row["op"], row["wrong"]) for row in rows} == {("float", "sum", "0")}
    assert [int(row["count"]) for row in rows] == [2, 8, 32, 128, 512]
    assert "# Out of bounds values : 0 OK" in lines
    average = next(line for line in lines if line.startswith("# Avg bus bandwidth"))
    assert float(average.split(":")[1]) > 0


def test_the_recorded_and_the_lab_s_rows_have_the_same_leading_columns(trained: Machine, recorded: object) -> None:
    log = (recorded / "collectives" / "nccl_allreduce.log").read_text()  # type: ignore[operator]
    columns = ["size", "count", "type", "redop"]
    heading = next(line for line in log.splitlines() if re.match(r"# +size", line))
    ours = next(line for line in perf(trained, "-b", "8", "-e", "8", "-g", "8").stdout.splitlines() if "redop" in line)
    assert heading.split()[1:5] == columns == ours.split()[1:5]


@pytest.mark.parametrize("op", ["sum", "prod", "min", "max", "avg"])
@pytest.mark.parametrize("datatype", ["float", "double", "int32", "uint8"])
def test_results_are_verified_for_every_operation(trained: Machine, op: str, datatype: str) -> None:
    done = perf(trained, "-b", "256", "-e", "256", "-g", "8", "-n", "2", "-o", op, "-d", datatype)
    row = next(match for line in done.stdout.splitlines() if (match := ROW.match(line)))
    assert (row["type"], row["op"], row["wrong"]) == (datatype, op, "0")


def test_without_a_check_nothing_is_said_of_wrong_elements(trained: Machine) -> None:
    done = perf(trained, "-b", "64", "-e", "64", "-g", "2", "-c", "0")
    assert next(match for line in done.stdout.splitlines() if (match := ROW.match(line)))["wrong"] == "N/A"


@pytest.mark.parametrize(
    ("change", "gpus", "message"),
    [
        ({}, 9, "invalid device ordinal"),
        ({"lost": 1}, 8, "invalid device ordinal"),
        ({"present": 0}, 8, "invalid device ordinal"),
        ({"fabric_state": 2}, 8, "system not yet initialized"),
        ({"fail": {"cuDeviceGet": 214}}, 8, "uncorrectable ECC error encountered"),
    ],
)
def test_it_fails_as_nccl_tests_does(trained: Machine, change: dict[str, object], gpus: int, message: str) -> None:
    trained.gpus[3].update(change)
    trained.write()
    done = perf(trained, "-b", "8", "-e", "8", "-g", str(gpus))
    assert done.returncode == 2
    assert re.search(rf"^\S+: Test CUDA failure common.cu:\d+ '{message}'$", done.stdout, re.MULTILINE)
    assert re.search(r"^ \.\. \S+ pid \d+: Test failure common.cu:\d+$", done.stdout, re.MULTILINE)


def test_it_fails_with_an_nccl_for_a_cuda_that_the_driver_does_not_run(trained: Machine, tmp_path: Path) -> None:
    trained.built = {**trained.built, "libnccl.so.2": compile_nccl("2.27.7", "13.0", tmp_path / "newer")}
    done = perf(trained, "-b", "8", "-e", "8", "-g", "8")
    assert done.returncode == 2
    assert "'CUDA driver version is insufficient for CUDA runtime version'" in done.stdout


def test_it_fails_without_any_gpu(trained: Machine) -> None:
    trained.gpus = []
    trained.write()
    assert "'no CUDA-capable device is detected'" in perf(trained, "-g", "8").stdout


def test_a_result_below_the_wanted_bandwidth_fails(trained: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_TESTS_MIN_BW", "1000000")
    done = perf(trained, "-b", "8", "-e", "8", "-g", "8")
    assert done.returncode == 1
    assert re.search(r"^# Avg bus bandwidth +: \S+ FAILED$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [("-b", "8Q"), ("-b", "2M", "-e", "1M"), ("--wrong-option",)])
def test_a_wrong_command_line_is_refused(trained: Machine, arguments: tuple[str, ...]) -> None:
    done = perf(trained, *arguments)
    assert done.returncode == 255
    assert done.stderr
