# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the virtual machine is made of, and what makes it a lab's: all that can be seen without running it."""

from __future__ import annotations

import itertools
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.image.build import BuildError
from lab.machines import BMC_DISTANCE, FIRST_HEAD, FIRST_NODE, MOST_NODES, Network
from lab.pki import SshHostKey
from lab.vm import data_disks, disks, image, machine, qemu

NETWORK = Network("198.18.7.0/24", "198.18.7.1", "flabcdef")
KEY = SshHostKey("private\n", "public\n", "certificate\n")


def hardware(**changes: Any) -> qemu.Hardware:
    places = {"disk": Path("/l/root.qcow2"), "console": Path("/l/vm01.log"), "sockets": Path("/run/x")}
    return qemu.Hardware(**{**places, "mac": image.MAC, **changes})


def test_kept_memory_finds_the_machine_that_it_was_taken_from() -> None:
    """What differs between the two is where things are on the host and where the cable ends."""
    taken = qemu.command(hardware(disk=Path("/c/root.qcow2"), console=Path("/c/boot.log")))
    loaded = qemu.command(hardware(tap="flabcdef-210", incoming=7))

    def parts(command: list[str]) -> list[str]:
        return [
            value
            for option, value in itertools.pairwise(command)
            if option in ("-device", "-machine", "-cpu", "-smp", "-m")
        ]

    assert parts(taken) == parts(loaded)
    assert loaded[-2:] == ["-incoming", "fd:7"] and "-incoming" not in taken


def test_it_is_emulated_and_has_no_cable_but_the_labs() -> None:
    command = qemu.command(hardware(tap="flabcdef-210"))
    assert command[command.index("-accel") + 1].startswith("tcg")
    assert [word for word in command if word.startswith("tap,")] == [
        "tap,id=cable,ifname=flabcdef-210,script=no,downscript=no"
    ]
    assert command.count("-netdev") == 1 and "-nodefaults" in command and "-no-user-config" in command
    assert not any(word.startswith("tap,") for word in qemu.command(hardware()))


def test_the_disk_decides_what_boots_unless_it_cannot_yet() -> None:
    assert not {"-kernel", "-initrd", "-append"} & set(qemu.command(hardware(tap="t")))
    installing = qemu.command(hardware(kernel=(Path("/c/vmlinuz"), Path("/c/initrd.img"), "root=LABEL=root")))
    assert installing[-6:] == ["-kernel", "/c/vmlinuz", "-initrd", "/c/initrd.img", "-append", "root=LABEL=root"]


def test_a_comma_in_a_path_ends_no_option() -> None:
    command = qemu.command(hardware(disk=Path("/a,b/root.qcow2")))
    assert any("file=/a,,b/root.qcow2," in word for word in command)


def test_partitions_follow_one_another_and_leave_room_for_both_tables() -> None:
    assert disks.BOOT.start == 1
    assert disks.ROOT.start == disks.BOOT.start + disks.BOOT.size
    assert disks.SWAP.start == disks.ROOT.start + disks.ROOT.size
    assert disks.SWAP.start + disks.SWAP.size + 1 == disks.DISK_MIB
    assert disks.partition_table().splitlines()[:2] == [
        "label: gpt",
        "start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649",
    ]


def test_data_disks_can_be_told_apart_by_what_they_are() -> None:
    assert len({disk.serial for disk in data_disks.DATA_DISKS}) == len(data_disks.DATA_DISKS)
    kinds = [(disk.model, disk.gib) for disk in data_disks.DATA_DISKS]
    assert kinds.count(("QEMU NVMe Ctrl", 1)) == 2 and ("FL-SSD-2G", 2) in kinds
    assert [disk.label for disk in data_disks.DATA_DISKS].count("old-data") == 1
    # What a SCSI disk can say of itself.
    assert len(data_disks.VENDOR) <= 8 and all(
        len(disk.model) <= 16 and len(disk.serial) <= 20 for disk in data_disks.DATA_DISKS
    )


