# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check: one way to fail, one to pass, one to be unreadable, and the cases at its edges."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS, NODE_HEALTH
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge

from tests.unit.health.areas import areas, gpu, hca, nvlink
from tests.unit.health.cases import Case
from tests.unit.health.health_factory import LOST, node_class, put, spoiled

CASES: list[Case] = [case for area in areas() for case in getattr(area, "CASES", ())]


def find(findings: list[Finding], check: str, component: str) -> Finding:
    matching = [item for item in findings if (item.check, item.component) == (check, component)]
    told = [f"{item.verdict.value} {item.component}: {item.summary}" for item in findings if item.check == check]
    assert len(matching) == 1, f"{check} {component}: {told}"
    return matching[0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_check(case: Case) -> None:
    findings = judge(spoiled(*case.spoils), case.node_class)
    found = find(findings, case.check, case.component)
    assert (found.verdict.value, case.says in found.summary) == (case.verdict, True), found
    # What no part answered for has no part to hand on; a GPU that does not answer is one part with one owner.
    unread = case.verdict == "unknown" and CHECKS[case.check].reads
    owners = {"host": "software", "gpu": CHECKS["gpu.count"].owner} if unread else {}
    assert found.owner == owners.get(found.component.partition(":")[0], CHECKS[case.check].owner)
    assert bool(found.remedy) is (case.verdict != "pass")


@pytest.mark.parametrize("check", NODE_HEALTH)
def test_every_check_is_seen_to_be_as_bad_as_it_gets_to_pass_and_to_be_unreadable(check: str) -> None:
    verdicts = {case.verdict for case in CASES if case.check == check}
    assert verdicts >= {"pass", "unknown"}
    defects = verdicts & {"fail", "warn"}
    assert CHECKS[check].severity == ("fail" if "fail" in defects else "warn" if defects else "unknown")


def test_a_healthy_node_passes_everything() -> None:
    findings = judge(spoiled(), node_class())
    assert {item.check for item in findings} == set(NODE_HEALTH)
    assert [item for item in findings if item.verdict.value != "pass"] == []


def test_a_fault_of_one_gpu_costs_the_others_nothing() -> None:
    findings = judge(spoiled(put("nvml|gpus|3", {"index": 3, **LOST})), node_class())
    spoilt = {item.component for item in findings if item.verdict.value != "pass"}
    assert spoilt == {"gpu:3"}


def test_ports_of_one_hca_are_judged_apart() -> None:
    ports = {"1": dict(hca.UP), "2": {**hca.UP, "state": "DOWN"}}
    findings = judge(spoiled(put("infiniband|devices|mlx5_0|ports", ports)), node_class())
    assert find(findings, "hca.state", "hca:mlx5_0/1").verdict.value == "pass"
    assert find(findings, "hca.state", "hca:mlx5_0/2").verdict.value == "fail"


def test_a_port_of_the_wrong_kind_is_mended_otherwise_than_a_cable() -> None:
    ethernet = put("infiniband|devices|mlx5_5|ports|1|link_layer", "Ethernet")
    findings = judge(spoiled(ethernet, *hca.DOWN), node_class())
    assert "LINK_TYPE_P1=IB" in find(findings, "hca.link_layer", "hca:mlx5_5").remedy
    assert "hca.link_layer" in find(findings, "hca.state", "hca:mlx5_5").remedy
    assert "transceiver" in find(judge(spoiled(*hca.DOWN), node_class()), "hca.state", "hca:mlx5_5").remedy


def test_a_library_of_another_version_than_the_driver_is_mended_by_a_restart() -> None:
    findings = judge(spoiled(*gpu.MISMATCH), node_class())
    assert "restart" in find(findings, "gpu.driver.version", "host").remedy
    failed = {item.check for item in findings if item.verdict.value == "fail"}
    assert failed == {"gpu.driver.version"}, "of the others nothing is known"


FABRIC_OF_ALL = [f"nvml|gpus|{index}|fabric" for index in range(8)]
NO_FABRIC_STATE = [
    {"state": 0, "status": 0},
    {"error": "not supported", "code": 3},
    {"error": "function not found", "code": 13},
]


@pytest.mark.parametrize(("value", "verdict"), [*zip(NO_FABRIC_STATE, ["fail", "fail", "unknown"], strict=True)])
def test_gpus_that_all_tell_no_fabric_state_are_no_silence(value: Any, verdict: str) -> None:
    findings = judge(spoiled(*(put(place, value) for place in FABRIC_OF_ALL)), node_class())
    for index in range(8):
        found = find(findings, "gpu.fabric.state", f"gpu:{index}")
        assert (found.verdict.value, "fabric_state" in found.remedy) == (verdict, True)


@pytest.mark.parametrize("value", NO_FABRIC_STATE)
def test_a_class_of_gpus_without_fabric_state_leaves_the_unit_to_judge(value: Any) -> None:
    older = node_class(gpus={"fabric_state": False})
    found = judge(spoiled(*(put(place, value) for place in FABRIC_OF_ALL)), older)
    components = [item.component for item in found if item.check.startswith("gpu.fabric")]
    assert components == [nvlink.UNIT, "program:nv-fabricmanager"]
