# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role storage on a machine with disks of its own: an array over two NVMe disks, LVM on a third, a fourth of others."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from shared.machine import Machine
from shared.scenario import Scenario

OF_OTHERS = "FLSSD0004"
# One more volume, on the disk that holds data of others.
MORE = {
    "name": "more",
    "disks": {"serial": OF_OTHERS, "count": 1},
    "layout": "single",
    "filesystem": "ext4",
    "mount": "/more",
}
DOCKER = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/mkdir -p /scratch/docker\n"
REBOOT_SECONDS = 400


def disk(machine: Machine, serial: str) -> str:
    """Its name today."""
    lines = machine.run("lsblk --nodeps --noheadings --output PATH,SERIAL").splitlines()
    return next(line.split()[0] for line in lines if line.split()[1:] == [serial])


def checksum(machine: Machine, serial: str) -> str:
    return machine.run("sha256sum %s", disk(machine, serial)).split()[0]


def mounted(machine: Machine, point: str) -> dict[str, Any]:
    columns = "SOURCE,FSTYPE,OPTIONS,LABEL,UUID"
    found = json.loads(machine.run("findmnt --json --output %s --mountpoint %s", columns, point))
    return dict(found["filesystems"][0])


@pytest.fixture
def volumes(scenario: Scenario, machine: Machine) -> Iterator[list[dict[str, Any]]]:
    """Those of the scenario; and what a test did is made good after it."""
    described = yaml.safe_load((scenario.directory / "molecule.yml").read_text(encoding="utf-8"))
    yield described["provisioner"]["inventory"]["group_vars"]["all"]["storage_volumes"]
    scenario.converge()


def test_the_array_is_of_the_disks_that_were_described(machine: Machine) -> None:
    here = mounted(machine, "/scratch")
    assert (here["fstype"], here["label"]) == ("xfs", "scratch")
    assert "noatime" in here["options"].split(",")
    told = machine.run("mdadm --detail --export %s", here["source"])
    assert "MD_LEVEL=raid1" in told and "MD_DEVICES=2" in told and "MD_NAME=vm01:scratch" in told
    members = {line.split("=", 1)[1] for line in told.splitlines() if line.startswith("MD_DEVICE_") and "_DEV=" in line}
    assert members == {disk(machine, "FLNVME0001"), disk(machine, "FLNVME0002")}
    assert machine.host.file("/scratch").mode == 0o755


def test_the_logical_volume_takes_its_disk(machine: Machine) -> None:
    here = mounted(machine, "/keep")
    assert (here["source"], here["fstype"], here["label"]) == ("/dev/mapper/vg_keep-data", "ext4", "keep")
    groups = json.loads(machine.run("pvs --reportformat json --options pv_name,vg_name,pv_free --units b --nosuffix"))
    (only,) = groups["report"][0]["pv"]
    assert only == {"pv_name": disk(machine, "FLSSD0003"), "vg_name": "vg_keep", "pv_free": "0"}
    assert machine.host.file("/keep").mode == 0o1777


def test_mounts_are_by_uuid_and_a_boot_does_not_wait_for_them(machine: Machine) -> None:
    lines = {
        line.split()[1]: line.split() for line in machine.read("/etc/fstab").splitlines() if line.startswith("UUID=")
    }
    for point, kind, options, number in (
        ("/scratch", "xfs", "noatime,nofail", "0"),
        ("/keep", "ext4", "defaults,nofail", "2"),
    ):
        assert lines[point] == [f"UUID={mounted(machine, point)['uuid']}", point, kind, options, "0", number]


def test_the_others_disk_is_as_it_was(machine: Machine) -> None:
    assert "old-data" in machine.run("wipefs --noheadings --output LABEL %s", disk(machine, OF_OTHERS))


def test_a_record_of_each_nvme_disk(machine: Machine) -> None:
    for serial in ("FLNVME0001", "FLNVME0002"):
        record = json.loads(machine.read(f"/var/lib/firstlight/nvme/{serial}.json"))
        assert (record["serial"], record["model"]) == (serial, "QEMU NVMe Ctrl")
        assert "critical_warning" in record["smart_log"] and "data_units_written" in record["smart_log"]


