# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NVML reader: any refusal of the library costs exactly the value that was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvml import (
    load_pynvml,
    pci_address,
    read_nvml,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvml_errors import ERRORS
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing

from tests.unit.health import fake_pynvml


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(fake_pynvml, "FAULTS", {})
    monkeypatch.setattr(fake_pynvml, "GPUS", list(range(8)))
    return fake_pynvml


def test_nvml_reads_every_gpu(nvml: ModuleType) -> None:
    read = read_nvml(nvml).whole()
    assert (read["driver_version"], read["count"], len(read["gpus"])) == ("570.172.08", 8, 8)
    assert read["gpus"][3] == {
        "index": 3,
        "uuid": "GPU-3",
        "serial": "1653",
        "model": "NVIDIA H100 80GB HBM3",
        "vbios": "96.00.99.00.01",
        "pci": "0000:5d:00.0",
        "pci_device": "10de:2330",
        "minor": 3,
        "temperature_c": 33,
        "ecc_enabled": True,
        "ecc_pending": True,
        "mig": False,
        "mig_pending": False,
        "persistence": True,
        "compute_mode": 0,
        "inforom_valid": True,
        "power_w": 69.5,
        "power_limit_w": 700.0,
        "power_default_w": 700.0,
        "clocks_mhz": {
            "sm": 345,
            "sm_max": 1980,
            "memory_max": 2619,
            "sm_application": 1980,
            "memory_application": 2619,
            "sm_application_default": 1980,
            "memory_application_default": 2619,
        },
        "memory_bytes": 81559 << 20,
        "memory_used_bytes": 4 << 20,
        "bar1_bytes": 128 << 30,
        "sram_uncorrected": 0,
        "sram_threshold_exceeded": False,
        "spent_banks": 0,
        "utilization_percent": 0,
        "clock_reasons": 1,
        "processes": {},
        "temperature_memory_c": 41,
        "recovery_action": 0,
        "reset_status": {"error": "not supported", "code": 3},
        "drain_status": {"error": "not supported", "code": 3},
        "page_retirement_pending": {"error": "not supported", "code": 3},
        "thermal_slowdown_ns": 12,
        "nvlink_failed_recoveries": {"error": "not supported", "code": 3},
        "nvlink_effective_errors": {"error": "not supported", "code": 3},
        "nvlink_mbps": [26562] * 18,
        "nvlink_replays": 2,
        "nvlink_recoveries": 0,
        "nvlink_crc_errors": 5,
        "nvlink_replays_worst": 17,
        "nvlink_crc_errors_worst": 1,
        "fabric_health": 0,
        "ecc_volatile_uncorrected": 0,
        "ecc_aggregate_uncorrected": 5,
        "ecc_volatile_corrected": 11,
        "pcie_replays": 2,
        "remapped_rows": {"correctable": 1, "uncorrectable": 2, "pending": False, "failure": False},
        "nvlinks": [True] * 18,
        "fabric": {"state": 3, "status": 0},
    }


