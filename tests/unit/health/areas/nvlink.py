# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVLinks and their fabric: well, and not."""

from __future__ import annotations

from typing import Any

from tests.unit.health.cases import c
from tests.unit.health.health_factory import LOST, RUNS, Spoil, drop, of_gpus, put, unreadable

CLASS = {
    "hardware": {"gpus": {"nvlinks": 18, "fabric_manager": True, "nvlink_mbps": 26562}},
    "software": {"fabric_manager": "570.172.08"},
}

HEALTHY = {
    "nvml": {
        "gpus": of_gpus(
            lambda _index: {
                "nvlinks": [True] * 18,
                "fabric": {"state": 3, "status": 0},
                "fabric_health": 0,
                "nvlink_mbps": [26562] * 18,
                "nvlink_replays": 3,
                "nvlink_recoveries": 1,
                "nvlink_crc_errors": 12,
                "nvlink_effective_errors": 0,
                "nvlink_failed_recoveries": 0,
                "nvlink_replays_worst": 4,
                "nvlink_recoveries_worst": 4,
                "nvlink_crc_errors_worst": 11,
            }
        )
    },
    "systemd": {"units": {"nvidia-fabricmanager.service": RUNS}},
    "fabric_manager": {"version": "570.172.08"},
}

NOT_JUDGED = {"nvlink_replays_worst", "nvlink_recoveries_worst", "nvlink_crc_errors_worst"}
NOT_SUPPORTED = {"error": "not supported", "code": 3}


def grown(counter: str, by: int) -> Spoil:
    """The links of GPU 3 have had so many in the last hour."""

    def spoil(observation: dict[str, Any]) -> None:
        put(f"nvml|gpus|3|{counter}", 10**7)(observation)
        change = [f"gpu:GPU-00000003/{counter}", by, 1800.0, 60.0]
        observation["readers"]["history"]["data"]["changes"].append(change)

    return spoil


def sxid(code: int, *, fatal: bool, last_us: int = 7_100_000_000, count: int = 1) -> dict[str, Any]:
    """One event of NVSwitch 2 as the kernel log's reader gives it."""
    times = {"count": count, "first_us": last_us, "last_us": last_us}
    return {"switch": 2, "code": code, "device": "0000:09:00.0", "fatal": fatal, "text": "", **times}


UNIT = "unit:nvidia-fabricmanager.service"