def test_docker_does_not_start_without_its_data_root(machine: Machine) -> None:
    """A stand-in for its unit: it makes the data root, as Docker would."""
    machine.write("/etc/systemd/system/docker.service", DOCKER)
    try:
        # What was only unmounted is mounted for it.
        machine.run("umount /scratch && systemctl daemon-reload && systemctl start docker.service")
        assert mounted(machine, "/scratch")["label"] == "scratch"
        # With nothing that says what to mount, it fails and writes nothing.
        machine.run(
            "systemctl stop docker.service && rmdir /scratch/docker && cp /etc/fstab /var/lib/fstab"
            " && sed -i '/scratch/d' /etc/fstab && systemctl daemon-reload && umount /scratch"
        )
        assert machine.host.run("systemctl start docker.service").rc != 0
        # Which of its assertions it was is in the status only as long as the journal has the lines.
        assert machine.run("systemctl show --property AssertResult --value docker.service") == "no"
        assert "AssertPathIsMountPoint=/scratch" in machine.run("systemctl cat docker.service")
        assert machine.run("ls -A /scratch") == ""
    finally:
        machine.run(
            "test ! -e /var/lib/fstab || mv /var/lib/fstab /etc/fstab; rm /etc/systemd/system/docker.service"
            "; systemctl daemon-reload; mountpoint --quiet /scratch || mount /scratch; systemctl reset-failed"
        )


def test_drift_is_repaired_and_nothing_else_is_touched(
    machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]]
) -> None:
    before = machine.state()
    machine.run(
        "umount /keep && sed -i '/keep/d' /etc/fstab && chmod 700 /scratch"
        " && rm /etc/systemd/system/needs-keep.service.d/50-firstlight-storage.conf"
    )
    drifted = machine.state()

    tried = scenario.converge("--check")
    assert tried.returncode == 0, tried.tail
    assert machine.state().touched_since(drifted) == set()
    run = scenario.converge()

    assert run.returncode == 0, run.tail
    after = machine.state()
    assert after.differences(before) == set()
    assert after.touched_since(drifted, without=["file /var/lib/firstlight/applied/"]) - {"file /keep/lost+found"} == {
        "file /etc/fstab",
        "file /etc/systemd/system/needs-keep.service.d/50-firstlight-storage.conf",
        "file /keep",
        "file /scratch",
    }
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_what_a_killed_run_left_is_completed(
    machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]]
) -> None:
    """An array without file system, fstab and record; and a physical volume without a group."""
    array = mounted(machine, "/scratch")["source"]
    machine.run(
        "umount /scratch /keep && sed -i -E '/scratch|keep/d' /etc/fstab && sed -i '/^ARRAY/d' /etc/mdadm/mdadm.conf"
        f" && wipefs --all --quiet {array} && vgremove --yes --quiet vg_keep && udevadm settle"
    )
    uuid = machine.run("mdadm --detail --export %s | grep MD_UUID", array)

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert machine.run("mdadm --detail --export %s | grep MD_UUID", mounted(machine, "/scratch")["source"]) == uuid
    assert mounted(machine, "/keep")["label"] == "keep"
    assert uuid.split("=")[1] in machine.read("/etc/mdadm/mdadm.conf")


def test_a_new_array_shows_nothing_of_an_earlier_one(
    machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]]
) -> None:
    """Of the same disks, in the same order: what lay inside the first is still where it was."""
    before = mounted(machine, "/scratch")
    disks = f"{disk(machine, 'FLNVME0001')} {disk(machine, 'FLNVME0002')}"
    machine.run("touch /scratch/of-the-earlier-one && sync")
    machine.run(f"umount /scratch && mdadm --stop {before['source']} && wipefs --all --quiet {disks} && udevadm settle")

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    # The line of the earlier one in fstab did not take the mount away again, either.
    assert mounted(machine, "/scratch")["uuid"] != before["uuid"]
    assert machine.run("ls -A /scratch") == ""
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_a_reboot_finds_all_of_it(machine: Machine, scenario: Scenario) -> None:
    machine.run("echo whole > /scratch/file && echo whole > /keep/file && sync")
    boot = machine.read("/proc/sys/kernel/random/boot_id")
    with contextlib.suppress(RuntimeError):
        machine.host.run("systemctl reboot")
    end = time.monotonic() + REBOOT_SECONDS
    while True:
        # A connection that goes down with the machine raises RuntimeError.
        with contextlib.suppress(RuntimeError):
            now = machine.host.run("cat /proc/sys/kernel/random/boot_id && systemctl is-system-running --wait").stdout
            if now.strip() and boot not in now:
                break
        assert time.monotonic() < end, f"vm01 did not come back within {REBOOT_SECONDS} s"
        time.sleep(5)

    assert machine.run("readlink -f /dev/md/scratch") == mounted(machine, "/scratch")["source"]
    assert machine.run("cat /scratch/file /keep/file").split() == ["whole", "whole"]
    run = scenario.converge()
    assert (run.returncode, run.changes) == (0, []), run.tail


