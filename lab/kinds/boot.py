# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a machine from coming up; found where a deployment fails."""

from __future__ import annotations

from collections.abc import Callable

from lab import files, machine_view, network, pki
from lab.bmc import faults as below
from lab.kinds.model import Kind, Parameter, Target, Values

BEHIND = Parameter("seconds", 400 * 86_400, 301, lambda machine: 2**30)


def _below(name: str, parameter: str = "") -> Callable[[Target, Values], None]:
    """A fault that the BMC's simulator plays: of the BMC itself, or of the machine below its operating system."""

    def change(target: Target, values: Values) -> None:
        below.change(target.lab.directory, target.machine.name, name, values[parameter] if parameter else 1)

    return change


def _not_below(name: str) -> Callable[[Target, Values], None]:
    return lambda target, values: below.change(target.lab.directory, target.machine.name, name, 0)


def _strange_certificate(target: Target, values: Values) -> None:
    machine = target.machine
    authority = pki.Authority(target.lab.directory / "stranger")
    if not authority.certificate_file.exists():
        authority.create("nobody knows")
    authority.issue(f"{machine.name}-bmc", machine.bmc.address, f"bmc-{machine.name}")
    _below(below.UNTRUSTED)(target, values)


def _lose_power(target: Target, values: Values) -> None:
    _below(below.NO_POWER)(target, values)
    target.engine.kill(target.machine.name)


def _lose_link(target: Target, values: Values) -> None:
    _below(below.NO_LINK)(target, values)
    network.unplug(target.lab, target.machine)


def _find_link(target: Target, values: Values) -> None:
    network.plug(target.lab, target.machine)
    _not_below(below.NO_LINK)(target, values)


def _dhcp(answer: str | None) -> Callable[[Target, Values], None]:
    """What MAAS does when the machine's firmware asks for an address; None: what it should."""

    def change(target: Target, values: Values) -> None:
        path = target.lab.directory / "maas-faults.json"
        content = files.read_json(path, {})
        mine = {**content.get("machine", {}).get(target.machine.name, {}), "dhcp": answer}
        machines = {**content.get("machine", {}), target.machine.name: {key: one for key, one in mine.items() if one}}
        files.write_json(path, {**content, "machine": {name: one for name, one in machines.items() if one}})

    return change


def _no_sshd(target: Target, values: Values) -> None:
    # For the system that runs, and by the machine's init for every one that is started.
    files.write_text(target.directory / machine_view.MASKED, "ssh.service ssh.socket\n")
    if target.engine.state(target.machine.name).running:
        script = "systemctl mask --runtime ssh.service ssh.socket; systemctl stop ssh.service ssh.socket; :"
        target.engine.execute(target.machine.name, ["sh", "-c", script])


def _sshd(target: Target, values: Values) -> None:
    (target.directory / machine_view.MASKED).unlink(missing_ok=True)
    if target.engine.state(target.machine.name).running:
        script = "systemctl unmask --runtime ssh.service ssh.socket && systemctl start ssh.service"
        target.engine.execute(target.machine.name, ["sh", "-c", script])


KINDS: tuple[Kind, ...] = (
    Kind("bmc-down", "boot.bmc_unreachable", "the BMC does not answer", _below(below.DOWN), _not_below(below.DOWN)),
    Kind(
        "bmc-certificate",
        "boot.bmc_certificate",
        "the BMC has a certificate that nobody at the site signed",
        _strange_certificate,
        _not_below(below.UNTRUSTED),
    ),
    Kind("bmc-login", "boot.bmc_login", "the BMC refuses the login", _below(below.LOGIN), _not_below(below.LOGIN)),
    Kind(
        "no-power",
        "boot.no_power",
        "the power supplies are dead: the machine is off, and stays off when it is switched on",
        _lose_power,
        _not_below(below.NO_POWER),
    ),
    Kind(
        "post-stuck",
        "boot.post",
        "the firmware's self-test does not end, from the next start on",
        _below(below.POST),
        _not_below(below.POST),
    ),
    Kind("no-link", "boot.no_link", "the cable of the NIC that boots is pulled", _lose_link, _find_link),
    Kind("no-lease", "boot.no_lease", "no DHCP server answers the machine's firmware", _dhcp("fail"), _dhcp(None)),
    Kind(
        "boot-order",
        "boot.order",
        "the machine starts from its disk, whatever MAAS tells its BMC",
        _below(below.ORDER),
        _not_below(below.ORDER),
    ),
    Kind("no-disk", "boot.no_disk", "the disk is gone", _below(below.NO_DISK), _not_below(below.NO_DISK)),
    Kind(
        "disk-renamed",
        "boot.disk_changed",
        "another disk was put in, and takes the name of the system's disk; seen after the next commissioning",
        _below(below.RENAMED),
        _not_below(below.RENAMED),
    ),
    Kind(
        "script-fails",
        "boot.script",
        "a commissioning script fails on the machine",
        _below(below.SCRIPT),
        _not_below(below.SCRIPT),
    ),
    Kind("no-ssh", "boot.no_ssh", "sshd does not run on the deployed machine", _no_sshd, _sshd),
    Kind(
        "clock-wrong",
        "boot.clock",
        "the machine's clock is so many seconds behind: certificates are not valid yet",
        _below(below.CLOCK, "seconds"),
        _not_below(below.CLOCK),
        (BEHIND,),
    ),
    Kind(
        "certificate",
        "boot.certificate",
        "the installation does not trust the certificate of what it installs from",
        _below(below.CERTIFICATE),
        _not_below(below.CERTIFICATE),
    ),
)
