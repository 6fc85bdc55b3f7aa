# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors and memory: well, and not."""

from __future__ import annotations

from tests.unit.health.cases import Case, c
from tests.unit.health.health_factory import Spoil, drop, put, unreadable

MICROCODE = "0x2b000590"
CPU = {"model": "Intel(R) Xeon(R) Platinum 84*", "sockets": 2, "cores": 56, "threads": 2, "microcode": MICROCODE}
CLASS = {"hardware": {"memory_gib": 2048, "cpu": CPU, "numa_nodes": 2, "edac": True}}

HEALTHY = {
    "host": {"memory_bytes": int(2048 * 1024**3 * 0.985)},
    "cpu_memory": {
        "processors": {
            "model": "Intel(R) Xeon(R) Platinum 8480C",
            "sockets": 2,
            "cores": 112,
            "threads": 224,
            "microcode": [MICROCODE],
        },
        "governors": {"performance": 224},
        "numa_balancing": False,
        # The kernel's own things lie in the first node.
        "numa_nodes": {"0": 1_081_000_000_000, "1": 1_082_000_000_000},
        "controllers": {name: {"corrected": 0, "uncorrected": 0} for name in ("mc0", "mc1")},
        "offline_bytes": 0,
    },
}

UNREAD = {"error": "no permission"}


def cpu(check: str, verdict: str, says: str, **processors: object) -> Case:
    spoils = [put(f"cpu_memory|processors|{key}", value) for key, value in processors.items()]
    return c(check, verdict, "host", says, *spoils)


def corrected(count: int) -> Spoil:
    """So many in the two hours since the boot, and no other counter has grown."""
    return put("history|changes", [["memory:mc0/corrected", count, 7200.0, 0.0]])


CASES = [
    cpu("cpu.model", "pass", "Platinum 8480C"),
    cpu("cpu.model", "fail", "the class has Intel", model="INTEL(R) XEON(R) PLATINUM 8592+"),
    c("cpu.model", "unknown", "host", "no permission", put("cpu_memory|processors", UNREAD)),
    cpu("cpu.count", "pass", "112 cores in 2 sockets"),
    cpu("cpu.count", "fail", "56 cores in 1 sockets", sockets=1, cores=56),
    cpu("cpu.count", "fail", "111 cores in 2 sockets", cores=111),
    cpu("cpu.count", "warn", "120 cores in 2 sockets", cores=120),
    cpu("cpu.count", "unknown", "not a number", cores="112"),
    cpu("cpu.smt", "pass", "224 threads of 112 cores"),
    cpu("cpu.smt", "warn", "112 threads of 112 cores", threads=112),
    cpu("cpu.smt", "warn", "223 threads of 112 cores", threads=223),
    cpu("cpu.smt", "unknown", "not a number", threads="224"),
    cpu("cpu.microcode", "pass", MICROCODE),
    cpu("cpu.microcode", "pass", "0x2c000000", microcode=["0x2c000000"]),
    cpu("cpu.microcode", "warn", "different microcode: 0x2b0004b1 and", microcode=["0x2b0004b1", MICROCODE]),
    cpu("cpu.microcode", "warn", "older than the class's", microcode=["0x2b00058f"]),
    cpu("cpu.microcode", "unknown", "no version", microcode=[]),
    cpu("cpu.microcode", "unknown", "'new' is no version", microcode=["new"]),
    c("cpu.governor", "pass", "host", "is performance"),
    c("cpu.governor", "pass", "host", "the firmware keeps", put("cpu_memory|governors", {})),
    c(
        "cpu.governor",
        "warn",
        "host",
        "powersave for 2",
        put("cpu_memory|governors", {"performance": 222, "powersave": 2}),
    ),
    c("cpu.governor", "unknown", "host", "no permission", put("cpu_memory|governors", UNREAD)),
    c("cpu.mce", "pass", "host", "no machine check"),
    c("cpu.mce", "fail", "host", "a machine check", put("host|taint", 1 << 4 | 1 << 12)),
    c("cpu.mce", "unknown", "host", "no permission", put("host|taint", UNREAD)),
    c("memory.numa", "pass", "numa:0", "1006.8 GiB"),
    c("memory.numa", "fail", "numa:1", "943.0 GiB", put("cpu_memory|numa_nodes|1", 15 * 1_080_000_000_000 // 16)),
    c("memory.numa", "fail", "host", "1 NUMA nodes have", drop("cpu_memory|numa_nodes|1")),
    c("memory.numa", "unknown", "host", "no permission", put("cpu_memory|numa_nodes", UNREAD)),
    c("memory.numa_balancing", "pass", "host", "no memory"),
    c("memory.numa_balancing", "warn", "host", "moves memory", put("cpu_memory|numa_balancing", True)),
    c("memory.numa_balancing", "unknown", "host", "no permission", put("cpu_memory|numa_balancing", UNREAD)),
    c("memory.edac", "pass", "host", "2 memory controllers"),
    c("memory.edac", "fail", "host", "counts no errors", put("cpu_memory|controllers", {})),
    c("memory.edac", "unknown", "host", "no permission", put("cpu_memory|controllers", UNREAD)),
    c("memory.ecc.uncorrected", "pass", "memory:mc0", "mc0: 0 uncorrectable"),
    c("memory.ecc.uncorrected", "fail", "memory:mc1", "1 uncorr", put("cpu_memory|controllers|mc1|uncorrected", 1)),
    c("memory.ecc.uncorrected", "pass", "memory:mc0", "mc0: 0", put("cpu_memory|controllers|mc1|uncorrected", UNREAD)),
    c(
        "memory.ecc.uncorrected",
        "unknown",
        "memory:mc1",
        "no permission",
        put("cpu_memory|controllers|mc1|uncorrected", UNREAD),
    ),
    c("memory.ecc.uncorrected", "unknown", "host", "counts no errors", put("cpu_memory|controllers", {})),
    c("memory.ecc.corrected", "pass", "memory:mc0", "0 errors corrected in the last day"),
    c("memory.ecc.corrected", "warn", "memory:mc0", "50 errors corrected", corrected(50)),
    c("memory.ecc.corrected", "pass", "memory:mc0", "49 errors corrected", corrected(49)),
    # Of a week ago.
    c("memory.ecc.corrected", "pass", "memory:mc0", "0 errors", put("cpu_memory|controllers|mc0|corrected", 400)),
    c(
        "memory.ecc.corrected",
        "warn",
        "memory:mc0",
        "400 errors",
        put("cpu_memory|controllers|mc0|corrected", 400),
        unreadable("history"),
    ),
    c(
        "memory.ecc.corrected",
        "unknown",
        "memory:mc0",
        "no permission",
        put("cpu_memory|controllers|mc0|corrected", UNREAD),
    ),
    c("memory.page_offline", "pass", "host", "0 KiB"),
    c("memory.page_offline", "warn", "host", "8 KiB", put("cpu_memory|offline_bytes", 8192)),
    c("memory.page_offline", "unknown", "host", "no answer", unreadable("cpu_memory")),
    c("host.memory", "pass", "host", "2017.3 GiB"),
    c("host.memory", "fail", "host", "1920.0 GiB", put("host|memory_bytes", 1920 * 1024**3)),
    c("host.memory", "warn", "host", "4096.0 GiB", put("host|memory_bytes", 4096 * 1024**3)),
    c("host.memory", "unknown", "host", "no MemTotal", put("host|memory_bytes", {"error": "no MemTotal"})),
]
