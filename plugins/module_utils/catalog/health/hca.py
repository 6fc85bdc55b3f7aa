# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of the HCAs of the training fabric."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "hca.count",
        "Every HCA of the class is there",
        ("infiniband",),
        "vendor",
        "Power-cycle the node; if the HCA stays away, reseat it or have it replaced.",
        "validate",
        source="The devices in `/sys/class/infiniband` (`ibstat -l`)",
        fails="An HCA of hardware.hcas.devices is missing; it warns of an InfiniBand HCA that the class does not have.",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.state",
        "Every HCA's port is active",
        ("infiniband",),
        "network",
        "Look at the switch port at the other end; clean and reseat the transceiver, then replace the cable.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/state` (`ibstat`: State)",
        fails="The state of a port is another than ACTIVE: DOWN, or INIT or ARMED where the subnet manager has not "
        "brought it up.",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.physical_state",
        "Every HCA's link has trained",
        ("infiniband",),
        "network",
        "Look at the switch port at the other end; clean and reseat the transceiver, then replace the cable.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/phys_state` (`ibstat`: Physical state)",
        fails="The physical state of a port is another than LinkUp: no signal, disabled, or recovering from errors.",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.link_layer",
        "Every HCA's port is one of InfiniBand",
        ("infiniband",),
        "software",
        "Set the port to InfiniBand (`mlxconfig -d PCI_ADDRESS set LINK_TYPE_P1=IB`, LINK_TYPE_P2 for the second port) "
        "and power-cycle the node.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/link_layer` (`ibstat`: Link layer)",
        fails="A port came up as Ethernet.",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.name",
        "Every HCA has its name from its slot",
        ("infiniband",),
        "software",
        "Run configure.yml on the node with --tags doca_ofed, which names HCAs by their slots, and restart the node.",
        "validate",
        source="`/sys/class/infiniband/*/device/uevent`: PCI_SLOT_NAME (`ibdev2netdev -v`)",
        fails="An HCA of hardware.hcas.devices sits at another address than hardware.hcas.pci_addresses says.",
        needs=("hardware.hcas.devices", "hardware.hcas.pci_addresses"),
    ),
    Check(
        "hca.guid",
        "Every HCA has a GUID of its own",
        ("infiniband",),
        "vendor",
        "Burn the GUID that is printed on the board (`flint -d PCI_ADDRESS -guid GUID sg`), or have it replaced.",
        "validate",
        source="`/sys/class/infiniband/*/node_guid` (`ibstat`: Node GUID)",
        fails="An HCA has no GUID, or the same as another one of the node.",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.subnet_manager",
        "A subnet manager looks after every HCA's port",
        ("infiniband",),
        "network",
        "See that the fabric's subnet manager runs (UFM or opensm) and that this port is no fabric of its own.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/sm_lid` (`ibstat`: SM lid)",
        fails="A port with a link knows no subnet manager: its sm_lid is 0.",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.pkey",
        "Every HCA's port is a member of the class's partitions",
        ("infiniband",),
        "network",
        "Put the port's GUID into the partition, in UFM or in partitions.conf of the subnet manager.",
        "validate",
        source="The files of `/sys/class/infiniband/*/ports/*/pkeys`",
        fails="A partition key of hardware.hcas.pkeys is not in a port's table, or only as that of a limited member.",
        needs=("hardware.hcas.devices", "hardware.hcas.pkeys"),
    ),
    Check(
        "hca.rate",
        "Every HCA's port runs at the class's rate",
        ("infiniband",),
        "network",
        "Clean and reseat the transceiver; if the link still trains slower, replace cable or transceiver.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/rate` (`ibstat`: Rate)",
        fails="A port runs slower than hardware.hcas.rate_gbps; it warns where it runs faster.",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.link_downed",
        "No HCA's link has gone down more often in a day than the class allows",
        ("infiniband", "history"),
        "network",
        "Clean and reseat the transceiver, replace the cable if it goes on, then clear the port's counters.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/link_downed` (`perfquery`: LinkDownedCounter), compared with "
        "earlier passes",
        fails=(
            "A link went down hca_link_downed_per_day.fail times in a day; it warns from "
            "hca_link_downed_per_day.warn on."
        ),
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.link_error_recovery",
        "No HCA's link retrains more often than the class allows",
        ("infiniband", "history"),
        "network",
        "Clean and reseat the transceiver, replace the cable if it goes on, then clear the port's counters.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/link_error_recovery` (`perfquery`: "
        "LinkErrorRecoveryCounter), compared with earlier passes",
        fails=(
            "A link retrained hca_link_recoveries_per_hour.fail times in an hour; it warns from "
            "hca_link_recoveries_per_hour.warn on."
        ),
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.symbol_errors",
        "No HCA's link has more symbol errors than the class allows",
        ("infiniband", "history"),
        "network",
        "Clean fibre and transceivers at both ends; replace the cable if it goes on, then clear the port's counters.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/symbol_error` (`perfquery`: SymbolErrorCounter), compared "
        "with earlier passes",
        fails=(
            "A port counted hca_symbol_errors_per_hour.fail symbol errors in an hour; it warns from "
            "hca_symbol_errors_per_hour.warn on."
        ),
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.receive_errors",
        "No HCA receives more damaged packets than the class allows",
        ("infiniband", "history"),
        "network",
        "Compare with the port's symbol errors and the switch's port; clean or replace the cable, clear the counters.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/port_rcv_errors` (`perfquery`: PortRcvErrors), compared with "
        "earlier passes",
        fails=(
            "A port received hca_receive_errors_per_hour.fail damaged packets in an hour; it warns from "
            "hca_receive_errors_per_hour.warn on."
        ),
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.link_integrity",
        "No HCA's link has more errors than it can live with",
        ("infiniband", "history"),
        "network",
        "Clean and reseat the transceiver, replace the cable if it goes on, then clear the port's counters.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/local_link_integrity_errors` (`perfquery`: "
        "LocalLinkIntegrityErrors), compared with earlier passes",
        fails=(
            "A port met its limit of errors hca_link_integrity_per_hour.fail times in an hour; it warns from "
            "hca_link_integrity_per_hour.warn on."
        ),
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.buffer_overruns",
        "No HCA's port has lost packets for want of buffers",
        ("infiniband", "history"),
        "network",
        (
            "Compare the port's MTU and virtual lanes with those of the switch, and its firmware with the class's; "
            "clear the counters."
        ),
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/excessive_buffer_overrun_errors` (`perfquery`: "
        "ExcessiveBufferOverrunErrors), compared with earlier passes",
        fails=(
            "A port has overrun its buffers hca_buffer_overruns_per_hour.fail times in an hour; it warns from "
            "hca_buffer_overruns_per_hour.warn on."
        ),
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.transmit_discards",
        "No HCA discards packets that it is to send",
        ("infiniband", "history"),
        "network",
        "Look whether the port's link goes up and down, and for a slow receiver at the other end (congestion).",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/port_xmit_discards` (`perfquery`: PortXmitDiscards), "
        "compared with earlier passes",
        fails="It warns where a port discarded hca_transmit_discards_per_hour packets in an hour.",
        severity="warn",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.remote_errors",
        "No HCA receives packets that were damaged on their way",
        ("infiniband", "history"),
        "network",
        "Look for the port with symbol errors among the switches on the way; the link of this one is whole.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/port_rcv_remote_physical_errors` (`perfquery`: "
        "PortRcvRemotePhysicalErrors), compared with earlier passes",
        fails=(
            "It warns where a port received hca_remote_errors_per_hour packets in an hour that another has marked as "
            "damaged."
        ),
        severity="warn",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.management_dropped",
        "No HCA drops packets of the subnet's management",
        ("infiniband", "history"),
        "network",
        "Look whether more than one subnet manager or a tool floods the fabric; then clear the port's counters.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/VL15_dropped` (`perfquery`: VL15Dropped), compared with "
        "earlier passes",
        fails="It warns where a port dropped hca_management_dropped_per_hour packets of the fabric's management "
        "(VL15) in an hour.",
        severity="warn",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.constraint_errors",
        "No HCA is sent packets of partitions that are not its own",
        ("infiniband", "history"),
        "network",
        "Compare the partitions of the nodes that talk to each other, in UFM or in partitions.conf.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/counters/port_rcv_constraint_errors` (`perfquery`: "
        "PortRcvConstraintErrors), compared with earlier passes",
        fails="It warns where a port refused hca_constraint_errors_per_hour packets in an hour.",
        severity="warn",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.ack_timeouts",
        "No HCA waits in vain for acknowledgements",
        ("infiniband", "history"),
        "network",
        "Look at the links of the nodes that it talked to, and at the fabric's routes; end jobs whose peer is gone.",
        "validate",
        source="`/sys/class/infiniband/*/ports/*/hw_counters/local_ack_timeout_err` (`rdma statistic`), compared with "
        "earlier passes",
        fails="It warns where an HCA waited in vain hca_ack_timeouts_per_hour times in an hour.",
        severity="warn",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.sequence_errors",
        "No HCA's packets are lost on their way",
        ("infiniband", "history"),
        "network",
        (
            "Look for links with symbol errors on the way, and whether adaptive routing is on for a queue that cannot"
            " take it."
        ),
        "validate",
        source="`/sys/class/infiniband/*/ports/*/hw_counters/packet_seq_err` (`rdma statistic`), compared with earlier "
        "passes",
        fails="It warns where an HCA was told of hca_sequence_errors_per_hour missing packets in an hour.",
        severity="warn",
        needs=("hardware.hcas.devices",),
    ),
    Check(
        "hca.firmware",
        "No HCA runs firmware older than the class's",
        ("infiniband",),
        "software",
        "Run playbooks/upgrade.yml where the class has an image for the board (hardware.hcas.firmware_images); else "
        "drain the node, burn the version by hand and restart the node. What was burned needs only the restart.",
        "validate",
        source="`/sys/class/infiniband/*/fw_ver` and board_id (`ibstat`: Firmware version)",
        fails="An HCA runs firmware older than the class has for its board; it warns of newer.",
        needs=("hardware.hcas.devices", "hardware.hcas.firmware"),
    ),
)

