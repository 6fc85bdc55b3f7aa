# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing of many hangs or crashes in the middle of a reader: it is named, and the others are read and judged."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import NODE_HEALTH
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.parts import parts_of
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import runner
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvml import read_nvml
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.runner import run_readers
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import NOT_READ, Pieces, SourceError
from ansible_collections.firstlight.cluster.plugins.module_utils.software.matrix import ITEMS

from tests.unit.health import fake_pynvml
from tests.unit.health.health_factory import ADDRESSES, healthy, node_class

SHORT = 0.4
LONG = 20.0
TIMES_OUT = f"no answer within {SHORT:g} s"


def hang() -> Any:
    while True:
        signal.pause()


def crash() -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> Any:
    os._exit(3)


def refuse() -> Any:
    raise SourceError("busy", 6)


def pieces(*reads: Callable[[], Any]) -> Callable[[], Pieces]:
    """A reader of disks, one for each function."""
    return lambda: Pieces(
        {"disks": [dict(NOT_READ) for _ in reads]},
        [(("disks", number), read) for number, read in enumerate(reads)],
    )


def read(*reads: Callable[[], Any], deadline: float = SHORT, **more: Any) -> dict[str, Any]:
    result = run_readers({"other": lambda: 1, "disks": pieces(*reads)}, deadline, **more)
    assert result["other"]["data"] == 1
    return result["disks"]


def good() -> int:
    return 42


def test_pieces_come_together_as_if_they_had_been_read_at_once() -> None:
    result = read(good, refuse, good, deadline=LONG)
    result.pop("seconds")
    assert result == {"status": "ok", "data": {"disks": [42, {"error": "busy", "code": 6}, 42]}}
    assert pieces(good, refuse, good)().whole() == result["data"]


