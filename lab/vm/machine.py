# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine of a lab that is up: brought up in seconds, switched on again, taken away."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab import files, machines, network, pki, processes, seed
from lab import release as releases
from lab import up as lab_up
from lab.clear import exclusive
from lab.errors import LabError
from lab.machines import Network
from lab.site import Lab
from lab.vm import data_disks, disks, emulator, image, qemu

NAME = "vm01"
NUMBER = 210
"""Last octet of its address, above those of machines and BMCs."""

_START_SECONDS, _BOOT_SECONDS = 120.0, 600.0

Say = Callable[[str], None]


def description_file(lab: Lab) -> Path:
    """Written last: it exists if and only if the machine was once completely up."""
    return lab.directory / "vm.json"


def describe(lab: Lab) -> dict[str, Any] | None:
    """What scenarios need to know of the machine; nothing where the lab has none."""
    found: dict[str, Any] | None = files.read_json(description_file(lab))
    return found


def up(lab: Lab, say: Say) -> None:
    """Have the machine run: a new one, or the one that has switched itself off.

    :raises LabError: the lab is not up, or the machine does not come up.
    """
    with exclusive(lab):
        if not lab_up.is_up(lab):
            raise LabError(f"no lab {lab.name!r} is up: `python -m lab up` brings one up")
        if not Path("/dev/net/tun").exists():
            raise LabError("/dev/net/tun is missing: a virtual machine needs the kernel module tun (`modprobe tun`)")
        if (running := releases.of(lab.directory)) != releases.DEFAULT:
            raise LabError(
                f"{NAME} has {releases.DEFAULT.title}, and this lab the packages of {running.title}: "
                f"bring up another lab, with {releases.VARIABLE} unset"
            )
        if describe(lab) is None:
            _erase(lab)
            _make(lab, say)
        elif processes.pid_of(lab, NAME):
            say(f"{NAME} runs already; `python -m lab vm down` takes it away")
        else:
            say(f"{NAME} is switched on again")
            _switch_on(lab)


def down(lab: Lab) -> None:
    """Take the machine and its disks away; nothing happens where there is none."""
    with exclusive(lab):
        _erase(lab)


def _erase(lab: Lab) -> None:
    pid = processes.pid_of(lab, NAME)
    processes.end(lab, [pid] if pid else [])
    network.remove_tap(lab, NUMBER)
    for path in (description_file(lab), processes.pid_file(lab, NAME)):
        path.unlink(missing_ok=True)
    for directory in (_directory(lab), _sockets(lab)):
        shutil.rmtree(directory, ignore_errors=True)


