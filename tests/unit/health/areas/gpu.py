# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GPUs there are, and their driver: well, and not."""

from __future__ import annotations

from tests.unit.health.cases import c
from tests.unit.health.health_factory import (
    ADDRESSES,
    DENIED,
    LOST,
    WITH_ADDRESSES,
    absent,
    drop,
    of_gpus,
    put,
    unreadable,
)

CLASS = {
    "hardware": {
        "gpus": {
            "count": 8,
            "model": "NVIDIA H100 80GB HBM3",
            "pci_device_id": "10de:2330",
            "memory_mib": 81559,
            "bar1_mib": 131072,
            "clocks_max_mhz": {"sm": 1980, "memory": 2619},
        }
    },
    "software": {"gpu_driver": "570.172.08", "cuda": "12.8"},
}

HEALTHY = {
    "nvml": {
        "driver_version": "570.172.08",
        "cuda_version": "12.8",
        "count": 8,
        "gpus": of_gpus(
            lambda index: {
                "index": index,
                "uuid": f"GPU-{index:08d}",
                "serial": f"165{index:010d}",
                "model": "NVIDIA H100 80GB HBM3",
                "vbios": "96.00.99.00.01",
                "pci": ADDRESSES[index],
                "pci_device": "10de:2330",
                "inforom_valid": True,
                "persistence": True,
                "mig": False,
                "mig_pending": False,
                "compute_mode": 0,
                "clocks_mhz": {
                    "sm": 345,
                    "sm_max": 1980,
                    "memory_max": 2619,
                    "sm_application": 1980,
                    "memory_application": 2619,
                    "sm_application_default": 1980,
                    "memory_application_default": 2619,
                },
                "memory_bytes": 81559 << 20,
                "bar1_bytes": 131072 << 20,
                "memory_used_bytes": 4 << 20,
                "processes": {},
                "minor": index,
            }
        ),
    },
    "pci": {"gpus": [{"address": address, "device": "0x2330"} for address in ADDRESSES]},
}

NOT_JUDGED = {"count", "index", "uuid", "serial", "vbios", "pci", "minor"}

NOT_SUPPORTED = {"error": "not supported", "code": 3}
CORRUPTED = {"error": "corrupted infoROM", "code": 14}
VBIOS = {"gpus": {"vbios": "96.00.99.00.01"}}
OTHER_VBIOS = put("nvml|gpus|2|vbios", "96.00.74.00.01")
FOUR_OTHERS = [put(f"nvml|gpus|{index}|vbios", "96.00.74.00.01") for index in range(4)]
IN_USE = put("nvml|gpus|1|memory_used_bytes", 1024 << 20)

MOVED = (put("nvml|gpus|6|pci", "0000:ee:00.0"),)
MISMATCH = (unreadable("nvml", "error", "driver/library version mismatch", 18),)

