# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is judged of a machine before it has an operating system. The catalogue makes a check of each entry."""

from __future__ import annotations

# id, title, owner, remedy
BMC_CHECKS: tuple[tuple[str, str, str, str], ...] = (
    (
        "bmc.event_log",
        "The BMC's event log has no new critical entry",
        "vendor",
        "Look up the entry in the vendor's list of events, have the part that it names replaced, then run "
        "bmc_acknowledge.yml on the node.",
    ),
    (
        "bmc.answers",
        "The BMC tells its event log",
        "datacentre",
        "Look at bmc_address, log-in and certificate, then at the BMC; without it nobody can switch the machine.",
    ),
)

# Why a machine did not come up, in the order in which a start goes.
BOOT_CAUSES: tuple[tuple[str, str, str, str], ...] = (
    (
        "boot.script",
        "Every commissioning and testing script of MAAS succeeded",
        "vendor",
        "Read the script's output in MAAS; have the part that it names looked at, then commission the machine again.",
    ),
    (
        "boot.bmc_unreachable",
        "The BMC answers",
        "datacentre",
        "Look whether the BMC has standby power and link, and whether bmc_address is right; reset it by its button.",
    ),
    (
        "boot.bmc_certificate",
        "The BMC's certificate is trusted",
        "software",
        "Give the authority as bmc_ca_file, or renew the certificate; correct the clock of the BMC or of this machine.",
    ),
    (
        "boot.bmc_login",
        "The BMC takes the login",
        "software",
        "Correct the node's user and password in the vault; wait before trying again, since failures lock the account.",
    ),
    (
        "boot.no_power",
        "The machine is on when it was switched on",
        "datacentre",
        "Look at power cords, power supplies and the PDU's outlets; read the BMC's event log.",
    ),
    (
        "boot.post",
        "The firmware comes through its self-test",
        "vendor",
        "Look at the console for the code it stopped at; take out power for a minute, then reseat what it names.",
    ),
    (
        "boot.no_link",
        "The NIC that boots has a link",
        "datacentre",
        "Plug the cable in at both ends, into the port that boots; exchange cable or transceiver; see the switch port.",
    ),
    (
        "boot.order",
        "The machine starts from where MAAS wants it to",
        "software",
        "Run the role bmc on the node with bmc_boot_order [pxe, disk], and switch network boot on in the BIOS.",
    ),
    (
        "boot.no_lease",
        "The machine gets an address by DHCP",
        "network",
        "Look at MAAS's DHCP and the free range, at the VLAN of the switch port, and at DHCP relays between.",
    ),
    (
        "boot.no_disk",
        "The disk of the operating system is there",
        "vendor",
        "Reseat or replace the disk; look in the BIOS whether the controller is on, and compare with the order.",
    ),
    (
        "boot.disk_changed",
        "The disk of the operating system is chosen by what does not change",
        "software",
        "Choose the disk by serial or WWN, never by /dev/nvmeN, then deploy the machine again.",
    ),
    (
        "boot.clock",
        "The machine's clock is right enough for TLS and for MAAS",
        "software",
        "Set the clock in BIOS and BMC to UTC and open UDP 123 to the time servers; replace the battery if it is lost.",
    ),
    (
        "boot.certificate",
        "The machine trusts the certificates of what it installs from",
        "software",
        "Renew the certificate, or put its authority into the image; look at the name in it.",
    ),
    (
        "boot.no_ssh",
        "A deployed machine answers over ssh",
        "software",
        "See the console for cloud-init's errors, address and firewall; compare the user data with the site's keys.",
    ),
    (
        "boot.unexplained",
        "What keeps the machine from coming up is known",
        "software",
        "Gather what the finding calls not known, look at the machine's console through its BMC, and judge again.",
    ),
)
