# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's NVML under the real nvidia-ml-py."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest
from vendor_machine import DRIVER, Machine

from lab.vendor import gpus
from lab.vendor.packages import DRIVERS, compile_driver

Ask = Callable[..., Any]

ERROR_CODES = sorted(
    code for name, code in vars(pynvml).items() if re.fullmatch(r"NVML_ERROR_[A-Z_]+", name) and isinstance(code, int)
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("n.nvmlSystemGetDriverVersion()", DRIVER.version),
        ("n.nvmlSystemGetNVMLVersion()", f"12.{DRIVER.version}"),
        ("n.nvmlSystemGetCudaDriverVersion()", DRIVER.cuda),
        ("n.nvmlDeviceGetCount()", 8),
        ("n.nvmlDeviceGetName(h)", "NVIDIA H100 80GB HBM3"),
        ("n.nvmlDeviceGetPciInfo(h).busId", "00000000:18:00.0"),
        ("n.nvmlDeviceGetPciInfo(h).busIdLegacy", "0000:18:00.0"),
        ("n.nvmlDeviceGetPciInfo(h).bus", 0x18),
        ("n.nvmlDeviceGetMinorNumber(h)", 0),
        ("n.nvmlDeviceGetIndex(h)", 0),
        ("n.nvmlDeviceGetEccMode(h)", [1, 1]),
        ("n.nvmlDeviceGetTotalEccErrors(h, 1, 0)", 0),
        ("n.nvmlDeviceGetMemoryErrorCounter(h, 1, 1, 2)", 0),
        ("n.nvmlDeviceGetRemappedRows(h)", [0, 0, 0, 0]),
        ("n.nvmlDeviceGetRowRemapperHistogram(h).max", 2560),
        ("n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU)", 31),
        ("n.nvmlDeviceGetTemperatureV(h, n.NVML_TEMPERATURE_GPU)", 31),
        ("n.nvmlDeviceGetTemperatureThreshold(h, n.NVML_TEMPERATURE_THRESHOLD_GPU_MAX)", 87),
        ("n.nvmlDeviceGetPowerUsage(h)", 69000),
        ("n.nvmlDeviceGetEnforcedPowerLimit(h)", 700000),
        ("n.nvmlDeviceGetPowerManagementLimitConstraints(h)", [200000, 700000]),
        ("n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM)", 2619),
        ("n.nvmlDeviceGetMaxClockInfo(h, n.NVML_CLOCK_SM)", 1980),
        ("n.nvmlDeviceGetDefaultApplicationsClock(h, n.NVML_CLOCK_SM)", 1980),
        ("n.nvmlDeviceGetCurrentClocksEventReasons(h)", 1),
        ("n.nvmlDeviceGetCurrentClocksThrottleReasons(h)", 1),
        ("n.nvmlDeviceGetPerformanceState(h)", 0),
        ("n.nvmlDeviceGetUtilizationRates(h).gpu", 0),
        ("n.nvmlDeviceGetMemoryInfo(h).total", 81559 << 20),
        ("n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2).reserved", 332 << 20),
        ("[n.nvmlDeviceGetNvLinkState(h, i) for i in range(18)]", [1] * 18),
        ("n.nvmlDeviceGetNvLinkVersion(h, 17)", 7),
        ("n.nvmlDeviceGetNvLinkRemoteDeviceType(h, 0)", pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH),
        ("n.nvmlDeviceGetNvLinkErrorCounter(h, 3, n.NVML_NVLINK_ERROR_DL_CRC_FLIT)", 0),
        ("n.nvmlDeviceGetNvLinkCapability(h, 0, n.NVML_NVLINK_CAP_P2P_SUPPORTED)", 1),
        ("n.nvmlDeviceGetCurrPcieLinkGeneration(h)", 5),
        ("n.nvmlDeviceGetCurrPcieLinkWidth(h)", 16),
        ("n.nvmlDeviceGetPcieReplayCounter(h)", 0),
        ("n.nvmlDeviceGetPersistenceMode(h)", 0),
        ("n.nvmlDeviceGetMigMode(h)", [0, 0]),
        ("n.nvmlDeviceGetVbiosVersion(h)", "96.00.99.00.01"),
        ("n.nvmlDeviceGetInforomVersion(h, n.NVML_INFOROM_ECC)", "7.16"),
        ("n.nvmlDeviceGetInforomImageVersion(h)", "G520.0200.00.05"),
        ("n.nvmlDeviceGetComputeRunningProcesses(h)", []),
        ("n.nvmlDeviceGetCudaComputeCapability(h)", [9, 0]),
        ("n.nvmlDeviceGetFieldValues(h, [n.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])[0].value.uiVal", 0),
        ("n.nvmlErrorString(n.NVML_ERROR_GPU_IS_LOST)", "GPU is lost"),
        ("n.nvmlShutdown()", None),
    ],
)
def test_a_healthy_gpu_reads_as_one(value: Ask, expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_a_gpu_is_found_by_its_uuid_its_serial_and_its_bus_id(machine: Machine, value: Ask) -> None:
    gpu = machine.gpus[5]
    assert value(f"n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID(b'{gpu['uuid']}'))", None) == 5
    assert value(f"n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleBySerial(b'{gpu['serial']}'))", None) == 5
    assert value("n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByPciBusId(b'0000:ab:00.0'))", None) == 5
    assert machine.ask("n.nvmlDeviceGetHandleByUUID(b'GPU-none')", None)["error"] == pynvml.NVML_ERROR_NOT_FOUND


def test_counters_and_lists_show_what_the_state_says(machine: Machine, value: Ask) -> None:
    gpu = machine.gpus[2]
    gpu["ecc_volatile_uncorrected_dram"], gpu["ecc_volatile_uncorrected_sram"] = 3, 4
    gpu["row_remap_pending"] = 1
    gpu["nvlink_state"][17] = 0
    gpu["nvlink_crc"][4] = 12
    gpu["processes"] = [4711, 1 << 30]
    gpu["retired_dbe"] = [0x1000, 1700000000]
    gpu["recovery_action"] = 2
    gpu["sram_threshold_exceeded"], gpu["ecc_aggregate_uncorrected_sram"] = 1, 6
    machine.write()
    sram = (
        "(lambda s: [n.nvmlDeviceGetSramEccErrorStatus(h, n.byref(s)), s.bThresholdExceeded, s.volatileUncSecDed,"
        " s.aggregateUncSecDed])(n.c_nvmlEccSramErrorStatus_v1_t())"
    )
    assert value(sram, 2) == [0, 1, 4, 6]
    assert value(sram) == [0, 0, 0, 0]
    assert value("n.nvmlDeviceGetTotalEccErrors(h, 1, 0)", 2) == 7
    assert value("n.nvmlDeviceGetMemoryErrorCounter(h, 1, 0, n.NVML_MEMORY_LOCATION_SRAM)", 2) == 4
    assert value("n.nvmlDeviceGetFieldValues(h, [n.NVML_FI_DEV_ECC_DBE_VOL_TOTAL])[0].value.ullVal", 2) == 7
    assert value("n.nvmlDeviceGetRemappedRows(h)", 2) == [0, 0, 1, 0]
    assert value("n.nvmlDeviceGetNvLinkState(h, 17)", 2) == 0
    assert value("n.nvmlDeviceGetNvLinkErrorCounter(h, 4, 2)", 2) == 12
    assert value("[(p.pid, p.usedGpuMemory) for p in n.nvmlDeviceGetComputeRunningProcesses(h)]", 2) == [
        [4711, 1 << 30]
    ]
    assert value("n.nvmlDeviceGetRetiredPages_v2(h, 1)", 2) == [{"address": 0x1000, "timestamp": 1700000000}]
    assert value("n.nvmlDeviceGetFieldValues(h, [230])[0].value.uiVal", 2) == 2
    assert value("n.nvmlDeviceGetRemappedRows(h)", 1) == [0, 0, 0, 0]


def test_what_the_state_lacks_is_not_supported(machine: Machine) -> None:
    del machine.gpus[0]["power_mw"]
    machine.write()
    assert machine.ask("n.nvmlDeviceGetPowerUsage(h)")["error"] == pynvml.NVML_ERROR_NOT_SUPPORTED
    assert machine.ask("n.nvmlDeviceGetRetiredPages(h, 1)")["error"] == pynvml.NVML_ERROR_NOT_SUPPORTED
    assert machine.ask("n.nvmlDeviceGetNvLinkState(h, 18)")["error"] == pynvml.NVML_ERROR_INVALID_ARGUMENT
    assert machine.ask("n.nvmlDeviceGetFanSpeed(h)")["error"] == pynvml.NVML_ERROR_FUNCTION_NOT_FOUND


# As many functions of a device as there are error codes, so that one process can meet all of them.
GETTERS = re.findall(
    r"\w+",
    """
    Name UUID Serial BoardPartNumber VbiosVersion InforomImageVersion MinorNumber ModuleId Brand Architecture
    ComputeMode PerformanceState PowerState PowerUsage PowerManagementLimit EnforcedPowerLimit
    PowerManagementDefaultLimit CurrPcieLinkGeneration MaxPcieLinkGeneration CurrPcieLinkWidth MaxPcieLinkWidth
    PcieReplayCounter PciInfo MemoryInfo BAR1MemoryInfo UtilizationRates PersistenceMode MigMode EccMode RemappedRows
    RowRemapperHistogram CurrentClocksEventReasons TotalEnergyConsumption DefaultEccMode
    """,
)


def test_every_error_can_be_injected_into_one_function_of_one_gpu(machine: Machine) -> None:
    assert len(GETTERS) >= len(ERROR_CODES)
    injected = dict(zip(GETTERS, ERROR_CODES, strict=False))
    machine.gpus[1]["fail"] = {f"nvmlDeviceGet{name}": code for name, code in injected.items()}
    machine.write()
    assert machine.ask(f"failures(h, {list(injected)})", 1)["value"] == list(injected.values())
    assert machine.ask(f"failures(h, {list(injected)})", 0)["value"] == [None] * len(injected)


@pytest.mark.parametrize("code", ERROR_CODES)
def test_every_error_can_be_injected_into_the_start(machine: Machine, code: int) -> None:
    machine.system["fail"] = {"nvmlInit": code}
    machine.write()
    assert machine.ask("True", None)["error"] == code


def test_a_gpu_missing_from_the_bus_is_not_counted(machine: Machine, value: Ask) -> None:
    machine.gpus[3]["present"] = 0
    machine.write()
    assert value("n.nvmlDeviceGetCount()", None) == 7
    assert value("n.nvmlDeviceGetUUID(h)", 3) == machine.gpus[4]["uuid"]
    assert machine.ask("True", 7)["error"] == pynvml.NVML_ERROR_INVALID_ARGUMENT


def test_a_lost_gpu_is_counted_and_answers_nothing(machine: Machine, value: Ask) -> None:
    machine.gpus[3]["lost"] = 1
    machine.write()
    assert value("n.nvmlDeviceGetCount()", None) == 8
    assert machine.ask("True", 3) == {"error": pynvml.NVML_ERROR_GPU_IS_LOST, "text": "GPU is lost"}
    assert value("n.nvmlDeviceGetName(h)", 4) == "NVIDIA H100 80GB HBM3"


def test_a_gpu_lost_in_mid_session_is_lost_at_once(machine: Machine) -> None:
    state = machine.folder / "gpus.state"
    swap = f"__import__('pathlib').Path('{state}.new').replace('{state}')"
    machine.gpus[0]["lost"] = 1
    machine.write()
    state.rename(f"{state}.new")
    machine.gpus[0]["lost"] = 0
    machine.write()
    answer = machine.ask(f"[n.nvmlDeviceGetPowerUsage(h), {swap}, n.nvmlDeviceGetPowerUsage(h)]")
    assert answer["error"] == pynvml.NVML_ERROR_GPU_IS_LOST


@pytest.mark.parametrize(
    ("loaded", "code"),
    [("575.57.08", pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH), ("none", pynvml.NVML_ERROR_DRIVER_NOT_LOADED)],
)
def test_another_or_no_kernel_driver_fails_the_start(machine: Machine, loaded: str, code: int) -> None:
    machine.system["driver_loaded"] = loaded
    machine.write()
    assert machine.ask("True", None)["error"] == code


def test_without_hardware_no_driver_is_loaded(machine: Machine) -> None:
    (machine.folder / "gpus.state").unlink()
    assert machine.ask("True", None)["error"] == pynvml.NVML_ERROR_DRIVER_NOT_LOADED


def test_a_call_before_the_start_is_refused(machine: Machine) -> None:
    assert machine.ask("n.nvmlDeviceGetCount()", None, init=False)["error"] == pynvml.NVML_ERROR_UNINITIALIZED


def test_a_hanging_call_hangs_until_it_is_killed(machine: Machine) -> None:
    machine.gpus[0]["hang"] = {"nvmlDeviceGetPowerUsage": 0}
    machine.write()
    assert "value" in machine.ask("n.nvmlDeviceGetName(h)")
    with pytest.raises(subprocess.TimeoutExpired):
        machine.ask("n.nvmlDeviceGetPowerUsage(h)", timeout=2)


def test_a_slow_call_answers_in_the_end(machine: Machine) -> None:
    machine.gpus[0]["hang"] = {"nvmlDeviceGetPowerUsage": 0.3}
    machine.write()
    timed = "(lambda t: [n.nvmlDeviceGetPowerUsage(h), t() - begun])(__import__('time').monotonic)"
    answer = machine.ask(f"[(begun := __import__('time').monotonic()), {timed}][1]")
    power, seconds = answer["value"]
    assert power == 69000
    assert seconds >= 0.3


def test_the_fabric_and_persistence_follow_the_daemons(machine: Machine, value: Ask) -> None:
    fabric = "(lambda i: [n.nvmlDeviceGetGpuFabricInfoV(h, n.byref(i)), i.state, i.status])(n.c_nvmlGpuFabricInfoV_t())"
    assert value(fabric)[1] == pynvml.NVML_GPU_FABRIC_STATE_IN_PROGRESS
    (machine.folder / "run/nvidia-fabricmanager").mkdir()
    (machine.folder / "run/nvidia-fabricmanager/trained").touch()
    assert value(fabric)[1:] == [pynvml.NVML_GPU_FABRIC_STATE_COMPLETED, 0]
    assert value("n.nvmlDeviceGetPersistenceMode(h)") == 0
    (machine.folder / "run/nvidia-persistenced").mkdir()
    (machine.folder / "run/nvidia-persistenced/nvidia-persistenced.pid").touch()
    assert value("n.nvmlDeviceGetPersistenceMode(h)") == 1


def test_the_programs_run_on_the_c_library_of_debian_12(built: dict[str, Path]) -> None:
    for path in built.values():
        symbols = subprocess.run(["objdump", "-T", str(path)], capture_output=True, text=True, check=True).stdout
        needed = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", symbols)}
        assert max(needed, default=(0,)) <= (2, 36), path.name


def test_ecc_that_is_set_waits_for_a_start_of_the_machine(machine: Machine, value: Ask) -> None:
    assert value("n.nvmlDeviceSetEccMode(h, 0)", 3) is None
    assert value("n.nvmlDeviceGetEccMode(h)", 3) == [1, 0]
    assert value("n.nvmlDeviceGetEccMode(h)", 2) == [1, 1]
    gpus.start(machine.folder)
    assert value("n.nvmlDeviceGetEccMode(h)", 3) == [0, 0]


def test_mig_is_in_force_at_once_on_a_gpu_that_nobody_uses(machine: Machine, value: Ask) -> None:
    machine.gpus[1]["processes"] = [4711, 1 << 30]
    machine.write()
    assert value("n.nvmlDeviceSetMigMode(h, 1)", 0) == pynvml.NVML_SUCCESS
    assert value("n.nvmlDeviceGetMigMode(h)", 0) == [1, 1]
    assert value("n.nvmlDeviceSetMigMode(h, 1)", 1) == pynvml.NVML_ERROR_IN_USE
    assert value("n.nvmlDeviceGetMigMode(h)", 1) == [0, 1]


def test_what_a_driver_forgets_is_gone_with_a_start_of_the_machine(machine: Machine, value: Ask) -> None:
    delivered = (machine.folder / gpus.FILE_NAME).read_text()
    value("n.nvmlDeviceSetPersistenceMode(h, 1)", 7)
    value("n.nvmlDeviceSetPowerManagementLimit(h, 500000)", 7)
    value("n.nvmlDeviceSetMigMode(h, 1)", 7)
    assert value("[n.nvmlDeviceGetPersistenceMode(h), n.nvmlDeviceGetPowerManagementLimit(h)]", 7) == [1, 500000]
    gpus.start(machine.folder)
    assert gpus.read(machine.folder) == machine.gpus
    assert value("n.nvmlDeviceGetMigMode(h)", 7) == [0, 0]
    assert (machine.folder / gpus.FILE_NAME).stat().st_mode & 0o777 == 0o644
    assert sorted(line for line in delivered.splitlines()) == sorted(
        line for line in (machine.folder / gpus.FILE_NAME).read_text().splitlines()
    )


@pytest.mark.parametrize(
    ("call", "key", "code"),
    [
        ("n.nvmlDeviceSetPowerManagementLimit(h, 199999)", "", pynvml.NVML_ERROR_INVALID_ARGUMENT),
        ("n.nvmlDeviceSetPowerManagementLimit(h, 700001)", "", pynvml.NVML_ERROR_INVALID_ARGUMENT),
        ("n.nvmlDeviceSetEccMode(h, 0)", "ecc_mode", pynvml.NVML_ERROR_NOT_SUPPORTED),
        ("n.nvmlDeviceSetMigMode(h, 1)", "mig_mode", pynvml.NVML_ERROR_NOT_SUPPORTED),
        ("n.nvmlDeviceSetMigMode(h, 2)", "", pynvml.NVML_ERROR_INVALID_ARGUMENT),
    ],
)
def test_what_cannot_be_set_is_refused(machine: Machine, call: str, key: str, code: int) -> None:
    machine.gpus[0].pop(key, None)
    machine.write()
    before = (machine.folder / gpus.FILE_NAME).read_text()
    assert machine.ask(call)["error"] == code
    assert (machine.folder / gpus.FILE_NAME).read_text() == before


def test_the_release_that_an_upgrade_must_not_spread_counts_a_gpu_less(tmp_path: Path, built: dict[str, Path]) -> None:
    [bad] = [driver for driver in DRIVERS if driver.lost_gpus]
    machine = Machine(tmp_path, {**built, **compile_driver(bad, tmp_path / "bad")})
    machine.system["driver_loaded"] = bad.version
    machine.write()
    assert machine.ask("n.nvmlDeviceGetCount()", None) == {"value": 7}
