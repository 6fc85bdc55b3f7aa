# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any content of any file that a reader reads, and of what tools print, is read or refused.

The contents begin as real ones; something has been at them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.xid import BUCKETS, bucket_of, reset_was_made
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.nccl_tests import parse as parse_collective
from ansible_collections.firstlight.cluster.plugins.module_utils.due.packages import parse_madison, parse_query
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import parse as parse_netlist
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import holders
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.cpu_memory import read_cpu_memory
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.disks import read_disks
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.docker import parse_info
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.hardware import read_hardware
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.history import Instant, remember
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.infiniband import read_infiniband
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.kernel_log import read_kernel_log
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.network import read_network
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.nvme import smart_log
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.pci import read_pci
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.pcie import read_pcie
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish import events, firmware
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.boot import option
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.junk import BYTES, JSON, TEXTS, mutated, mutated_bytes
from tests.unit.properties.machine import Link, Tree, healthy
from tests.unit.properties.test_observe import BytesTree, plain
from tests.unit.properties.test_thousand_passes import CLASSES, RICH

MACHINE = healthy(Random(1), CLASSES[RICH])

# -- files of /sys

# By name, with what the paths of its files begin with.
READERS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "hardware": (lambda root: read_hardware(root / "sys"), ("sys/block/", "sys/class/dmi/")),
    "network": (lambda root: read_network(root / "sys"), ("sys/class/net/",)),
    "disks": (read_disks, ("sys/class/nvme/", "proc/mdstat")),
    "infiniband": (lambda root: read_infiniband(root / "sys"), ("sys/class/infiniband/mlx5_5/",)),
    "cpu_memory": (read_cpu_memory, ("sys/devices/system/", "proc/meminfo", "proc/sys/")),
}


def files_of(prefixes: tuple[str, ...]) -> dict[str, str]:
    return {path: text for path, text in MACHINE.files.items() if path.startswith(prefixes)}


def contents(files: dict[str, str]) -> st.SearchStrategy[tuple[str, bytes]]:
    """A file, and what is in it instead."""
    paths = sorted(path for path, text in files.items() if not isinstance(text, Link))
    return st.sampled_from(paths).flatmap(
        lambda path: st.tuples(st.just(path), mutated_bytes(f"{files[path]}\n") | BYTES)
    )


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_any_content_of_a_file_is_read_or_refused(name: str, data: st.DataObject) -> None:
    read, prefixes = READERS[name]
    files = files_of(prefixes)
    spoilt = data.draw(contents(files))
    assert {*plain(read(BytesTree(files, "", *spoilt)))} == {*plain(read(Tree(files)))}


ON_THE_BUS = {path: text for path, text in MACHINE.files.items() if f"/{MACHINE.gpu_addresses()[3]}/" in path}


@given(contents(ON_THE_BUS))
def test_any_content_of_a_file_of_a_gpu_on_the_bus_is_read_or_refused(spoilt: tuple[str, bytes]) -> None:
    """A GPU whose files cannot be understood is still something on the bus, or nobody knows what."""
    tree = BytesTree(ON_THE_BUS, "", *spoilt)
    plain(read_pci(tree / "sys"))
    (device,) = plain(read_pcie(tree / "sys"))["devices"].values() or ({"kind": ""},)
    kind = device["kind"]
    assert kind != "gpu" or device["width"]
    if spoilt[0].rpartition("/")[2] not in ("class", "vendor"):
        assert kind == "gpu"


# -- the node's memory