VALUES = {
    "nvmlDeviceGetUUID": ["uuid"],
    "nvmlDeviceGetSerial": ["serial"],
    "nvmlDeviceGetName": ["model"],
    "nvmlDeviceGetVbiosVersion": ["vbios"],
    "nvmlDeviceGetPciInfo": ["pci", "pci_device"],
    "nvmlDeviceGetMinorNumber": ["minor"],
    "nvmlDeviceGetTemperature": ["temperature_c"],
    "nvmlDeviceGetEccMode": ["ecc_enabled", "ecc_pending"],
    "nvmlDeviceGetMigMode": ["mig", "mig_pending"],
    "nvmlDeviceGetPersistenceMode": ["persistence"],
    "nvmlDeviceGetComputeMode": ["compute_mode"],
    "nvmlDeviceValidateInforom": ["inforom_valid"],
    "nvmlDeviceGetPowerUsage": ["power_w"],
    "nvmlDeviceGetEnforcedPowerLimit": ["power_limit_w"],
    "nvmlDeviceGetPowerManagementDefaultLimit": ["power_default_w"],
    "nvmlDeviceGetMemoryInfo": ["memory_bytes", "memory_used_bytes"],
    "nvmlDeviceGetBAR1MemoryInfo": ["bar1_bytes"],
    "nvmlDeviceGetMemoryErrorCounter": ["sram_uncorrected"],
    "nvmlDeviceGetSramEccErrorStatus": ["sram_threshold_exceeded"],
    "nvmlDeviceGetRowRemapperHistogram": ["spent_banks"],
    "nvmlDeviceGetUtilizationRates": ["utilization_percent"],
    "nvmlDeviceGetCurrentClocksEventReasons": ["clock_reasons"],
    "nvmlDeviceGetComputeRunningProcesses": ["processes"],
    "nvmlDeviceGetFieldValues": [
        "temperature_memory_c",
        "recovery_action",
        "reset_status",
        "drain_status",
        "page_retirement_pending",
        "thermal_slowdown_ns",
        "nvlink_failed_recoveries",
        "nvlink_effective_errors",
        "nvlink_mbps",
        "nvlink_replays",
        "nvlink_recoveries",
        "nvlink_crc_errors",
    ],
    "nvmlDeviceGetTotalEccErrors": ["ecc_volatile_uncorrected", "ecc_aggregate_uncorrected", "ecc_volatile_corrected"],
    "nvmlDeviceGetPcieReplayCounter": ["pcie_replays"],
    "nvmlDeviceGetRemappedRows": ["remapped_rows"],
    "nvmlDeviceGetGpuFabricInfo": ["fabric"],
}


@pytest.mark.parametrize("function", VALUES)
@pytest.mark.parametrize("code", [*ERRORS, 31337])
def test_any_code_of_one_query_spoils_that_value_only(nvml: ModuleType, function: str, code: int) -> None:
    whole = read_nvml(nvml).whole()
    nvml.FAULTS = {function: {"5": code}}
    if code == 12:
        expected = {"error": "NVML shared library not found (libnvidia-ml.so.1): is the driver installed?"}
    else:
        expected = {"error": ERRORS.get(code, f"NVML error {code}"), "code": code}
    for key in VALUES[function]:
        whole["gpus"][5][key] = expected
    if function == "nvmlDeviceGetFieldValues":
        del whole["gpus"][5]["nvlink_replays_worst"], whole["gpus"][5]["nvlink_crc_errors_worst"]
    assert read_nvml(nvml).whole() == whole


@pytest.mark.parametrize("code", [3, 15, 16, 999])
def test_a_gpu_that_cannot_be_opened_stays_in_the_list(nvml: ModuleType, code: int) -> None:
    nvml.FAULTS = {"nvmlDeviceGetHandleByIndex": {"2": code}}
    gpus = read_nvml(nvml).whole()["gpus"]
    assert gpus[2] == {"index": 2, "error": ERRORS[code], "code": code}
    assert [gpu["index"] for gpu in gpus if "error" not in gpu] == [0, 1, 3, 4, 5, 6, 7]


def test_links_that_cannot_be_read_are_told_from_links_that_are_not_there(nvml: ModuleType) -> None:
    nvml.FAULTS = {"nvmlDeviceGetNvLinkState": {"1": 15, "2": 3}}
    gpus = read_nvml(nvml).whole()["gpus"]
    assert gpus[0]["nvlinks"] == [True] * 18
    assert gpus[1]["nvlinks"] == [{"error": "GPU is lost", "code": 15}] * 36
    assert gpus[2]["nvlinks"] == []


def test_no_gpu_is_data(nvml: ModuleType) -> None:
    nvml.GPUS = []
    assert read_nvml(nvml).whole() == {
        "driver_version": "570.172.08",
        "cuda_version": "12.8",
        "count": 0,
        "gpus": [],
    }


