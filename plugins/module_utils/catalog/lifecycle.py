# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of runs, of where nodes are in their life, and of what brings them there."""

from __future__ import annotations

from .model import Check

# What is told of parts by the ledger.
_PARTS = (
    "Serial numbers of the GPUs, HCAs, disks and other parts that the node tells, beside those that the ledger on the "
    "first head node has of its last proof"
)
PARTS: tuple[Check, ...] = (
    Check(
        "lifecycle.part.swapped",
        "Every part is the one that the node was proved with",
        ("nvml", "infiniband", "hardware"),
        "datacentre",
        "See that the part is the one that a repair put in, then prove the node: site.yml, or reprovision.yml.",
        "validate",
        source=_PARTS,
        fails="It warns where a slot has another part than when the node was proved last, "
        "until the node is proved again.",
        severity="warn",
    ),
    Check(
        "lifecycle.part.moved",
        "No part came from another node or slot since the node was proved",
        ("nvml", "infiniband", "hardware"),
        "datacentre",
        "See whether it was meant to move. If it failed where it was, take it out; else prove the node with site.yml.",
        "validate",
        source=_PARTS,
        fails="It warns where a part was in another node or slot when this node was proved last, "
        "until it is proved again.",
        severity="warn",
    ),
    Check(
        "lifecycle.part.missing",
        "No part left the node since it was proved",
        ("nvml", "infiniband", "hardware"),
        "datacentre",
        "Look for the part in its slot: seat it or replace it. Where it was taken out on purpose, prove the node anew.",
        "validate",
        source=_PARTS,
        fails="It warns where a slot is empty that had a part when the node was proved last, "
        "and all of its kind was read.",
        severity="warn",
    ),
)
CHECKS: tuple[Check, ...] = (
    *PARTS,
    Check(
        "phase.task",
        "Every task of the phase succeeded on the node",
        (),
        "software",
        "Read the failed task's message, correct its cause and run the phase again on this node.",
        "any",
        source="What Ansible's tasks returned on the node; the component names the task",
        fails="A task of a role or of the phase has failed on the node and nothing rescued it, or the node answers "
        "over ssh and tells no facts.",
    ),
    Check(
        "phase.complete",
        "The phase reached its end on the node",
        (),
        "software",
        "Run the phase again on this node; read the run's log for what ended it.",
        "any",
        source="Whether the last task of the phase ran on the node, and every gate that the run must have passed "
        "before",
        fails="The node was not deployed, so that it cannot reach the end of provision. It is unknown where the phase "
        "ended early on the node, an earlier gate of the run never saw it, or tags left roles out that it never had.",
    ),
    Check(
        "gate.missing",
        "Every file of findings in the run's directory can be read",
        (),
        "software",
        "See whether the controller's disk is full or failing, then run the phase again.",
        "any",
        source="The files of findings in the run's directory, artifacts/RUN/nodes and artifacts/RUN/site",
        fails="It is unknown where a file of findings is damaged or cut short. A check that reported nothing at all is "
        "unknown by its own id.",
        severity="unknown",
    ),
    Check(
        "policy.waiver",
        "No waiver of the site has expired",
        (),
        "software",
        "Take the waiver out of health_policy.yml, or decide anew with another day.",
        "begin",
        source="`waivers` of health_policy.yml, beside the day on which the run began (UTC)",
        fails="It warns where the last day of a waiver, its `expires`, is over; the waiver holds no longer then.",
        severity="warn",
    ),
    Check(
        "roster.unknown_machine",
        "Every machine that MAAS knows is in the roster",
        (),
        "software",
        "Add the machine to the inventory's hosts.yml, or release and delete it in MAAS.",
        "preflight",
        source="The machines of MAAS (`maas $PROFILE machines read`), beside the hosts of the inventory",
        fails="It warns where a machine of MAAS is that of no host: by system_id, serial number, MAC address and name.",
        severity="warn",
    ),
    Check(
        "lifecycle.quarantined",
        "Nobody holds the node back",
        (),
        "user",
        "Ask who holds it; only a release ends a quarantine.",
        "any",
        source="The ledger on the first head node: the state of the node",
        fails="quarantine.yml has put the node into quarantine, and release.yml has not ended that; nothing else "
        "does, quarantine_until neither.",
    ),
    Check(
        "lifecycle.maintenance",
        "Nobody works on the node by a maintenance window of the site",
        (),
        "user",
        "Nothing to do; where the work is over, take the window out of health_policy.yml.",
        "any",
        source="`maintenance` of health_policy.yml, beside the time",
        fails="It is waived between `from` and `until` of a window that names the node or its rack; the run leaves "
        "the node as it is.",
        severity="waived",
    ),
    Check(
        "lifecycle.reboot_due",
        "Nothing waits for a restart of the node",
        (),
        "software",
        "Take the node out of service with quarantine.yml and release.yml, then run site.yml on it: that restarts it.",
        "configure",
        source="reboot_info on the node: `uname -r`, `/proc/cmdline`, huge pages, `/run/reboot-required.pkgs`, "
        "requests of roles",
        fails="It warns where configure.yml leaves a node in service with another kernel, command line or fewer huge "
        "pages than it is to run with, or where a package or a role asks for a restart.",
        severity="warn",
    ),
    Check(
        "lifecycle.upgrade_due",
        "Nothing waits until the node is out of service",
        (),
        "software",
        "Run upgrade.yml on the node; what is no part of its class needs quarantine.yml, release.yml and site.yml.",
        "configure",
        source="What roles of configure.yml put off, as the node is in service by the ledger",
        fails="It warns where packages of the class, firmware of HCAs or a restart of Docker wait, since they would "
        "end the jobs on the node.",
        severity="warn",
    ),
    Check(
        "software.drift",
        "The node has the versions of its class's matrix",
        (),
        "software",
        "Run upgrade.yml on the node, or correct software in its node class; drift.yml shows what differs.",
        "any",
        source="What runs (kernel, GPU driver, fabric manager, Docker, firmware of HCAs) and what `dpkg-query` has, "
        "beside `software` of the node class",
        fails="After an upgrade a version that a role brings about is not that of the class. It warns of one in "
        "drift.yml and before an upgrade, and of what no role brings; what could not be read is unknown.",
    ),
    Check(
        "lifecycle.held",
        "No other run works on the node",
        (),
        "software",
        "Wait for that run to end, or ask who runs it; its lock ends by itself at the time that it tells.",
        "any",
        source="The ledger on the first head node: locks",
        fails="Another run has the node's lock, and that has not expired.",
    ),
    Check(
        "lifecycle.released",
        "The node was proved after its quarantine ended",
        (),
        "software",
        "Run site.yml on it: only a node that passes every gate is in service.",
        "any",
        source="The ledger on the first head node: the state of the node, as release.yml leaves it",
        fails="It is unknown from release.yml on until a run has admitted the node.",
        severity="unknown",
    ),
    Check(
        "lifecycle.drained",
        "The scheduler gives the node no more work",
        (),
        "software",
        "Read what the drain command said, correct it or wait for the node's jobs to end, then run the playbook again.",
        "any",
        source="Exit status and output of drain_command on hook_host",
        fails="drain_command ends with another status than 0, says 75 (try again later) hook_retries times, or takes "
        "longer than hook_timeout seconds. The run stops before anything is changed.",
    ),
    Check(
        "lifecycle.undrained",
        "The scheduler gives the node work again",
        (),
        "software",
        "Read what the undrain command said; the next run that admits the node calls it again.",
        "admit",
        source="Exit status and output of undrain_command on hook_host",
        fails="It warns where undrain_command ends with another status than 0, says 75 (try again later) hook_retries "
        "times, or takes longer than hook_timeout seconds.",
        severity="warn",
    ),
    Check(
        "repair.evidence",
        "The node was read before it was released",
        (),
        "software",
        "Nothing to do for the node; what it was like before is only in the reports of earlier runs.",
        "capture",
        source="node_health on the node, before reprovision.yml releases its machine",
        fails="It warns where nothing of its parts could be read, as it does not answer or the module fails.",
        severity="warn",
    ),
    Check(
        "repair.release",
        "MAAS released the machine for a new deployment",
        (),
        "datacentre",
        "Read the machine's events in MAAS; correct power, BMC or disk, then run reprovision.yml again.",
        "free",
        source="What MAAS says of the machine's status when reprovision.yml releases it",
        fails="MAAS refuses the release, or the machine does not become Ready within reprovision_release_timeout. It "
        "warns where the machine was free already, so that the erasing of reprovision_erase was left out.",
    ),
    Check(
        "repair.identity",
        "The machine behind the node's BMC is the node's",
        (),
        "datacentre",
        "Correct bmc_address or serial_number of the node in hosts.yml, or its BMC's log-in; two may be swapped.",
        "identify",
        source="Redfish of the BMC: the serial number of the system, beside roster, MAAS, ledger and the other BMCs",
        fails="The BMC was not read, or its machine has the serial number of another node: nothing is erased. It warns "
        "where the BMC tells no serial number.",
    ),
    Check(
        "repair.commission",
        "MAAS commissioned the released machine again, and its tests passed",
        (),
        "datacentre",
        "Read the results of the named scripts in MAAS; repair what they found, then run reprovision.yml again.",
        "commission",
        source="Status of the machine in MAAS, and its scripts' results (reprovision_testing_scripts)",
        fails="A commissioning or testing script fails, or MAAS has not ended them within "
        "reprovision_commission_timeout.",
    ),
    Check(
        "repair.parts",
        "The node has the parts that it had before",
        (),
        "datacentre",
        "See that the parts are those that the repair was to exchange; ledger_info tells where each has been.",
        "compare",
        source="The ledger on the first head node: serial numbers of the machine, GPUs, HCAs and disks, before the "
        "release and after the deployment",
        fails="It warns where a part is new, gone or in another place, and where the node was not read both before and "
        "after.",
        severity="warn",
    ),
    Check(
        "provision.enrol",
        "The machine was made known to MAAS by what its BMC tells",
        (),
        "software",
        "Correct bmc_address, log-in or serial number of the node; or enlist the machine in MAAS by hand.",
        "enrol",
        source="Redfish of the BMC: serial number and MAC addresses; what MAAS answered when it was told of the "
        "machine",
        fails="The BMC was not read, its machine has the serial number of another node, or MAAS did not take the "
        "machine.",
    ),
    Check(
        "provision.deploy",
        "MAAS deployed the node",
        (),
        "datacentre",
        "Read the machine's events in MAAS and its console; correct power, boot order or disk, then provision again.",
        "provision",
        source="Status of the machine in MAAS",
        fails="MAAS does not know the machine, its deployment fails, or it is not Deployed within maas_deploy_timeout "
        "seconds.",
    ),
)
