# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI settings of GPUs and HCAs, on a tree as the kernel shows it and with a setpci that keeps registers in files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from role_files import ROLES

HCA, GPU, OTHER = "0000:1a:00.0", "0000:18:00.0", "0000:02:00.0"
ROOT, UP, TO_GPU, TO_HCA = "0000:16:01.0", "0000:17:00.0", "0000:18:04.0", "0000:18:05.0"
WANTED = ["--read-request", "4096", f"--hca={HCA}", f"--acs-off={HCA}", f"--acs-off={GPU}"]
SETPCI = """#!/usr/bin/python3
import re, sys
from pathlib import Path
address, (name, _, change) = sys.argv[2], sys.argv[3].partition("=")
register = Path(__file__).parent / address / name
if not register.exists():
    sys.exit(f"{address}: Instance #0 of Capability {name} not found - there are no capabilities with that id.")
value = int(register.read_text(), 16)
if not change:
    print(f"{value:04x}")
else:
    new, _, mask = change.partition(":")
    if not Path(__file__).with_name("stuck").exists():
        register.write_text(f"{value & ~int(mask, 16) | int(new, 16):04x}")
"""


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("pci_settings", ROLES / "doca_ofed" / "files" / "pci_settings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pci_settings"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["pci_settings"]


@pytest.fixture
def registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder per device, a file per register; and setpci, which reads and writes them."""
    for address in (ROOT, UP, TO_GPU, TO_HCA, HCA, GPU, OTHER):
        folder = tmp_path / "bin" / address
        folder.mkdir(parents=True)
        (folder / "CAP_EXP+8.w").write_text("2930")
    for address in (ROOT, TO_GPU, TO_HCA, OTHER):
        (tmp_path / "bin" / address / "ECAP_ACS+6.w").write_text("001d")
    command = tmp_path / "bin" / "setpci"
    command.write_text(SETPCI)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return tmp_path / "bin"


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    links = tmp_path / "sys/bus/pci/devices"
    links.mkdir(parents=True)
    for path in (f"{ROOT}/{UP}/{TO_GPU}/{GPU}", f"{ROOT}/{UP}/{TO_HCA}/{HCA}", OTHER):
        device = tmp_path / "sys/devices/pci0000:16" / path
        device.mkdir(parents=True)
        (links / device.name).symlink_to(device)
    return links


def run(script: ModuleType, devices: Path, *words: str) -> int:
    status = script.run(script.arguments(list(words)), devices)
    assert isinstance(status, int)
    return status


def test_what_differs_is_shown_and_nothing_is_written(
    script: ModuleType, devices: Path, registers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, devices, "show", *WANTED) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{HCA} CAP_EXP+8.w is 2000, wanted is 5000",
        f"{ROOT} ECAP_ACS+6.w is 001d, wanted is 0000",
        f"{TO_HCA} ECAP_ACS+6.w is 001d, wanted is 0000",
        f"{TO_GPU} ECAP_ACS+6.w is 001d, wanted is 0000",
    ]
    assert (registers / HCA / "CAP_EXP+8.w").read_text() == "2930"


def test_it_is_set_once_and_other_bits_and_devices_stay(
    script: ModuleType, devices: Path, registers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(script, devices, "set", *WANTED) == 0
    assert (registers / HCA / "CAP_EXP+8.w").read_text() == "5930"
    assert (registers / GPU / "CAP_EXP+8.w").read_text() == "2930"
    assert {(registers / one / "ECAP_ACS+6.w").read_text() for one in (ROOT, TO_GPU, TO_HCA)} == {"0000"}
    assert (registers / OTHER / "ECAP_ACS+6.w").read_text() == "001d"
    capsys.readouterr()
    assert run(script, devices, "show", *WANTED) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("size", "bits"), [(128, 0), (256, 0x1000), (512, 0x2000), (1024, 0x3000), (4096, 0x5000)])
def test_sizes_are_powers_of_two_from_128(script: ModuleType, size: int, bits: int) -> None:
    assert script.read_request_of(HCA, size).value == bits


def test_a_size_that_does_not_exist_is_refused(script: ModuleType) -> None:
    with pytest.raises(SystemExit):
        script.arguments(["show", "--read-request", "3000"])


def test_a_missing_device_is_told_and_costs_the_others_nothing(
    script: ModuleType, devices: Path, registers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WANTED, "--hca=0000:ff:00.0", "--acs-off=0000:ff:00.0"]
    assert run(script, devices, "set", *words) == 1
    assert "0000:ff:00.0: no such device on the PCI bus; correct its address" in capsys.readouterr().err
    assert (registers / HCA / "CAP_EXP+8.w").read_text() == "5930"
    assert (registers / TO_GPU / "ECAP_ACS+6.w").read_text() == "0000"


def test_a_device_without_the_capability_is_no_success(
    script: ModuleType, devices: Path, registers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only of ACS a bridge may have none."""
    (registers / HCA / "CAP_EXP+8.w").unlink()
    assert run(script, devices, "show", *WANTED) == 1
    assert f"{HCA}: setpci" in capsys.readouterr().err


def test_a_register_that_does_not_change_is_no_success(
    script: ModuleType, devices: Path, registers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (registers / "stuck").touch()
    assert run(script, devices, "set", *WANTED) == 1
    assert f"{HCA}: CAP_EXP+8.w does not keep 5000" in capsys.readouterr().err


def test_without_setpci_it_says_so(
    script: ModuleType, devices: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(script, devices, "show", *WANTED) == 1
    assert "No such file or directory: 'setpci'" in capsys.readouterr().err
