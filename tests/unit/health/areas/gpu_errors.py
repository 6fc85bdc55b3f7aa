# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of GPUs: none, and some."""

from __future__ import annotations

from typing import Any

from tests.unit.health.cases import c
from tests.unit.health.health_factory import (
    ADDRESSES,
    DENIED,
    LOST,
    WITH_ADDRESSES,
    Spoil,
    drop,
    of_gpus,
    put,
    unreadable,
    xid,
)

FEW_CORRECTED = {"gpu_ecc_corrected_per_hour": 5}
NOT_SUPPORTED = {"error": "not supported", "code": 3}
RESET_REQUIRED = {"error": "GPU requires reset", "code": 16}

HEALTHY = {
    "nvml": {
        "gpus": of_gpus(
            lambda _index: {
                "recovery_action": 0,
                "reset_status": 0,
                "drain_status": 0,
                "ecc_enabled": True,
                "ecc_pending": True,
                "ecc_volatile_uncorrected": 0,
                "ecc_aggregate_uncorrected": 0,
                "ecc_volatile_corrected": 3,
                "pcie_replays": 0,
                "page_retirement_pending": 0,
                "sram_uncorrected": 0,
                "sram_threshold_exceeded": False,
                "spent_banks": 0,
                "remapped_rows": {"correctable": 0, "uncorrectable": 0, "pending": False, "failure": False},
            }
        )
    },
    "history": {"xids": {}, "xids_trouble": ""},
    "kernel_log": {
        "path": "/dev/kmsg",
        "lines": 900,
        "first_sequence": 0,
        "xids": [],
        "sxids": [],
        "off_bus": [],
        "driver_loaded_us": 9_000_000,
        "truncated": "",
    },
}

NOT_JUDGED = {
    "xids_trouble",
    "ecc_enabled",
    "reset_status",
    "drain_status",
    "correctable",
    "path",
    "lines",
    "driver_loaded_us",
}


def corrected(total: int, *changes: tuple[int, float, float]) -> Spoil:
    """GPU 4 has corrected so many errors; `changes` are growths, with the ages between which each came."""

    def spoil(observation: dict[str, Any]) -> None:
        put("nvml|gpus|4|ecc_volatile_corrected", total)(observation)
        name = "gpu:GPU-00000004/ecc_volatile_corrected"
        observation["readers"]["history"]["data"]["changes"] += [[name, *change] for change in changes]

    return spoil


def older(key: str, value: Any) -> tuple[Spoil, ...]:
    """A driver without the newer field."""
    return (put("nvml|gpus|4|recovery_action", NOT_SUPPORTED), put(f"nvml|gpus|4|{key}", value))


def days(gpu: int, code: int, *ago: int) -> dict[str, Any]:
    """A GPU had the XID so many days ago, all in one boot."""
    return {f"GPU-{gpu:08d}/{code}": [[days, "boot"] for days in ago]}


def resets(gpu: int, code: int, *since: str) -> dict[str, Any]:
    return {f"GPU-{gpu:08d}/{code}": [[20, each] for each in since]}


def xids(*seen: dict[str, Any]) -> Spoil:
    return put("history|xids", {name: sightings for each in seen for name, sightings in each.items()})


def replayed(by: int) -> Spoil:
    """In the last hour."""
    return put("history|changes", [["gpu:GPU-00000004/pcie_replays", by, 3600.0, 0.0]])


