# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role takes back of an earlier run, in which order: the tasks, with stand-ins for the programs of a host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.unit.conftest import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_boot_menu_is_made_without_what_it_was_told_before_that_is_forgotten(
    run: Run, tool: Callable[[str, str], None], tmp_path: Path
) -> None:
    file, menu = tmp_path / "90-firstlight.cfg", tmp_path / "grub.cfg"
    file.write_text('GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX iommu=pt"\n')
    texts = [{"name": "boot menu", "path": str(menu), "made_of": [str(file)]}]
    variables = {"__base_os_grub_file": str(file), "__base_os_grub_texts": texts}

    tool("update-grub", "exit 1")
    killed = run("base_os", "system_grub_left", **variables)
    assert killed.returncode != 0
    assert file.exists(), "nothing says any more that the menu is the old one"

    tool("update-grub", f"cat {file} > {menu}")
    tried = run("base_os", "system_grub_left", "--check", **variables)
    assert tried.returncode == 0, tried.stdout
    assert "would run update-grub" in tried.stdout and file.exists()
    done = run("base_os", "system_grub_left", **variables)
    assert done.returncode == 0, done.stdout
    assert "iommu" not in menu.read_text()
    assert not file.exists()


def test_holds_go_before_the_pins_that_tell_whose_they_are(
    run: Run, tool: Callable[[str, str], None], tmp_path: Path
) -> None:
    pins, holds = tmp_path / "firstlight-kernel", tmp_path / "holds"
    pins.write_text("Package: *\n")
    tool("dpkg-query", "echo hold")
    look = {
        "packages": [],
        "waiting": [],
        "unheld": [],
        "broken": "",
        "replaced": ["linux-image-6.8"],
        "files": [{"path": str(pins)}],
    }
    variables = {"common_due": look, "__common_pins": [{"path": str(pins), "state": "absent"}]}

    tool("dpkg", "test $1 = --get-selections && echo linux-image-6.8 hold || exit 1")
    assert run("common", "packages", **variables).returncode != 0
    assert pins.exists()

    tool("dpkg", f"test $1 = --get-selections && echo linux-image-6.8 hold || cat > {holds}")
    done = run("common", "packages", **variables)
    assert done.returncode == 0, done.stdout
    assert holds.read_text().split() == ["linux-image-6.8", "install"]
    assert not pins.exists()


def test_what_somebody_else_holds_stays_held(run: Run, tool: Callable[[str, str], None], tmp_path: Path) -> None:
    """Where there are no pins of the role there is no hold of it."""
    tool("dpkg", f"touch {tmp_path / 'asked'}")
    look = {"packages": [], "waiting": [], "unheld": [], "broken": "", "replaced": ["linux-image-6.8"], "files": []}
    done = run("common", "packages", common_due=look, common_packages_pin_name="kernel")
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "asked").exists()


def test_an_initramfs_from_before_nouveau_was_kept_out_is_built_anew(
    run: Run, tool: Callable[[str, str], None], tmp_path: Path
) -> None:
    file, image = tmp_path / "nouveau.conf", tmp_path / "initrd.img"
    file.write_text("blacklist nouveau\n")
    look = {"kernel": "6.8", "files": [{"path": str(file)}]}
    variables = {"__gpu_driver_nouveau_file": str(file), "__gpu_driver_initramfs_image": str(image), "common_due": look}
    tool("update-initramfs", f"echo $* > {image}")

    # A machine without one has none that loads nouveau.
    assert run("gpu_driver", "nouveau", **variables).returncode == 0
    assert not image.exists()
    image.write_text("old")
    os.utime(image, (0, 0))
    tried = run("gpu_driver", "nouveau", "--check", **variables)
    assert "would run update-initramfs" in tried.stdout and image.read_text() == "old", tried.stdout
    done = run("gpu_driver", "nouveau", **variables)
    assert done.returncode == 0, done.stdout
    assert image.read_text() == "-u -k all\n"
    again = run("gpu_driver", "nouveau", **variables)
    assert "changed=0" in again.stdout, again.stdout


@pytest.mark.parametrize(("built", "installed", "again"), [(1, 2, True), (2, 1, False), (1, 0, False), (0, 1, False)])
def test_peermem_is_built_again_for_another_doca_ofed(
    run: Run, tool: Callable[[str, str], None], tmp_path: Path, built: int, installed: int, again: bool
) -> None:
    """In check mode, which asks for no restart; a time of 0 stands for what is not there."""
    module, files = tmp_path / "dkms" / "nvidia-peermem.ko.zst", tmp_path / "doca-ofed.list"
    module.parent.mkdir()
    for path, time in ((module, built), (files, installed)):
        if time:
            path.write_text("")
            os.utime(path, (time, time))
    tool("dkms", 'echo "nvidia/570.172.08, 6.8, x86_64: installed"')
    places = {"__gpu_driver_module_directory": str(module.parent), "__gpu_driver_doca_ofed_list": str(files)}
    told = {"gpu_driver_version": "570.172.08", "common_due": {"kernel": "6.8"}}

    tried = run("gpu_driver", "peermem", "--check", **places, **told)

    assert tried.returncode == 0, tried.stdout
    assert ("would ask for a restart: nvidia-peermem is built again" in tried.stdout) is again
    assert ("would build the modules of driver 570.172.08 again for kernel 6.8" in tried.stdout) is again


@pytest.mark.parametrize(
    "known", ["nvidia/570.172.08, 6.8, x86_64: installed", "nvidia, 570.172.08, 6.8, x86_64: installed"]
)
def test_dkms_builds_the_driver_by_the_name_that_it_has_there(
    run: Run, tool: Callable[[str, str], None], tmp_path: Path, known: str
) -> None:
    tool("dkms", f'test $1 = status && echo "{known}" || echo $* >> {tmp_path / "asked"}')
    told = {"gpu_driver_version": "570.172.08", "common_due": {"kernel": "6.8"}}

    done = run("gpu_driver", "peermem_build", **told)

    assert done.returncode == 0, done.stdout
    wanted = ["build --force -m nvidia -v 570.172.08 -k 6.8", "install --force -m nvidia -v 570.172.08 -k 6.8"]
    assert (tmp_path / "asked").read_text().splitlines() == wanted
    refused = run("gpu_driver", "peermem_build", **told | {"gpu_driver_version": "575.57.08"})
    assert refused.returncode != 0 and "DKMS has no driver 575.57.08 for kernel 6.8" in refused.stdout


def test_a_class_without_volumes_takes_back_the_last_one() -> None:
    """The role has to be asked also where nothing is wanted of it."""
    plays = yaml.safe_load((ROOT / "playbooks" / "configure.yml").read_text())
    (block,) = [task for play in plays for task in play.get("tasks", []) if task["name"] == "Configure the node"]
    conditions = {
        next(iter(task.values())): task.get("when")
        for task in block["block"]
        if any(action.endswith("_role") for action in task)
    }
    assert conditions.pop("Data disks") is None
    assert {*conditions.values()} == {None}
