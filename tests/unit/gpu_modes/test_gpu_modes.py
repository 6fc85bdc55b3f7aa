# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modes of GPUs: what is decided, what is asked of NVML, and what the module says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.gpu_modes import nvml, plan
from ansible_collections.firstlight.cluster.plugins.module_utils.gpu_modes.plan import Wanted
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import holders
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError
from ansible_collections.firstlight.cluster.plugins.modules import gpu_modes

ALL = Wanted(mig=False, persistence=True, power_limit=650, ecc=True)


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class Nvml:
    """As much of `pynvml` as is used, over GPUs in memory. `fails`: function to code, `status`: what MIG answers."""

    NVMLError = NVMLError

    def __init__(self, count: int = 2, **fails: int) -> None:
        self.fails = fails
        self.status = 0
        self.calls: list[tuple[str, int, int]] = []
        self.gpus = [self.healthy() for _ in range(count)]

    @staticmethod
    def healthy() -> dict[str, Any]:
        return {"ecc": [1, 1], "mig": [0, 0], "persistence": [1], "power_limit": [650000, 200000, 700000, 700000]}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *arguments: self._call(name, *arguments)

    def _call(self, name: str, *arguments: Any) -> Any:
        if name in self.fails:
            raise NVMLError(self.fails[name])
        if name.startswith("nvmlDeviceSet"):
            self.calls.append((name.removeprefix("nvmlDeviceSet"), *arguments))
            return self.status if name == "nvmlDeviceSetMigMode" else None
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetCount": lambda: len(self.gpus),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetPciInfo": lambda index: SimpleNamespace(busId=f"00000000:{0x18 + index:02X}:00.0".encode()),
            "nvmlDeviceGetEccMode": lambda index: self.gpus[index]["ecc"],
            "nvmlDeviceGetMigMode": lambda index: self.gpus[index]["mig"],
            "nvmlDeviceGetPersistenceMode": lambda index: self.gpus[index]["persistence"][0],
            "nvmlDeviceGetPowerManagementLimit": lambda index: self.gpus[index]["power_limit"][0],
            "nvmlDeviceGetPowerManagementLimitConstraints": lambda index: self.gpus[index]["power_limit"][1:3],
            "nvmlDeviceGetPowerManagementDefaultLimit": lambda index: self.gpus[index]["power_limit"][3],
        }
        return answers[name](*arguments)


def planned(library: Nvml, wanted: Wanted = ALL) -> plan.Plan:
    return plan.plan(wanted, nvml.read_modes(library))


def test_gpus_that_are_as_wanted_are_left_alone() -> None:
    assert planned(Nvml()) == plan.Plan()


def test_a_mode_that_is_not_asked_for_is_not_looked_at() -> None:
    library = Nvml()
    library.gpus[0] = {
        "ecc": [0, 0],
        "mig": [1, 1],
        "persistence": [0],
        "power_limit": [300000, 200000, 700000, 700000],
    }
    assert planned(library, Wanted()) == plan.Plan()


def test_what_differs_is_set_and_nothing_else_and_mig_comes_first() -> None:
    library = Nvml()
    library.gpus[1] = {
        "ecc": [0, 0],
        "mig": [1, 1],
        "persistence": [0],
        "power_limit": [700000, 200000, 700000, 700000],
    }
    found = planned(library)
    assert [change.shown(change.value) for change in found.changes] == [
        "GPU 1 (0000:19:00.0): MIG disabled",
        "GPU 1 (0000:19:00.0): persistence mode enabled",
        "GPU 1 (0000:19:00.0): power limit 650 W",
        "GPU 1 (0000:19:00.0): ECC enabled",
    ]
    assert [change.shown(change.before) for change in found.changes][2] == "GPU 1 (0000:19:00.0): power limit 700 W"
    assert nvml.set_modes(library, found.changes) == [{}, {}, {}, {}]
    assert library.calls == [
        ("MigMode", 1, 0),
        ("PersistenceMode", 1, 1),
        ("PowerManagementLimit", 1, 650000),
        ("EccMode", 1, 1),
    ]


@pytest.mark.parametrize(
    ("ecc", "set_to", "waits"),
    [
        ([1, 1], None, False),
        ([1, 0], 1, False),  # somebody asked for the other one, and nothing was restarted since
        ([0, 1], None, True),
        ([0, 0], 1, True),
    ],
)
def test_ecc_waits_for_a_start_of_the_machine(ecc: list[int], set_to: int | None, waits: bool) -> None:
    library = Nvml(1)
    library.gpus[0]["ecc"] = ecc
    found = planned(library)
    assert [change.value for change in found.changes] == ([] if set_to is None else [set_to])
    assert plan.waiting(found, ALL) == (["ECC is to be enabled on GPU 0"] if waits else [])


