# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DOCA-OFED of the lab: relations of its packages, and its tools on a machine of made-up HCAs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lab.vendor import hcas
from lab.vendor.doca import FILES, RELEASES, Release, doca_packages, firmware_image

ADDRESS, OTHER = "0000:1a:00.0", "0000:3c:00.0"


class Node:
    """The tools under their names, two HCAs in sysfs, and the machine directory."""

    def __init__(self, root: Path) -> None:
        self.machine = root / "machine"
        self._bin = root / "bin"
        self._bin.mkdir(parents=True)
        for name in ("flint", "mlxconfig", "mlxfwmanager", "mst"):
            (self._bin / name).symlink_to(FILES / "mft")
        for number, address in enumerate((ADDRESS, OTHER)):
            device = self.sysfs / f"mlx5_{number}" / "device"
            device.mkdir(parents=True)
            (device / "uevent").write_text(f"DRIVER=mlx5_core\nPCI_SLOT_NAME={address}\n")
            (device.parent / "fw_ver").write_text("28.39.1002\n")
            (device.parent / "board_id").write_text("MT_0000000838\n")

    @property
    def sysfs(self) -> Path:
        return self.machine / "sysfs" / "class" / "infiniband"

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        places = {"LAB_SYSFS": str(self.sysfs), "LAB_HCAS_STATE": str(self.machine / hcas.FILE_NAME)}
        command = ["python3", str(self._bin / name), *arguments]
        return subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=False)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(
    ("release", "kernel", "tools"),
    [
        (RELEASES[0], "25.07.OFED.25.07.0.9.7.1-1", "25.07-0.2507097"),
        (RELEASES[1], "25.10.OFED.25.10.1.7.1.1-1", "25.10-0.2510171"),
    ],
)
def test_a_release_depends_on_exactly_its_own_parts(release: Release, kernel: str, tools: str) -> None:
    packages = {package.name: package for package in doca_packages(release)}
    versions = {name: package.version for name, package in packages.items()}
    assert (versions["mlnx-ofed-kernel-dkms"], versions["mlnx-tools"]) == (kernel, tools)
    for name in ("doca-ofed", "doca-ofed-userspace"):
        for relation in packages[name].relations["Depends"].split(", "):
            other, _, version = relation.partition(" ")
            assert version == f"(= {versions[other]})"


def test_a_setting_waits_for_the_next_reset(node: Node) -> None:
    assert node.run("mlxconfig", "-y", "-d", "1a:00.0", "set", "PCI_WR_ORDERING=1").returncode == 0
    asked = node.run("mlxconfig", "-d", ADDRESS, "-e", "query", "PCI_WR_ORDERING").stdout
    assert asked.splitlines()[-1].split() == [
        "*",
        "PCI_WR_ORDERING",
        "per_mkey(0)",
        "per_mkey(0)",
        "force_relax(1)",
    ]
    hcas.reset(node.machine)
    asked = node.run("mlxconfig", "-d", ADDRESS, "-e", "query", "PCI_WR_ORDERING").stdout
    assert asked.splitlines()[-1].split() == ["PCI_WR_ORDERING", "per_mkey(0)", "force_relax(1)", "force_relax(1)"]
    assert "force_relax" not in node.run("mlxconfig", "-d", OTHER, "-e", "q", "PCI_WR_ORDERING").stdout


def test_firmware_waits_for_the_next_reset(node: Node, tmp_path: Path) -> None:
    image = tmp_path / "fw.bin"
    image.write_text(firmware_image("28.46.1006"))
    assert "Done" in node.run("mlxfwmanager", "-u", "-y", "-d", ADDRESS, "-i", str(image)).stdout
    assert "28.46.1006" in node.run("mlxfwmanager", "--query", "-d", ADDRESS).stdout
    assert "28.46.1006" not in node.run("mlxfwmanager", "--query", "-d", OTHER).stdout
    assert hcas.running_firmware(node.machine, ADDRESS) == "28.39.1002"
    hcas.reset(node.machine)
    assert hcas.running_firmware(node.machine, ADDRESS) == "28.46.1006"
    assert (node.sysfs / "mlx5_0" / "fw_ver").read_text() == "28.46.1006\n"
    assert (node.sysfs / "mlx5_1" / "fw_ver").read_text() == "28.39.1002\n"