@pytest.mark.parametrize(
    ("bad", "status", "says"),
    [
        (hang, "timeout", TIMES_OUT),
        (crash, "error", "crashed with SIGSEGV"),
        (leave, "error", "ended with status 3 without a result"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_others_are_read_before_and_behind_it(bad: Callable[[], Any], status: str, says: str, at: int) -> None:
    result = read(*[bad if number == at else good for number in range(3)])
    spoilt = {"error": says, "status": status}
    assert result["data"]["disks"] == [spoilt if number == at else 42 for number in range(3)]
    assert (result["status"], result["error"], result["at"]) == (status, f"disks/{at}: {says}", [f"disks/{at}"])


def test_what_was_read_of_it_before_stays() -> None:
    named = {"serial": "S1", **NOT_READ}
    reads = [(("disk",), lambda: named), (("disk",), hang)]
    result = run_readers({"disk": lambda: Pieces({"disk": dict(NOT_READ)}, reads)}, SHORT)["disk"]
    assert result["data"] == {"disk": {"serial": "S1", "error": TIMES_OUT, "status": "timeout"}}


def test_the_first_half_that_hangs_is_not_followed_by_the_second() -> None:
    reads = [(("disk",), hang), (("disk",), good), (("other",), good)]
    data = {"disk": dict(NOT_READ), "other": dict(NOT_READ)}
    result = run_readers({"disk": lambda: Pieces(data, reads)}, SHORT)["disk"]
    assert result["data"] == {"disk": {"error": TIMES_OUT, "status": "timeout"}, "other": 42}


def test_it_goes_on_twice_and_then_says_what_it_passed_over() -> None:
    started = time.monotonic()
    result = read(hang, good, hang, good, hang, good, hang, good)
    assert time.monotonic() - started < (1 + runner.RESTARTS) * SHORT + runner.GRACE + 1.0
    disks = result["data"]["disks"]
    assert [disk == 42 for disk in disks] == [False, True, False, True, False, False, False, False]
    assert [disk.get("status") for disk in disks if disk != 42][:2] == ["timeout", "timeout"]
    assert disks[7]["error"].startswith(f"passed over after disks/0: {TIMES_OUT}; disks/2: {TIMES_OUT}")
    assert "status" not in disks[7], "nobody has seen it hang"


def test_each_has_the_deadline_for_itself_and_all_have_three_together() -> None:
    slow = [lambda: time.sleep(SHORT / 2) or 42] * 5
    assert read(*slow)["data"]["disks"] == [42] * 5
    result = read(*slow, *slow)
    assert result["status"] == "timeout"
    assert "not read to the end within 1.2 s" in result["error"]
    assert result["data"]["disks"][:3] == [42] * 3
    assert "passed over after" in result["data"]["disks"][9]["error"]


def test_a_source_that_hangs_before_it_shows_what_it_has_is_not_tried_again(tmp_path: Path) -> None:
    def opening() -> Any:
        with (tmp_path / "tries").open("a") as stream:
            stream.write("x")
        hang()

    result = run_readers({"x": opening}, SHORT)["x"]
    assert (result["status"], result["error"], "data" in result) == ("timeout", TIMES_OUT, False)
    assert (tmp_path / "tries").read_text() == "x"


@pytest.mark.parametrize("then", [refuse, hang, lambda: Pieces({"disks": [dict(NOT_READ)]}, [(("disks", 0), good)])])
def test_one_that_does_not_open_as_before_is_not_believed(tmp_path: Path, then: Callable[[], Any]) -> None:
    """A GPU that left the list while another hung would give its number to the next."""

    def opening() -> Any:
        if (tmp_path / "opened").exists():
            return then()
        (tmp_path / "opened").touch()
        return pieces(good, hang, good)()

    result = run_readers({"disks": opening}, SHORT)["disks"]
    assert result["status"] == "timeout"
    assert result["at"] == ["disks/1"]
    assert result["data"]["disks"][:2] == [42, {"error": TIMES_OUT, "status": "timeout"}]
    assert result["data"]["disks"][2]["error"].startswith(f"passed over after disks/1: {TIMES_OUT}; ")


def test_what_is_no_json_ends_the_reader_and_keeps_what_came() -> None:
    result = read(good, lambda: {1, 2}, good, deadline=LONG)
    assert result["status"] == "error"
    assert "result is not JSON" in result["error"]
    assert result["data"]["disks"][0] == 42
    assert all("passed over after" in disk["error"] for disk in result["data"]["disks"][1:])


def test_all_pieces_together_are_bounded() -> None:
    result = read(*[lambda: "x" * 10_000] * 50, deadline=LONG, max_result=200_000)
    assert (result["status"], result["error"]) == ("error", "result of more than 200000 bytes")
    assert result["data"]["disks"][3] == "x" * 10_000
    assert "error" in result["data"]["disks"][49]


def test_no_process_and_no_descriptor_is_left() -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    read(hang, good, crash, good, hang)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_no_process_to_go_on_with_keeps_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, forks = os.fork, iter([True, False])

    def refuse_the_second() -> int:
        if next(forks):
            return fork()
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse_the_second)
    result = run_readers({"disks": pieces(good, hang, good)}, SHORT)["disks"]
    assert result["data"]["disks"][0] == 42
    assert "Resource temporarily unavailable" in result["data"]["disks"][2]["error"]


# -- GPUs


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The observation of a node whose NVML has `faults`."""

    def observe(faults: dict[str, dict[str, int]], seconds: float = 0.0, deadline: float = SHORT) -> dict[str, Any]:
        monkeypatch.setattr(fake_pynvml, "FAULTS", faults)
        monkeypatch.setattr(fake_pynvml, "GPUS", list(range(8)))
        monkeypatch.setattr(fake_pynvml, "SECONDS", seconds)
        observation = healthy()
        observation["readers"]["nvml"] = run_readers({"nvml": lambda: read_nvml(fake_pynvml)}, deadline)["nvml"]
        return observation

    return observe


def of(findings: list[Finding], component: str) -> dict[str, Verdict]:
    """What is said of a GPU; of its slot on the bus others speak."""
    return {
        item.check: item.verdict for item in findings if item.component == component and item.check.startswith("gpu.")
    }


# Of each GPU by itself; the others speak of the driver, of the log, or of a GPU that hangs.
OF_THE_NODE = {"gpu.count", "gpu.xid", "gpu.sxid", "gpu.driver.version", "gpu.cuda.version", "gpu.fabric_manager"}
UNKNOWN = {check: Verdict.UNKNOWN for check in NODE_HEALTH if check.startswith("gpu.") and check not in OF_THE_NODE}


@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByIndex", "nvmlDeviceGetTemperature"])
@pytest.mark.parametrize("addresses", [[], ADDRESSES], ids=["no addresses", "addresses"])
def test_a_gpu_that_hangs_fails_by_name_and_the_other_seven_are_judged(
    nvml: Callable[..., dict[str, Any]], function: str, addresses: list[str]
) -> None:
    wanted = node_class(gpus={"pci_addresses": addresses} if addresses else {})
    findings = judge(nvml({function: {"3": -2}}), wanted)
    assert of(findings, "gpu:3") == {"gpu.count": Verdict.FAIL, **UNKNOWN}
    (count,) = [item for item in findings if item.check == "gpu.count"]
    assert count.summary.startswith("GPU 3")
    assert count.summary.endswith(f"does not answer: {TIMES_OUT}")
    for slot in (0, 1, 2, 4, 5, 6, 7):
        assert of(findings, f"gpu:{slot}") == dict.fromkeys(UNKNOWN, Verdict.PASS)
    # The agent has not judged by this test's own class.
    others = [item for item in findings if not item.component.startswith(("gpu:", "agent:"))]
    assert {item.verdict for item in others} == {Verdict.PASS}


def test_slots_that_are_not_in_the_order_of_the_bus_keep_their_names(nvml: Callable[..., dict[str, Any]]) -> None:
    """The GPU that hangs did not tell its address, but all others did."""
    wanted = node_class(gpus={"pci_addresses": ADDRESSES[::-1]})
    findings = judge(nvml({"nvmlDeviceGetHandleByIndex": {"2": -2}}), wanted)
    assert [item.component for item in findings if item.check == "gpu.count"] == ["gpu:5"]


def test_two_gpus_that_hang_are_both_named_and_a_crash_is_nobodys_hang(nvml: Callable[..., dict[str, Any]]) -> None:
    findings = judge(nvml({"nvmlDeviceGetEccMode": {"1": -2, "6": -2}}), node_class())
    count = {item.component: item.verdict for item in findings if item.check == "gpu.count"}
    assert count == {"gpu:1": Verdict.FAIL, "gpu:6": Verdict.FAIL}
    findings = judge(nvml({"nvmlDeviceGetEccMode": {"1": -1}}), node_class())
    assert of(findings, "gpu:1") == {"gpu.count": Verdict.UNKNOWN, **UNKNOWN}


def test_where_all_hang_those_that_nobody_tried_are_unknown(nvml: Callable[..., dict[str, Any]]) -> None:
    faults = {"nvmlDeviceGetTemperature": {str(slot): -2 for slot in range(8)}}
    findings = judge(nvml(faults), node_class())
    count = {item.component: item.verdict for item in findings if item.check == "gpu.count"}
    assert {count.pop(f"gpu:{slot}") for slot in (0, 1)} == {Verdict.FAIL}
    assert {count.pop(f"gpu:{slot}") for slot in range(3, 8)} == {Verdict.UNKNOWN}
    assert not {item.verdict for item in findings if item.check in UNKNOWN and item.component.startswith("gpu:")} & {
        Verdict.PASS
    }


def test_gpus_that_are_slow_to_open_are_not_broken(nvml: Callable[..., dict[str, Any]]) -> None:
    """Without persistence mode each is initialised first: all together take longer than the deadline."""
    findings = judge(nvml({}, seconds=0.3, deadline=1.0), node_class())
    assert {item.verdict for item in findings} == {Verdict.PASS}


def test_the_gpu_that_hung_is_known_to_the_ledger_by_its_serial_number(nvml: Callable[..., dict[str, Any]]) -> None:
    observation = nvml({"nvmlDeviceGetTemperature": {"3": -2}})
    parts = parts_of(observation, node_class()["hardware"]["gpus"])["gpu"]
    assert [(part.component, part.serial) for part in parts.parts] == [(f"gpu:{n}", f"165{n}") for n in range(8)]
    assert list(ITEMS["gpu_driver"](observation["readers"])) == ["570.172.08"]