def _make(lab: Lab, say: Say) -> None:
    factory = image.ensure(lab, say)
    site = machines.load(lab.directory)
    directory = _directory(lab)
    directory.mkdir()
    disks.overlay(factory.disk, directory / "root.qcow2")
    for disk in data_disks.DATA_DISKS:
        data_disks.make(disk, directory / disk.serial)
    network.add_tap(lab, site.network, NUMBER)
    _console(lab).unlink(missing_ok=True)
    memory = os.open(factory.memory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        hardware = _hardware(lab, memory)
        process = _start(lab, hardware)
    finally:
        os.close(memory)
    with emulator.monitor(hardware, process) as monitor:
        _wait_for_memory(monitor)
        _plug(lab, monitor)
        monitor.execute("cont")
    keys = pki.SshKeys(lab.directory)
    address = site.network.address(NUMBER)
    with emulator.Seed(hardware, process, _START_SECONDS) as line:
        line.send(seed_for(site.network, keys.host_key([NAME, address]), keys.public_key_file.read_text()))
        if (answer := line.read()) != "done":
            raise LabError(f"{NAME} answers {answer!r} to its seed: {emulator.tail(_console(lab))}")
    _wait_for_ssh(lab, address, process)
    files.write_json(
        description_file(lab),
        {
            "name": NAME,
            "address": address,
            "kernels": factory.kernels,
            "disks": [{**asdict(disk), "link": disk.link} for disk in data_disks.DATA_DISKS],
        },
    )


def _switch_on(lab: Lab) -> None:
    hardware = _hardware(lab)
    process = _start(lab, hardware)
    with emulator.monitor(hardware, process) as monitor:
        _plug(lab, monitor)
    _wait_for_ssh(lab, machines.load(lab.directory).network.address(NUMBER), process)


def _start(lab: Lab, hardware: qemu.Hardware) -> subprocess.Popen[bytes]:
    hardware.sockets.mkdir(exist_ok=True, mode=0o700)
    process = emulator.start(lab, hardware)
    files.write_text(processes.pid_file(lab, NAME), f"{process.pid}\n")
    return process


def _wait_for_memory(monitor: qemu.Monitor) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while monitor.execute("query-status")["status"] == "inmigrate":
        if time.monotonic() > deadline:
            raise LabError(f"the memory of {NAME} is not loaded after {_START_SECONDS:.0f} s")
        time.sleep(0.05)


def _plug(lab: Lab, monitor: qemu.Monitor) -> None:
    """Put the data disks in: NVMe controllers cannot be kept with the memory."""
    for disk in data_disks.DATA_DISKS:
        node = f"disk-{disk.serial}"
        backing = {"driver": "file", "filename": str(_directory(lab) / disk.serial)}
        node_options = {"driver": "raw", "node-name": node, "discard": "unmap", "file": backing}
        monitor.execute("blockdev-add", node_options)
        monitor.execute("device_add", disk.device(node))


def seed_for(site_network: Network, key: pki.SshHostKey, authorized_key: str) -> Mapping[str, Any]:
    """What makes the machine from the factory this lab's: name, address, keys, and the time."""
    address = site_network.address(NUMBER)
    hosts = f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{address} {NAME}\n"
    cable = (
        f"[Match]\nMACAddress={image.MAC}\n\n"
        f"[Network]\nAddress={address}/{site_network.prefix_length}\nGateway={site_network.gateway}\n"
    )
    home = f"/home/{seed.LOGIN_USER}"
    contents = {
        "/etc/hostname": (0o644, f"{NAME}\n"),
        "/etc/hosts": (0o644, hosts),
        "/etc/resolv.conf": (0o644, f"nameserver {site_network.gateway}\n"),
        "/etc/systemd/network/10-lab.network": (0o644, cable),
        f"{home}/.ssh/authorized_keys": (0o600, authorized_key),
        "/etc/ssh/ssh_host_ed25519_key.pub": (0o644, key.public),
        "/etc/ssh/ssh_host_ed25519_key-cert.pub": (0o644, key.certificate),
        "/etc/ssh/sshd_config.d/host_key.conf": (
            0o644,
            "HostKey /etc/ssh/ssh_host_ed25519_key\nHostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub\n",
        ),
        # By the presence of this one the machine knows that it has been told everything.
        "/etc/ssh/ssh_host_ed25519_key": (0o600, key.private),
    }
    return {
        "time": time.time(),
        "files": {path: {"mode": mode, "content": content} for path, (mode, content) in contents.items()},
        "commands": [
            ["hostname", NAME],
            ["chown", "--recursive", f"{seed.LOGIN_USER}:", f"{home}/.ssh"],
            ["networkctl", "reload"],
            ["systemctl", "start", "ssh"],
            ["udevadm", "wait", "--timeout=60", *(disk.link for disk in data_disks.DATA_DISKS)],
        ],
    }


def _wait_for_ssh(lab: Lab, address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while not processes.greets_with_ssh(address):
        if process.poll() is not None or time.monotonic() > deadline:
            how = "does not answer on ssh" if process.poll() is None else "has ended"
            raise LabError(f"{NAME} {how}; {_console(lab)} ends with: {emulator.tail(_console(lab))}")
        time.sleep(0.1)


def _hardware(lab: Lab, memory: int | None = None) -> qemu.Hardware:
    tap = network.tap(lab, NUMBER)
    return qemu.Hardware(
        _directory(lab) / "root.qcow2", _console(lab), _sockets(lab), image.MAC, tap=tap, incoming=memory
    )


def _directory(lab: Lab) -> Path:
    return lab.directory / "vm"


def _sockets(lab: Lab) -> Path:
    return lab.runtime / NAME


def _console(lab: Lab) -> Path:
    return lab.directory / "log" / f"{NAME}.log"
