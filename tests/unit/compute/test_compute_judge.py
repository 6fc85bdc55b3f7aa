# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check passes, warns, fails, and is unknown, by what three GPUs gave: measured on good ones, then spoiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.compute import CHECKS, expected_compute
from ansible_collections.firstlight.cluster.plugins.module_utils.compute import fleet
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.judge import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.measure import OPENING
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding

from tests.unit.compute.stress_node import node_class

Spoil = Callable[[dict[str, Any]], None]
# What the stand-in reaches depends on the machine that it runs on; a good GPU of these tests reaches this.
FLOORS = {
    "compute_tflops": {"fp16": 700, "fp32": 50},
    "compute_hbm_gbps": 2500,
    "compute_h2d_gbps": 48,
    "compute_d2h_gbps": 48,
    "compute_p2p_gbps": 335,
}
SOAK = {
    "seconds": 60.0,
    "first_tflops": 710.0,
    "last_tflops": 700.0,
    "temperature_c": 70,
    "reasons": 0x4,
    "before": {"ecc_uncorrected": 3, "ecc_corrected": 5, "nvlink": 7},
    "after": {"ecc_uncorrected": 3, "ecc_corrected": 5, "nvlink": 7},
}


def good(measured: dict[str, Any]) -> dict[str, Any]:
    """The measured GPUs with the figures of real ones."""
    for gpu in measured["gpus"]:
        gpu["burn"]["data"] |= {"tflops": {"fp16": 720.0, "fp32": 51.0, "fp64": 60.0}, "hbm_gbps": 2900.0}
        gpu["burn"]["data"]["soak"] |= {**SOAK, "before": dict(SOAK["before"]), "after": dict(SOAK["after"])}
        copies = gpu["copies"]["data"]
        copies |= {"h2d_gbps": 52.0, "d2h_gbps": 51.0, "p2p_gbps": dict.fromkeys(copies["p2p_gbps"], 380.0)}
    return measured


def at(number: int, part: str, *keys: str, value: Any) -> Spoil:
    """Set what the process `part` of a GPU gave."""

    def spoil(measured: dict[str, Any]) -> None:
        here = measured["gpus"][number][part]["data"]
        for key in keys[:-1]:
            here = here[key]
        here[keys[-1]] = value

    return spoil


def ended(part: str, status: str, step: str) -> Spoil:
    """The process `part` of GPU 1 gave nothing."""

    def spoil(measured: dict[str, Any]) -> None:
        measured["gpus"][1][part] = {"status": status, "error": "it said so", "seconds": 1.0, "step": step}
        if part == "burn":
            del measured["gpus"][1]["copies"]

    return spoil


def to_peer(rate: float) -> Spoil:
    """GPU 1 sends no faster to GPU 2."""

    def spoil(measured: dict[str, Any]) -> None:
        measured["gpus"][1]["copies"]["data"]["p2p_gbps"][measured["gpus"][2]["uuid"]] = rate

    return spoil


def other_results(*numbers: int) -> Spoil:
    """Each of these GPUs has a result of its own."""

    def spoil(measured: dict[str, Any]) -> None:
        for number in numbers:
            measured["gpus"][number]["burn"]["data"]["digests"]["random matmul fp16"] = [f"of {number}"]

    return spoil


def nothing(_measured: dict[str, Any]) -> None:
    """All is well."""


NO_MAJORITY = other_results(0, 1)
WRONG = {"rounds": 3, "wrong_rounds": 2, "wrong": 9, "place": [4, 1], "found": "17.5", "right": "17.0"}
SILENT = {"error": "GPU is lost", "code": 15}
NOT_COUNTED = {"error": "not supported", "code": 3}
SLOW_SOAK = {"first_tflops": 700.0, "last_tflops": 600.0}

