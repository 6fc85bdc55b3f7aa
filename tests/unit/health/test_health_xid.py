# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XIDs beside what else is known of the GPU: whether a reset was made, and what the GPU's own state says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.xid import CURE_SHOWN_BY, XIDS
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import JUDGES, judge

from tests.unit.health.health_factory import ADDRESSES, DENIED, Spoil, node_class, put, spoiled, unreadable, xid

HOUR = 3_600_000_000
# The default window is 24 hours: what happened in the first hour is old.
LATE = put("host|uptime_seconds", 48 * 3600.0)
RESET = "GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"
DONE = "GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"
# What a reset cures, and no check reads from the GPU whether it was made.
SILENT = sorted(code for code, each in XIDS.items() if each.bucket == "reset_gpu" and code not in CURE_SHOWN_BY)


def log(*xids: dict[str, Any]) -> Spoil:
    return put("kernel_log|xids", list(xids))


def loaded(at_us: int) -> Spoil:
    return put("kernel_log|driver_loaded_us", at_us)


def found(*spoils: Spoil) -> Finding:
    (finding,) = (each for each in judge(spoiled(*spoils), node_class()) if each.check == "gpu.xid")
    return finding


def verdict(*spoils: Spoil) -> str:
    return found(*spoils).verdict.value


def test_the_xids_that_only_a_reset_cures_are_many() -> None:
    assert {46, 62, 109, 110, 119, 120, 143, 145, 149, 158} <= set(SILENT)


@pytest.mark.parametrize("code", SILENT)
def test_an_xid_that_a_reset_cures_fails_until_one_is_seen(code: int) -> None:
    event = log(xid(code, last_us=HOUR))
    assert verdict(LATE, event) == "fail"
    assert "no sign of a reset since" in found(LATE, event).summary
    assert verdict(LATE, event, loaded(HOUR - 1)) == "fail", "it happened after the driver was loaded"
    assert verdict(LATE, event, loaded(HOUR + 1)) == "warn"
    assert "no sign" not in found(LATE, event, loaded(HOUR + 1)).summary


def test_a_reset_that_the_driver_asked_for_is_no_history_without_a_sign_of_it() -> None:
    event = log(xid(154, text=RESET, last_us=HOUR))
    assert verdict(LATE, event) == "fail"
    assert verdict(LATE, event, loaded(2 * HOUR)) == "warn"


@pytest.mark.parametrize(
    ("text", "device", "at", "wanted"),
    [
        (DONE, ADDRESSES[2], 2 * HOUR, "warn"),
        (DONE.replace("0x1 (GPU Reset Required)", "0x4 (Drain and Reset)"), ADDRESSES[2], 2 * HOUR, "warn"),
        (DONE, ADDRESSES[2], HOUR // 2, "fail"),
        (DONE, ADDRESSES[3], 2 * HOUR, "fail"),
        (DONE, ADDRESSES[2], None, "fail"),
        # What was drained or rebooted was not reset.
        (DONE.replace("0x1", "0x3"), ADDRESSES[2], 2 * HOUR, "fail"),
        (DONE.replace("0x1", "0x2"), ADDRESSES[2], 2 * HOUR, "fail"),
        ("GPU recovery action changed to 0x0 (None)", ADDRESSES[2], 2 * HOUR, "fail"),
    ],
)
def test_a_driver_that_no_longer_asks_for_a_reset_is_a_sign_of_it(
    text: str, device: str, at: int | None, wanted: str
) -> None:
    assert verdict(LATE, log(xid(119, last_us=HOUR), xid(154, device, text=text, last_us=at))) == wanted


def test_what_shows_a_cure_is_a_check_of_the_node() -> None:
    assert set(CURE_SHOWN_BY.values()) <= set(JUDGES)
    assert {48, 95} <= set(CURE_SHOWN_BY) <= {code for code, each in XIDS.items() if each.bucket == "reset_gpu"}


@pytest.mark.parametrize("code", sorted(CURE_SHOWN_BY))
def test_an_xid_whose_cure_the_gpu_shows_only_warns_when_it_is_old(code: int) -> None:
    event = log(xid(code, last_us=HOUR))
    assert verdict(LATE, event) == "warn"
    assert verdict(event) == "fail", "two hours after the boot it is new"


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        (48, put("nvml|gpus|2|ecc_volatile_uncorrected", 1)),
        (95, put("nvml|gpus|2|ecc_volatile_uncorrected", 1)),
        (140, put("nvml|gpus|2|ecc_volatile_uncorrected", DENIED)),
        (95, put("nvml|gpus|2|ecc_enabled", False)),
        (95, unreadable("nvml")),
        (74, put("nvml|gpus|2|nvlinks|5", False)),
        (136, put("nvml|gpus|2|nvlinks|5", DENIED)),
    ],
)
def test_a_gpu_that_does_not_show_the_cure_was_not_reset(code: int, spoil: Spoil) -> None:
    assert verdict(LATE, log(xid(code, last_us=HOUR)), spoil) == "fail"


def test_a_gpu_that_is_not_there_shows_no_cure() -> None:
    assert verdict(LATE, log(xid(95, "0000:ff:00.0", last_us=HOUR))) == "fail"


def test_the_cure_of_one_gpu_is_none_of_another() -> None:
    spoils = LATE, put("nvml|gpus|3|ecc_volatile_uncorrected", 7)
    assert verdict(*spoils, log(xid(95, last_us=HOUR))) == "warn"
    assert verdict(*spoils, log(xid(95, ADDRESSES[3], last_us=HOUR))) == "fail"


@pytest.mark.parametrize("code", [46, 95])
def test_a_sign_of_a_reset_does_not_excuse_what_is_new(code: int) -> None:
    assert verdict(log(xid(code, last_us=HOUR)), loaded(HOUR + 1)) == "fail"


def test_a_reset_cures_no_gpu_that_fell_off_the_bus() -> None:
    assert verdict(LATE, log(xid(79, last_us=0)), loaded(HOUR)) == "fail"


def test_an_xid_of_unknown_age_is_taken_for_new() -> None:
    assert verdict(LATE, log(xid(95, last_us=None)), loaded(HOUR)) == "fail"


@pytest.mark.parametrize(
    ("pending", "failure", "wanted"), [(True, False, "fail"), (False, True, "fail"), (False, False, "pass")]
)
def test_a_row_remap_event_is_judged_by_the_remapper(pending: bool, failure: bool, wanted: str) -> None:
    """Once a reset has completed it, nothing is left of it but its line in the log."""
    rows = {"correctable": 0, "uncorrectable": 1, "pending": pending, "failure": failure}
    findings = judge(spoiled(log(xid(63)), put("nvml|gpus|2|remapped_rows", rows)), node_class())
    told = {(each.check, each.component): each.verdict.value for each in findings}
    remapper = {told["gpu.row_remap.pending", "gpu:2"], told["gpu.row_remap.failure", "gpu:2"]}
    assert (wanted in remapper, remapper <= {wanted, "pass"}, told["gpu.xid", "host"]) == (True, True, "pass")


def test_the_remedy_is_that_of_the_gravest_xid() -> None:
    gravest = found(log(xid(95), xid(79)))
    assert gravest.remedy.startswith("Power-cycle")
    assert gravest.observed == [79, 95]
