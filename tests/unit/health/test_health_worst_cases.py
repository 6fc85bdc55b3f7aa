# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole passes with real processes over real files, one thing broken in each: its own checks are unknown, none pass.

What the other checks say is what they say of the whole machine.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS, NODE_HEALTH
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import node
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvml import load_pynvml
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.runner import GRACE, RESTARTS, run_readers

from tests.unit.properties.machine import Link, Machine, answering, healthy, observe, write
from tests.unit.properties.test_thousand_passes import CLASSES, RICH

NODE_CLASS = CLASSES[RICH]
DEADLINE = 60.0
NOBODY = 65534
Verdicts = dict[tuple[str, str], str]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that anybody may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def machine_at(place: Path) -> Machine:
    machine = healthy(Random(7), NODE_CLASS)
    write(machine, place)
    return machine


def verdicts(observation: dict[str, Any]) -> Verdicts:
    return {(item.check, item.component): item.verdict.value for item in judge(observation, NODE_CLASS)}


def passed(machine: Machine, place: Path, deadline: float = DEADLINE, **sources: Any) -> dict[str, Any]:
    with answering(machine, place, root=place) as usual:
        return node.observe(replace(usual, **sources), deadline)


def reading(*readers: str) -> set[str]:
    return {check.id for check in CHECKS.values() if {*check.reads} & {*readers}}


def only_of(found: Verdicts, checks: set[str]) -> None:
    """All that is not a pass is unknown, and of these checks; of those that read nothing else none passes."""
    wrong = {key: verdict for key, verdict in found.items() if verdict != "pass"}
    assert wrong
    assert {*wrong.values()} == {"unknown"}, wrong
    assert {check for check, _component in wrong} <= checks, wrong


# -- NVML