CASES = [
    c("gpu.pcie.replay_rate", "pass", "gpu:4", "1859 PCIe packets", replayed(1859)),
    c("gpu.pcie.replay_rate", "warn", "gpu:4", "1860 PCIe packets", replayed(1860)),
    c("gpu.pcie.replay_rate", "fail", "gpu:4", "12000 PCIe packets", replayed(12000)),
    c("gpu.pcie.replay_rate", "pass", "gpu:3", "0 PCIe packets", replayed(12000)),
    c("gpu.pcie.replay_rate", "pass", "gpu:4", "nothing to judge", put("nvml|gpus|4|pcie_replays", NOT_SUPPORTED)),
    c("gpu.pcie.replay_rate", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|pcie_replays", LOST)),
    c("gpu.page_retirement", "pass", "gpu:4", "no page"),
    c("gpu.page_retirement", "fail", "gpu:4", "a page", put("nvml|gpus|4|page_retirement_pending", 1)),
    c("gpu.page_retirement", "pass", "gpu:4", "nothing", put("nvml|gpus|4|page_retirement_pending", NOT_SUPPORTED)),
    c("gpu.page_retirement", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|page_retirement_pending", LOST)),
    c("gpu.xid.repeated", "pass", "gpu:2", "no XID again and again"),
    c("gpu.xid.repeated", "pass", "gpu:2", "no XID again", xids(days(2, 31, 1, 2))),
    c("gpu.xid.repeated", "warn", "gpu:2", "Xid 31 on 3 of 7 days", xids(days(2, 31, 0, 1, 6, 6))),
    c("gpu.xid.repeated", "pass", "gpu:2", "no XID again", xids(days(2, 31, 0, 1, 7, 8))),
    c("gpu.xid.repeated", "fail", "gpu:2", "Xid 13 on 5 of 7 days", xids(days(2, 13, 0, 1, 2, 3, 4))),
    c("gpu.xid.repeated", "pass", "gpu:3", "no XID again", xids(days(2, 13, 0, 1, 2, 3, 4))),
    # Three others, then four of seven: it is the application.
    c("gpu.xid.repeated", "fail", "gpu:2", "Xid 13", xids(*(days(gpu, 13, 0, 1, 2, 3, 4) for gpu in range(4)))),
    c("gpu.xid.repeated", "pass", "gpu:2", "no XID", xids(*(days(gpu, 13, 0, 1, 2, 3, 4) for gpu in range(5)))),
    c("gpu.xid.repeated", "pass", "gpu:2", "no XID again", xids(days(2, 69, 0, 1, 2, 3, 4, 5))),
    c("gpu.xid.repeated", "pass", "gpu:2", "no XID again", xids(resets(2, 119, "b1", "b1"))),
    c("gpu.xid.repeated", "warn", "gpu:2", "Xid 119 2 times", xids(resets(2, 119, "b1", "b1/7"))),
    c("gpu.xid.repeated", "fail", "gpu:2", "Xid 79 3 times", xids(resets(2, 79, "b1", "b2", "b3"))),
    c("gpu.xid.repeated", "pass", "gpu:2", "no XID again", xids(resets(2, 145, "b1", "b2", "b3"))),
    # One that never told its UUID.
    c("gpu.xid.repeated", "warn", "gpu:2", "79", put("history|xids", {f"{ADDRESSES[2]}/79": [[1, "b1"], [1, "b2"]]})),
    c("gpu.xid.repeated", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|uuid", LOST)),
    c("gpu.xid.repeated", "unknown", "host", "no answer", unreadable("history")),
    c("gpu.xid.repeated", "unknown", "host", "was not read", drop("history|xids")),
    c("gpu.recovery_action", "pass", "gpu:0", "asks for nothing"),
    c("gpu.recovery_action", "fail", "gpu:4", "asks for a reset", put("nvml|gpus|4|recovery_action", 1)),
    c("gpu.recovery_action", "fail", "gpu:4", "a restart of the node", put("nvml|gpus|4|recovery_action", 2)),
    c("gpu.recovery_action", "warn", "gpu:4", "peer traffic", put("nvml|gpus|4|recovery_action", 3)),
    c("gpu.recovery_action", "fail", "gpu:4", "drained and reset", put("nvml|gpus|4|recovery_action", 4)),
    c("gpu.recovery_action", "fail", "gpu:4", "not known here (action 9)", put("nvml|gpus|4|recovery_action", 9)),
    c("gpu.recovery_action", "fail", "gpu:4", "asks for a reset", *older("reset_status", 1)),
    c("gpu.recovery_action", "fail", "gpu:4", "drained and reset", *older("drain_status", 1)),
    c("gpu.recovery_action", "pass", "gpu:4", "asks for nothing", *older("drain_status", 0)),
    c("gpu.recovery_action", "pass", "gpu:4", "asks for nothing", *older("drain_status", NOT_SUPPORTED)),
    c(
        "gpu.recovery_action",
        "pass",
        "gpu:4",
        "nothing to judge",
        *older("drain_status", NOT_SUPPORTED),
        put("nvml|gpus|4|reset_status", NOT_SUPPORTED),
    ),
    c("gpu.recovery_action", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|recovery_action", LOST)),
    c("gpu.recovery_action", "unknown", "gpu:4", "not supported", put("nvml|gpus|4", {"index": 4, **NOT_SUPPORTED})),
    c("gpu.reset_required", "pass", "gpu:0", "no answer was refused"),
    c("gpu.reset_required", "fail", "gpu:4", "(temperature_c)", put("nvml|gpus|4|temperature_c", RESET_REQUIRED)),
    c("gpu.reset_required", "fail", "gpu:4", "(fabric)", put("nvml|gpus|4|fabric", RESET_REQUIRED)),
    c("gpu.reset_required", "fail", "gpu:4", "the GPU", put("nvml|gpus|4", {"index": 4, **RESET_REQUIRED})),
    c("gpu.reset_required", "unknown", "gpu:4", "is lost", put("nvml|gpus|4", {"index": 4, **LOST})),
    c("gpu.reset_required", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|temperature_c", LOST)),
    c("gpu.ecc.mode", "pass", "gpu:0", "ECC is on"),
    c("gpu.ecc.mode", "fail", "gpu:4", "ECC is off until", put("nvml|gpus|4|ecc_enabled", False)),
    c(
        "gpu.ecc.mode",
        "fail",
        "gpu:4",
        "ECC is off",
        put("nvml|gpus|4|ecc_enabled", False),
        put("nvml|gpus|4|ecc_pending", False),
    ),
    c("gpu.ecc.mode", "warn", "gpu:4", "off from the next reset on", put("nvml|gpus|4|ecc_pending", False)),
    c("gpu.ecc.mode", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|ecc_enabled", LOST)),
    c("gpu.ecc.aggregate", "pass", "gpu:4", "19 uncorrected", put("nvml|gpus|4|ecc_aggregate_uncorrected", 19)),
    c("gpu.ecc.aggregate", "warn", "gpu:4", "20 uncorrected", put("nvml|gpus|4|ecc_aggregate_uncorrected", 20)),
    c("gpu.ecc.aggregate", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|ecc_aggregate_uncorrected", LOST)),
    c("gpu.ecc.corrected_rate", "pass", "gpu:4", "0 corrected"),
    c("gpu.ecc.corrected_rate", "pass", "gpu:4", "0 corrected", corrected(10**9)),
    c("gpu.ecc.corrected_rate", "pass", "gpu:4", "999999 corrected", corrected(10**9, (999_999, 3600.0, 60.0))),
    c("gpu.ecc.corrected_rate", "warn", "gpu:4", "1000000 corrected", corrected(10**9, (1_000_000, 3600.0, 60.0))),
    c("gpu.ecc.corrected_rate", "warn", "gpu:4", "warn 5", corrected(9, (5, 60.0, 0.0)), thresholds=FEW_CORRECTED),
    c("gpu.ecc.corrected_rate", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|ecc_volatile_corrected", LOST)),
    c("gpu.ecc.sram", "pass", "gpu:4", "2 uncorrected SRAM", put("nvml|gpus|4|sram_uncorrected", 2)),
    c("gpu.ecc.sram", "warn", "gpu:4", "3 uncorrected SRAM", put("nvml|gpus|4|sram_uncorrected", 3)),
    c("gpu.ecc.sram", "fail", "gpu:4", "5 uncorrected SRAM", put("nvml|gpus|4|sram_uncorrected", 5)),
    c("gpu.ecc.sram", "pass", "gpu:4", "nothing to judge", put("nvml|gpus|4|sram_uncorrected", NOT_SUPPORTED)),
    c("gpu.ecc.sram", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|sram_uncorrected", LOST)),
    c("gpu.ecc.sram_threshold", "pass", "gpu:0", "few SRAM errors"),
    c("gpu.ecc.sram_threshold", "fail", "gpu:4", "too many", put("nvml|gpus|4|sram_threshold_exceeded", True)),
    c(
        "gpu.ecc.sram_threshold",
        "pass",
        "gpu:4",
        "nothing to",
        put("nvml|gpus|4|sram_threshold_exceeded", NOT_SUPPORTED),
    ),
    c("gpu.ecc.sram_threshold", "unknown", "gpu:4", "permissions", put("nvml|gpus|4|sram_threshold_exceeded", DENIED)),
    c("gpu.ecc.uncorrected", "pass", "gpu:0", "0 uncorrected"),
    c("gpu.ecc.uncorrected", "fail", "gpu:4", "2 uncorrected", put("nvml|gpus|4|ecc_volatile_uncorrected", 2)),
    c("gpu.ecc.uncorrected", "unknown", "gpu:4", "ECC is off", put("nvml|gpus|4|ecc_enabled", False)),
    c("gpu.ecc.uncorrected", "unknown", "gpu:4", "is lost", put("nvml|gpus|4|ecc_volatile_uncorrected", LOST)),
    c("gpu.ecc.uncorrected", "unknown", "gpu:4", "was not read", drop("nvml|gpus|4|ecc_volatile_uncorrected")),
    c("gpu.row_remap.pending", "pass", "gpu:0", "no row waits"),
    c(
        "gpu.row_remap.pending",
        "fail",
        "gpu:2",
        "waits for the next reset",
        put("nvml|gpus|2|remapped_rows|pending", True),
    ),
    c("gpu.row_remap.pending", "unknown", "gpu:2", "permissions", put("nvml|gpus|2|remapped_rows", DENIED)),
    c("gpu.row_remap.pending", "unknown", "gpu:2", "was not read", drop("nvml|gpus|2|remapped_rows|pending")),
    c("gpu.row_remap.failure", "pass", "gpu:0", "no remapping has failed"),
    c(
        "gpu.row_remap.failure",
        "fail",
        "gpu:2",
        "could not be remapped",
        put("nvml|gpus|2|remapped_rows|failure", True),
    ),
    c("gpu.row_remap.failure", "unknown", "gpu:2", "permissions", put("nvml|gpus|2|remapped_rows", DENIED)),
    c("gpu.row_remap.failure", "unknown", "gpu:2", "was not read", drop("nvml|gpus|2|remapped_rows|failure")),
    c("gpu.row_remap.spare", "pass", "gpu:2", "511 rows", put("nvml|gpus|2|remapped_rows|uncorrectable", 511)),
    c("gpu.row_remap.spare", "fail", "gpu:2", "512 rows", put("nvml|gpus|2|remapped_rows|uncorrectable", 512)),
    c("gpu.row_remap.spare", "warn", "gpu:2", "1 bank has no spare row", put("nvml|gpus|2|spent_banks", 1)),
    c("gpu.row_remap.spare", "pass", "gpu:2", "0 rows", put("nvml|gpus|2|spent_banks", NOT_SUPPORTED)),
    c("gpu.row_remap.spare", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|spent_banks", LOST)),
    c("gpu.row_remap.spare", "unknown", "gpu:2", "was not read", drop("nvml|gpus|2|remapped_rows|uncorrectable")),
    c("gpu.xid", "pass", "host", "no XID"),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 79 (GPU has fallen off the bus) 3 times",
        put("kernel_log|xids", [xid(79, count=3)]),
    ),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "fallen off the bus",
        put("kernel_log|off_bus", [{"device": ADDRESSES[2], "count": 1}]),
    ),
    c("gpu.xid", "fail", "host", "does not name", put("kernel_log|off_bus", [{"device": "", "count": 1}])),
    c("gpu.xid", "fail", "pci:0000:ff:00.0", "Xid 48", put("kernel_log|xids", [xid(48, "0000:ff:00.0")])),
    c(
        "gpu.xid",
        "fail",
        "gpu:3",
        "Xid 79",
        put("kernel_log|xids", [xid(79, ADDRESSES[3])]),
        unreadable("nvml"),
        **WITH_ADDRESSES,
    ),
    c("gpu.xid", "pass", "host", "2 harmless", put("kernel_log|xids", [xid(13), xid(45)])),
    c("gpu.xid", "pass", "host", "1 harmless", put("kernel_log|xids", [xid(63)])),
    c("gpu.xid", "warn", "gpu:2", "Xid 9999 (not in the XID table)", put("kernel_log|xids", [xid(9999)])),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 64 (row remap failure), Xid 95",
        put("kernel_log|xids", [xid(95), xid(64), xid(31)]),
    ),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 154",
        put("kernel_log|xids", [xid(154, text="changed from 0x0 (None) to 0x2 (Node Reboot Required)")]),
    ),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 154",
        put("kernel_log|xids", [xid(154, text="changed from 0x0 (None) to 0x5 (Recover IMEX Domain)")]),
    ),
    c(
        "gpu.xid",
        "pass",
        "host",
        "no XID",
        put("kernel_log|xids", [xid(154, text="changed from 0x1 (GPU Reset Required) to 0x0 (None)")]),
    ),
    c("gpu.xid", "unknown", "host", "no answer", unreadable("kernel_log")),
    c("gpu.xid", "unknown", "host", "in part only", put("kernel_log|truncated", "overwritten")),
    c(
        "gpu.xid",
        "fail",
        "gpu:2",
        "Xid 79",
        put("kernel_log|truncated", "overwritten"),
        put("kernel_log|xids", [xid(79)]),
    ),
]
