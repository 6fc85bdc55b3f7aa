# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of fault: how each comes into a machine, how it is undone, and the check that must find it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import fabric, files, machine_view, network, ntp, pki
from lab.bmc import faults as below
from lab.engine import Engine
from lab.errors import LabError
from lab.machines import Machine
from lab.site import Lab
from lab.vendor import gpus

Values = Mapping[str, int]
# chronyc -c tracking: reference id, its name, stratum, reference time, offset of the system's clock in seconds, ...
CHRONY_OFFSET = 4
CHRONY_ATTEMPTS = 20


@dataclass(frozen=True)
class Target:
    """The node that a fault is for."""

    lab: Lab
    machine: Machine
    engine: Engine

    @property
    def directory(self) -> Path:
        return self.lab.machine_directory(self.machine.name)


@dataclass(frozen=True)
class Parameter:
    """A number; `below` says from the machine where its range ends."""

    name: str
    default: int
    least: int
    below: Callable[[Machine], int]


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `needs_system`: its operating system must be running, both to inject and to heal."""

    name: str
    check: str
    summary: str
    inject: Callable[[Target, Values], None]
    heal: Callable[[Target, Values], None]
    parameters: tuple[Parameter, ...] = ()
    needs_system: bool = False


GPU = Parameter("gpu", 0, 0, lambda machine: machine.gpus)
HCA = Parameter("hca", 0, 0, lambda machine: machine.hcas)
MEGABITS = Parameter("mbit", 40, 1, lambda machine: 100_001)
SECONDS = Parameter("seconds", 5, 1, lambda machine: 86_401)
BEHIND = Parameter("seconds", 400 * 86_400, 301, lambda machine: 2**30)


def _set_gpu(changes: Mapping[str, int]) -> Callable[[Target, Values], None]:
    def change(target: Target, values: Values) -> None:
        state = gpus.read(target.directory)
        state[values["gpu"]].update(changes)
        gpus.write(target.directory, state)

    return change


def _reset_gpu(*keys: str) -> Callable[[Target, Values], None]:
    """Give the named values of a GPU the ones that it was made with."""

    def change(target: Target, values: Values) -> None:
        state = gpus.read(target.directory)
        new = gpus.healthy(target.machine.gpus, target.machine.serial)[values["gpu"]]
        state[values["gpu"]].update({key: new[key] for key in keys})
        gpus.write(target.directory, state)

    return change


def _xid_79_text(target: Target, values: Values) -> str:
    # NVML writes the domain with eight digits, the kernel with four and without the function.
    domain, bus, device = gpus.read(target.directory)[values["gpu"]]["pci"].partition(".")[0].split(":")
    address = f"{domain[-4:]}:{bus}:{device}".lower()
    return f"NVRM: Xid (PCI:{address}): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def _xid_79(target: Target, values: Values) -> None:
    _set_gpu({"lost": 1})(target, values)
    machine_view.log_kernel(target.directory, _xid_79_text(target, values))


def _no_xid_79(target: Target, values: Values) -> None:
    machine_view.forget_kernel(target.directory, _xid_79_text(target, values))
    _reset_gpu("lost")(target, values)


def _fill_file(target: Target) -> Path:
    return target.lab.directory / "volumes" / target.machine.name / ".filled-by-the-lab"


def _fill_disk(target: Target, values: Values) -> None:
    path = _fill_file(target)
    if not path.parent.is_mount():
        raise LabError(f"{target.machine.name} has no disk yet: deploy it first")
    with path.open("wb") as stream:
        free = os.statvfs(path)
        os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_frsize)


def _free_disk(target: Target, values: Values) -> None:
    _fill_file(target).unlink(missing_ok=True)


def _stop_docker(target: Target, values: Values) -> None:
    script = "systemctl mask docker.service docker.socket && systemctl stop docker.service docker.socket"
    target.engine.execute(target.machine.name, ["sh", "-c", script])


def _start_docker(target: Target, values: Values) -> None:
    # A disk that was written anew in the meantime has no docker to start.
    script = (
        "systemctl unmask docker.service docker.socket && "
        "if systemctl cat docker.service > /dev/null 2>&1; then systemctl start docker.socket docker.service; fi"
    )
    target.engine.execute(target.machine.name, ["sh", "-c", script])


def _shift_clock(target: Target, values: Values) -> None:
    _set_offset(target, float(values["seconds"]))


def _right_clock(target: Target, values: Values) -> None:
    _set_offset(target, 0.0)


def _set_offset(target: Target, seconds: float) -> None:
    path = ntp.offsets_file(target.lab.directory)
    offsets = {**files.read_json(path, {}), target.machine.address: seconds}
    files.write_json(path, {address: offset for address, offset in offsets.items() if offset})
    # A settled client waits for minutes between two questions, and takes some answers before it believes in a leap.
    # Where chrony does not run there is nobody to wait for.
    with contextlib.suppress(LabError, IndexError, ValueError):
        for _attempt in range(CHRONY_ATTEMPTS):
            target.engine.execute(target.machine.name, ["chronyc", "burst", "2/2"])
            tracking = target.engine.execute(target.machine.name, ["chronyc", "-c", "tracking"]).split(",")
            if abs(abs(float(tracking[CHRONY_OFFSET])) - abs(seconds)) < 0.5:
                return
            time.sleep(2)


def _hca_down(target: Target, values: Values) -> None:
    fabric.hca_down(target.lab.directory, target.machine.name, values["hca"])


def _hca_up(target: Target, values: Values) -> None:
    # Whoever replaces a cable clears the counters, so that what they show afterwards is new.
    fabric.hca_up(target.lab.directory, target.machine.name, values["hca"])
    fabric.set_counter(target.lab.directory, target.machine.name, values["hca"], "LinkDownedCounter", 0)


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


_ECC = ("ecc_volatile_uncorrected_dram", "ecc_aggregate_uncorrected_dram")
_REMAP = ("row_remap_pending", "row_remap_uncorrectable")

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "gpu-missing",
            "gpu.count",
            "a GPU is not on the PCI bus",
            _set_gpu({"present": 0}),
            _reset_gpu("present"),
            (GPU,),
        ),
        Kind(
            "ecc-uncorrected",
            "gpu.ecc.uncorrected",
            "a GPU has counted uncorrectable memory errors since the driver was loaded",
            _set_gpu(dict.fromkeys(_ECC, 2)),
            _reset_gpu(*_ECC),
            (GPU,),
        ),
        Kind(
            "row-remap-pending",
            "gpu.row_remap.pending",
            "a GPU waits for a reset to remap a row of its memory",
            _set_gpu(dict.fromkeys(_REMAP, 1)),
            _reset_gpu(*_REMAP),
            (GPU,),
        ),
        Kind(
            "xid-79",
            "gpu.xid",
            "a GPU has fallen off the bus: Xid 79 in the kernel log, and the driver has lost it",
            _xid_79,
            _no_xid_79,
            (GPU,),
        ),
        Kind("hca-down", "hca.state", "the cable of an InfiniBand port is pulled", _hca_down, _hca_up, (HCA,)),
        Kind("disk-full", "disk.free", "the local scratch volume /data is full", _fill_disk, _free_disk),
        Kind(
            "dockerd-dead",
            "docker.daemon",
            "dockerd is stopped and cannot be started",
            _stop_docker,
            _start_docker,
            needs_system=True,
        ),
        Kind(
            "unreachable",
            "host.reachable",
            "the node's network cable is pulled",
            lambda target, values: network.unplug(target.lab, target.machine),
            lambda target, values: network.plug(target.lab, target.machine),
        ),
        Kind(
            "slow-link",
            "collective.pair",
            "the node sends no faster than so many Mbit/s",
            lambda target, values: network.slow_down(target.lab, target.machine, values["mbit"]),
            lambda target, values: network.full_speed(target.lab, target.machine),
            (MEGABITS,),
        ),
        Kind(
            "clock-offset",
            "clock.offset",
            "the time server says that the node's clock is so many seconds behind",
            _shift_clock,
            _right_clock,
            (SECONDS,),
        ),
        # What keeps a machine from coming up; found where a deployment fails.
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
}
