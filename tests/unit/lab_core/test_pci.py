# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI tree of a machine, as the real lspci and setpci see it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import pci
from lab.machines import Site

HCA, GPU = "0000:1a:00.0", "0000:18:00.0"


@pytest.fixture
def tree(tmp_path: Path, site: Site) -> Path:
    pci.write(tmp_path / "pci", site.machines["node01"])
    return tmp_path / "pci"


def test_each_rail_has_its_gpu_and_its_hca_below_one_switch(tree: Path) -> None:
    devices = {link.name: link.resolve() for link in (tree / "devices").iterdir()}
    assert len(devices) == 8 * 6
    assert devices[HCA].parents[1] == devices[GPU].parents[1] != devices["0000:3c:00.0"].parents[1]
    assert [len(path.parts) for path in (devices[HCA], devices[GPU])] == [len(tree.parts) + 6] * 2
    kinds = [(path / "class").read_text().strip() for path in devices.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"0x060400": 32, "0x030200": 8, "0x020700": 8}


def test_a_head_has_none(tmp_path: Path, site: Site) -> None:
    pci.write(tmp_path / "pci", site.machines["head01"])
    assert list((tmp_path / "pci" / "devices").iterdir()) == []


def test_what_was_set_is_forgotten_at_the_next_start(tree: Path, site: Site) -> None:
    config = tree / "devices" / HCA / "config"
    before = config.read_bytes()
    config.write_bytes(bytes(4096))
    pci.write(tree, site.machines["node01"])
    assert config.read_bytes() == before


@pytest.mark.skipif(not shutil.which("setpci"), reason="pciutils is not installed")
def test_the_real_tools_read_and_write_it(tree: Path) -> None:
    def ask(*command: str) -> str:
        options = ["-A", "linux-sysfs", "-O", f"sysfs.path={tree}"]
        full = [command[0], *options, *command[1:]]
        return subprocess.run(full, capture_output=True, text=True, check=True).stdout

    assert ask("setpci", "-s", HCA, "CAP_EXP+8.w") == "2930\n"
    ask("setpci", "-s", HCA, "CAP_EXP+8.w=5000:7000")
    assert re.search("MaxPayload 256 bytes, MaxReadReq 4096 bytes", ask("lspci", "-vv", "-s", HCA))
    assert "MaxReadReq 512 bytes" in ask("lspci", "-vv", "-s", GPU)
    assert ask("setpci", "-s", "0000:f0:01.0", "ECAP_ACS+6.w") == "001d\n"
    assert "ReqRedir+" in ask("lspci", "-vv", "-s", "0000:f0:01.0")
    absent = subprocess.run(
        ["setpci", "-A", "linux-sysfs", "-O", f"sysfs.path={tree}", "-s", HCA, "ECAP_ACS+6.w"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert absent.returncode != 0
    assert re.search("Instance #0 of .* not found", absent.stderr)
