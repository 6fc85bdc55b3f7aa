# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check catalogue: every check id that a finding may carry, with what an operator does about it.

Owners are the people who can end the finding: `datacentre` (hands on the machine), `vendor` (parts and
their firmware), `network` (the fabric), `software` (who runs the nodes' software), `user` (who runs jobs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..findings import Finding, Verdict
from .boot import BMC_CHECKS, BOOT_CAUSES


@dataclass(frozen=True)
class Check:
    """One check of the catalogue.

    `reads` are names of readers of `observe` (a reader per mount is `storage`); empty where no node is read.
    `phase` is the phase of site.yml that judges it; node_health's are those of phase `validate` that read
    something, and `host.reachable`.
    """

    id: str
    title: str
    reads: tuple[str, ...]
    owner: str
    remedy: str
    phase: str


_HEALTH = (
    Check(
        "host.reachable",
        "The node answers and runs the health module",
        (),
        "datacentre",
        "Look at the node's console through its BMC and at its network link; power-cycle it if it hangs.",
        "validate",
    ),
    Check(
        "gpu.count",
        "As many GPUs answer as the class has",
        ("nvml", "pci", "kernel_log"),
        "vendor",
        "Power-cycle the node; if the GPU stays away, reseat it or have it replaced.",
        "validate",
    ),
    Check(
        "gpu.model",
        "Every GPU is of the class's model",
        ("nvml",),
        "vendor",
        "Compare the part with the order; correct the node class, or have the GPU exchanged.",
        "validate",
    ),
    Check(
        "gpu.driver.version",
        "The loaded GPU driver is the pinned one",
        ("nvml",),
        "software",
        "Run configure.yml on the node with --tags gpu_driver; reboot it if an older module is still loaded.",
        "validate",
    ),
    Check(
        "gpu.ecc.uncorrected",
        "ECC is on and no uncorrected memory error was counted since the driver was loaded",
        ("nvml",),
        "vendor",
        "Drain the node and reset the GPU; if errors come back, have the GPU replaced.",
        "validate",
    ),
    Check(
        "gpu.row_remap.pending",
        "No memory row waits to be remapped and no remapping has failed",
        ("nvml",),
        "vendor",
        "Drain the node and reset the GPU so that the remapping takes effect; have it replaced if a remapping failed.",
        "validate",
    ),
    Check(
        "gpu.temperature",
        "Every GPU is below the class's temperature limits",
        ("nvml",),
        "datacentre",
        "Look at air flow, fans and the temperature of the aisle; reseat the heat sink if one GPU alone is hot.",
        "validate",
    ),
    Check(
        "gpu.nvlink.active",
        "Every NVLink of every GPU is active",
        ("nvml",),
        "vendor",
        "Restart the fabric manager and reset the GPUs; a link that stays down is a case for the vendor.",
        "validate",
    ),
    Check(
        "gpu.fabric_manager",
        "The fabric manager runs and every GPU is part of the NVLink fabric",
        ("systemd", "fabric_manager", "nvml"),
        "software",
        "Install the fabric manager of the driver's version and restart nvidia-fabricmanager.service; read its log.",
        "validate",
    ),
    Check(
        "gpu.xid",
        "The kernel log holds no XID that speaks of a defect",
        ("kernel_log", "nvml", "host"),
        "vendor",
        "Follow the action of the XID's bucket: drain and replace, reset the GPU, or reboot the node.",
        "validate",
    ),
    Check(
        "hca.count",
        "Every HCA of the class is there",
        ("infiniband",),
        "vendor",
        "Power-cycle the node; if the HCA stays away, reseat it or have it replaced.",
        "validate",
    ),
    Check(
        "hca.state",
        "Every HCA's port is active on a link of InfiniBand that has trained",
        ("infiniband",),
        "network",
        "Look at the switch port at the other end; clean and reseat the transceiver, then replace the cable.",
        "validate",
    ),
    Check(
        "hca.rate",
        "Every HCA's port runs at the class's rate",
        ("infiniband",),
        "network",
        "Clean and reseat the transceiver; if the link still trains slower, replace cable or transceiver.",
        "validate",
    ),
    Check(
        "hca.link_downed",
        "No HCA's link has gone down more often than the class allows",
        ("infiniband",),
        "network",
        "Clean and reseat the transceiver, replace the cable if it goes on, then clear the port's counters.",
        "validate",
    ),
    Check(
        "hca.firmware",
        "No HCA runs firmware older than the class's",
        ("infiniband",),
        "software",
        "Run playbooks/upgrade.yml where the class has an image for the board (hardware.hcas.firmware_images); else "
        "drain the node, burn the version by hand and restart the node. What was burned needs only the restart.",
        "validate",
    ),
    Check(
        "disk.free",
        "Every file system of the class is mounted and has space and inodes left",
        ("storage",),
        "software",
        "Remove what fills it (images, logs, checkpoints of ended jobs), or mount what is missing.",
        "validate",
    ),
    Check(
        "systemd.failed",
        "No systemd unit has failed",
        ("systemd",),
        "software",
        "Read `journalctl -u UNIT`, correct the cause and `systemctl restart UNIT`; reset-failed alone mends nothing.",
        "validate",
    ),
    Check(
        "docker.daemon",
        "The Docker daemon answers in the pinned version",
        ("docker",),
        "software",
        "Read `journalctl -u docker`, start docker.service; run configure.yml with --tags container_runtime.",
        "validate",
    ),
    Check(
        "clock.offset",
        "The clock was synchronised lately and is within the class's limits",
        ("clock",),
        "software",
        "See `chronyc sources`; open UDP 123 to the site's time servers and restart chrony.",
        "validate",
    ),
    Check(
        "host.memory",
        "The node has the class's memory",
        ("host",),
        "vendor",
        "Compare the DIMMs that the BMC lists with the order; reseat or replace those that are missing.",
        "validate",
    ),
)

_OTHER = (
    Check(
        "phase.task",
        "Every task of the phase succeeded on the node",
        (),
        "software",
        "Read the failed task's message, correct its cause and run the phase again on this node.",
        "any",
    ),
    Check(
        "phase.complete",
        "The phase reached its end on the node",
        (),
        "software",
        "Run the phase again on this node; read the run's log for what ended it.",
        "any",
    ),
    Check(
        "gate.missing",
        "Every expected check reported something",
        (),
        "software",
        "Run the check again on this node; a check that never reports is a defect of its probe.",
        "any",
    ),
    Check(
        "roster.unknown_machine",
        "Every machine that MAAS knows is in the roster",
        (),
        "software",
        "Add the machine to the inventory's hosts.yml, or release and delete it in MAAS.",
        "preflight",
    ),
    Check(
        "lifecycle.quarantined",
        "Nobody holds the node back",
        (),
        "user",
        "Ask who holds it; only a release ends a quarantine.",
        "any",
    ),
    Check(
        "lifecycle.reboot_due",
        "Nothing waits for a restart of the node",
        (),
        "software",
        "Take the node out of service with quarantine.yml and release.yml, then run site.yml on it: that restarts it.",
        "configure",
    ),
    Check(
        "lifecycle.upgrade_due",
        "Nothing waits until the node is out of service",
        (),
        "software",
        "Run upgrade.yml on the node; what is no part of its class needs quarantine.yml, release.yml and site.yml.",
        "configure",
    ),
    Check(
        "software.drift",
        "The node has the versions of its class's matrix",
        (),
        "software",
        "Run upgrade.yml on the node, or correct software in its node class; drift.yml shows what differs.",
        "any",
    ),
    Check(
        "lifecycle.held",
        "No other run works on the node",
        (),
        "software",
        "Wait for that run to end, or ask who runs it; its lock ends by itself at the time that it tells.",
        "any",
    ),
    Check(
        "lifecycle.released",
        "The node was proved after its quarantine ended",
        (),
        "software",
        "Run site.yml on it: only a node that passes every gate is in service.",
        "any",
    ),
    Check(
        "lifecycle.drained",
        "The scheduler gives the node no more work",
        (),
        "software",
        "Read what the drain command said, correct it or wait for the node's jobs to end, then run the playbook again.",
        "any",
    ),
    Check(
        "lifecycle.undrained",
        "The scheduler gives the node work again",
        (),
        "software",
        "Read what the undrain command said; the next run that admits the node calls it again.",
        "admit",
    ),
    Check(
        "repair.evidence",
        "The node was read before it was released",
        (),
        "software",
        "Nothing to do for the node; what it was like before is only in the reports of earlier runs.",
        "capture",
    ),
    Check(
        "repair.release",
        "MAAS released the machine for a new deployment",
        (),
        "datacentre",
        "Read the machine's events in MAAS; correct power, BMC or disk, then run reprovision.yml again.",
        "free",
    ),
    Check(
        "repair.identity",
        "The machine behind the node's BMC is the node's",
        (),
        "datacentre",
        "Correct bmc_address or serial_number of the node in hosts.yml, or its BMC's log-in; two may be swapped.",
        "identify",
    ),
    Check(
        "repair.commission",
        "MAAS commissioned the released machine again, and its tests passed",
        (),
        "datacentre",
        "Read the results of the named scripts in MAAS; repair what they found, then run reprovision.yml again.",
        "commission",
    ),
    Check(
        "repair.parts",
        "The node has the parts that it had before",
        (),
        "datacentre",
        "See that the parts are those that the repair was to exchange; ledger_info tells where each has been.",
        "compare",
    ),
    Check(
        "provision.enrol",
        "The machine was made known to MAAS by what its BMC tells",
        (),
        "software",
        "Correct bmc_address, log-in or serial number of the node; or enlist the machine in MAAS by hand.",
        "provision",
    ),
    Check(
        "provision.deploy",
        "MAAS deployed the node",
        (),
        "datacentre",
        "Read the machine's events in MAAS and its console; correct power, boot order or disk, then provision again.",
        "provision",
    ),
    Check(
        "fabric.discovery",
        "The fabric could be discovered",
        (),
        "network",
        "See that the subnet manager runs and that the discovering node's own port is active.",
        "fabric",
    ),
    Check(
        "fabric.split",
        "All hosts are in one fabric",
        (),
        "network",
        "Compare the links between the parts with the cable plan; one rail wired apart splits the fabric.",
        "fabric",
    ),
    Check(
        "fabric.link.missing",
        "Every link of the cable plan is there",
        (),
        "datacentre",
        "Plug in the cable that the plan names; clean and reseat both ends if it is plugged in.",
        "fabric",
    ),
    Check(
        "fabric.link.extra",
        "There is no link that the cable plan does not have",
        (),
        "datacentre",
        "Remove the cable, or correct the cable plan if it is wanted.",
        "fabric",
    ),
    Check(
        "fabric.link.swapped",
        "Every cable ends where the cable plan says",
        (),
        "datacentre",
        "Exchange the ends of the cables that the finding names.",
        "fabric",
    ),
    Check(
        "fabric.port.down",
        "Every port of the cable plan is active",
        (),
        "network",
        "Clean and reseat the transceiver at both ends, then replace the cable.",
        "fabric",
    ),
    Check(
        "collective.intra",
        "All-reduce inside the node is as fast as the class demands",
        (),
        "vendor",
        "Look at NVLinks, clocks and throttling of the node's GPUs; compare with a node that passes.",
        "validate",
    ),
    Check(
        "collective.inter",
        "All-reduce across nodes is as fast as the class demands",
        (),
        "network",
        "Follow the pair results: they name the node or the link that is slow.",
        "validate",
    ),
    Check(
        "collective.pair",
        "The node is not the common member of slow pairs",
        (),
        "network",
        "Look at the node's HCAs (rate, errors), PCIe width and GPUDirect; test it again with a known-good partner.",
        "validate",
    ),
)

_PROVISION = tuple(
    Check(id_, title, (), owner, remedy, "provision") for id_, title, owner, remedy in BMC_CHECKS + BOOT_CAUSES
)

CHECKS: dict[str, Check] = {check.id: check for check in _HEALTH + _OTHER + _PROVISION}

# What node_health judges, in the order in which a person wants to read it.
NODE_HEALTH: tuple[str, ...] = tuple(check.id for check in _HEALTH)


def finding(
    check: str,
    component: str,
    verdict: Verdict,
    summary: str,
    *,
    observed: Any = None,
    expected: Any = None,
    remedy: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Finding:
    """A finding of `check` with owner and remedy from the catalogue.

    `remedy` replaces the catalogue's where the judge knows better. Raises KeyError for an id that the
    catalogue does not have. A finding that passes carries no remedy: there is nothing to do. One that is
    unknown for lack of a reading has the probe to mend, not yet the part: who runs the software begins. Where a
    single GPU did not answer it goes to whom a lost GPU goes, so that one dead GPU calls one owner.
    """
    entry = CHECKS[check]
    advice, owner = entry.remedy if remedy is None else remedy, entry.owner
    if remedy is None and verdict is Verdict.UNKNOWN and entry.reads:
        if component == "host":
            owner = "software"
        elif component.startswith("gpu:"):
            owner = CHECKS["gpu.count"].owner
        advice = f"Find out why this could not be read (from {', '.join(entry.reads)}), mend that and judge again."
    return Finding(
        check=check,
        component=component,
        verdict=verdict,
        summary=summary,
        observed=observed,
        expected=expected,
        remedy="" if verdict is Verdict.PASS else advice,
        owner=owner,
        evidence=dict(evidence or {}),
    )


def excluded_checks(node_class: Mapping[str, Any]) -> dict[str, str]:
    """Check id -> reason, of the checks that the class says do not apply to it."""
    entries: Iterable[Mapping[str, Any]] = (node_class.get("checks") or {}).get("exclude") or ()
    return {str(entry["id"]): str(entry.get("reason") or "") for entry in entries}


def expected_checks(node_class: Mapping[str, Any]) -> list[str]:
    """The node_health ids that a node of `node_class` must report, in catalogue order.

    Not expected is what the class has no hardware for (`gpu.*` without GPUs, `hca.*` without HCAs,
    NVLinks, fabric manager, mounts), firmware that it does not name, and what it excludes by name.
    """
    hardware = node_class.get("hardware") or {}
    gpus = hardware.get("gpus") or {}
    absent = set(excluded_checks(node_class))
    if not gpus.get("count"):
        absent.update(check for check in NODE_HEALTH if check.startswith("gpu."))
    if not gpus.get("nvlinks"):
        absent.add("gpu.nvlink.active")
    if not gpus.get("fabric_manager"):
        absent.add("gpu.fabric_manager")
    if not (hardware.get("hcas") or {}).get("devices"):
        absent.update(check for check in NODE_HEALTH if check.startswith("hca."))
    if not (hardware.get("hcas") or {}).get("firmware"):
        absent.add("hca.firmware")
    if not hardware.get("mounts"):
        absent.add("disk.free")
    return [check for check in NODE_HEALTH if check not in absent]