@pytest.mark.parametrize(("code", "error"), [(9, SourceError), (18, SourceError), (12, SourceMissing)])
@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount"])
def test_nvml_that_does_not_start_is_an_error(
    nvml: ModuleType, function: str, code: int, error: type[Exception]
) -> None:
    nvml.FAULTS = {function: {"all": code}}
    with pytest.raises(error, match=ERRORS[code].split()[0]):
        read_nvml(nvml).whole()


def test_a_driver_version_that_cannot_be_read_hides_no_gpu(nvml: ModuleType) -> None:
    nvml.FAULTS = {"nvmlSystemGetDriverVersion": {"all": 4}}
    read = read_nvml(nvml).whole()
    assert read["driver_version"] == {"error": "insufficient permissions", "code": 4}
    assert len(read["gpus"]) == 8


@pytest.mark.parametrize(
    ("function", "key"), [("nvmlDeviceGetGpuFabricInfo", "fabric"), ("nvmlDeviceGetVbiosVersion", "vbios")]
)
def test_an_older_binding_without_a_function(
    nvml: ModuleType, monkeypatch: pytest.MonkeyPatch, function: str, key: str
) -> None:
    monkeypatch.delitem(fake_pynvml.FUNCTIONS, function)
    assert read_nvml(nvml).whole()["gpus"][0][key] == {"error": f"this pynvml has no {function}"}


def test_a_driver_of_before_tells_the_health_of_the_fabric_in_its_own_form(
    nvml: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_value: Any, info: Any) -> int:
        structure = info._obj
        if type(structure) is fake_pynvml.c_nvmlGpuFabricInfo_v3_t or not known:
            raise fake_pynvml.NVMLError(25)
        structure.healthMask = 9
        return 0

    known = True
    monkeypatch.setitem(fake_pynvml.FUNCTIONS, "nvmlDeviceGetGpuFabricInfoV", answer)
    assert read_nvml(nvml).whole()["gpus"][0]["fabric_health"] == 9
    known = False
    assert read_nvml(nvml).whole()["gpus"][0]["fabric_health"]["code"] == 13


def test_a_process_that_came_or_went_while_it_was_looked_for_is_no_stray(
    nvml: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for pid, stat in ((7, "7 (a b) c) S 1"), (8, "8 (zombie) Z 1")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(stat)
    lists = {True: [7, 8, 4242, 5000], False: [7, 8, 4242, 6000]}
    first = dict.fromkeys(range(8), True)

    def listed(value: Any) -> list[SimpleNamespace]:
        slot = value("minor")
        first[slot], now = not first[slot], first[slot]
        return [SimpleNamespace(pid=pid) for pid in lists[now]]

    monkeypatch.setitem(fake_pynvml.FUNCTIONS, "nvmlDeviceGetComputeRunningProcesses", listed)
    # 5000 ended in between, and 6000 began and ended.
    assert read_nvml(nvml, tmp_path).whole()["gpus"][2]["processes"] == {"7": "S", "8": "Z", "4242": ""}


def test_links_that_count_no_errors_hide_none_and_one_that_fails_is_told(
    nvml: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(refusal: int) -> Any:
        def fields(value: Any, asked: list[Any]) -> list[SimpleNamespace]:
            found = nvml._fields(value, asked)
            found[asked.index((161, 3))] = SimpleNamespace(nvmlReturn=refusal)
            return found

        return fields

    monkeypatch.setitem(fake_pynvml.FUNCTIONS, "nvmlDeviceGetFieldValues", answer(3))
    gpu = read_nvml(nvml).whole()["gpus"][0]
    assert (gpu["nvlink_replays"], gpu["nvlink_replays_worst"]) == (2, 17)
    monkeypatch.setitem(fake_pynvml.FUNCTIONS, "nvmlDeviceGetFieldValues", answer(15))
    assert read_nvml(nvml).whole()["gpus"][0]["nvlink_replays"] == {"error": "GPU is lost", "code": 15}


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