# Check, verdict about GPU 1, what its summary says, and what was spoiled.
CASES = [
    ("compute.exact", "pass", "7 kernels exact, 5 the same twice", nothing),
    ("compute.exact", "fail", "matmul fp16: 9 wrong values in 2 of 3 rounds, the first at [4, 1] is 17.5 and not 17.0",
     at(1, "burn", "exact", "matmul fp16", value=WRONG)),
    ("compute.exact", "fail", "sum fp32 after the soak: 9 wrong", at(1, "burn", "exact_hot", "sum fp32", value=WRONG)),
    ("compute.exact", "fail", "memory: 9 wrong values in 2 of 3", at(1, "burn", "exact", "memory", value=WRONG)),
    ("compute.exact", "fail", "squares fp32: two results", at(1, "burn", "digests", "squares fp32", value=["a", "b"])),
    ("compute.exact", "fail", "random matmul fp16: another result than most GPUs", other_results(1)),
    ("compute.exact", "unknown", "3 GPUs have 3 results, none of them in a majority", NO_MAJORITY),
    ("compute.exact", "fail", "copy from the host and back: 4 bytes", at(1, "copies", "wrong", value={"h2d": 4})),
    ("compute.exact", "fail", "hangs at matmul fp16: it said so", ended("burn", "timeout", "matmul fp16")),
    ("compute.exact", "fail", "hangs at opening the GPU", ended("burn", "timeout", OPENING)),
    ("compute.exact", "fail", "fails at squares fp32: it said so", ended("burn", "error", "squares fp32")),
    ("compute.exact", "fail", "fails at copy to the host", ended("copies", "error", "copy to the host")),
    ("compute.exact", "unknown", "fails at opening the GPU", ended("burn", "error", OPENING)),
    ("compute.exact", "unknown", "fails at opening the GPU", ended("burn", "missing", OPENING)),
    ("compute.tflops", "pass", "fp16 720, fp32 51, fp64 60 TFLOP/s", nothing),
    ("compute.tflops", "fail", "fp16 699 TFLOP/s, floor 700", at(1, "burn", "tflops", "fp16", value=699.0)),
    ("compute.tflops", "unknown", "fp32 was not measured", at(1, "burn", "tflops", value={"fp16": 720.0})),
    ("compute.tflops", "unknown", "was not measured: hangs", ended("burn", "timeout", "timed matmul fp16")),
    ("compute.hbm", "pass", "HBM 2900 GB/s, floor 2500", nothing),
    ("compute.hbm", "fail", "HBM 2499 GB/s, floor 2500", at(1, "burn", "hbm_gbps", value=2499.0)),
    ("compute.hbm", "unknown", "was not measured", ended("burn", "error", "soak")),
    ("compute.h2d", "pass", "from the host 52 GB/s", nothing),
    ("compute.h2d", "fail", "from the host 25 GB/s, floor 48", at(1, "copies", "h2d_gbps", value=25.0)),
    ("compute.h2d", "unknown", "hangs at copy from the host", ended("copies", "timeout", "copy from the host")),
    ("compute.d2h", "pass", "to the host 51 GB/s", nothing),
    ("compute.d2h", "fail", "to the host 25 GB/s, floor 48", at(1, "copies", "d2h_gbps", value=25.0)),
    ("compute.d2h", "unknown", "hangs at copy from the host", ended("copies", "timeout", "copy from the host")),
    ("compute.p2p", "pass", "380 GB/s", nothing),
    ("compute.p2p", "fail", "to gpu:2 12 GB/s, floor 335", to_peer(12.0)),
    ("compute.p2p", "unknown", "hangs at copy to the host", ended("copies", "timeout", "copy to the host")),
    ("compute.p2p", "unknown", "no other GPU", at(1, "copies", "p2p_gbps", value={})),
    ("compute.soak", "pass", "60 s at 700 TFLOP/s, up to 70 °C", nothing),
    ("compute.soak", "warn", "from 700 to 600 TFLOP/s", at(1, "burn", "soak", value=SOAK | SLOW_SOAK)),
    ("compute.soak", "fail", "from 710 to 350 TFLOP/s", at(1, "burn", "soak", "last_tflops", value=350.0)),
    ("compute.soak", "warn", "84 °C under load", at(1, "burn", "soak", "temperature_c", value=84)),
    ("compute.soak", "fail", "90 °C under load", at(1, "burn", "soak", "temperature_c", value=90)),
    ("compute.soak", "unknown", "temperature could not be read", at(1, "burn", "soak", "temperature_c", value=SILENT)),
    ("compute.soak", "fail", "held down: power brake", at(1, "burn", "soak", "reasons", value=0x84)),
    ("compute.soak", "fail", "held down: hardware thermal", at(1, "burn", "soak", "reasons", value=0x40)),
    ("compute.soak", "warn", "held down: software thermal", at(1, "burn", "soak", "reasons", value=0x20)),
    ("compute.soak", "unknown", "reasons of lower clocks", at(1, "burn", "soak", "reasons", value=SILENT)),
    ("compute.soak", "fail", "2 uncorrected", at(1, "burn", "soak", "after", "ecc_uncorrected", value=5)),
    ("compute.soak", "warn", "1 corrected", at(1, "burn", "soak", "after", "ecc_corrected", value=6)),
    ("compute.soak", "warn", "8 NVLink errors", at(1, "burn", "soak", "after", "nvlink", value=15)),
    ("compute.soak", "unknown", "NVLink errors (replays", at(1, "burn", "soak", "before", "nvlink", value=SILENT)),
    ("compute.soak", "pass", "60 s", at(1, "burn", "soak", "after", "nvlink", value=NOT_COUNTED)),
    ("compute.soak", "unknown", "was not measured", ended("burn", "timeout", "soak, matmul fp16")),
]  # fmt: skip


