# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine has of its own, as files; and that the node's init understands every line of the list."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from pathlib import Path

import pytest

from lab import machine_view
from lab.machines import Site
from lab.vendor import gpus

from .conftest import NETWORK

INIT = Path(machine_view.__file__).parent / "node" / "init"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's root with a few settings, one that can only be written, and one that is a network's."""
    root = tmp_path / "host"
    for name, value in {
        "proc/sys/vm/swappiness": "60\n",
        "proc/sys/kernel/pid_max": "32768\n",
        "proc/sys/kernel/tainted": "4609\n",
        "proc/sys/kernel/keys/maxkeys": "200\n",
        "proc/sys/net/ipv4/ip_forward": "0\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "proc/meminfo": "MemTotal:  1000 kB\nMemFree:  500 kB\nSwapTotal:  10 kB\nHugePages_Total:  2\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    return root


@pytest.fixture
def directory(tmp_path: Path, site: Site, host: Path) -> Path:
    machine_view.prepare(tmp_path / "m", site.machines["node01"], NETWORK, host)
    return tmp_path / "m"


def test_settings_are_copies_and_the_network_s_stay_the_kernel_s(directory: Path, host: Path) -> None:
    copy = directory / "proc_sys/vm/swappiness"
    assert copy.read_text() == "60\n"
    copy.write_text("1\n")
    assert (host / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert (directory / "proc_sys/kernel/keys/maxkeys").exists()
    assert not (directory / "proc_sys/net").exists()


def test_every_boot_is_new_and_hardware_is_not(directory: Path, site: Site, host: Path) -> None:
    (directory / "proc_sys/vm/swappiness").write_text("1\n")
    (directory / "sysfs/class/infiniband/mlx5_0").mkdir(parents=True)
    gpus.write(directory, gpus.healthy(8, "1654"))
    parts = gpus.read(directory)
    machine_view.log_kernel(directory, "something of the last boot")
    before = (directory / "boot_id").read_text()
    boot_id = machine_view.prepare(directory, site.machines["node01"], NETWORK, host)
    assert (directory / "boot_id").read_text() == f"{boot_id}\n" != before
    assert uuid.UUID(boot_id).version == 4
    assert (directory / "proc_sys/vm/swappiness").read_text() == "60\n"
    assert "last boot" not in (directory / "kmsg").read_text()
    assert (directory / "sysfs/class/infiniband/mlx5_0").is_dir()
    assert gpus.read(directory) == parts


def test_memory_is_the_machine_s(directory: Path) -> None:
    values = dict(re.findall(r"^(\w+): +(\d+)", (directory / "meminfo").read_text(), re.MULTILINE))
    installed = 2048 * 1024**2
    assert 0.97 * installed < int(values["MemTotal"]) < installed
    assert int(values["MemFree"]) == int(values["MemTotal"]) // 2
    assert (values["SwapTotal"], values["HugePages_Total"]) == ("0", "0")


def test_processors_are_the_machine_s(directory: Path) -> None:
    text = (directory / "cpuinfo").read_text()
    places = re.findall(r"physical id\t: (\d+)\n.*\ncore id\t\t: (\d+)\n", text)
    assert (len(places), len(set(places)), len({socket for socket, _core in places})) == (112, 56, 2)


def test_what_the_host_s_kernel_has_been_through_is_not_the_machine_s(directory: Path) -> None:
    assert (directory / "proc_sys/kernel/tainted").read_text() == "0\n"
    assert re.findall(r"^HardwareCorrupted: +(\d+) kB$", (directory / "meminfo").read_text(), re.MULTILINE) == ["0"]
    assert (directory / "sysfs/system/edac/mc/mc7/ue_count").read_text() == "0\n"


def test_identity_is_the_machine_s_and_the_serial_is_root_s(directory: Path, site: Site, tmp_path: Path) -> None:
    serial = directory / "sysfs/class/dmi/id/product_serial"
    assert serial.read_text() == "FL0000N01\n"
    assert serial.stat().st_mode & 0o777 == 0o400
    machines = site.machines.values()
    assert len({machine_view.machine_uuid(machine) for machine in machines}) == len(machines)


def test_kernel_log_grows_and_forgets_in_place(directory: Path) -> None:
    path = directory / "kmsg"
    inode, before = path.stat().st_ino, path.read_text()
    machine_view.log_kernel(directory, "NVRM: Xid 79")
    machine_view.log_kernel(directory, "other; with a semicolon", priority=4)
    records = path.read_text().removeprefix(before).splitlines()
    assert [re.sub(r",\d+,-;", ",T,-;", record) for record in records] == [
        "3,4,T,-;NVRM: Xid 79",
        "4,5,T,-;other; with a semicolon",
    ]
    times = [int(record.split(",")[2]) for record in path.read_text().splitlines()]
    assert times == sorted(times)
    machine_view.forget_kernel(directory, "NVRM: Xid 79")
    machine_view.forget_kernel(directory, "other; with a semicolon")
    assert path.read_text() == before
    assert path.stat().st_ino == inode, "it is mounted in the machine"


def test_every_source_of_the_list_is_there(directory: Path) -> None:
    lines = (directory / "view").read_text().splitlines()
    assert len(lines) == len(machine_view.VIEW)
    for line in lines:
        kind, source, target, *_ = line.split()
        path = directory / source
        if path.name in ("abi", "debug", "dev", "fs", "user", "hugepages"):
            continue  # this host has none
        assert path.is_dir() == (kind in ("tree", "merge")), line
        assert path.exists(), line
        assert target.startswith(("/proc/", "/sys/", "/dev/")), line


def test_init_knows_every_kind_and_is_a_sound_script(directory: Path) -> None:
    subprocess.run(["sh", "-n", str(INIT)], check=True)
    script = INIT.read_text()
    for kind in {mount.kind for mount in machine_view.VIEW}:
        assert re.search(rf"^ +{kind}\)", script, re.MULTILINE), kind
    assert (directory / "init").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("found", "kept"),
    [(None, False), ("", False), ("127.0.0.1 localhost\n", False), ("127.0.0.1 localhost\n198.18.7.21 {name}\n", True)],
)
def test_a_machine_knows_its_own_name_from_its_first_boot_on(tmp_path: Path, found: str | None, kept: bool) -> None:
    there, ours = tmp_path / "hosts", tmp_path / "lab-hosts"
    ours.write_text("127.0.0.1 localhost\n198.18.7.21 node01\n")
    if found is not None:
        there.write_text(found.format(name=os.uname().nodename))
    before = there.read_text() if kept else ours.read_text()
    (line,) = (line for line in INIT.read_text().splitlines() if "/lab/hosts" in line)
    subprocess.run(["sh", "-euc", line.replace("/etc/hosts", str(there)).replace("/lab/hosts", str(ours))], check=True)
    assert there.read_text() == before


def test_dmesg_wrapper_gives_the_records_as_syslog(directory: Path, tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text("6,0,1500000,-;Linux version 6; really\n3,1,62000001,-;NVRM: Xid, 79\n")
    script = (directory / "dmesg").read_text().replace("/dev/kmsg", str(log))
    script = script.replace('/usr/bin/dmesg --file "$records"', 'cat "$records"')
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "<6>[    1.500000] Linux version 6; really\n<3>[   62.000001] NVRM: Xid, 79\n"
