# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of a node: whatever they find there, they read it, or say that they cannot, and never call it good."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict, worst
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import JUDGES, judge
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import docker, fabric_manager, systemd
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.clock import parse_tracking
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.cpu_memory import (
    parse_processors,
    read_cpu_memory,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.disks import parse_arrays
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.host import read_host
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.infiniband import read_infiniband
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.kernel_log import (
    MAX_LINE,
    read_kernel_log,
    split_lines,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvml import pci_address, read_nvml
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.pci import read_pci
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.storage import _mount_entry
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.system import read_system
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.areas import disk
from tests.unit.properties.junk import BYTES, JSON, TEXTS, mutated, mutated_bytes, of_whole_nodes
from tests.unit.properties.machine import Folders, Nvml, NVMLError, Tree, healthy, observe
from tests.unit.properties.test_thousand_passes import CLASSES, RICH

NODE_CLASS = CLASSES[RICH]
MACHINE = healthy(Random(1), NODE_CLASS)
TRACKING = "0A000001,10.0.0.1,3,1700000000.1,-0.000012,0.000034,0.00005,1.2,0.0,0.1,0.002,0.001,64.2,Normal"
UNSYNCHRONISED = "00000000,,0,0.0,0.000000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised"
XID = "3,17,7100000000,-;NVRM: Xid (PCI:0000:5d:00): 79, pid='<unknown>', GPU has fallen off the bus."


class BytesTree(Tree):
    """A tree whose files hold bytes; `junk` in place of what the file at `spoilt` had."""

    def __init__(
        self, files: dict[str, str], path: str = "", spoilt: str = "", junk: bytes = b"", folders: Folders | None = None
    ) -> None:
        super().__init__(files, path, folders)
        self._spoilt, self._junk = spoilt, junk

    def __truediv__(self, name: str) -> BytesTree:
        path = f"{self._path}/{name}".strip("/")
        return BytesTree(self._files, path, self._spoilt, self._junk, self._folders)

    def read_bytes(self) -> bytes:
        return self._junk if self._path == self._spoilt else super().read_bytes()


def plain(read: Any) -> Any:
    """As it goes to the controller; raises ValueError for what is not JSON."""
    return json.loads(json.dumps(read, allow_nan=False))


# -- /sys and /proc

PORT = "sys/class/infiniband/mlx5_0/ports/1"
FILES = {
    f"{PORT}/state": "4: ACTIVE\n",
    f"{PORT}/phys_state": "5: LinkUp\n",
    f"{PORT}/rate": "400 Gb/sec (4X NDR)\n",
    f"{PORT}/lid": "0x1a\n",
    f"{PORT}/link_layer": "InfiniBand\n",
    f"{PORT}/counters/link_downed": "0\n",
    f"{PORT}/counters/symbol_error": "17\n",
    "sys/class/infiniband/mlx5_0/node_guid": "9c05:9103:0090:e000\n",
}


@given(
    st.sampled_from(sorted(FILES)).flatmap(lambda path: st.tuples(st.just(path), mutated_bytes(FILES[path]) | BYTES))
)
def test_any_content_of_a_file_of_an_hca_costs_its_value_only(spoilt: tuple[str, bytes]) -> None:
    devices = plain(read_infiniband(BytesTree(MACHINE.files, "sys", *spoilt)))["devices"]
    whole = read_infiniband(Tree(MACHINE.files, "sys"))["devices"]
    assert devices.keys() == whole.keys()
    assert {name: device for name, device in devices.items() if name != "mlx5_0"} == {
        name: device for name, device in whole.items() if name != "mlx5_0"
    }
    port = devices["mlx5_0"]["ports"]["1"]
    for count in port["counters"].values():
        assert isinstance(count, dict) or count >= 0
    assert isinstance(port["rate_gbps"], dict) or 0 <= port["rate_gbps"] < 1e9


@given(
    st.sampled_from(["meminfo", "uptime", "sys/kernel/osrelease", "sys/kernel/hostname"]),
    BYTES | mutated_bytes(MACHINE.files["proc/meminfo"], MACHINE.files["proc/uptime"]),
)
def test_any_content_of_a_file_of_proc_costs_its_value_only(name: str, junk: bytes) -> None:
    read = plain(read_host(BytesTree(MACHINE.files, "proc", f"proc/{name}", junk)))
    whole = read_host(Tree(MACHINE.files, "proc"))
    changed = {key for key in whole if read[key] != whole[key]}
    assert (
        changed
        <= {
            "meminfo": {"memory_bytes"},
            "uptime": {"uptime_seconds"},
            "sys/kernel/osrelease": {"kernel"},
            "sys/kernel/hostname": {"hostname"},
        }[name]
    )
    for value in (read["memory_bytes"], read["uptime_seconds"]):
        assert isinstance(value, dict) or value >= 0


SYSTEM_FILES = {
    "etc/os-release": "os",
    "proc/cmdline": "command_line",
    "proc/modules": "modules",
    "proc/swaps": "swaps",
    "proc/sys/kernel/tainted": "taint",
    "sys/kernel/mm/transparent_hugepage/enabled": "transparent_hugepages",
}


@given(
    st.sampled_from(sorted(SYSTEM_FILES)).flatmap(
        lambda path: st.tuples(st.just(path), mutated_bytes(MACHINE.files[path]) | BYTES)
    )
)
def test_any_content_of_a_file_of_the_system_costs_its_value_only(spoilt: tuple[str, bytes]) -> None:
    read = plain(read_system(BytesTree(MACHINE.files, "", *spoilt)))
    whole = read_system(Tree(MACHINE.files))
    assert {key for key in whole if read[key] != whole[key]} <= {SYSTEM_FILES[spoilt[0]]}
    assert isinstance(read["taint"], dict) or read["taint"] >= 0


@given(mutated(MACHINE.files["proc/cpuinfo"]) | TEXTS)
def test_any_list_of_processors_is_read_or_refused(text: str) -> None:
    try:
        read = plain(parse_processors(text))
    except SourceError:
        return
    assert 0 < read["sockets"] <= read["cores"] <= read["threads"]


@given(
    st.sampled_from([path for path in sorted(MACHINE.files) if path.startswith("sys/devices/system/")]),
    BYTES | mutated_bytes("17\n", "Node 0 MemTotal: 7 kB\n", "performance\n"),
)
def test_any_content_of_a_file_of_processors_and_memory_costs_its_value_only(path: str, junk: bytes) -> None:
    read = plain(read_cpu_memory(BytesTree(MACHINE.files, "", path, junk)))
    whole = read_cpu_memory(Tree(MACHINE.files))
    assert len({key for key in whole if read[key] != whole[key]}) <= 1


@given(mutated(disk.mdstat(), disk.mdstat(1, flag="(F)", more=disk.CHECKING)) | TEXTS)
def test_any_list_of_arrays_is_read_or_refused(text: str) -> None:
    try:
        arrays = plain(parse_arrays(text))
    except SourceError:
        return
    assert text.startswith("Personalities")
    assert all(array["name"].startswith("md") for array in arrays)


@given(mutated("DefaultLimitMEMLOCK=infinity\nDefaultLimitNOFILE=1048576\n") | TEXTS)
def test_any_limits_are_read_or_refused(printed: str) -> None:
    try:
        limits = plain(systemd.parse_limits(printed))
    except SourceError:
        return
    assert all(value == "infinity" or value >= 0 for value in limits.values())


@given(st.sampled_from(["vendor", "class", "device"]), BYTES)
def test_any_content_of_a_file_of_a_pci_device_costs_that_device_only(file: str, junk: bytes) -> None:
    path = next(path for path in MACHINE.files if path.startswith("sys/bus/pci") and path.endswith(file))
    gpus = plain(read_pci(BytesTree(MACHINE.files, "sys", path, junk)))["gpus"]
    addresses = [gpu["address"] for gpu in gpus]
    assert addresses == sorted(addresses)
    whole = {gpu["address"] for gpu in read_pci(Tree(MACHINE.files, "sys"))["gpus"]}
    assert len(whole ^ set(addresses)) <= 1


@given(mutated(MACHINE.files["proc/self/mountinfo"]) | TEXTS, st.sampled_from(["/", "/data", "/none"]))
def test_any_table_of_mounts_is_read(table: str, mount: str) -> None:
    entry = _mount_entry(table, mount)
    assert entry is None or all(isinstance(part, str) for part in entry)


@given(st.lists(st.sampled_from(MACHINE.files["proc/self/mountinfo"].splitlines()), unique=True))
def test_mounts_in_another_order_are_the_same_mounts(lines: list[str]) -> None:
    both = [_mount_entry("\n".join(order), "/data") for order in (lines, lines[::-1])]
    assert both[0] == both[1]


# -- tools


@given(mutated(TRACKING, UNSYNCHRONISED) | TEXTS)
def test_any_tracking_is_read_or_refused(printed: str) -> None:
    try:
        read = plain(parse_tracking(printed))
    except SourceError:
        return
    assert printed.strip().count(",") == 13
    if "Not synch" in printed:
        assert read["synchronised"] is False


@given(st.sampled_from([TRACKING, UNSYNCHRONISED]), st.data())
def test_tracking_that_is_cut_off_is_never_a_synchronised_clock(line: str, data: st.DataObject) -> None:
    with pytest.raises(SourceError):
        parse_tracking(line[: data.draw(st.integers(0, len(line) - 1))])


UNITS = "docker.service loaded failed failed Docker\n● data.mount not-found failed failed data.mount\n"
SHOWN = "Id=docker.service\nLoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n"


@given(mutated(UNITS) | TEXTS)
def test_any_listing_of_units_is_read_or_refused(printed: str) -> None:
    try:
        names = systemd.parse_failed(printed)
    except SourceError:
        return
    assert names == sorted(set(names))
    assert bool(names) is bool(printed.replace("●", " ").strip())


@given(mutated(SHOWN) | TEXTS)
def test_any_state_of_a_unit_is_read_or_refused(printed: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systemd, "run_tool", lambda _command: printed)
        try:
            state = plain(systemd.unit_states(["docker.service"]))["docker.service"]
        except SourceError:
            return
    assert state.keys() == {"load", "active", "sub", "result"}
    assert state["active"] != "active" or "ActiveState=active" in printed


@given(mutated("Fabric Manager version is : 570.172.08\n") | TEXTS)
def test_any_version_is_read_or_refused(printed: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fabric_manager, "run_tool", lambda _command: printed)
        try:
            version = fabric_manager.read_fabric_manager()["version"]
        except SourceError:
            return
    assert version in printed


VERSION = '{"Version": "20.10.24", "ApiVersion": "1.41"}'


@given(mutated_bytes("OK") | BYTES, mutated_bytes(VERSION) | BYTES | st.just(b"[" * 100_000))
def test_any_answer_of_docker_is_read_or_refused(ping: bytes, version: bytes) -> None:
    answers = {"/_ping": ping, "/version": version, "/info": version}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docker, "_get", lambda _path, url, _timeout: answers[url])
        try:
            read = plain(docker.read_docker(unit=lambda: {"active": "active"}))
        except SourceError:
            return
    assert read["answers"] is (ping.strip() == b"OK")


# -- NVML


@of_whole_nodes
@given(st.dictionaries(st.sampled_from(sorted(MACHINE.gpus[0])), JSON | st.integers(1, 999).map(NVMLError), max_size=3))
def test_whatever_nvml_answers_costs_the_value_only(values: dict[str, Any]) -> None:
    machine = healthy(Random(1), NODE_CLASS)
    values.pop("nvlinks", None)  # a list by which the stand-in answers, not an answer
    values.pop("past_links", None)
    machine.gpus[3] |= values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ctypes.byref", lambda info: info)
        try:
            read = plain(read_nvml(Nvml(machine)).whole())
        except SourceMissing:
            assert any(isinstance(value, NVMLError) and value.value == 12 for value in values.values())
            return
        whole = plain(read_nvml(Nvml(healthy(Random(1), NODE_CLASS))).whole())
    assert [gpu for gpu in read["gpus"] if gpu["index"] != 3] == [gpu for gpu in whole["gpus"] if gpu["index"] != 3]


@given(mutated("00000000:1B:00.0", "0000:1b:00") | TEXTS)
def test_any_pci_address_is_read_or_refused(text: str) -> None:
    try:
        address = pci_address(text)
    except ValueError:
        return
    assert pci_address(address) == address


# -- the kernel log

LOG = "\n".join([*MACHINE.kernel_log, XID])


def read_log(folder: Path, content: bytes) -> dict[str, Any]:
    path = folder / "kmsg"
    path.write_bytes(content)
    # No machine is so slow that a test is about its speed.
    read: dict[str, Any] = plain(read_kernel_log(str(path), budget=300.0))
    return read


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@given(mutated_bytes(LOG, XID) | BYTES)
def test_any_log_is_read(folder: Path, content: bytes) -> None:
    read = read_log(folder, content)
    assert read["lines"] <= content.count(b"\n") + 1
    assert all(event["count"] >= 1 for event in read["xids"] + read["off_bus"])
    assert bool(read["xids"]) <= (b"NVRM: Xid (" in content or b"\\x" in content)


@given(st.permutations(LOG.splitlines()[-12:]))
def test_a_log_in_another_order_tells_of_the_same_xids(folder: Path, lines: list[str]) -> None:
    read = read_log(folder, "\n".join(lines).encode())
    assert {(each["code"], each["device"], each["count"]) for each in read["xids"]} >= {(79, "0000:5d:00.0", 1)}


@given(st.binary(max_size=200), st.lists(st.integers(1, 50)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(content: bytes, sizes: list[int]) -> None:
    chunks, rest = [], content
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    lines = list(split_lines(iter([*filter(None, chunks), rest])))
    assert lines == list(split_lines(iter([content])))
    assert b"\n".join(lines) == content.removesuffix(b"\n") or not content.strip(b"\n")


class Counted:
    """Counts the bytes that a regular expression of the reader is given."""

    def __init__(self, pattern: Any) -> None:
        self._pattern = pattern
        self.bytes = 0

    def __getattr__(self, name: str) -> Any:
        def count(*arguments: Any) -> Any:
            self.bytes += len(arguments[-1])
            return getattr(self._pattern, name)(*arguments)

        return count


@pytest.mark.parametrize(
    "line",
    [
        XID,
        "NVRM: " + "0000:5d:00.0 " * 500,
        "NVRM: Xid (PCI:" + "0" * 5000,
        "3," * 4000,
        "NVRM: " + r"\x0a" * 3000,
        "x" * (2 * MAX_LINE),
    ],
    ids=["xid", "addresses", "unclosed", "stamps", "escapes", "long"],
)
def test_work_grows_with_the_log_and_not_faster(folder: Path, line: str) -> None:
    """Twice the lines are twice the bytes looked at, whatever is in them; 200,000 lines of an XID are one event."""
    from ansible_collections.firstlight.cluster.plugins.module_utils.observe import kernel_log

    looked_at = []
    for times in (20, 40):
        with pytest.MonkeyPatch.context() as patch:
            names = ("_RECORD", "_XID", "_ADDRESS", "_NONFATAL", "_OFF_BUS")
            patterns = [Counted(getattr(kernel_log, name)) for name in names]
            for name, pattern in zip(names, patterns, strict=True):
                patch.setattr(kernel_log, name, pattern)
            read_log(folder, f"{line}\n".encode() * times)
        looked_at.append(sum(pattern.bytes for pattern in patterns))
    assert looked_at[1] <= 2.2 * looked_at[0]


def test_a_log_full_of_one_xid_is_one_event(folder: Path) -> None:
    read = read_log(folder, f"{XID}\n".encode() * 200_000)
    assert (read["lines"], read["truncated"]) == (200_000, "")
    (event,) = read["xids"]
    assert (event["code"], event["device"], event["count"]) == (79, "0000:5d:00.0", 200_000)


# -- judges


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all values inside `value`."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, each in inner for leaf in leaves(each, (*path, key)))]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> str:
    return json.dumps(observe(healthy(Random(1), NODE_CLASS), tmp_path_factory.mktemp("seen")))


@of_whole_nodes
@given(st.data())
def test_any_observation_is_judged_and_every_check_reports(seen: str, data: st.DataObject) -> None:
    observation = json.loads(seen)
    for _ in range(data.draw(st.integers(1, 4))):
        *way, last = data.draw(st.sampled_from([way for way in leaves(observation) if way]))
        target = observation
        for key in way:
            target = target[key]
        target[last] = data.draw(JSON)
    findings = judge(observation, NODE_CLASS)
    assert {item.check for item in findings} == JUDGES.keys()
    json.dumps([item.to_dict() for item in findings])


@of_whole_nodes
@given(JSON, JSON)
def test_junk_is_never_a_pass(observation: Any, junk: Any) -> None:
    """Neither in the place of the observation nor of what one reader has read."""
    names = ["nvml", "pci", "infiniband", "kernel_log", "systemd", "fabric_manager", "docker", "clock", "host"]
    names += ["cpu_memory", "disks", "nvme", "history"]
    names += [f"storage:{mount}" for mount in NODE_CLASS["hardware"]["mounts"]]
    readers = {name: {"status": "ok", "data": junk} for name in names}
    for each in ({"readers": readers}, observation if isinstance(observation, dict) else {"readers": observation}):
        verdicts = defaultdict(list)
        for item in judge(each, NODE_CLASS):
            verdicts[item.check].append(item.verdict)
        for check in JUDGES.keys() - {"host.reachable"}:
            assert worst(verdicts[check]) is not Verdict.PASS, check


@of_whole_nodes
@given(st.dictionaries(st.text(max_size=10), JSON, max_size=3) | st.fixed_dictionaries({"hardware": JSON}))
def test_any_node_class_judges_without_error(seen: str, node_class: dict[str, Any]) -> None:
    judge(json.loads(seen), NODE_CLASS | {"thresholds": node_class})
