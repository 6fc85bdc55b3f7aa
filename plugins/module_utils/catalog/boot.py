# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is judged of a machine before it has an operating system."""

from __future__ import annotations

from .model import Check

BMC_CHECKS: tuple[Check, ...] = (
    Check(
        "bmc.event_log",
        "The BMC's event log has no new critical entry",
        (),
        "vendor",
        "Look up the entry in the vendor's list of events, have the part that it names replaced, then run "
        "bmc_acknowledge.yml on the node.",
        "bmc",
        source="Redfish of the BMC: the entries of its event log (LogServices) since those that the last run has told",
        fails="It warns of each new entry that is Critical, or tells no severity; bmc_acknowledge.yml ends that.",
        severity="warn",
    ),
    Check(
        "bmc.answers",
        "The BMC tells its event log",
        (),
        "datacentre",
        "Look at bmc_address, log-in and certificate, then at the BMC; without it nobody can switch the machine.",
        "bmc",
        source="Redfish of the BMC: its event log (LogServices)",
        fails="It warns where the log could not be read: no answer, a certificate or log-in that is refused, an error "
        "of the BMC.",
        severity="warn",
    ),
)

# The cause of last resort: what is not known is not a defect of a part.
UNEXPLAINED = "boot.unexplained"

# Why a machine did not come up, in the order in which a start goes.
BOOT_CAUSES: tuple[Check, ...] = (
    Check(
        "boot.script",
        "Every commissioning and testing script of MAAS succeeded",
        (),
        "vendor",
        "Read the script's output in MAAS; have the part that it names looked at, then commission the machine again.",
        "provision",
        source="Results of the newest commissioning and testing in MAAS (`maas $PROFILE node-script-results read`)",
        fails="A script has failed, timed out or is degraded while the machine is, or failed, in Commissioning or "
        "Testing.",
    ),
    Check(
        "boot.bmc_unreachable",
        "The BMC answers",
        (),
        "datacentre",
        "Look whether the BMC has standby power and link, and whether bmc_address is right; reset it by its button.",
        "provision",
        source="Redfish over HTTPS at bmc_address; without a log-in what MAAS's events say of its power",
        fails="The BMC does not answer, or not with Redfish, or MAAS could not switch or ask it.",
    ),
    Check(
        "boot.bmc_certificate",
        "The BMC's certificate is trusted",
        (),
        "software",
        "Give the authority as bmc_ca_file, or renew the certificate; correct the clock of the BMC or of this machine.",
        "provision",
        source="The certificate of the BMC, beside bmc_ca_file or the authorities of this machine",
        fails="It is signed by no authority that is known here, has expired, is not yet valid, or is for another name.",
    ),
    Check(
        "boot.bmc_login",
        "The BMC takes the login",
        (),
        "software",
        "Correct the node's user and password in the vault; wait before trying again, since failures lock the account.",
        "provision",
        source="The BMC's answer to bmc_user and bmc_password",
        fails="The BMC refuses them: HTTP 401 or 403.",
    ),
    Check(
        "boot.no_power",
        "The machine is on when it was switched on",
        (),
        "datacentre",
        "Look at power cords, power supplies and the PDU's outlets; read the BMC's event log.",
        "provision",
        source="Redfish of the BMC: PowerState of the system, and Health of the chassis' PowerSupplies",
        fails="MAAS has switched the machine on and PowerState is not On, or all power supplies that tell their health "
        "are Critical.",
    ),
    Check(
        "boot.post",
        "The firmware comes through its self-test",
        (),
        "vendor",
        "Look at the console for the code it stopped at; take out power for a minute, then reseat what it names.",
        "provision",
        source="Redfish of the BMC: BootProgress, LastResetTime and the BMC's own time; without them MAAS's events of "
        "the machine",
        fails="The self-test is not done triage_post_seconds after the start, and the machine got no address since.",
    ),
    Check(
        "boot.no_link",
        "The NIC that boots has a link",
        (),
        "datacentre",
        "Plug the cable in at both ends, into the port that boots; exchange cable or transceiver; see the switch port.",
        "provision",
        source="Redfish of the BMC: LinkStatus of the EthernetInterface that boots",
        fails="The machine is on, got no address, and the NIC that boots has no link.",
    ),
    Check(
        "boot.order",
        "The machine starts from where MAAS wants it to",
        (),
        "software",
        "Run the role bmc on the node with bmc_boot_order [pxe, disk], and switch network boot on in the BIOS.",
        "provision",
        source="Redfish of the BMC: BootOrder, BootOptions and BootSourceOverride of the system",
        fails="MAAS has the machine in a state that starts from the network, and there is no option for that, or the "
        "first is another and no override says network.",
    ),
    Check(
        "boot.no_lease",
        "The machine gets an address by DHCP",
        (),
        "network",
        "Look at MAAS's DHCP and the free range, at the VLAN of the switch port, and at DHCP relays between.",
        "provision",
        source="MAAS's events of the machine since it began what it is at, and the VLAN of its interface",
        fails="No event tells that it started from the network, though it was switched on for that; a VLAN whose DHCP "
        "is another server's is left out.",
    ),
    Check(
        "boot.no_disk",
        "The disk of the operating system is there",
        (),
        "vendor",
        "Reseat or replace the disk; look in the BIOS whether the controller is on, and compare with the order.",
        "provision",
        source="Redfish of the BMC: Drives of the system's Storage; without them the disks of the last commissioning "
        "in MAAS",
        fails="There is no disk, or none has the serial number of the disk that MAAS boots from.",
    ),
    Check(
        "boot.disk_changed",
        "The disk of the operating system is chosen by what does not change",
        (),
        "software",
        "Choose the disk by serial or WWN, never by /dev/nvmeN, then deploy the machine again.",
        "provision",
        source="Names of the disks by serial number in the last two commissionings in MAAS",
        fails="The disk that MAAS boots from has another name than at the commissioning before.",
    ),
    Check(
        "boot.clock",
        "The machine's clock is right enough for TLS and for MAAS",
        (),
        "software",
        "Set the clock in BIOS and BMC to UTC and open UDP 123 to the time servers; replace the battery if it is lost.",
        "provision",
        source="Redfish of the BMC: DateTime of the manager, beside the time here",
        fails="It is off by triage_clock_seconds, and a certificate was refused. A difference of whole quarters of an "
        "hour is a time zone.",
    ),
    Check(
        "boot.certificate",
        "The machine trusts the certificates of what it installs from",
        (),
        "software",
        "Renew the certificate, or put its authority into the image; look at the name in it.",
        "provision",
        source="MAAS's events of the machine and the log of its installation",
        fails="A line tells of a certificate that was refused: unknown authority, self-signed, expired or not yet "
        "valid.",
    ),
    Check(
        "boot.no_ssh",
        "A deployed machine answers over ssh",
        (),
        "software",
        "See the console for cloud-init's errors, address and firewall; compare the user data with the site's keys.",
        "provision",
        source="Status of the machine in MAAS, and ssh to it",
        fails="MAAS has it Deployed and it does not answer over ssh within maas_arrival_timeout seconds.",
    ),
    Check(
        UNEXPLAINED,
        "What keeps the machine from coming up is known",
        (),
        "software",
        "Gather what the finding calls not known, look at the machine's console through its BMC, and judge again.",
        "provision",
        source="All that the other boot checks read: MAAS, the BMC, ssh",
        fails="It is unknown where none of them explains why the machine did not come up; the finding says what is "
        "ruled out and what is not known.",
        severity="unknown",
    ),
)
