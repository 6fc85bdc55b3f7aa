# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role takes back of an earlier run, in which order: the tasks, with stand-ins for the programs of a host."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

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
