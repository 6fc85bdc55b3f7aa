# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NVML reader: any refusal of the library costs exactly the value that was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvml import (
    ERRORS,
    load_pynvml,
    pci_address,
    read_nvml,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing

from tests.unit.health import fake_pynvml


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(fake_pynvml, "FAULTS", {})
    monkeypatch.setattr(fake_pynvml, "GPUS", list(range(8)))
    return fake_pynvml


def test_nvml_reads_every_gpu(nvml: ModuleType) -> None:
    read = read_nvml(nvml)
    assert (read["driver_version"], read["count"], len(read["gpus"])) == ("570.172.08", 8, 8)
    assert read["gpus"][3] == {
        "index": 3,
        "uuid": "GPU-3",
        "serial": "1653",
        "model": "NVIDIA H100 80GB HBM3",
        "vbios": "96.00.99.00.01",
        "pci": "0000:5d:00.0",
        "minor": 3,
        "temperature_c": 33,
        "ecc_enabled": True,
        "ecc_volatile_uncorrected": 0,
        "ecc_aggregate_uncorrected": 5,
        "ecc_volatile_corrected": 11,
        "remapped_rows": {"correctable": 1, "uncorrectable": 2, "pending": False, "failure": False},
        "nvlinks": [True] * 18,
        "fabric": {"state": 3, "status": 0},
    }


VALUES = {
    "nvmlDeviceGetUUID": ["uuid"],
    "nvmlDeviceGetSerial": ["serial"],
    "nvmlDeviceGetName": ["model"],
    "nvmlDeviceGetVbiosVersion": ["vbios"],
    "nvmlDeviceGetPciInfo": ["pci"],
    "nvmlDeviceGetMinorNumber": ["minor"],
    "nvmlDeviceGetTemperature": ["temperature_c"],
    "nvmlDeviceGetEccMode": ["ecc_enabled"],
    "nvmlDeviceGetTotalEccErrors": ["ecc_volatile_uncorrected", "ecc_aggregate_uncorrected", "ecc_volatile_corrected"],
    "nvmlDeviceGetRemappedRows": ["remapped_rows"],
    "nvmlDeviceGetGpuFabricInfo": ["fabric"],
}


@pytest.mark.parametrize("function", VALUES)
@pytest.mark.parametrize("code", [*ERRORS, 31337])
def test_any_code_of_one_query_spoils_that_value_only(nvml: ModuleType, function: str, code: int) -> None:
    whole = read_nvml(nvml)
    nvml.FAULTS = {function: {"5": code}}
    if code == 12:
        expected = {"error": "NVML shared library not found (libnvidia-ml.so.1): is the driver installed?"}
    else:
        expected = {"error": ERRORS.get(code, f"NVML error {code}"), "code": code}
    for key in VALUES[function]:
        whole["gpus"][5][key] = expected
    assert read_nvml(nvml) == whole


@pytest.mark.parametrize("code", [3, 15, 16, 999])
def test_a_gpu_that_cannot_be_opened_stays_in_the_list(nvml: ModuleType, code: int) -> None:
    nvml.FAULTS = {"nvmlDeviceGetHandleByIndex": {"2": code}}
    gpus = read_nvml(nvml)["gpus"]
    assert gpus[2] == {"index": 2, "error": ERRORS[code], "code": code}
    assert [gpu["index"] for gpu in gpus if "error" not in gpu] == [0, 1, 3, 4, 5, 6, 7]


def test_links_that_cannot_be_read_are_told_from_links_that_are_not_there(nvml: ModuleType) -> None:
    nvml.FAULTS = {"nvmlDeviceGetNvLinkState": {"1": 15, "2": 3}}
    gpus = read_nvml(nvml)["gpus"]
    assert gpus[0]["nvlinks"] == [True] * 18
    assert gpus[1]["nvlinks"] == [{"error": "GPU is lost", "code": 15}] * 36
    assert gpus[2]["nvlinks"] == []


def test_no_gpu_is_data(nvml: ModuleType) -> None:
    nvml.GPUS = []
    assert read_nvml(nvml) == {"driver_version": "570.172.08", "count": 0, "gpus": []}


@pytest.mark.parametrize(("code", "error"), [(9, SourceError), (18, SourceError), (12, SourceMissing)])
@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount"])
def test_nvml_that_does_not_start_is_an_error(
    nvml: ModuleType, function: str, code: int, error: type[Exception]
) -> None:
    nvml.FAULTS = {function: {"all": code}}
    with pytest.raises(error, match=ERRORS[code].split()[0]):
        read_nvml(nvml)


def test_a_driver_version_that_cannot_be_read_hides_no_gpu(nvml: ModuleType) -> None:
    nvml.FAULTS = {"nvmlSystemGetDriverVersion": {"all": 4}}
    read = read_nvml(nvml)
    assert read["driver_version"] == {"error": "insufficient permissions", "code": 4}
    assert len(read["gpus"]) == 8


@pytest.mark.parametrize(
    ("function", "key"), [("nvmlDeviceGetGpuFabricInfo", "fabric"), ("nvmlDeviceGetVbiosVersion", "vbios")]
)
def test_an_older_binding_without_a_function(
    nvml: ModuleType, monkeypatch: pytest.MonkeyPatch, function: str, key: str
) -> None:
    monkeypatch.delattr(fake_pynvml, function)
    assert read_nvml(nvml)["gpus"][0][key] == {"error": f"this pynvml has no {function}"}


def test_a_missing_binding_is_named_with_the_places_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    with pytest.raises(SourceMissing, match=r"pynvml .*in /opt/nvml"):
        load_pynvml(["/opt/nvml"])


def test_the_path_may_leave_open_which_python_the_node_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "pynvml.py").write_text("MARK = 'from the venv'\n", encoding="utf-8")
    monkeypatch.setattr("sys.path", [])
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    assert load_pynvml([f"{tmp_path}/lib/python3*/site-packages"]).MARK == "from the venv"


@pytest.mark.parametrize(
    ("given_", "expected"),
    [("00000000:1B:00.0", "0000:1b:00.0"), ("0000:1b:00", "0000:1b:00.0"), ("0001:FF:1f.7", "0001:ff:1f.7")],
)
def test_pci_addresses_are_written_one_way(given_: str, expected: str) -> None:
    assert pci_address(given_) == expected
