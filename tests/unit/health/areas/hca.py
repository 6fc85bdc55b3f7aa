# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HCAs: well, and not."""

from __future__ import annotations

from typing import Any

from tests.unit.health.cases import Case, c
from tests.unit.health.health_factory import counted, drop, put, unreadable

HCAS = [f"mlx5_{number}" for number in range(8)]
ADDRESSES = [f"0000:{bus:02x}:00.0" for bus in (0x1A, 0x3C, 0x4D, 0x5E, 0x9C, 0xBC, 0xCC, 0xDC)]
CLASS: dict[str, Any] = {
    "hardware": {
        "hcas": {
            "devices": HCAS,
            "pci_addresses": ADDRESSES,
            "rate_gbps": 400,
            "firmware": "28.39.1002",
            "pkeys": ["0xffff"],
        }
    }
}

UP = {"state": "ACTIVE", "physical_state": "LinkUp", "link_layer": "InfiniBand"}
SERVED = {"sm_lid": 3, "pkeys": [0xFFFF, 0x8001]}
COUNTERS = dict.fromkeys(
    (
        *("link_downed", "link_error_recovery", "symbol_error", "port_rcv_errors", "port_rcv_remote_physical_errors"),
        *("local_link_integrity_errors", "excessive_buffer_overrun_errors", "port_xmit_discards", "VL15_dropped"),
        *("port_rcv_constraint_errors", "local_ack_timeout_err", "packet_seq_err"),
    ),
    0,
)
HEALTHY = {
    "infiniband": {
        "devices": {
            name: {
                "node_guid": f"9c05:9103:0090:e0{address[5:7]}",
                "firmware": "28.39.1002",
                "pci": address,
                "ports": {"1": {**UP, **SERVED, "rate_gbps": 400.0, "lid": 12, "counters": dict(COUNTERS)}},
            }
            for name, address in zip(HCAS, ADDRESSES, strict=True)
        }
    },
    "history": {"changes": [], "trouble": ""},
}

NOT_JUDGED = {"lid", "changes", "trouble"}

PORT = "infiniband|devices|mlx5_5|ports|1"
DOWN = (put("infiniband|devices|mlx5_5|ports|1|state", "DOWN"),)
# Boards of one PSID have a version of their own.
IMAGE = {"psid": "DEL0000000031", "version": "28.46.1006", "image_uri": "http://head01/dell.bin", "sha256": "a" * 64}
OF_DELL = {"hcas": {**CLASS["hardware"]["hcas"], "firmware_images": [IMAGE]}}
BOARDS = (put("infiniband|devices|mlx5_3|board_id", "MT_0000000838"),)


def rates(check: str, counter: str, warn: int, fail: int, stop: int) -> list[Case]:
    """An hour's growth of a counter of a port: just below and at each limit, and where the counter stops."""

    def grown(verdict: str, by: int, total: int = 0) -> Case:
        return c(check, verdict, "hca:mlx5_2", f"{by} ", counted("mlx5_2", counter, total or by, (by, 3600, 0)))

    old = counted("mlx5_2", counter, stop - 1, (fail, 90000, 3600))
    return [
        grown("pass", warn - 1),
        grown("warn", warn),
        grown("warn", fail - 1),
        grown("fail", fail),
        grown("unknown", warn, stop),
        grown("fail", fail, stop),
        c(check, "pass", "hca:mlx5_2", "0 ", old),
        c(check, "pass", "hca:mlx5_3", "0 ", counted("mlx5_2", counter, fail, (fail, 3600, 0))),
        c(check, "unknown", "hca:mlx5_2", "was not read", put("infiniband|devices|mlx5_2|ports|1|counters", {})),
    ]


def warned(check: str, counter: str, warn: int) -> list[Case]:
    """An hour's growth of a counter of which nobody is set aside."""
    denied = put(f"infiniband|devices|mlx5_2|ports|1|counters|{counter}", {"error": "Input/output error"})
    return [
        c(check, "pass", "hca:mlx5_2", f"{warn - 1} ", counted("mlx5_2", counter, warn - 1, (warn - 1, 3600, 0))),
        c(check, "warn", "hca:mlx5_2", f"{warn} ", counted("mlx5_2", counter, warn, (warn, 3600, 0))),
        c(check, "pass", "hca:mlx5_2", "0 ", counted("mlx5_2", counter, warn, (warn, 9000, 3600))),
        c(check, "unknown", "hca:mlx5_2", "Input/output", denied),
    ]