THRESHOLDS: Thresholds = {
    # Once a day may be a reboot of the switch at the other end, which every node below it sees, so only a second time
    # speaks of the link. Ten times a day is a bad cable: each stops a job for seconds, or ends it.
    "hca_link_downed_per_day": {"warn": 2, "fail": 10},
    # NVSentinel fails at five retrainings in a minute; over an hour one in a minute is as bad. The counter ends at 255.
    "hca_link_recoveries_per_hour": {"warn": 12, "fail": 60},
    # The InfiniBand specification allows a link 120 an hour. At ten a second every health agent alarms.
    "hca_symbol_errors_per_hour": {"warn": 120, "fail": 36000},
    # Each is a packet that is sent again, mostly for a symbol error: the same limits.
    "hca_receive_errors_per_hour": {"warn": 120, "fail": 36000},
    # NVSentinel fails at the first, as a port counts one only after many errors in a row. A cable that is touched makes
    # one or two. The counter ends at 15.
    "hca_link_integrity_per_hour": {"warn": 1, "fail": 5},
    # Likewise.
    "hca_buffer_overruns_per_hour": {"warn": 1, "fail": 5},
    # NVSentinel alarms at 100 in a second; so many in ten seconds of an hour.
    "hca_transmit_discards_per_hour": 1000,
    # As for symbol errors: what a link may have.
    "hca_remote_errors_per_hour": 120,
    # Ours: a sweep of the subnet manager sends some; lost ones are sent again, a hundred of them are no accident.
    "hca_management_dropped_per_hour": 100,
    # Ours: a job that begins in a wrong partition makes a few; the counter ends at 255.
    "hca_constraint_errors_per_hour": 20,
    # Ours: a peer that is shut down makes some for each connection. A healthy fabric has none for days.
    "hca_ack_timeouts_per_hour": 1000,
    # Ours: each is sent again; as many as time-outs.
    "hca_sequence_errors_per_hour": 1000,
}