@pytest.mark.parametrize(
    ("status", "waits", "problem"),
    [
        (0, [], []),
        (19, ["MIG is to be disabled on GPU 0, 2"], []),
        (16, ["MIG is to be disabled on GPU 0, 2"], []),
        (999, [], [f"GPU {gpu}: MIG cannot be set: unknown error" for gpu in ("0 (0000:18:00.0)", "2 (0000:1a:00.0)")]),
    ],
)
def test_mig_waits_where_the_gpu_cannot_be_reset_at_once(status: int, waits: list[str], problem: list[str]) -> None:
    library = Nvml(3)
    library.status = status
    for index in (0, 2):
        library.gpus[index]["mig"] = [1, 1]
    found = planned(library)
    plan.judge(found, nvml.set_modes(library, found.changes))
    assert (plan.waiting(found, ALL), found.problems) == (waits, problem)


def test_mig_that_was_set_before_still_waits() -> None:
    library = Nvml(1)
    library.gpus[0]["mig"] = [1, 0]
    found = planned(library)
    assert (found.changes, plan.waiting(found, ALL)) == ([], ["MIG is to be disabled on GPU 0"])


@pytest.mark.parametrize(("watts", "taken"), [(199, False), (200, True), (700, True), (701, False)])
def test_a_power_limit_must_be_one_that_the_gpu_takes(watts: int, taken: bool) -> None:
    found = planned(Nvml(1), Wanted(power_limit=watts))
    assert bool(found.changes) is taken
    expected = f"GPU 0 (0000:18:00.0) takes a power limit of 200 to 700 W, not {watts} W"
    assert found.problems == ([] if taken else [expected])


def test_what_a_gpu_has_not_got_need_not_be_switched_off() -> None:
    library = Nvml(1, nvmlDeviceGetMigMode=3, nvmlDeviceGetEccMode=3)
    assert planned(library, Wanted(mig=False, ecc=False)) == plan.Plan()
    assert planned(library, Wanted(ecc=True)).problems == ["GPU 0 (0000:18:00.0) has no ECC to set"]


def test_what_cannot_be_read_costs_itself_only() -> None:
    library = Nvml(1, nvmlDeviceGetEccMode=15)
    library.gpus[0]["persistence"] = [0]
    found = planned(library)
    assert found.unread == ["GPU 0 (0000:18:00.0): ECC: GPU is lost"]
    assert [change.mode for change in found.changes] == ["persistence"]
    assert planned(Nvml(1, nvmlDeviceGetHandleByIndex=15)).unread == ["GPU 0: GPU is lost"]


def test_a_setter_that_fails_does_not_keep_the_others_from_being_called() -> None:
    library = Nvml(1, nvmlDeviceSetPersistenceMode=4)
    library.gpus[0] |= {"ecc": [0, 0], "persistence": [0]}
    found = planned(library)
    plan.judge(found, nvml.set_modes(library, found.changes))
    assert found.problems == ["GPU 0 (0000:18:00.0): persistence mode cannot be set: insufficient permissions"]
    assert library.calls == [("EccMode", 0, 1)]


Call = Callable[..., dict[str, Any]]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    """The module over it. Readers run in this process, so that what they call can be seen."""
    library = Nvml(2)

    def run_readers(readers: dict[str, Callable[[], Any]], _deadline: float) -> dict[str, dict[str, Any]]:
        try:
            return {name: {"status": "ok", "data": read()} for name, read in readers.items()}
        except Exception as error:
            return {name: {"status": "error", "error": str(error)} for name in readers}

    monkeypatch.setattr(gpu_modes, "run_readers", run_readers)
    monkeypatch.setattr(gpu_modes, "load_pynvml", lambda _path: library)
    monkeypatch.setattr(holders, "on_gpus", lambda _proc: {})
    return library


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    def run(**given: Any) -> dict[str, Any]:
        with patch_module_args(given), pytest.raises(SystemExit):
            gpu_modes.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


@pytest.mark.parametrize(
    ("limit", "default", "set_to"),
    [(500000, 700000, [700000]), (700000, 600000, [600000]), (700000, 700000, []), (600000, 600000, [])],
)
def test_without_a_limit_a_gpu_has_its_own(limit: int, default: int, set_to: list[int]) -> None:
    library = Nvml(2)
    library.gpus[0]["power_limit"] = [limit, 200000, 700000, default]
    library.gpus[1]["power_limit"] = [700000, 200000, 700000, 700000]
    found = planned(library, Wanted(power_limit=0))
    assert [(change.index, change.value, change.before) for change in found.changes] == [
        (0, value, limit) for value in set_to
    ]
    assert nvml.set_modes(library, found.changes) == [{}] * len(set_to)
    assert library.calls == [("PowerManagementLimit", 0, value) for value in set_to]