CASES = [
    c("gpu.count", "pass", "host", "8 of 8"),
    c("gpu.count", "fail", "gpu:3", "GPU 3 is missing: 7 of 8", drop("nvml|gpus|3")),
    c("gpu.count", "fail", "gpu:3", "GPU 3 at 0000:5d:00.0", drop("nvml|gpus|3"), **WITH_ADDRESSES),
    c("gpu.count", "fail", "gpu:0", "is missing", put("nvml|gpus", []), **WITH_ADDRESSES),
    c("gpu.count", "fail", "host", "0 of 8 GPUs answer", put("nvml|gpus", []), put("pci|gpus", [])),
    c("gpu.count", "fail", "gpu:6", "does not answer: GPU is lost", put("nvml|gpus|6", {"index": 6, **LOST})),
    c("gpu.count", "fail", "gpu:6", "GPU is lost", put("nvml|gpus|6|uuid", LOST)),
    c("gpu.count", "unknown", "gpu:6", "cannot be read", put("nvml|gpus|6", {"index": 6, **DENIED})),
    c("gpu.count", "fail", "host", "8 GPUs, the class has 4", gpus={"count": 4}),
    c(
        "gpu.count",
        "fail",
        "host",
        "the class has 4; 0000:ee:00.0 fits no slot",
        *MOVED,
        gpus={"count": 4, "pci_addresses": ADDRESSES},
    ),
    c(
        "gpu.count",
        "warn",
        "host",
        "8 of 8 GPUs answer; 0000:ee:00.0 fits no slot of the class",
        *MOVED,
        **WITH_ADDRESSES,
    ),
    c("gpu.count", "unknown", "host", "no answer within 20 s", unreadable("nvml")),
    c("gpu.count", "unknown", "host", "was not read", absent("nvml")),
    c("gpu.model", "pass", "gpu:7", "is a NVIDIA H100"),
    c(
        "gpu.model",
        "fail",
        "gpu:1",
        "is a NVIDIA A100-SXM4-80GB, the class has",
        put("nvml|gpus|1|model", "NVIDIA A100-SXM4-80GB"),
    ),
    c("gpu.model", "unknown", "gpu:1", "GPU is lost (code 15)", put("nvml|gpus|1|model", LOST)),
    c("gpu.model", "pass", "gpu:2", "is a NVIDIA H100", put("nvml|gpus|1|model", LOST)),
    c("gpu.model", "unknown", "host", "lists no GPU", put("nvml|gpus", [])),
    c("gpu.pci_device", "pass", "gpu:0", "10de:2330"),
    c(
        "gpu.pci_device",
        "fail",
        "gpu:2",
        "10de:2331, the class has 10de:2330",
        put("nvml|gpus|2|pci_device", "10de:2331"),
    ),
    c("gpu.pci_device", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|pci_device", LOST)),
    c("gpu.identity", "pass", "gpu:0", "serial 1650000000000"),
    c("gpu.identity", "warn", "gpu:2", "no serial number", put("nvml|gpus|2|serial", NOT_SUPPORTED)),
    c("gpu.identity", "warn", "gpu:2", "shares with another GPU: serial", put("nvml|gpus|2|serial", "1650000000005")),
    c("gpu.identity", "warn", "gpu:5", "shares with another GPU: uuid", put("nvml|gpus|2|uuid", "GPU-00000005")),
    c("gpu.identity", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|serial", LOST)),
    c("gpu.identity", "unknown", "gpu:2", "not supported", put("nvml|gpus|2", {"index": 2, **NOT_SUPPORTED})),
    c("gpu.vbios", "pass", "gpu:2", "96.00.99.00.01"),
    c("gpu.vbios", "pass", "gpu:0", "96.00.99.00.01", OTHER_VBIOS),
    c("gpu.vbios", "warn", "gpu:2", "others of the node have 96.00.99.00.01", OTHER_VBIOS),
    c("gpu.vbios", "warn", "gpu:0", "others of the node have 96.00.99.00.01", *FOUR_OTHERS),
    c("gpu.vbios", "warn", "gpu:7", "others of the node have 96.00.74.00.01", *FOUR_OTHERS),
    c("gpu.vbios", "fail", "gpu:2", "the class has 96.00.99.00.01", OTHER_VBIOS, **VBIOS),
    c("gpu.vbios", "pass", "gpu:3", "96.00.99.00.01", OTHER_VBIOS, **VBIOS),
    c("gpu.vbios", "pass", "gpu:2", "nothing to judge: not supported", put("nvml|gpus|2|vbios", NOT_SUPPORTED)),
    c("gpu.vbios", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|vbios", LOST)),
    c("gpu.vbios", "unknown", "gpu:2", "not supported", put("nvml|gpus|2|vbios", NOT_SUPPORTED), **VBIOS),
    c("gpu.inforom", "pass", "gpu:0", "whole"),
    c("gpu.inforom", "fail", "gpu:2", "corrupted", put("nvml|gpus|2|inforom_valid", CORRUPTED)),
    c("gpu.inforom", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|inforom_valid", LOST)),
    c("gpu.inforom", "unknown", "gpu:2", "does not say", put("nvml|gpus|2|inforom_valid", False)),
    c("gpu.inforom", "pass", "gpu:2", "nothing to judge", put("nvml|gpus|2|inforom_valid", NOT_SUPPORTED)),
    c("gpu.cuda.version", "pass", "host", "runs CUDA 12.8 and older"),
    c("gpu.cuda.version", "pass", "host", "runs CUDA 13.0 and older", put("nvml|cuda_version", "13.0")),
    c("gpu.cuda.version", "pass", "host", "runs CUDA 12.10 and older", put("nvml|cuda_version", "12.10")),
    c("gpu.cuda.version", "fail", "host", "12.4 and older, the class has 12.8", put("nvml|cuda_version", "12.4")),
    c("gpu.cuda.version", "unknown", "host", "no permission", put("nvml|cuda_version", {"error": "no permission"})),
    c("gpu.cuda.version", "unknown", "host", "no version of CUDA", put("nvml|cuda_version", "new")),
    c("gpu.persistence", "pass", "gpu:0", "mode is on"),
    c("gpu.persistence", "warn", "gpu:2", "mode is off", put("nvml|gpus|2|persistence", False)),
    c("gpu.persistence", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|persistence", LOST)),
    c("gpu.persistence", "unknown", "gpu:2", "was not read", drop("nvml|gpus|2|persistence")),
    c("gpu.mig", "pass", "gpu:0", "MIG is off"),
    c("gpu.mig", "fail", "gpu:2", "MIG is on", put("nvml|gpus|2|mig", True)),
    c("gpu.mig", "warn", "gpu:2", "on from the next reset on", put("nvml|gpus|2|mig_pending", True)),
    c("gpu.mig", "pass", "gpu:2", "nothing to judge: not supported", put("nvml|gpus|2|mig", NOT_SUPPORTED)),
    c("gpu.mig", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|mig", LOST)),
    c("gpu.compute_mode", "pass", "gpu:0", "whoever wants"),
    c("gpu.compute_mode", "fail", "gpu:2", "nobody may compute", put("nvml|gpus|2|compute_mode", 2)),
    c("gpu.compute_mode", "warn", "gpu:2", "one process alone", put("nvml|gpus|2|compute_mode", 3)),
    c("gpu.compute_mode", "warn", "gpu:2", "compute mode 7", put("nvml|gpus|2|compute_mode", 7)),
    c("gpu.compute_mode", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|compute_mode", LOST)),
    c("gpu.clocks.max", "pass", "gpu:0", "sm 1980 MHz, memory 2619 MHz"),
    c("gpu.clocks.max", "fail", "gpu:2", "the class has sm 1980 MHz", put("nvml|gpus|2|clocks_mhz|sm_max", 1755)),
    c("gpu.clocks.max", "fail", "gpu:2", "has memory 2619 MHz", put("nvml|gpus|2|clocks_mhz|memory_max", 1593)),
    c("gpu.clocks.max", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|clocks_mhz|sm_max", LOST)),
    c("gpu.clocks.max", "unknown", "gpu:2", "was not read", drop("nvml|gpus|2|clocks_mhz")),
    c("gpu.clocks.application", "pass", "gpu:0", "not below"),
    c(
        "gpu.clocks.application",
        "warn",
        "gpu:2",
        "sm 345 of 1980 MHz",
        put("nvml|gpus|2|clocks_mhz|sm_application", 345),
    ),
    c(
        "gpu.clocks.application",
        "warn",
        "gpu:2",
        "memory 1593 of 2619 MHz",
        put("nvml|gpus|2|clocks_mhz|memory_application", 1593),
    ),
    c(
        "gpu.clocks.application",
        "pass",
        "gpu:2",
        "nothing to judge",
        put("nvml|gpus|2|clocks_mhz|sm_application", NOT_SUPPORTED),
    ),
    c("gpu.clocks.application", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|clocks_mhz|sm_application", LOST)),
    c("gpu.memory.size", "pass", "gpu:0", "81559 MiB"),
    c("gpu.memory.size", "pass", "gpu:2", "80744 MiB", put("nvml|gpus|2|memory_bytes", 80744 << 20)),
    c("gpu.memory.size", "fail", "gpu:2", "80743 MiB", put("nvml|gpus|2|memory_bytes", 80743 << 20)),
    c("gpu.memory.size", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|memory_bytes", LOST)),
    c("gpu.memory.size", "unknown", "gpu:2", "not supported", put("nvml|gpus|2|memory_bytes", NOT_SUPPORTED)),
    c("gpu.bar1.size", "unknown", "gpu:2", "not supported", put("nvml|gpus|2|bar1_bytes", NOT_SUPPORTED)),
    c("gpu.clocks.max", "unknown", "gpu:2", "not supported", put("nvml|gpus|2|clocks_mhz|memory_max", NOT_SUPPORTED)),
    c("gpu.bar1.size", "pass", "gpu:0", "131072 MiB"),
    c("gpu.bar1.size", "fail", "gpu:2", "256 MiB, the class has 131072", put("nvml|gpus|2|bar1_bytes", 256 << 20)),
    c("gpu.bar1.size", "unknown", "gpu:2", "is lost", put("nvml|gpus|2|bar1_bytes", LOST)),
    c("gpu.memory.leaked", "pass", "gpu:1", "4 MiB of memory in use, and nobody"),
    c("gpu.memory.leaked", "pass", "gpu:1", "1023 MiB", put("nvml|gpus|1|memory_used_bytes", 1023 << 20)),
    c("gpu.memory.leaked", "warn", "gpu:1", "1024 MiB of memory in use, and nobody", IN_USE),
    c("gpu.memory.leaked", "pass", "gpu:1", "by 1 processes", IN_USE, put("nvml|gpus|1|processes", {"7": "S"})),
    c("gpu.memory.leaked", "warn", "gpu:1", "warn 2 MiB", thresholds={"gpu_memory_leaked_mib": 2}),
    c("gpu.memory.leaked", "unknown", "gpu:1", "permissions", put("nvml|gpus|1|processes", DENIED)),
    c("gpu.memory.leaked", "unknown", "gpu:1", "was not read", drop("nvml|gpus|1|memory_used_bytes")),
    c("gpu.stray_processes", "pass", "gpu:1", "no process that has ended"),
    c("gpu.stray_processes", "pass", "gpu:1", "no process", put("nvml|gpus|1|processes", {"7": "R", "8": "D"})),
    c("gpu.stray_processes", "warn", "gpu:1", "ended: 4242", put("nvml|gpus|1|processes", {"7": "R", "4242": ""})),
    c("gpu.stray_processes", "warn", "gpu:1", "ended: 4242", put("nvml|gpus|1|processes", {"4242": "Z"})),
    c("gpu.stray_processes", "unknown", "gpu:1", "permissions", put("nvml|gpus|1|processes", DENIED)),
    c("gpu.driver.version", "pass", "host", "570.172.08"),
    c(
        "gpu.driver.version",
        "fail",
        "host",
        "570.133.20 is loaded, the class pins 570.172.08",
        put("nvml|driver_version", "570.133.20"),
    ),
    c("gpu.driver.version", "unknown", "host", "not supported", put("nvml|driver_version", {"error": "not supported"})),
    c("gpu.driver.version", "fail", "host", "another version than the driver", *MISMATCH),
    c("gpu.count", "unknown", "host", "version mismatch (code 18)", *MISMATCH),
    c("gpu.driver.version", "unknown", "host", "(code 9)", unreadable("nvml", "error", "driver not loaded", 9)),
]