NOW = Instant("boot", 1000.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("observed")


@pytest.fixture(scope="module")
def written(folder: Path) -> str:
    path = folder / "good" / "counters.json"
    remember(path, Instant("boot", 500.0), {"hca:mlx5_0/link_downed": 3, "gpu:GPU-1/pcie_replays": 7}, write=True)
    return path.read_text(encoding="utf-8")


@given(data=st.data())
def test_any_memory_is_used_or_begun_anew(folder: Path, written: str, data: st.DataObject) -> None:
    path = folder / "counters.json"
    path.write_bytes(data.draw(mutated_bytes(written) | BYTES | JSON.map(lambda value: json.dumps(value).encode())))
    found = plain(remember(path, NOW, {"hca:mlx5_0/link_downed": 4}, write=True))
    for _name, delta, since, until in found["changes"]:
        assert delta > 0
        assert since >= until >= 0
    # What it could not use it has replaced.
    again = remember(path, NOW, {"hca:mlx5_0/link_downed": 4}, write=False)
    assert again["trouble"] == ""


# -- tools

SMART = """{
  "critical_warning":0, "temperature":311, "avail_spare":100, "spare_thresh":10, "percent_used":3,
  "data_units_read":1234567, "media_errors":0, "num_err_log_entries":12
}
"""


@given(mutated(SMART) | TEXTS | JSON.map(json.dumps))
def test_any_log_of_a_disk_is_read_or_refused(printed: str) -> None:
    try:
        log = smart_log("nvme0", lambda _command: printed)
    except (SourceError, SourceMissing):
        return
    assert log
    assert isinstance(log, dict)


INFO = '{"Driver": "overlay2", "CgroupVersion": "2", "DockerRootDir": "/data/docker", "Runtimes": {"nvidia": {}}}'


@given(mutated_bytes(INFO) | BYTES | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_settings_of_docker_are_read_or_refused(body: bytes) -> None:
    try:
        read = plain(parse_info(body))
    except SourceError:
        return
    assert read.keys() == {"storage_driver", "cgroup_version", "data_root", "runtimes"}


@given(mutated("4711\n 4712\n[N/A]\n") | TEXTS)
def test_any_list_of_processes_is_read(printed: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holders, "run_tool", lambda _command: printed)
        pids = holders.compute_processes()
    assert pids == sorted(set(pids))


QUERY = "libnccl2\t2.27.3-1+cuda12.9\tinstall ok installed\t\nnvidia-open\t570.172.08-0ubuntu1\thold ok installed\t\n"
MADISON = "  libnccl2 | 2.27.3-1+cuda12.9 | http://mirror/ubuntu noble/main amd64 Packages\n"


@pytest.mark.parametrize(("parse", "printed"), [(parse_query, QUERY), (parse_madison, MADISON)])
@given(data=st.data())
def test_any_list_of_packages_is_read_or_refused(
    parse: Callable[[str], Any], printed: str, data: st.DataObject
) -> None:
    try:
        parse(data.draw(mutated(printed) | TEXTS))
    except ValueError as error:
        assert str(error)


# -- what judges and triage decode

LINES = (
    "NVRM: Xid (PCI:0000:5d:00): 154, pid='<unknown>', name=<unknown>, GPU recovery action changed from 0x0 (None) to "
    "0x1 (GPU Reset Required)",
    "NVRM: Xid (PCI:0000:5d:00): 145, RLW_REMAP Nonfatal XC0 i0 Link 05 (0x00000004 0x80000000 0x0 0x0 0x0 0x0)",
)


@given(st.integers(0, 10**6), mutated(*LINES) | TEXTS)
def test_any_xid_with_any_text_has_a_bucket(code: int, text: str) -> None:
    assert bucket_of(code, text) in BUCKETS
    assert bucket_of(154, text) in BUCKETS
    assert reset_was_made(text) in (True, False)


@given(
    st.dictionaries(st.sampled_from(["Id", "Severity", "Created", "Message", "MessageId", "EntryCode"]), JSON), TEXTS
)
def test_any_entry_of_a_bmcs_log_is_read(body: dict[str, Any], mark: str) -> None:
    entry = events.entry(body)
    assert entry.severity in ("Critical", "Warning", "OK", "")
    news = events.news([entry], mark)
    assert len(news.entries) <= 1
    assert list(events.worth_telling([entry])) in ([], [entry])


@given(st.dictionaries(st.sampled_from(["Id", "Name", "Version", "Updateable", "SoftwareId"]), JSON))
def test_any_firmware_of_a_bmcs_list_is_read(body: dict[str, Any]) -> None:
    assert firmware.item("/redfish/v1/UpdateService/FirmwareInventory/BIOS", body)


@given(st.dictionaries(st.sampled_from(["BootOptionReference", "DisplayName", "UefiDevicePath"]), JSON))
def test_any_boot_option_is_read(body: dict[str, Any]) -> None:
    assert option(body)


# -- recorded outputs


def recorded_texts(recorded: Path, pattern: str) -> list[str]:
    """The first of each, as long as a case may be."""
    texts = [path.read_text(encoding="utf-8", errors="replace")[:8000] for path in sorted(recorded.glob(pattern))]
    assert texts
    return texts


@given(data=st.data())
def test_a_recorded_fabric_that_something_was_at_is_read(recorded: Path, data: st.DataObject) -> None:
    text = data.draw(mutated(*recorded_texts(recorded, "infiniband/*ibnetdiscover*")))
    assert parse_netlist(text.splitlines()) is not None


@given(data=st.data())
def test_a_recorded_collective_that_something_was_at_is_read(recorded: Path, data: st.DataObject) -> None:
    text = data.draw(mutated(*recorded_texts(recorded, "collectives/*.log")))
    assert parse_collective(text.splitlines()) is not None


@given(data=st.data())
def test_a_recorded_log_that_something_was_at_names_no_gpu(recorded: Path, folder: Path, data: st.DataObject) -> None:
    path = folder / "syslog"
    path.write_bytes(data.draw(mutated_bytes(*recorded_texts(recorded, "nvidia_smi/*syslog"))))
    read = plain(read_kernel_log(str(path)))
    assert (read["xids"], read["sxids"], read["off_bus"]) == ([], [], [])
