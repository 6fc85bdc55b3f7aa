# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine for real: that it boots, reboots and powers off as a machine, and cannot touch its host."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import clear, files, machines, network, packages, pki, seed
from lab.bmc import pxe
from lab.bmc.hardware import ContainerHost
from lab.engine import Engine
from lab.image import build as image
from lab.release import DEFAULT
from lab.site import Lab
from lab.up import ROSTER

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".lab" / "cache"
MISSING = packages.missing()

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="runs containers, which needs root"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(
        not (CACHE / f"image-{image.recipe_hash(DEFAULT)}").is_dir(),
        reason="no node image in .lab/cache: `make lab` builds it",
    ),
]


@dataclass(frozen=True)
class Running:
    engine: Engine
    host: ContainerHost
    directory: Path
    before: dict[str, str]

    def sh(self, script: str) -> str:
        return self.engine.execute("node01", ["sh", "-c", script])

    def refused(self, script: str) -> bool:
        return self.sh(f"if {{ {script}; }} > /dev/null 2>&1; then echo done; else echo refused; fi") == "refused\n"

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + 120
        # Until its system bus is there, the question itself fails.
        while "running" not in (answer := self.sh("systemctl is-system-running --wait 2>&1; true")):
            assert time.monotonic() < deadline, answer + self.sh("systemctl --failed --no-legend; true")


def host_state() -> dict[str, str]:
    """What a node's system would set, or make, if it could."""
    state = {}
    for area in ("vm", "kernel", "fs"):
        for path in Path("/proc/sys", area).rglob("*"):
            if path.is_file() and not re.search(
                r"random|-state|-nr|/nr|ns_last_pid|stat_refresh|quota|sched", str(path)
            ):
                try:
                    state[str(path)] = path.read_text(errors="replace")
                except OSError:
                    continue
    transparent = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    state["thp"] = transparent.read_text() if transparent.exists() else ""
    state["swaps"] = Path("/proc/swaps").read_text()
    return state


@pytest.fixture(scope="module")
def machine() -> Iterator[Running]:
    lab = Lab("unit-core", ROOT)
    with clear.exclusive(lab):
        clear.clear(lab)
        before = host_state()
        try:
            site = machines.build(ROOT / ROSTER, network.plan(lab))
            lab.directory.mkdir(parents=True)
            machines.save(lab.directory, site)
            network.create(lab, site)
            engine = Engine(lab)
            engine.set_up()
            built = image.ensure(CACHE, DEFAULT)
            engine.import_image(built.tar, built.reference)
            files.write_json(lab.directory / "image.json", {"reference": built.reference})
            node = site.machine("node01")
            keys = pki.SshKeys(lab.directory)
            keys.create(lab.name)
            user_data = seed.head_user_data(node, keys.host_key([node.name]), keys.public_key_file.read_text())
            host = ContainerHost(engine, node, site.network)
            host.install(pxe.Install("debian", "node01", "i-1", user_data, b"", "", ""))
            host.boot()
            running = Running(engine, host, lab.machine_directory("node01"), before)
            running.wait_until_up()
            yield running
        finally:
            clear.clear(lab)
        assert clear.leftovers(lab) == []


def test_it_is_a_machine_of_its_own(machine: Running) -> None:
    assert machine.sh("hostname") == "node01\n"
    assert machine.sh("cat /sys/class/dmi/id/product_serial") == "FL0000N01\n"
    assert int(machine.sh("awk '/MemTotal/ {print $2}' /proc/meminfo")) > 2000 * 1024**2
    assert machine.sh("cat /proc/sys/kernel/random/boot_id") == (machine.directory / "boot_id").read_text()
    assert "Linux version" in machine.sh("dmesg")
    assert int(machine.sh("dmesg | wc -l")) == len((machine.directory / "kmsg").read_text().splitlines())
    assert machine.sh("df --output=size -m /data | tail -1").strip() == "64"
    assert machine.sh("id -un debian") == "debian\n", "cloud-init has applied the user-data"


def test_what_it_sets_is_its_own(machine: Running) -> None:
    machine.sh("sysctl -q -w vm.swappiness=7 kernel.panic=42 fs.file-max=12345")
    assert machine.sh("sysctl -n vm.swappiness kernel.panic fs.file-max") == "7\n42\n12345\n"
    machine.sh(
        "[ ! -d /sys/kernel/mm/transparent_hugepage ] || echo never > /sys/kernel/mm/transparent_hugepage/enabled"
    )
    machine.sh("hostname other && hostname node01")
    assert host_state() == machine.before


def test_what_would_act_on_the_host_is_refused(machine: Running) -> None:
    assert machine.refused("dmesg --syslog")
    assert machine.refused("echo x > /dev/kmsg")
    assert machine.refused("echo h > /proc/sysrq-trigger")
    assert machine.refused("truncate -s 1M /root/s && chmod 600 /root/s && mkswap /root/s && swapon /root/s")
    major, minor = os.major(ROOT.stat().st_dev), os.minor(ROOT.stat().st_dev)
    machine.sh(f"mknod /root/disk b {major} {minor}")
    assert machine.refused("head -c 1 /root/disk")
    capabilities = int(machine.sh("awk '/CapBnd/ {print $2}' /proc/self/status"), 16)
    for name, bit in (("SYS_MODULE", 16), ("SYS_TIME", 25)):
        assert not capabilities >> bit & 1, name
    assert host_state() == machine.before


def test_its_control_groups_are_below_the_lab_s(machine: Running) -> None:
    lab = machine.engine.lab
    state = machine.engine.state("node01")
    groups = Path(f"/proc/{state.pid}/cgroup").read_text().splitlines()
    outside = [line for line in groups if f"/firstlight-{lab.tag}/" not in line.partition(":")[2]]
    assert outside == []


def test_a_reboot_keeps_the_disk_and_is_a_new_boot(machine: Running) -> None:
    machine.sh("touch /root/kept /data/kept")
    boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id")
    machine.host.ask_for_reboot()
    assert machine.host.rebooted(machine.host.wait())
    machine.host.boot()
    machine.wait_until_up()
    assert machine.sh("ls /root/kept /data/kept") == "/data/kept\n/root/kept\n"
    assert machine.sh("cat /proc/sys/kernel/random/boot_id") != boot_id
    assert machine.sh("sysctl -n vm.swappiness") == machine.before["/proc/sys/vm/swappiness"]


def test_power_off_is_no_reboot_and_a_new_install_erases(machine: Running) -> None:
    machine.sh("touch /root/kept /data/kept")
    machine.host.press_power_button()
    assert not machine.host.rebooted(machine.host.wait())
    machine.host.install(pxe.Install("debian", "node01", "i-2", b"#cloud-config\n{}\n", b"", "", ""))
    machine.host.boot()
    machine.wait_until_up()
    assert machine.sh("ls /root/kept /data/kept 2>&1; true").count("No such file") == 2
