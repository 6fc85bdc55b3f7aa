# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which GPU is missing, and which slot the others sit in: NVML alone does not tell."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge

from tests.unit.health.health_factory import ADDRESSES, LOST, Spoil, drop, node_class, put, spoiled, xid


def gpu_count(*spoils: Spoil, **hardware: Any) -> list[tuple[str, str]]:
    findings = judge(spoiled(*spoils), node_class(**hardware))
    return [(item.component, item.summary) for item in findings if item.check == "gpu.count"]


def renumbered(observation: dict[str, Any]) -> None:
    """As after a boot without the GPU: minor numbers without a gap."""
    for minor, gpu in enumerate(observation["readers"]["nvml"]["data"]["gpus"]):
        gpu["minor"] = minor


def test_gpus_behind_a_missing_one_keep_their_slot() -> None:
    """NVML renumbers: without GPU 3, what it lists as number 3 is GPU 4."""
    observation = spoiled(put("nvml|gpus|4|ecc_volatile_uncorrected", 1), drop("nvml|gpus|3"))
    found = judge(observation, node_class(gpus={"pci_addresses": ADDRESSES}))
    assert [item.component for item in found if item.check == "gpu.ecc.uncorrected" and item.observed] == ["gpu:4"]


def test_minor_numbers_given_anew_do_not_name_the_wrong_gpu() -> None:
    observation = spoiled(drop("nvml|gpus|3"))
    for minor, gpu in enumerate(observation["readers"]["nvml"]["data"]["gpus"]):
        gpu["minor"] = minor
    found = [item for item in judge(observation, node_class()) if item.check == "gpu.count"]
    assert [(item.component, item.verdict.value) for item in found] == [(f"pci:{ADDRESSES[3]}", "fail")]


def test_the_kernel_log_names_the_gpu_that_fell_off_the_bus() -> None:
    """Gone from NVML and from the bus; an XID of another kind elsewhere is no trace of a missing GPU."""
    log = put("kernel_log|xids", [xid(79, ADDRESSES[5]), xid(48, "0000:ff:00.0")])
    gone = [drop("nvml|gpus|5"), put("pci|gpus", []), renumbered]
    found = [(f"pci:{ADDRESSES[5]}", f"7 of 8 GPUs answer, 1 missing; traces of GPUs not listed at {ADDRESSES[5]}")]
    assert gpu_count(*gone, log) == found
    assert gpu_count(*gone, put("kernel_log|off_bus", [{"device": ADDRESSES[5], "count": 1}])) == found
    assert gpu_count(*gone) == [("host", "7 of 8 GPUs answer, 1 missing")]


def test_two_missing_gpus_are_not_taken_for_one() -> None:
    told = "6 of 8 GPUs answer, 2 missing; traces of GPUs not listed at"
    gone = [drop("nvml|gpus|5"), drop("nvml|gpus|2"), renumbered]
    assert gpu_count(*gone) == [("host", f"{told} {ADDRESSES[2]}, {ADDRESSES[5]}")]
    assert gpu_count(*gone, put("pci|gpus", [{"address": ADDRESSES[2]}])) == [("host", f"{told} {ADDRESSES[2]}")]
    assert [component for component, _ in gpu_count(drop("nvml|gpus|5"), drop("nvml|gpus|2"))] == ["gpu:2", "gpu:5"]


@pytest.mark.parametrize("minor", [{"error": "not supported", "code": 3}, 99, -1, 2, True])
def test_minor_numbers_that_cannot_be_slots_are_not_used(minor: Any) -> None:
    """One of them unreadable, out of range or twice the same: then only the bus can name the GPU."""
    found = gpu_count(put("nvml|gpus|6|minor", minor), drop("nvml|gpus|3"))
    assert [component for component, _ in found] == [f"pci:{ADDRESSES[3]}"]


def test_addresses_that_the_class_does_not_know_are_not_used() -> None:
    moved = put("nvml|gpus|6|pci", "0000:ee:00.0")
    twice = put("nvml|gpus|6|pci", ADDRESSES[0])
    for spoil in (moved, twice):
        found = gpu_count(spoil, drop("nvml|gpus|3"), gpus={"pci_addresses": ADDRESSES})
        assert found[0] == ("gpu:3", "GPU 3 is missing: 7 of 8 GPUs answer"), "the minor numbers still have the gap"


@pytest.mark.parametrize(
    ("spoils", "blamed"),
    [
        ([], ["host"]),
        ([drop("nvml|gpus|3")], ["gpu:3", "host"]),
        (
            [drop("nvml|gpus|3"), renumbered, put("pci|gpus", [{"address": ADDRESSES[3]}])],
            [f"pci:{ADDRESSES[3]}", "host"],
        ),
        ([drop("nvml|gpus|3"), renumbered, put("pci|gpus", [])], ["host"]),
        ([put("nvml|gpus|2", {"index": 2, **LOST})], ["gpu:2", "host"]),
    ],
    ids=["all there", "one missing", "a trace of it", "no trace", "one lost"],
)
def test_addresses_that_do_not_fit_are_told_with_the_key_to_correct(spoils: list[Spoil], blamed: list[str]) -> None:
    """Else the class's author takes the guessed numbers for those that he wrote down."""
    wanted = node_class(gpus={"pci_addresses": ADDRESSES})
    moved = [put("nvml|gpus|5|pci", "0000:ee:00.0"), put("nvml|gpus|6|pci", "0000:e0:00.0")]
    found = [item for item in judge(spoiled(*moved, *spoils), wanted) if item.check == "gpu.count"]
    assert [item.component for item in found] == blamed
    assert "0000:e0:00.0, 0000:ee:00.0 fit no slot of the class" in found[-1].summary
    if found[-1].verdict is Verdict.WARN:
        assert "hardware.gpus.pci_addresses" in found[-1].remedy
    assert (found[-1].verdict is Verdict.WARN) is ("GPUs answer, 1 missing" not in found[-1].summary)


def test_an_address_that_two_gpus_tell_is_told() -> None:
    ((component, summary),) = gpu_count(put("nvml|gpus|6|pci", ADDRESSES[0]), gpus={"pci_addresses": ADDRESSES})
    assert component == "host"
    assert f"; {ADDRESSES[0]} fits no slot of the class" in summary


def test_without_addresses_in_the_class_none_is_strange() -> None:
    assert gpu_count(put("nvml|gpus|6|pci", "0000:ee:00.0")) == [("host", "8 of 8 GPUs answer")]


def test_a_gpu_in_the_kernel_log_is_not_named_by_addresses_that_do_not_fit() -> None:
    """Here 0000:5d:00.0 is no slot 3: the class was written for another chassis."""
    moved = [put(f"nvml|gpus|{slot}|pci", f"0000:{0xE0 + slot:02x}:00.0") for slot in range(8)]
    log = put("kernel_log|xids", [xid(79, ADDRESSES[3]), xid(79, "0000:e5:00.0")])
    findings = judge(spoiled(*moved, log), node_class(gpus={"pci_addresses": ADDRESSES}))
    components = [item.component for item in findings if item.check == "gpu.xid"]
    assert sorted(components) == ["gpu:5", f"pci:{ADDRESSES[3]}"]