def test_a_machine_without_a_binding(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_at(place)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with answering(machine, place, root=place, load=load_pynvml) as sources:
        observation = node.observe(replace(sources, nvml_path=("/nowhere",)), DEADLINE)
    assert observation["readers"]["nvml"]["status"] == "missing"
    found = verdicts(observation)
    only_of(found, reading("nvml"))
    assert {check for (check, _component), verdict in found.items() if verdict == "pass"}.isdisjoint(
        check.id for check in CHECKS.values() if check.reads == ("nvml",)
    )


# Waits inside C with the interpreter's lock held and every signal blocked that can be, as a driver's library does.
HANGING = """
import ctypes, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
ctypes.PyDLL(None).sleep(600)
"""


def test_a_library_that_hangs_in_c(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_at(place)
    (place / "pynvml.py").write_text(HANGING)
    deadline = 8.0
    # Before a binding that this Python may have of its own.
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    with answering(machine, place, root=place, load=load_pynvml) as sources:
        observation = node.observe(sources, deadline)
    result = observation["readers"]["nvml"]
    assert result["status"] == "timeout", result
    # What is promised is the deadline, for one that shows no pieces; on a busy machine give or take another.
    assert deadline <= result["seconds"] < 2 * deadline
    assert observation["seconds"] < (1 + RESTARTS) * deadline + 2 * GRACE + deadline
    only_of(verdicts(observation), reading("nvml"))
    assert "pynvml" not in sys.modules


# -- files


def as_nobody(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `read` returns to somebody without any rights."""

    def become_and_read() -> dict[str, Any]:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return read()

    result = run_readers({"nobody": become_and_read}, 2 * DEADLINE)["nobody"]
    assert result["status"] == "ok", result
    data: dict[str, Any] = result["data"]
    return data


def test_files_that_may_not_be_read(place: Path) -> None:
    machine = machine_at(place)
    mine = [path for path in machine.files if re.search("mlx5_5/ports/1/(state|rate)$|edac/mc/mc0/|proc/uptime$", path)]
    assert len(mine) >= 5
    with answering(machine, place, root=place) as sources:
        for path in (*mine, "kmsg"):
            (place / path).chmod(0)
        observation = as_nobody(lambda: node.observe(sources, DEADLINE))
    readers = observation["readers"]
    assert readers["kernel_log"]["error"].startswith("Permission denied: ")
    port = readers["infiniband"]["data"]["devices"]["mlx5_5"]["ports"]["1"]
    assert port["state"]["error"].startswith("Permission denied: ")
    found = verdicts(observation)
    only_of(found, reading("kernel_log", "infiniband", "cpu_memory", "host", "history"))
    for check in ("hca.state", "hca.rate"):
        mine = {component for (of, component), verdict in found.items() if of == check and verdict == "unknown"}
        assert mine == {"hca:mlx5_5"}
    assert found["gpu.xid", "host"] == "unknown"


def of_each_kind(machine: Machine) -> list[str]:
    """One file of those whose names differ in numbers only."""
    kinds = {
        re.sub("[0-9a-f]*[0-9][0-9a-f]*", "#", path): path
        for path, content in machine.files.items()
        if not isinstance(content, Link)
    }
    return sorted(kinds.values())


BATCHES = 12


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_empty_file_accuses_a_part(place: Path, batch: int) -> None:
    """The kernel was about to write it, or could not: what it would have said is not known, and nothing is broken."""
    machine = healthy(Random(7), NODE_CLASS)
    # Of each area some: what one hides of its area another batch shows. A kernel without modules has an empty list.
    paths = [path for path in of_each_kind(machine)[batch::BATCHES] if path != "proc/modules"]
    assert len(paths) > 5
    machine.files |= dict.fromkeys(paths, "")
    only_of(verdicts(observe(machine, place)), {*NODE_HEALTH})


CUT = {
    "sys/class/infiniband/mlx5_5/node_guid": ("9c05:9103:", "hca.guid"),
    "sys/class/infiniband/mlx5_5/ports/1/rate": ("400 G", "hca.rate"),
    "sys/class/infiniband/mlx5_5/ports/1/phys_state": ("5:", "hca.physical_state"),
    "proc/swaps": ("Filename\t\t\t\tTy", "host.swap"),
    "proc/modules": ("nvidia 1234 12 nvidia_uvm,", "kernel.modules"),
    "sys/class/nvme/nvme0/transport": ("pc", "disk.nvme.count"),
    "sys/kernel/mm/transparent_hugepage/enabled": ("always [madv", "host.thp"),
    "proc/meminfo": ("MemTotal:       21", "host.memory"),
    "proc/self/mountinfo": ("", "disk.mount"),
}


@pytest.mark.parametrize("path", CUT, ids=lambda path: path.rpartition("/")[2])
def test_a_file_that_was_written_halfway_is_unknown(place: Path, path: str) -> None:
    machine = healthy(Random(7), NODE_CLASS)
    content, check = CUT[path]
    assert path in machine.files
    machine.files[path] = content
    found = verdicts(observe(machine, place))
    assert "unknown" in {verdict for (of, _component), verdict in found.items() if of == check}
    assert "fail" not in found.values(), {key: verdict for key, verdict in found.items() if verdict == "fail"}


@pytest.mark.parametrize(("file", "content"), [("class", "0x03"), ("class", ""), ("vendor", "0x1")])
def test_a_device_of_the_bus_that_does_not_tell_what_it_is_is_not_a_missing_gpu(
    place: Path, file: str, content: str
) -> None:
    machine = healthy(Random(7), NODE_CLASS)
    path = f"sys/bus/pci/devices/{machine.gpu_addresses()[3]}/{file}"
    assert path in machine.files
    machine.files[path] = content
    found = verdicts(observe(machine, place))
    assert {verdict for (check, _component), verdict in found.items() if check == "pcie.devices"} == {"unknown"}
    assert "fail" not in found.values()


def test_a_process_whose_state_cannot_be_read_is_no_stray(place: Path) -> None:
    machine = healthy(Random(7), NODE_CLASS)
    machine.gpus[2]["processes"] = [4711]
    machine.files["proc/4711/stat"] = ""
    found = verdicts(observe(machine, place))
    assert found["gpu.stray_processes", "gpu:2"] == "unknown"
    assert found["gpu.stray_processes", "gpu:3"] == "pass"


# -- the kernel log


# A line that healthy nodes do not have is told, whatever it is.
NEW_LINES = ("kernel.log.unknown", "host")
# Of what is no log of the kernel nobody can say how the node started.
NO_START = {("kernel.log.missing", "host"): "unknown", ("kernel.log.order", "host"): "unknown"}


def test_a_log_that_is_no_text_hides_no_xid(place: Path) -> None:
    machine = machine_at(place)
    log = place / "junk.log"
    address = machine.gpu_addresses()[3].removesuffix(".0").encode()
    junk = bytes(range(128, 256)) * 40 + b"\n" + b"\xff\xfe" * 9000 + b"\n\0\0\0\n"
    stamp = int((machine.uptime - 1) * 1e6)
    xid = b"3,7,%d,-;NVRM: Xid (PCI:%s): 79, pid='\xff\xfe', name=\xe2\x28, GPU has fallen off the bus.\n" % (
        stamp,
        address,
    )
    log.write_bytes(junk + xid + junk)
    observation = passed(machine, place, kernel_log=str(log))
    (event,) = observation["readers"]["kernel_log"]["data"]["xids"]
    assert (event["code"], event["count"]) == (79, 1)
    wrong = {key: verdict for key, verdict in verdicts(observation).items() if verdict != "pass"}
    assert wrong["gpu.xid", "gpu:3"] == "fail"
    assert wrong.pop(NEW_LINES) == "warn"
    assert {wrong.pop(key) for key in NO_START} == {"warn"}
    assert {component for _check, component in wrong} == {"gpu:3"}


def test_800_000_lines_of_one_xid_are_one_gpu(place: Path) -> None:
    """The whole pass: what is sent to the controller is no longer than for one line, and one GPU is blamed."""
    machine = machine_at(place)
    log = place / "flood.log"
    address = machine.gpu_addresses()[3].removesuffix(".0")
    stamp = int((machine.uptime - 1) * 1e6)
    line = f"3,7,{stamp},-;NVRM: Xid (PCI:{address}): 95, pid='<unknown>', name=<unknown>, Uncontained ECC error\n"

    def sent(lines: int) -> tuple[dict[str, Any], int]:
        with log.open("w") as stream:
            for _ in range(lines // 1000):
                stream.write(line * 1000)
            stream.write(line * (lines % 1000))
        # The budget of the kernel log is half of the deadline: a slow machine must not cut the log short.
        observation = passed(machine, place, deadline=240.0, kernel_log=str(log))
        return observation, len(json.dumps(observation["readers"]["kernel_log"]))

    alone, length = sent(1)
    flooded, flooded_length = sent(800_000)
    read = flooded["readers"]["kernel_log"]["data"]
    assert (read["lines"], read["truncated"]) == (800_000, "")
    assert [(event["code"], event["count"]) for event in read["xids"]] == [(95, 800_000)]
    assert flooded_length < length + 100
    assert verdicts(flooded) == verdicts(alone)
    assert {key for key, verdict in verdicts(flooded).items() if verdict != "pass"} == {
        ("gpu.xid", "gpu:3"),
        NEW_LINES,
        *NO_START,
    }


# -- recorded


@pytest.mark.parametrize("name", ["0flap_syslog", "1dev_6flap_syslog"])
def test_a_recorded_log_of_sound_gpus_blames_none(place: Path, recorded: Path, name: str) -> None:
    log = recorded / "nvidia_smi" / name
    observation = passed(machine_at(place), place, kernel_log=str(log))
    lines = log.read_bytes().count(b"\n")
    assert abs(observation["readers"]["kernel_log"]["data"]["lines"] - lines) <= 1
    assert {key: verdict for key, verdict in verdicts(observation).items() if verdict != "pass"} == {
        NEW_LINES: "warn",
        **NO_START,
    }


@pytest.mark.parametrize("name", ["nccl_allreduce.log", "gpu_burn.log"])
def test_a_recorded_text_that_is_no_log_is_read_and_blames_nobody(place: Path, recorded: Path, name: str) -> None:
    observation = passed(machine_at(place), place, kernel_log=str(recorded / "collectives" / name))
    assert observation["readers"]["kernel_log"]["status"] == "ok"
    assert {key: verdict for key, verdict in verdicts(observation).items() if verdict != "pass"} == {
        NEW_LINES: "warn",
        **NO_START,
    }
