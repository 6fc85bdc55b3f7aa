# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser of nccl-tests output, on recorded and on made-up outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.nccl_tests import parse
from hypothesis import given
from hypothesis import strategies as st

NEW = """\
# nccl-tests version 2.17.1 nccl-headers=22707 nccl-library=22707
# Collective test starting: all_reduce_perf
# nThread 1 nGpus 2 minBytes 8 maxBytes 16 step: 2(factor) warmup iters: 1 iters: 5 agg iters: 1 validation: 1 graph: 0
#
# Using devices
#  Rank  0 Group  0 Pid   1234 on     node01 device  0 [0000:1b:00] NVIDIA H100 80GB HBM3
#  Rank  1 Group  0 Pid   1235 on     node02 device  0 [0000:1b:00] NVIDIA H100 80GB HBM3
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw  #wrong     time   algbw   busbw  #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)             (us)  (GB/s)  (GB/s)
           8             2     float     sum      -1    30.44    0.10    0.20      0    29.60    0.10    0.15      0
          16             4     float     sum      -1    30.44    1.10    2.20      0    29.60    1.10    2.50      0
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 1.2625
#
"""


@pytest.mark.parametrize(
    ("name", "rows", "average", "largest", "busbw"),
    [
        ("nccl_allreduce.log", 34, 68.4048, 8589934592, 235.26),
        ("nccl_allgather.log", 34, 58.2651, 8589934592, 230.07),
        ("nccl_alltoall.log", 34, 58.6481, 8589934592, 226.16),
        ("nccl_broadcast.log", 34, 64.8653, 8589934592, 234.70),
        ("nccl_reduce.log", 34, 65.018, 8589934592, 228.83),
        ("nccl_reducescatter.log", 34, 60.168, 8589934592, 231.52),
    ],
)
def test_recorded(recorded: Path, name: str, rows: int, average: float, largest: int, busbw: float) -> None:
    with (recorded / "collectives" / name).open() as stream:
        output = parse(stream)
    lines = (recorded / "collectives" / name).read_text().splitlines()
    assert len(output.rows) == rows == sum(1 for line in lines if line.startswith(" ") and "float" in line)
    assert output.average_busbw == average
    assert output.rows[-1].size == largest
    assert output.busbw == busbw
    assert [rank.device for rank in output.ranks] == list(range(8))
    assert {(rank.host, rank.model) for rank in output.ranks} == {("localhost", "A100-SXM4-40GB")}
    assert output.complete
    assert output.wrong == 0
    assert output.failures == []


def test_recorded_of_other_tools_is_not_taken_for_a_result(recorded: Path) -> None:
    for name in ("gpu_burn.log", "nvbandwidth_results.log", "cuda_memory_h2d_bw.log"):
        output = parse((recorded / "collectives" / name).read_text().splitlines())
        assert not output.complete, name
        assert output.busbw is None, name


def test_current_format() -> None:
    output = parse(NEW.splitlines())
    assert output.complete
    assert [(rank.host, rank.bus_id, rank.model) for rank in output.ranks] == [
        ("node01", "0000:1b:00", "NVIDIA H100 80GB HBM3"),
        ("node02", "0000:1b:00", "NVIDIA H100 80GB HBM3"),
    ]
    assert output.busbw == 2.5
    assert output.average_busbw == 1.2625


def test_wrong_values_are_counted() -> None:
    text = NEW.replace("2.20      0", "2.20     24").replace("values : 0 OK", "values : 24 FAILED")
    output = parse(text.splitlines())
    assert output.wrong == 24
    assert any("FAILED" in line for line in output.failures)


def test_wrong_values_count_though_the_closing_line_is_missing() -> None:
    output = parse(
        [line.replace("2.20      0", "2.20      3") for line in NEW.splitlines() if not line.startswith("# Out")]
    )
    assert output.wrong == 3
    assert not output.complete


@pytest.mark.parametrize(
    "line",
    [
        "node02: Test NCCL failure common.cu:958 'unhandled system error (run with NCCL_DEBUG=INFO for details) / '",
        " .. node02 pid 1235: Test failure common.cu:842",
        "mpirun noticed that process rank 1 with PID 0 on node node02 exited on signal 9 (Killed).",
        "prterun noticed that process rank 0 with PID 16044 on node node02 exited on",
        "prterun detected that one or more processes exited with non-zero status,",
        "prterun was unable to find the specified executable file, and therefore did",
        "PRTE has lost communication with a remote daemon.",
        "ORTE has lost communication with a remote daemon.",
        "ssh: Could not resolve hostname node09: Name or service not known",
        "There are not enough slots available in the system to satisfy the 4",
        "Host key verification failed.",
    ],
)
def test_failures_are_kept(line: str) -> None:
    output = parse([*NEW.splitlines()[:12], line])
    assert output.failures == [line.strip()]
    assert not output.complete


def test_ncclinfo_is_no_failure() -> None:
    line = "node01:1:1 [0] NCCL INFO NET/Plugin: libnccl-net.so: No such file or directory"
    assert parse([line, *NEW.splitlines()]).failures == []


def test_bandwidth_floor_of_nccl_tests_itself() -> None:
    output = parse(NEW.replace("1.2625", "1.2625 FAILED").splitlines())
    assert output.average_busbw == 1.2625
    assert output.failures == ["# Avg bus bandwidth    : 1.2625 FAILED"]


@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "N/A"])
def test_what_is_no_number_is_no_bandwidth(value: str) -> None:
    text = NEW.replace("    2.20      0", f"    {value}      0").replace("    2.50      0", f"    {value}      0")
    output = parse(text.splitlines())
    assert output.rows[-1].size == 16
    assert output.busbw is None
    assert parse(NEW.replace("1.2625", value).splitlines()).average_busbw is None


@given(st.lists(st.text(max_size=60)))
def test_any_text_is_survived(lines: list[str]) -> None:
    assert parse(lines).complete is False or any("Avg" in line for line in lines)


finite = st.floats(min_value=0, max_value=1e6, allow_nan=False).map(lambda value: round(value, 2))


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=12), st.lists(st.integers(0, 40), max_size=6))
def test_printed_numbers_come_back(speeds: list[tuple[float, float]], noise_at: list[int]) -> None:
    lines = [
        f"{8 << i:>12} {2 << i:>12} float sum -1 1.00 {out / 2:.2f} {out:.2f} 0 1.00 {inside / 2:.2f} {inside:.2f} 0"
        for i, (out, inside) in enumerate(speeds)
    ]
    for position in noise_at:
        lines.insert(min(position, len(lines)), "node01:77:78 [3] NCCL INFO Channel 00/24 : 0 1 2 3")
    lines += ["# Out of bounds values : 0 OK", "# Avg bus bandwidth    : 1.5"]
    output = parse(lines)
    assert output.complete
    assert [
        (row.out_of_place.busbw, row.in_place.busbw) for row in output.rows if row.out_of_place and row.in_place
    ] == speeds
    assert output.busbw == max(speeds[-1])