def of(findings: list[Finding], check: str, component: str) -> Finding:
    (found,) = (each for each in findings if (each.check, each.component) == (check, component))
    return found


@pytest.mark.parametrize(
    ("check", "verdict", "says", "spoil"), CASES, ids=[f"{c[0]}-{c[1]}-{c[2][:24]}" for c in CASES]
)
def test_check(measured: dict[str, Any], check: str, verdict: str, says: str, spoil: Spoil) -> None:
    spoil(good(measured))
    found = of(judge(measured, node_class(**FLOORS)), check, "gpu:1")
    assert (found.verdict.value, says in found.summary) == (verdict, True), found.summary
    assert found.summary.startswith("gpu:1 ")
    assert bool(found.remedy) is (verdict != "pass")


@pytest.mark.parametrize("spoil", [case[3] for case in CASES if case[3] is not nothing])
def test_what_is_wrong_with_one_gpu_is_not_held_against_another(measured: dict[str, Any], spoil: Spoil) -> None:
    spoil(good(measured))
    gave = {f"gpu:{number}" for number in (0, 2) if spoil is not NO_MAJORITY}
    for found in judge(measured, node_class(**FLOORS)):
        assert found.component not in gave or found.verdict.value == "pass", found


def test_every_check_has_its_cases() -> None:
    told = {(check, verdict) for check, verdict, _says, _spoil in CASES}
    checks = [check.id for check in CHECKS if check.id != fleet.CHECK]
    assert {check for check, _verdict in told} == set(checks)
    assert all({(check, "pass"), (check, "fail"), (check, "unknown")} <= told for check in checks)


def test_without_floors_only_what_is_wrong_fails(measured: dict[str, Any]) -> None:
    assert {each.verdict.value for each in judge(good(measured), node_class())} == {"pass"}


@pytest.mark.parametrize("told", [{"error": "nvml: driver not loaded"}, {"gpus": []}])
def test_without_gpus_nothing_is_known(told: dict[str, Any]) -> None:
    found = judge(told, node_class())
    assert [each.check for each in found] == [check for check in expected_compute(node_class()) if check != fleet.CHECK]
    assert {(each.component, each.verdict.value) for each in found} == {("host", "unknown")}


def test_a_gpu_that_nvml_cannot_open_is_unknown_by_its_name(measured: dict[str, Any]) -> None:
    good(measured)["gpus"][1] = {"index": 1, "error": "GPU is lost", "code": 15}
    found = of(judge(measured, node_class(**FLOORS)), "compute.exact", "gpu:1")
    assert (found.verdict.value, "GPU is lost" in found.summary) == ("unknown", True)