CASES = [
    *rates("hca.link_integrity", "local_link_integrity_errors", 1, 5, 15),
    *rates("hca.buffer_overruns", "excessive_buffer_overrun_errors", 1, 5, 15),
    *warned("hca.transmit_discards", "port_xmit_discards", 1000),
    *warned("hca.remote_errors", "port_rcv_remote_physical_errors", 120),
    *warned("hca.management_dropped", "VL15_dropped", 100),
    *warned("hca.constraint_errors", "port_rcv_constraint_errors", 20),
    *warned("hca.ack_timeouts", "local_ack_timeout_err", 1000),
    *warned("hca.sequence_errors", "packet_seq_err", 1000),
    *rates("hca.link_error_recovery", "link_error_recovery", 12, 60, 255),
    *rates("hca.symbol_errors", "symbol_error", 120, 36000, 65535),
    *rates("hca.receive_errors", "port_rcv_errors", 120, 36000, 65535),
    c("hca.count", "pass", "host", "8 of 8"),
    c("hca.count", "fail", "hca:mlx5_5", "mlx5_5 (rail 5) is missing: 7 of 8", drop("infiniband|devices|mlx5_5")),
    c(
        "hca.count",
        "warn",
        "hca:mlx5_9",
        "not of the class",
        put("infiniband|devices|mlx5_9", {"ports": {"1": {"link_layer": "InfiniBand"}}}),
    ),
    c(
        "hca.count",
        "pass",
        "host",
        "8 of 8",
        put("infiniband|devices|mlx5_9", {"ports": {"1": {"link_layer": "Ethernet"}}}),
    ),
    c("hca.count", "unknown", "host", "RDMA driver", unreadable("infiniband", "missing", "is the RDMA driver loaded?")),
    c("hca.state", "pass", "hca:mlx5_0", "ACTIVE"),
    c("hca.state", "fail", "hca:mlx5_5", "DOWN", *DOWN),
    c("hca.state", "fail", "hca:mlx5_5", "subnet manager", put("infiniband|devices|mlx5_5|ports|1|state", "INIT")),
    c(
        "hca.state",
        "unknown",
        "hca:mlx5_5",
        "Input/output",
        put("infiniband|devices|mlx5_5|ports|1|state", {"error": "Input/output error"}),
    ),
    # A port that is down is down, whatever else can be read of it.
    c("hca.state", "fail", "hca:mlx5_5", "DOWN", *DOWN, drop(f"{PORT}|physical_state")),
    c("hca.physical_state", "pass", "hca:mlx5_0", "LinkUp"),
    c(
        "hca.physical_state",
        "fail",
        "hca:mlx5_5",
        "physically LinkErrorRecovery",
        put(f"{PORT}|physical_state", "LinkErrorRecovery"),
    ),
    c("hca.physical_state", "unknown", "hca:mlx5_5", "was not read", drop(f"{PORT}|physical_state")),
    c("hca.link_layer", "pass", "hca:mlx5_0", "InfiniBand"),
    c("hca.link_layer", "fail", "hca:mlx5_5", "port of Ethernet", put(f"{PORT}|link_layer", "Ethernet")),
    c("hca.link_layer", "unknown", "hca:mlx5_5", "was not read", drop(f"{PORT}|link_layer")),
    c("hca.name", "pass", "hca:mlx5_0", f"sits at {ADDRESSES[0]}"),
    c(
        "hca.name",
        "fail",
        "hca:mlx5_5",
        f"sits at {ADDRESSES[6]}, the class has {ADDRESSES[5]}",
        put("infiniband|devices|mlx5_5|pci", ADDRESSES[6]),
    ),
    c(
        "hca.name",
        "unknown",
        "hca:mlx5_5",
        "names no PCI slot",
        put("infiniband|devices|mlx5_5|pci", {"error": "uevent names no PCI slot"}),
    ),
    c(
        "hca.name",
        "unknown",
        "hca:mlx5_7",
        "does not say where",
        hcas={**CLASS["hardware"]["hcas"], "pci_addresses": ADDRESSES[:7]},
    ),
    c("hca.name", "unknown", "host", "none of the class's HCAs", put("infiniband|devices", {})),
    c("hca.guid", "pass", "hca:mlx5_0", "GUID 9c05:9103:0090:e01a"),
    c(
        "hca.guid",
        "fail",
        "hca:mlx5_5",
        "9c05:9103:0090:e01a, as mlx5_0 has",
        put("infiniband|devices|mlx5_5|node_guid", "9c05:9103:0090:e01a"),
    ),
    c(
        "hca.guid",
        "fail",
        "hca:mlx5_5",
        "has no GUID",
        put("infiniband|devices|mlx5_5|node_guid", "0000:0000:0000:0000"),
    ),
    c("hca.guid", "unknown", "hca:mlx5_5", "no answer", put("infiniband|devices|mlx5_5", {"error": "no answer"})),
    c("hca.guid", "unknown", "hca:mlx5_5", "was not read", drop("infiniband|devices|mlx5_5|node_guid")),
    c("hca.subnet_manager", "pass", "hca:mlx5_0", "subnet manager at LID 3"),
    c("hca.subnet_manager", "fail", "hca:mlx5_5", "no subnet manager has come", put(f"{PORT}|sm_lid", 0)),
    c("hca.subnet_manager", "fail", "hca:mlx5_5", "which is ACTIVE", put(f"{PORT}|sm_lid", 0xFFFF)),
    c("hca.subnet_manager", "unknown", "hca:mlx5_5", "its port is DOWN", *DOWN),
    c("hca.subnet_manager", "unknown", "hca:mlx5_5", "was not read", drop(f"{PORT}|sm_lid")),
    c("hca.pkey", "pass", "hca:mlx5_0", "member of all partitions (has 0xffff, 0x8001)"),
    # The bit of full membership counts.
    c("hca.pkey", "fail", "hca:mlx5_5", "no member of 0xffff (has 0x7fff)", put(f"{PORT}|pkeys", [0x7FFF])),
    c("hca.pkey", "fail", "hca:mlx5_5", "(has none)", put(f"{PORT}|pkeys", [])),
    c("hca.pkey", "unknown", "hca:mlx5_5", "was not read", drop(f"{PORT}|pkeys")),
    c("hca.state", "unknown", "hca:mlx5_5", "no port", put("infiniband|devices|mlx5_5|ports", {})),
    c("hca.state", "unknown", "host", "none of the class's HCAs", put("infiniband|devices", {})),
    c("hca.rate", "pass", "hca:mlx5_0", "400 Gb/s"),
    c(
        "hca.rate",
        "fail",
        "hca:mlx5_1",
        "200 Gb/s, the class has 400 Gb/s",
        put("infiniband|devices|mlx5_1|ports|1|rate_gbps", 200.0),
    ),
    c("hca.rate", "warn", "hca:mlx5_1", "800 Gb/s", put("infiniband|devices|mlx5_1|ports|1|rate_gbps", 800.0)),
    c("hca.rate", "unknown", "hca:mlx5_5", "its port is DOWN", *DOWN),
    c(
        "hca.rate",
        "unknown",
        "hca:mlx5_1",
        "not a rate",
        put("infiniband|devices|mlx5_1|ports|1|rate_gbps", {"error": "not a rate"}),
    ),
    c("hca.link_downed", "pass", "hca:mlx5_0", "0 times in a day"),
    c("hca.link_downed", "pass", "hca:mlx5_2", "1 times", counted("mlx5_2", "link_downed", 99, (1, 600, 0))),
    c("hca.link_downed", "warn", "hca:mlx5_2", "2 times", counted("mlx5_2", "link_downed", 2, (2, 600, 0))),
    c("hca.link_downed", "fail", "hca:mlx5_2", "10 times", counted("mlx5_2", "link_downed", 99, (10, 600, 0))),
    c("hca.link_downed", "unknown", "hca:mlx5_2", "stopped at 255", counted("mlx5_2", "link_downed", 255)),
    c(
        "hca.link_downed",
        "unknown",
        "hca:mlx5_2",
        "was not read",
        put("infiniband|devices|mlx5_2|ports|1|counters", {}),
    ),
    c("hca.firmware", "pass", "hca:mlx5_0", "runs firmware 28.39.1002"),
    c(
        "hca.firmware",
        "warn",
        "hca:mlx5_2",
        "28.46.1006, the class has 28.39.1002",
        put("infiniband|devices|mlx5_2|firmware", "28.46.1006"),
    ),
    c(
        "hca.firmware",
        "fail",
        "hca:mlx5_2",
        "28.9.1002, the class has 28.39.1002",
        put("infiniband|devices|mlx5_2|firmware", "28.9.1002"),
    ),
    c(
        "hca.firmware",
        "fail",
        "hca:mlx5_2",
        "28.39.1002, the class has 28.46.1006",
        put("infiniband|devices|mlx5_2|board_id", "DEL0000000031"),
        **OF_DELL,
    ),
    c("hca.firmware", "pass", "hca:mlx5_3", "runs firmware 28.39.1002", *BOARDS, **OF_DELL),
    c(
        "hca.firmware",
        "unknown",
        "hca:mlx5_2",
        "permission denied",
        put("infiniband|devices|mlx5_2|board_id", {"error": "permission denied"}),
        **OF_DELL,
    ),
    c("hca.firmware", "unknown", "hca:mlx5_2", "'28' is no version", put("infiniband|devices|mlx5_2|firmware", "28")),
    c(
        "hca.firmware",
        "unknown",
        "hca:mlx5_2",
        "permission denied",
        put("infiniband|devices|mlx5_2|firmware", {"error": "permission denied"}),
    ),
    c("hca.firmware", "unknown", "hca:mlx5_2", "no answer", put("infiniband|devices|mlx5_2", {"error": "no answer"})),
    c("hca.firmware", "unknown", "host", "none of the class's HCAs", put("infiniband|devices", {})),
]