@pytest.mark.parametrize(("code", "unread"), [(3, []), (999, ["power limit: unknown error"])])
def test_a_gpu_without_a_limit_to_set_has_none_to_take_back(code: int, unread: list[str]) -> None:
    found = planned(Nvml(1, nvmlDeviceGetPowerManagementDefaultLimit=code), Wanted(power_limit=0))
    assert (found.changes, found.problems) == ([], [])
    assert [line.split("): ")[1] for line in found.unread] == unread
    # One that is asked for does not need it.
    library = Nvml(1, nvmlDeviceGetPowerManagementDefaultLimit=code)
    assert [change.value for change in planned(library, Wanted(power_limit=600)).changes] == [600000]


MODES = {"ecc": "enabled", "mig": "disabled", "persistence": "enabled", "power_limit": 650}


def test_the_module_sets_and_says_what(library: Nvml, call: Call) -> None:
    assert call(**MODES)["changed"] is False
    library.gpus[1] |= {"ecc": [0, 0], "power_limit": [700000, 200000, 700000, 700000]}
    would = call(**MODES, _ansible_check_mode=True, _ansible_diff=True)
    assert library.calls == []
    done = call(**MODES, _ansible_diff=True)
    assert would == done
    assert done["changed"] is True
    assert done["waiting"] == ["ECC is to be enabled on GPU 1"]
    assert done["set"] == ["GPU 1 (0000:19:00.0): power limit 650 W", "GPU 1 (0000:19:00.0): ECC enabled"]
    assert done["diff"] == {
        "before": "GPU 1 (0000:19:00.0): power limit 700 W\nGPU 1 (0000:19:00.0): ECC disabled\n",
        "after": "GPU 1 (0000:19:00.0): power limit 650 W\nGPU 1 (0000:19:00.0): ECC enabled\n",
    }
    assert library.calls == [("PowerManagementLimit", 1, 650000), ("EccMode", 1, 1)]


@pytest.mark.parametrize("check", [True, False])
def test_the_module_changes_no_mig_under_who_uses_a_gpu(
    library: Nvml, call: Call, monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    monkeypatch.setattr(holders, "on_gpus", lambda _proc: {7: "/dev/nvidia0", 8: ""})
    commands = {7: "python3", 8: "nv-hostengine"}
    monkeypatch.setattr(holders, "command_of", lambda _proc, pid: commands[pid])
    library.gpus[0] |= {"persistence": [0]}
    own = ["nv-hostengine"]
    assert call(**MODES, own=own, _ansible_check_mode=check)["changed"] is True
    library.calls.clear()
    library.gpus[0] |= {"mig": [1, 1]}
    failed = call(**MODES, own=own, _ansible_check_mode=check)
    assert failed["msg"] == (
        "MIG of GPU 0 (0000:18:00.0) is to be set to disabled, but GPUs are held by process 7 (python3) with "
        "/dev/nvidia0. Drain the node or end these processes, then run again."
    )
    assert library.calls == []


def test_the_module_changes_no_mig_where_nobody_knows_who_uses_a_gpu(
    library: Nvml, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_knows(_proc: Path) -> dict[int, str]:
        raise SourceError("nvidia-smi: no answer within 20 s")

    monkeypatch.setattr(holders, "on_gpus", nobody_knows)
    library.gpus[0] |= {"mig": [1, 1]}
    assert "whether a GPU is in use: nvidia-smi: no answer within 20 s." in call(**MODES)["msg"]
    assert library.calls == []


def test_the_module_refuses_what_no_gpu_takes_before_it_sets_anything(library: Nvml, call: Call) -> None:
    library.gpus[0] |= {"persistence": [0]}
    failed = call(**{**MODES, "power_limit": 900})
    assert "GPU 1 (0000:19:00.0) takes a power limit of 200 to 700 W, not 900 W. Correct the modes" in failed["msg"]
    assert library.calls == []


def test_a_library_that_does_not_answer_is_a_warning(library: Nvml, call: Call) -> None:
    library.fails["nvmlInit"] = 9
    told = call(**MODES)
    assert (told["changed"], told["unread"]) == (False, ["driver not loaded"])


def test_what_fails_as_it_is_set_fails_the_module(library: Nvml, call: Call) -> None:
    library.gpus[0] |= {"persistence": [0]}
    library.fails["nvmlDeviceSetPersistenceMode"] = 4
    failed = call(**MODES)
    assert "GPU 0 (0000:18:00.0): persistence mode cannot be set: insufficient permissions. See" in failed["msg"]