def test_two_gpus_that_disagree_cannot_be_told_apart(measured: dict[str, Any]) -> None:
    other_results(1)(good(measured))
    del measured["gpus"][2]
    two = node_class()
    two["hardware"]["gpus"]["count"] = 2
    found = judge(measured, two)
    for component in ("gpu:0", "gpu:1"):
        each = of(found, "compute.exact", component)
        assert (each.verdict.value, "who is wrong cannot be told" in each.summary) == ("unknown", True)


def test_what_is_expected_follows_the_class() -> None:
    assert expected_compute(node_class()) == [check.id for check in CHECKS]
    one = node_class()
    one["hardware"]["gpus"]["count"] = 1
    assert "compute.p2p" not in expected_compute(one) and "compute.d2h" in expected_compute(one)
    assert expected_compute({**one, "compute": None}) == []
    one["hardware"]["gpus"]["count"] = 0
    assert expected_compute(one) == []


# A fleet: three nodes of three GPUs each, all the same but for what is spoiled on the second.
def summaries(measured: dict[str, Any], spoil: Spoil) -> dict[str, dict[str, Any]]:
    fine = fleet.summary_of(good(measured), node_class())
    spoil(measured)
    return {"node01": fine, "node02": fleet.summary_of(measured, node_class()), "node03": fine}


FLEET = [
    ("pass", "as the 9 GPUs of its kind", nothing),
    ("warn", "650 TFLOP/s of fp16; the median of 9 GPUs is 720", at(1, "burn", "tflops", "fp16", value=650.0)),
    ("warn", "2000 GB/s of HBM", at(1, "burn", "hbm_gbps", value=2000.0)),
    ("warn", "20 GB/s to its slowest peer", to_peer(20.0)),
    ("warn", "20 GB/s from the host", at(1, "copies", "h2d_gbps", value=20.0)),
    ("fail", "random matmul fp16: another result than most of 9 GPUs of the fleet", other_results(1)),
]


@pytest.mark.parametrize(("verdict", "says", "spoil"), FLEET, ids=[case[1][:24] for case in FLEET])
def test_fleet(measured: dict[str, Any], verdict: str, says: str, spoil: Spoil) -> None:
    found = fleet.judge(summaries(measured, spoil))
    one = of(found["node02"], "compute.fleet", "gpu:1")
    assert (one.verdict.value, says in one.summary) == (verdict, True), one.summary
    others = [each for findings in found.values() for each in findings if each is not one]
    assert len(others) == 8 and {each.verdict.value for each in others} == {"pass"}


def test_a_node_whose_gpus_all_compute_otherwise_is_found_by_the_fleet(measured: dict[str, Any]) -> None:
    def same(measured: dict[str, Any]) -> None:
        for gpu in measured["gpus"]:
            gpu["burn"]["data"]["digests"]["squares fp32"] = ["of this node"]

    found = fleet.judge(summaries(measured, same))
    assert {each.verdict.value for each in found["node02"]} == {"fail"}
    assert {each.verdict.value for each in found["node01"] + found["node03"]} == {"pass"}


def test_gpus_of_another_class_are_another_fleet(measured: dict[str, Any]) -> None:
    fine = fleet.summary_of(good(measured), node_class())
    for gpu in measured["gpus"]:
        gpu["burn"]["data"]["tflops"]["fp16"] = 300.0
    slower = {**fleet.summary_of(measured, node_class()), "node_class": "another"}
    found = fleet.judge({"node01": fine, "node02": fine, "node03": slower, "node04": slower})
    assert {each.verdict.value for findings in found.values() for each in findings} == {"pass"}


def test_a_gpu_without_a_fleet_is_told(measured: dict[str, Any]) -> None:
    alone = fleet.judge({"node01": fleet.summary_of(good(measured), node_class())})["node01"]
    assert {each.verdict.value for each in alone} == {"warn"}
    assert "compared with nobody: the run has 3 GPUs" in alone[0].summary


def test_a_node_without_measured_gpus_is_unknown_to_the_fleet() -> None:
    empty = fleet.summary_of({"error": "nvml: driver not loaded"}, node_class())
    (found,) = fleet.judge({"node01": empty})["node01"]
    assert (found.check, found.component, found.verdict.value) == ("compute.fleet", "host", "unknown")