CASES = [
    c("gpu.sxid", "pass", "host", "no SXID"),
    c(
        "gpu.sxid",
        "fail",
        "nvswitch:2",
        "SXid 20034 (fatal: NVLink)",
        put("kernel_log|sxids", [sxid(20034, fatal=True)]),
    ),
    c("gpu.sxid", "fail", "nvswitch:2", "23005 (always fatal: cr", put("kernel_log|sxids", [sxid(23005, fatal=False)])),
    c("gpu.sxid", "fail", "nvswitch:2", "12028 (nonfatal: egr", put("kernel_log|sxids", [sxid(12028, fatal=False)])),
    c("gpu.sxid", "warn", "nvswitch:2", "connection of a link", put("kernel_log|sxids", [sxid(20012, fatal=False)])),
    c("gpu.sxid", "warn", "nvswitch:2", "sent again", put("kernel_log|sxids", [sxid(20001, fatal=False)])),
    # The driver's word decides, not what the same number is elsewhere.
    c(
        "gpu.sxid",
        "fail",
        "nvswitch:2",
        "SXid 22013 (fatal: link controller)",
        put("kernel_log|sxids", [sxid(22013, fatal=True)]),
    ),
    c("gpu.sxid", "pass", "host", "1 harmless", put("kernel_log|sxids", [sxid(22013, fatal=False)])),
    c("gpu.sxid", "warn", "nvswitch:2", "10001 (nonfatal)", put("kernel_log|sxids", [sxid(10001, fatal=False)])),
    c(
        "gpu.sxid",
        "fail",
        "nvswitch:2",
        "SXid 24007 (fatal: source tracking) 3 times, SXid 10001 (nonfatal)",
        put("kernel_log|sxids", [sxid(10001, fatal=False), sxid(24007, fatal=True, count=3)]),
    ),
    c(
        "gpu.sxid",
        "pass",
        "host",
        "1 harmless",
        put("kernel_log|sxids", [sxid(20034, fatal=True, last_us=8_999_999)]),
    ),
    c("gpu.sxid", "unknown", "host", "no answer", unreadable("kernel_log")),
    c("gpu.sxid", "unknown", "host", "was not read", drop("kernel_log|sxids")),
    c("gpu.sxid", "unknown", "host", "in part only", put("kernel_log|truncated", "overwritten")),
    c(
        "gpu.sxid",
        "fail",
        "nvswitch:2",
        "20034",
        put("kernel_log|truncated", "overwritten"),
        put("kernel_log|sxids", [sxid(20034, fatal=True)]),
    ),
    c("gpu.nvlink.active", "pass", "gpu:0", "18 of 18"),
    c(
        "gpu.nvlink.active",
        "fail",
        "gpu:7",
        "17 of 18 NVLinks are active; inactive: 4",
        put("nvml|gpus|7|nvlinks|4", False),
    ),
    c("gpu.nvlink.active", "fail", "gpu:7", "shows 12 links", put("nvml|gpus|7|nvlinks", [True] * 12)),
    c("gpu.nvlink.active", "unknown", "gpu:7", "unreadable: 4 (GPU is lost", put("nvml|gpus|7|nvlinks|4", LOST)),
    c("gpu.nvlink.active", "unknown", "gpu:7", "is lost", put("nvml|gpus|7", {"index": 7, **LOST})),
    c("gpu.fabric_manager", "pass", UNIT, "runs"),
    c("gpu.fabric_manager", "pass", "program:nv-fabricmanager", "570.172.08"),
    c(
        "gpu.fabric_manager",
        "fail",
        UNIT,
        "is failed (result exit-code)",
        put(
            "systemd|units|nvidia-fabricmanager.service", {"load": "loaded", "active": "failed", "result": "exit-code"}
        ),
    ),
    c(
        "gpu.fabric_manager",
        "fail",
        UNIT,
        "not installed",
        put("systemd|units|nvidia-fabricmanager.service", {"load": "not-found", "active": "inactive"}),
    ),
    c(
        "gpu.fabric_manager",
        "fail",
        "program:nv-fabricmanager",
        "535.1.2, the class pins",
        put("fabric_manager|version", "535.1.2"),
    ),
    c(
        "gpu.fabric_manager",
        "unknown",
        "program:nv-fabricmanager",
        "no such",
        unreadable("fabric_manager", "missing", "no such command"),
    ),
    c("gpu.fabric_manager", "unknown", UNIT, "no answer", unreadable("systemd")),
    c("gpu.fabric_manager", "pass", "program:nv-fabricmanager", "570.172.08", unreadable("systemd")),
    c("gpu.fabric.state", "pass", "gpu:3", "completed"),
    c("gpu.fabric.state", "fail", "gpu:3", "in progress", put("nvml|gpus|3|fabric|state", 2)),
    c("gpu.fabric.state", "fail", "gpu:3", "completed, NVML error 999", put("nvml|gpus|3|fabric|status", 999)),
    c("gpu.fabric.state", "unknown", "gpu:3", "is lost", put("nvml|gpus|3|fabric", LOST)),
    c("gpu.fabric.health", "pass", "gpu:3", "nothing is wrong"),
    c("gpu.fabric.health", "pass", "gpu:3", "nothing is wrong", put("nvml|gpus|3|fabric_health", 0x1AA)),
    c("gpu.fabric.health", "fail", "gpu:3", "degraded bandwidth", put("nvml|gpus|3|fabric_health", 0x1A9)),
    c("gpu.fabric.health", "fail", "gpu:3", "a route is unhealthy", put("nvml|gpus|3|fabric_health", 0x19A)),
    c("gpu.fabric.health", "fail", "gpu:3", "too few NVLinks", put("nvml|gpus|3|fabric_health", 0x5AA)),
    c("gpu.fabric.health", "fail", "gpu:3", "number 15", put("nvml|gpus|3|fabric_health", 0xFAA)),
    c("gpu.fabric.health", "warn", "gpu:3", "is being recovered", put("nvml|gpus|3|fabric_health", 0x1A6)),
    c("gpu.fabric.health", "pass", "gpu:3", "nothing to judge", put("nvml|gpus|3|fabric_health", NOT_SUPPORTED)),
    c("gpu.fabric.health", "unknown", "gpu:3", "is lost", put("nvml|gpus|3|fabric_health", LOST)),
    c("gpu.nvlink.speed", "pass", "gpu:3", "no active NVLink is slower than 26562"),
    c("gpu.nvlink.speed", "fail", "gpu:3", "7 (25781 MB/s)", put("nvml|gpus|3|nvlink_mbps|7", 25781)),
    c(
        "gpu.nvlink.speed",
        "pass",
        "gpu:3",
        "no active NVLink",
        put("nvml|gpus|3|nvlink_mbps|7", None),
        put("nvml|gpus|3|nvlinks|7", False),
    ),
    c("gpu.nvlink.speed", "unknown", "gpu:3", "was not read", put("nvml|gpus|3|nvlink_mbps|7", None)),
    c("gpu.nvlink.speed", "unknown", "gpu:3", "17 tell", drop("nvml|gpus|3|nvlink_mbps|7")),
    c("gpu.nvlink.speed", "unknown", "gpu:3", "is lost", put("nvml|gpus|3|nvlink_mbps", LOST)),
    c("gpu.nvlink.speed", "unknown", "gpu:3", "not supported", put("nvml|gpus|3|nvlink_mbps", NOT_SUPPORTED)),
    c("gpu.nvlink.crc_rate", "pass", "gpu:3", "99 NVLink CRC errors", grown("nvlink_crc_errors", 99)),
    c("gpu.nvlink.crc_rate", "warn", "gpu:3", "most in all on NVLink 11", grown("nvlink_crc_errors", 100)),
    c("gpu.nvlink.crc_rate", "fail", "gpu:3", "360000 NVLink CRC", grown("nvlink_crc_errors", 360000)),
    c("gpu.nvlink.crc_rate", "pass", "gpu:3", "nothing to judge", put("nvml|gpus|3|nvlink_crc_errors", NOT_SUPPORTED)),
    c("gpu.nvlink.crc_rate", "unknown", "gpu:3", "is lost", put("nvml|gpus|3|nvlink_crc_errors", LOST)),
    c("gpu.nvlink.effective_errors", "pass", "gpu:3", "0 NVLink errors after", grown("nvlink_crc_errors", 9)),
    c("gpu.nvlink.effective_errors", "warn", "gpu:3", "1 NVLink errors after", grown("nvlink_effective_errors", 1)),
    c("gpu.nvlink.effective_errors", "fail", "gpu:3", "1000 NVLink", grown("nvlink_effective_errors", 1000)),
    c("gpu.nvlink.effective_errors", "unknown", "gpu:3", "lost", put("nvml|gpus|3|nvlink_effective_errors", LOST)),
    c("gpu.nvlink.failed_recoveries", "pass", "gpu:3", "0 NVLink recoveries that failed"),
    c("gpu.nvlink.failed_recoveries", "warn", "gpu:3", "1 NVLink", grown("nvlink_failed_recoveries", 1)),
    c("gpu.nvlink.failed_recoveries", "fail", "gpu:3", "3 NVLink", grown("nvlink_failed_recoveries", 3)),
    c(
        "gpu.nvlink.failed_recoveries",
        "pass",
        "gpu:3",
        "nothing to judge",
        put("nvml|gpus|3|nvlink_failed_recoveries", NOT_SUPPORTED),
    ),
    c("gpu.nvlink.failed_recoveries", "unknown", "gpu:3", "lost", put("nvml|gpus|3|nvlink_failed_recoveries", LOST)),
    c("gpu.nvlink.replay_rate", "pass", "gpu:3", "9 NVLink replays", grown("nvlink_replays", 9)),
    c("gpu.nvlink.replay_rate", "warn", "gpu:3", "10 NVLink replays", grown("nvlink_replays", 10)),
    c("gpu.nvlink.replay_rate", "fail", "gpu:3", "1000 NVLink replays", grown("nvlink_replays", 1000)),
    c("gpu.nvlink.replay_rate", "unknown", "gpu:3", "is lost", put("nvml|gpus|3|nvlink_replays", LOST)),
    c("gpu.nvlink.recovery_rate", "pass", "gpu:3", "1 NVLink recoveries", grown("nvlink_recoveries", 1)),
    c("gpu.nvlink.recovery_rate", "warn", "gpu:3", "2 NVLink recoveries", grown("nvlink_recoveries", 2)),
    c("gpu.nvlink.recovery_rate", "fail", "gpu:3", "20 NVLink recoveries", grown("nvlink_recoveries", 20)),
    c("gpu.nvlink.recovery_rate", "unknown", "gpu:3", "is lost", put("nvml|gpus|3|nvlink_recoveries", LOST)),
]