def test_a_volume_that_is_named_no_more_keeps_what_it_holds(
    machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]]
) -> None:
    machine.run("echo kept > /keep/file && sync")
    without = {"storage_volumes": volumes[:1]}

    run = scenario.converge(variables=without)

    assert run.returncode == 0, run.tail
    assert "/keep" not in machine.read("/etc/fstab")
    assert machine.host.run("mountpoint --quiet /keep").rc != 0
    assert not machine.host.file("/etc/systemd/system/needs-keep.service.d/50-firstlight-storage.conf").exists
    again = scenario.converge(variables=without)
    assert (again.returncode, again.changes) == (0, []), again.tail
    back = scenario.converge()
    assert back.returncode == 0, back.tail
    assert machine.read("/keep/file") == "kept\n"


def test_a_mount_hides_no_files(machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]]) -> None:
    machine.run("umount /keep && touch /keep/of-somebody")
    before = machine.state()
    try:
        run = scenario.converge()
        assert run.returncode != 0
        assert "/keep holds files (of-somebody" in run.messages and "move them away" in run.messages, run.tail
        assert machine.state().touched_since(before) == set()
    finally:
        machine.run("rm /keep/of-somebody")


def test_a_degraded_array_is_told(machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]]) -> None:
    array, member = mounted(machine, "/scratch")["source"], disk(machine, "FLNVME0002")
    machine.run("mdadm --fail %s %s", array, member)
    try:
        run = scenario.converge()
        assert run.returncode != 0
        assert "lacks 1 of 2 disks" in run.messages and "mdadm --add" in run.messages, run.tail
    finally:
        machine.run(
            "mdadm --remove %s %s && mdadm --re-add %s %s && mdadm --wait %s || true", *[array, member] * 2, array
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["holds ext4 'old-data'", f"serial {OF_OTHERS}", "storage_erase_serials"]),
        (
            {"disks": {"model": "FL-SSD-*", "count": 1}},
            ["2 disks are as described", "serial FLSSD0003", "wanted are 1"],
        ),
        ({"disks": {"size_gb": {"min": 3}, "count": 1}}, ["is the system's: it has /"]),
        ({"disks": {"serial": "FLNVME0001", "count": 1}}, ["as the volume scratch describes its own, too"]),
    ],
)
def test_what_must_not_be_touched_is_not(
    machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]], changes: dict[str, Any], words: list[str]
) -> None:
    disk_before, before = checksum(machine, OF_OTHERS), machine.state()

    run = scenario.converge(variables={"storage_volumes": [*volumes, {**MORE, **changes}]})

    assert run.returncode != 0
    assert [word for word in words if word not in run.messages] == [], run.tail
    assert checksum(machine, OF_OTHERS) == disk_before
    assert machine.state().touched_since(before) == set()


def test_a_disk_that_is_named_is_given_up(machine: Machine, scenario: Scenario, volumes: list[dict[str, Any]]) -> None:
    variables = {"storage_volumes": [*volumes, MORE], "storage_erase_serials": [OF_OTHERS]}
    before = checksum(machine, OF_OTHERS)
    tried = scenario.converge("--check", variables=variables)
    assert tried.returncode == 0 and len(tried.changes) > 0, tried.tail
    assert "would erase ext4 'old-data' from" in tried.output and f"serial {OF_OTHERS}" in tried.output
    assert checksum(machine, OF_OTHERS) == before

    run = scenario.converge(variables=variables)

    assert run.returncode == 0, run.tail
    assert mounted(machine, "/more")["label"] == "more"
    # What is named is erased once.
    again = scenario.converge(variables=variables)
    assert (again.returncode, again.changes) == (0, []), again.tail
    machine.run("umount /more && sed -i '/more/d' /etc/fstab && rmdir /more && systemctl daemon-reload")
    machine.run("mkfs.ext4 -q -F -L old-data %s", disk(machine, OF_OTHERS))
