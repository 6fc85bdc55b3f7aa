# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the training fabric: its cables and ports, and how fast nodes reduce over it."""

from __future__ import annotations

from .model import Check

CHECKS: tuple[Check, ...] = (
    Check(
        "fabric.discovery",
        "The fabric could be discovered",
        (),
        "network",
        "See that the subnet manager runs and that the discovering node's own port is active.",
        "fabric",
        source="`ibnetdiscover` on the first fabric_discovery_points nodes of the run, beside the cable plan "
        "(fabric_cable_plan)",
        fails="It is unknown where no node could run ibnetdiscover to its end, and for links on devices that have the "
        "same name.",
        severity="unknown",
    ),
    Check(
        "fabric.split",
        "All hosts are in one fabric",
        (),
        "network",
        "Compare the links between the parts with the cable plan; one rail wired apart splits the fabric.",
        "fabric",
        source="`ibnetdiscover` on the first fabric_discovery_points nodes of the run, beside the cable plan "
        "(fabric_cable_plan)",
        fails="The HCAs of the run's nodes are in parts without a link between them, or an island of switches with "
        "hosts on them, which the plan joins to the rest, was not reached. It stops the run.",
    ),
    Check(
        "fabric.link.missing",
        "Every link of the cable plan is there",
        (),
        "datacentre",
        "Plug in the cable that the plan names; clean and reseat both ends if it is plugged in.",
        "fabric",
        source="`ibnetdiscover` on the first fabric_discovery_points nodes of the run, beside the cable plan "
        "(fabric_cable_plan)",
        fails="Both ends of a planned cable are in the fabric without a link between them, or the switch at one end is "
        "not in the fabric at all. It is unknown for a node that the plan does not have.",
    ),
    Check(
        "fabric.link.extra",
        "There is no link that the cable plan does not have",
        (),
        "datacentre",
        "Remove the cable, or correct the cable plan if it is wanted.",
        "fabric",
        source="`ibnetdiscover` on the first fabric_discovery_points nodes of the run, beside the cable plan "
        "(fabric_cable_plan)",
        fails="A device that the plan does not have is on a port for which the plan has another. It warns of a cable "
        "on ports that the plan leaves free.",
    ),
    Check(
        "fabric.link.swapped",
        "Every cable ends where the cable plan says",
        (),
        "datacentre",
        "Exchange the ends of the cables that the finding names.",
        "fabric",
        source="`ibnetdiscover` on the first fabric_discovery_points nodes of the run, beside the cable plan "
        "(fabric_cable_plan)",
        fails="A cable ends in another port than the plan says, or two cables have exchanged their ends. It warns "
        "where both of them join the same two switches.",
    ),
    Check(
        "fabric.port.down",
        "Every port of the cable plan is active",
        (),
        "network",
        "Clean and reseat the transceiver at both ends, then replace the cable.",
        "fabric",
        source="`ibnetdiscover` on the first fabric_discovery_points nodes of the run, beside the cable plan "
        "(fabric_cable_plan)",
        fails="The switch is in the fabric and the HCA that the plan has on it is not: its port is down, the cable is "
        "out or the host is off. It is unknown where a device without the host's name is on that switch port.",
    ),
    Check(
        "collective.intra",
        "All-reduce inside the node is as fast as the class demands",
        (),
        "vendor",
        "Look at NVLinks, clocks and throttling of the node's GPUs; compare with a node that passes.",
        "validate",
        source="busbw of the largest size, #wrong and exit status of nccl-tests' `all_reduce_perf` on the node alone",
        fails="It is slower than all_reduce_intra_busbw_gbps, a value is wrong, it ends with an error, runs on fewer "
        "GPUs, or does not end in its time. Where it could not be started it is unknown.",
    ),
    Check(
        "collective.inter",
        "All-reduce across nodes is as fast as the class demands",
        (),
        "network",
        "Follow the pair results: they name the node or the link that is slow.",
        "validate",
        source="busbw of the largest size, #wrong and exit status of nccl-tests' `all_reduce_perf` over all nodes of "
        "the run by `mpirun`, then over pairs of them",
        fails="All nodes together are slower than all_reduce_inter_busbw_gbps or fail, and the node is common to the "
        "slow pairs, or a pair of it fails. It warns of a path that is only slow, and where the second measurement was "
        "good; where nothing tells who it is, all are unknown.",
    ),
    Check(
        "collective.pair",
        "The node is not the common member of slow pairs",
        (),
        "network",
        "Look at the node's HCAs (rate, errors), PCIe width and GPUDirect; test it again with a known-good partner.",
        "validate",
        source="busbw of the largest size, #wrong and exit status of nccl-tests' `all_reduce_perf` over pairs of "
        "nodes, which are measured where all together are slow; a slow pair twice",
        fails="Its pairs with at least two good nodes, and with more than it is fast with, are slower than pair_ratio "
        "times the median of the nodes' best pairs, or a pair of good nodes fails. It warns of a path that is slow "
        "between two nodes only, or was slow once.",
    ),
)