def test_a_disk_is_plugged_in_as_what_it_is() -> None:
    nvme, scsi = data_disks.DATA_DISKS[0], data_disks.DATA_DISKS[2]
    assert nvme.device("n") == {"driver": "nvme", "id": "FLNVME0001", "drive": "n", "serial": "FLNVME0001"}
    assert nvme.link == "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_FLNVME0001"
    assert scsi.device("s").items() >= {"driver": "scsi-hd", "product": "FL-SSD-2G", "serial": "FLSSD0003"}.items()
    assert scsi.link == "/dev/disk/by-id/wwn-0x5001111000000003"


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="not installed: e2fsprogs")
def test_only_the_used_disk_has_something_on_it(tmp_path: Path) -> None:
    for disk in data_disks.DATA_DISKS:
        path = tmp_path / disk.serial
        data_disks.make(disk, path)
        assert path.stat().st_size == disk.gib << 30
        with path.open("rb") as stream:
            start = stream.read(4096)
        assert (start[0x438:0x43A] == b"\x53\xef") == bool(disk.label)
        assert any(start) == bool(disk.label)


def test_kernels_are_read_from_the_mirror() -> None:
    packages = (
        "Package: linux-image-6.12-cloud-amd64\nVersion: 6.12.117-1\n"
        "Depends: linux-image-6.12.117+deb12-cloud-amd64 (= 6.12.117-1)\n\n"
        "Package: linux-image-cloud-amd64\nVersion: 6.1.192-3\n"
        "Depends: linux-image-6.1.0-57-cloud-amd64 (= 6.1.192-3)\n\n"
    )
    assert image.kernels(packages) == {
        "installed": "6.1.0-57-cloud-amd64",
        "other": "6.12.117+deb12-cloud-amd64",
    }
    with pytest.raises(BuildError, match=r"no linux-image-6\.12-cloud-amd64: see lab/image/debian-12/pool\.txt"):
        image.kernels(packages.partition("\n\n")[2])


def test_a_clone_that_only_root_may_enter_is_bootstrapped_from(tmp_path: Path) -> None:
    """As a user of its own, apt would call a mirror "not signed" whose key it cannot reach."""
    command = image.bootstrap_command(tmp_path / "upstream" / "debian", tmp_path / "root")
    assert '--aptopt=APT::Sandbox::User "root"' in command


def test_its_address_is_nobody_elses() -> None:
    assert machine.NUMBER > FIRST_NODE + MOST_NODES + BMC_DISTANCE - 1 > FIRST_HEAD
    assert machine.NUMBER < 255


def test_the_seed_makes_it_this_labs() -> None:
    seed = machine.seed_for(NETWORK, KEY, "ssh-ed25519 AAAA operator@lab\n")
    files = {path: file["content"] for path, file in seed["files"].items()}
    assert files["/etc/hostname"] == "vm01\n"
    assert "198.18.7.210 vm01\n" in files["/etc/hosts"]
    assert "Address=198.18.7.210/24\nGateway=198.18.7.1\n" in files["/etc/systemd/network/10-lab.network"]
    assert f"MACAddress={image.MAC}\n" in files["/etc/systemd/network/10-lab.network"]
    assert files["/etc/ssh/ssh_host_ed25519_key"] == "private\n"
    private = [path for path, file in seed["files"].items() if file["mode"] == 0o600]
    assert private == ["/home/debian/.ssh/authorized_keys", "/etc/ssh/ssh_host_ed25519_key"]
    # The last, by which the machine knows that it has been told everything.
    assert list(files)[-1] == "/etc/ssh/ssh_host_ed25519_key"
    assert seed["commands"][-1][:2] == ["udevadm", "wait"]


def test_the_monitor_passes_over_events_and_names_what_was_refused() -> None:
    here, there = socket.socketpair()
    here.settimeout(5)
    answers = [b'{"QMP": {}}\n', b'{"return": {}}\n', b'{"event": "RESUME"}\n{"return": {"status": "running"}}\n']
    answers.append(b'{"error": {"class": "GenericError", "desc": "no such device"}}\n')

    def serve() -> None:
        stream = there.makefile("rb")
        there.sendall(answers[0])
        for answer in answers[1:]:
            stream.readline()
            there.sendall(answer)
        there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with qemu.Monitor(here) as monitor:
        assert monitor.execute("query-status") == {"status": "running"}
        with pytest.raises(LabError, match="refuses device_add: no such device"):
            monitor.execute("device_add", {"driver": "x"})
        thread.join()
        with pytest.raises(LabError, match="ended"):
            monitor.execute("quit")


def test_an_emulator_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="has ended"):
        qemu.connect(tmp_path / "monitor", 60, lambda: False)
