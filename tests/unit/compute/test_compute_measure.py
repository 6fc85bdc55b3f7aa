# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes on simulated GPUs: every fault is found on the GPU that has it, and nothing hangs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.judge import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.measure import cpus_near
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.worker import Load

from tests.unit.compute.stress_node import Node, node_class


def verdicts(measured: dict[str, Any], check: str) -> dict[str, tuple[str, str]]:
    """By component verdict and summary."""
    found = judge(measured, node_class())
    return {each.component: (each.verdict.value, each.summary) for each in found if each.check == check}


def test_good_gpus_give_every_figure(measured: dict[str, Any]) -> None:
    assert [gpu["index"] for gpu in measured["gpus"]] == [0, 1, 2]
    for gpu in measured["gpus"]:
        burn, copies = gpu["burn"]["data"], gpu["copies"]["data"]
        assert burn["library"].startswith("cupy 13.6.0, numpy ")
        assert burn["model"] == "NVIDIA H100 80GB HBM3"
        assert burn["exact"].pop("memory") == {"rounds": 2}
        assert all(told == {"rounds": 3} for told in [*burn["exact"].values(), *burn["exact_hot"].values()])
        assert {len(digests) for digests in burn["digests"].values()} == {1}
        assert set(burn["tflops"]) == {"fp16", "fp32", "fp64"}
        figures = [*burn["tflops"].values(), burn["hbm_gbps"], copies["h2d_gbps"], copies["d2h_gbps"]]
        assert min(figures) > 0
        assert set(copies["p2p_gbps"]) == {each["uuid"] for each in measured["gpus"]} - {gpu["uuid"]}
        assert copies["wrong"] == {}
        soak = burn["soak"]
        assert (soak["rounds"], soak["reasons"], soak["before"]) == (6, 1, soak["after"])
        assert 31 <= soak["temperature_c"] <= 34 and soak["sm_mhz"] == [345, 345]
    assert {each.verdict.value for each in judge(measured, node_class(compute_soak_drop_percent=NEVER))} == {"pass"}


# The tests share two cores with others: how speed changes says nothing here.
NEVER = {"warn": 1000, "fail": 1000}


def test_wrong_bits_are_found_on_the_gpu_that_has_them_and_by_kernel(node: Node) -> None:
    node.change(1, compute_wrong_bit=1)
    found = verdicts(node.measure(), "compute.exact")
    assert {component: verdict for component, (verdict, _summary) in found.items()} == {
        "gpu:0": "pass",
        "gpu:1": "fail",
        "gpu:2": "pass",
    }
    for kernel in ("matmul fp16", "matmul fp32", "matmul fp64", "sum fp32", "sum fp64"):
        assert f"{kernel}: 1 wrong values in 3 of 3 rounds" in found["gpu:1"][1]
        assert f"{kernel} after the soak: 1 wrong" in found["gpu:1"][1]
    for kernel in ("random matmul fp16", "transcendental fp32", "squares fp32"):
        assert f"{kernel}: another result than most GPUs of the node" in found["gpu:1"][1]


def test_a_gpu_that_hangs_fails_in_time_with_the_kernel_and_leaves_nothing(node: Node) -> None:
    node.change(2, compute_hang=1)
    started = time.monotonic()
    # The others have the same deadline, and need seconds where the machine is busy.
    measured = node.measure(burn_deadline=12.0)
    assert time.monotonic() - started < 60
    found = verdicts(measured, "compute.exact")
    assert found["gpu:2"][0] == "fail"
    assert found["gpu:2"][1] == "gpu:2 hangs at memory: no answer within 12 s"
    assert (found["gpu:0"][0], found["gpu:1"][0]) == ("pass", "pass")
    assert "copies" not in measured["gpus"][2]
    assert len(measured["gpus"][0]["copies"]["data"]["p2p_gbps"]) == 1
    assert {verdict for verdict, _summary in verdicts(measured, "compute.hbm").values()} == {"pass", "unknown"}
    assert not _children()


def _children() -> list[str]:
    return [name for name in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split() if name]


def test_a_gpu_that_dies_fails_and_says_what_the_driver_said(node: Node) -> None:
    node.change(0, compute_dies=1)
    found = verdicts(node.measure(), "compute.exact")
    assert found["gpu:0"][0] == "fail"
    assert "fails at memory: CUDARuntimeError: cudaErrorECCUncorrectable" in found["gpu:0"][1]
    assert (found["gpu:1"][0], found["gpu:2"][0]) == ("pass", "pass")


def test_a_slow_gpu_copies_slowly_where_the_others_do_not(node: Node) -> None:
    # So slow that no load of the machine could make another as slow.
    node.change(1, compute_slow=200)
    fine, slow, other = (gpu["copies"]["data"] for gpu in node.measure(load=Load(16, 2_000_000, 0.0, 0.01))["gpus"])
    # How fast they compute depends on who else has the two cores; they copy one after the other.
    for key in ("h2d_gbps", "d2h_gbps"):
        assert slow[key] < min(fine[key], other[key]) / 2
    assert max(slow["p2p_gbps"].values()) < max(fine["p2p_gbps"].values()) / 2


def test_a_hot_and_throttled_gpu_is_seen_in_the_soak(node: Node) -> None:
    node.change(2, temperature=91, clocks_event_reasons=0x40)
    found = verdicts(node.measure(), "compute.soak")
    assert found["gpu:2"][0] == "fail"
    assert "91 °C under load" in found["gpu:2"][1] and "hardware thermal slowdown" in found["gpu:2"][1]
    assert "°C under load" not in found["gpu:0"][1]


def test_a_gpu_that_only_nvml_still_sees_is_unknown(node: Node) -> None:
    node.change(1, lost=1)
    found = verdicts(node.measure(), "compute.exact")
    assert found["gpu:1"][0] == "unknown" and "GPU is lost" in found["gpu:1"][1]
    assert (found["gpu:0"][0], found["gpu:2"][0]) == ("pass", "pass")


@pytest.mark.parametrize(
    ("told", "cpus"),
    [("0-2,8\n", {0, 1, 2, 8}), ("5\n", {5}), ("\n", set()), ("what?\n", set()), (None, set())],
)
def test_copies_are_made_beside_the_gpu(tmp_path: Path, told: str | None, cpus: set[int]) -> None:
    folder = tmp_path / "bus/pci/devices/0000:18:00.0"
    folder.mkdir(parents=True)
    if told is not None:
        (folder / "local_cpulist").write_text(told)
    assert cpus_near(tmp_path, "0000:18:00.0") == cpus
    assert cpus_near(tmp_path, {"error": "GPU is lost"}) == set()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"library": "torch"}, "fails at opening the GPU: torch cannot be loaded from"),
        ({"library_path": ["/no/such/directory"]}, "cupy cannot be loaded from /no/such/directory"),
    ],
)
def test_without_the_library_nothing_is_known(node: Node, change: dict[str, Any], says: str) -> None:
    for verdict, summary in verdicts(node.measure(**change), "compute.exact").values():
        assert (verdict, says in summary) == ("unknown", True), summary


def test_without_nvml_nothing_is_known(node: Node) -> None:
    (node.folder / "gpus.state").unlink()
    found = verdicts(node.measure(), "compute.exact")
    assert found == {"host": ("unknown", "not tested: nvml: driver not loaded")}