def test_firmware_of_another_board_is_refused(node: Node, tmp_path: Path) -> None:
    image = tmp_path / "fw.bin"
    image.write_text("psid MT_0000000001\nversion 28.46.1006\n")
    done = node.run("mlxfwmanager", "-u", "-y", "-d", ADDRESS, "-i", str(image))
    assert done.returncode != 0
    assert "No matching image for PSID MT_0000000838" in done.stderr
    assert hcas.read(node.machine) == {}


def image(folder: Path, version: str = "28.46.1006", psid: str = hcas.PSID) -> str:
    path = folder / f"{version}-{psid}.bin"
    path.write_text(firmware_image(version, psid))
    return str(path)


def test_flint_tells_what_runs_where_another_waits_and_burns_no_second_time(node: Node, tmp_path: Path) -> None:
    before = node.run("flint", "-d", ADDRESS, "query").stdout
    assert "FW Version:            28.39.1002\n" in before and "(Running)" not in before
    burned = node.run("flint", "--yes", "--device", ADDRESS, "--image", image(tmp_path), "burn")
    assert (burned.returncode, "mlxfwreset or reboot" in burned.stdout) == (0, True)
    waits = node.run("flint", "-d", ADDRESS, "query").stdout
    assert "FW Version:            28.46.1006\nFW Version(Running):   28.39.1002\n" in waits
    again = node.run("flint", "-y", "-d", ADDRESS, "-i", image(tmp_path, "28.47.1088"), "burn")
    assert again.returncode != 0 and "already updated on flash, pending reset" in again.stderr
    hcas.reset(node.machine)
    after = node.run("flint", "-d", ADDRESS, "query").stdout
    assert after == before.replace("28.39.1002", "28.46.1006")
    assert (node.sysfs / "mlx5_0" / "fw_ver").read_text() == "28.46.1006\n"


@pytest.mark.parametrize(
    ("fault", "version", "psid", "words"),
    [
        ("", "28.46.1006", "DEL0000000031", "-E- PSID mismatch. The PSID on flash (MT_0000000838) differs"),
        ("busy", "28.46.1006", hcas.PSID, "Can not obtain Flash semaphore (63)"),
        ("interrupted", "28.46.1006", hcas.PSID, "received interrupt signal"),
        ("silent", "28.46.1006", hcas.PSID, "-E- Cannot open Device"),
    ],
)
def test_flint_fails_as_the_real_one(
    node: Node, tmp_path: Path, fault: str, version: str, psid: str, words: str
) -> None:
    (node.machine / "flint.fails").write_text(f"{ADDRESS} {fault}\n")
    done = node.run("flint", "-y", "-d", ADDRESS, "-i", image(tmp_path, version, psid), "burn")
    assert done.returncode != 0 and words in done.stderr
    assert hcas.read(node.machine) == {}
    other = node.run("flint", "-y", "-d", OTHER, "-i", image(tmp_path), "burn")
    assert other.returncode == 0, other.stderr


def test_flint_reads_images_and_nothing_else(node: Node, tmp_path: Path) -> None:
    told = node.run("flint", "-i", image(tmp_path), "query").stdout
    assert "FW Version:            28.46.1006\n" in told and "PSID:                  MT_0000000838\n" in told
    (tmp_path / "other").write_text("<html>not found</html>")
    assert "Unknown Firmware Type" in node.run("flint", "-i", str(tmp_path / "other"), "query").stderr


def test_what_there_is_not_is_refused(node: Node) -> None:
    assert "Failed to open the device" in node.run("mlxconfig", "-d", "ff:00.0", "q").stderr
    assert "doesn't support NO_SUCH" in node.run("mlxconfig", "-d", ADDRESS, "-y", "set", "NO_SUCH=1").stderr


def test_the_machine_s_file_is_json_by_address(node: Node) -> None:
    node.run("mlxconfig", "-y", "-d", ADDRESS, "set", "SRIOV_EN=1")
    kept = json.loads((node.machine / hcas.FILE_NAME).read_text())
    assert kept == {ADDRESS: {"SRIOV_EN": {"running": "False(0)", "stored": "True(1)"}}}
