# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every reader on a tree or a tool of the test's own: what it reads, and what it makes of what is broken."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import clock, docker, nvme, storage
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.clock import parse_tracking, read_clock
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.cpu_memory import (
    parse_processors,
    read_cpu_memory,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.disks import parse_arrays, read_disks
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.docker import read_docker
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.fabric_manager import read_fabric_manager
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.host import read_host
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.infiniband import read_infiniband
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.network import read_network
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.pci import read_pci
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.pcie import _config, read_pcie
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.storage import read_storage
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.system import read_system
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.systemd import (
    parse_failed,
    parse_limits,
    read_systemd,
)
from hypothesis import given
from hypothesis import strategies as st

TRACKING = "0A000001,10.0.0.1,3,1700000000.1,-0.000012,0.000034,0.00005,1.2,0.0,0.1,0.002,0.001,64.2,Normal"


def tool(tmp_path: Path, script: str) -> str:
    path = tmp_path / "tool"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# --- InfiniBand, PCI, host


def hca(sysfs: Path, name: str, state: str = "4: ACTIVE\n", rate: str = "400 Gb/sec (4X NDR)\n") -> Path:
    device = sysfs / "class/infiniband" / name
    port = device / "ports/1"
    for path, text in {
        device / "node_guid": "9c05:9103:0090:e000\n",
        device / "board_id": "MT_0000000838\n",
        device / "fw_ver": "28.39.1002\n",
        port / "state": state,
        port / "phys_state": "5: LinkUp\n",
        port / "rate": rate,
        port / "link_layer": "InfiniBand\n",
        port / "lid": "0x1a\n",
    }.items():
        write(path, text)
    for counter in ("link_downed", "symbol_error"):
        write(port / "counters" / counter, "2\n")
    return device


def test_infiniband_reads_a_port(tmp_path: Path) -> None:
    hca(tmp_path, "mlx5_0")
    device = read_infiniband(tmp_path)["devices"]["mlx5_0"]
    port = device["ports"]["1"]
    assert (device["node_guid"], device["firmware"]) == ("9c05:9103:0090:e000", "28.39.1002")
    assert (port["state"], port["physical_state"], port["rate_gbps"], port["lid"]) == ("ACTIVE", "LinkUp", 400.0, 26)
    assert port["counters"]["link_downed"] == 2
    assert "No such file" in port["counters"]["port_rcv_errors"]["error"]


@pytest.mark.parametrize(("rate", "expected"), [("2.5 Gb/sec (1X SDR)\n", 2.5), ("800 Gb/sec (4X XDR)", 800.0)])
def test_rates(tmp_path: Path, rate: str, expected: float) -> None:
    hca(tmp_path, "mlx5_0", rate=rate)
    assert read_infiniband(tmp_path)["devices"]["mlx5_0"]["ports"]["1"]["rate_gbps"] == expected


def test_a_half_written_or_unreadable_file_spoils_its_value_only(tmp_path: Path) -> None:
    device = hca(tmp_path, "mlx5_0", state="", rate="400\n")
    (device / "fw_ver").unlink()
    (device / "fw_ver").mkdir()
    read = read_infiniband(tmp_path)["devices"]["mlx5_0"]
    port = read["ports"]["1"]
    assert "empty" in port["state"]["error"]
    assert "not a rate" in port["rate_gbps"]["error"]
    assert "Is a directory" in read["firmware"]["error"]
    assert port["physical_state"] == "LinkUp"


def test_a_device_without_ports_hides_no_other(tmp_path: Path) -> None:
    hca(tmp_path, "mlx5_0")
    (tmp_path / "class/infiniband/mlx5_1").mkdir()
    devices = read_infiniband(tmp_path)["devices"]
    assert "No such file" in devices["mlx5_1"]["error"]
    assert devices["mlx5_0"]["ports"]["1"]["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("table", "pkeys"),
    [
        (["0xffff", "0x0000", "0x8001", *["0x0000"] * 125], [0xFFFF, 0x8001]),
        (["0x7fff"], [0x7FFF]),
        # Nobody leaves four places empty and goes on behind them; each is a question to the firmware.
        ([*["0x0000"] * 4, "0xffff"], []),
        ([f"{0x8000 + place:#06x}" for place in range(1, 130)], [0x8000 + place for place in range(1, 129)]),
    ],
)
def test_the_partitions_of_a_port(tmp_path: Path, table: list[str], pkeys: list[int]) -> None:
    device = hca(tmp_path, "mlx5_0")
    for place, pkey in enumerate(table):
        write(device / "ports/1/pkeys" / str(place), f"{pkey}\n")
    assert read_infiniband(tmp_path)["devices"]["mlx5_0"]["ports"]["1"]["pkeys"] == pkeys


def test_where_an_hca_sits(tmp_path: Path) -> None:
    device = hca(tmp_path, "mlx5_0")
    read = read_infiniband(tmp_path)["devices"]["mlx5_0"]
    assert "No such file" in read["pci"]["error"] and "No such file" in read["ports"]["1"]["pkeys"]["error"]
    write(device / "device/uevent", "DRIVER=mlx5_core\nPCI_ID=15B3:1021\nPCI_SLOT_NAME=0000:18:00.0\n")
    assert read_infiniband(tmp_path)["devices"]["mlx5_0"]["pci"] == "0000:18:00.0"
    write(device / "device/uevent", "DRIVER=mlx5_core.rdma\n")
    assert "names no PCI slot" in read_infiniband(tmp_path)["devices"]["mlx5_0"]["pci"]["error"]


def test_no_rdma_driver_is_missing_and_an_empty_class_is_data(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="RDMA driver"):
        read_infiniband(tmp_path)
    (tmp_path / "class/infiniband").mkdir(parents=True)
    assert read_infiniband(tmp_path) == {"devices": {}}


@given(st.binary(max_size=64))
def test_any_bytes_in_a_state_file(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    sysfs = tmp_path_factory.getbasetemp() / "any-sysfs"
    device = hca(sysfs, "mlx5_0")
    for name in ("state", "rate", "lid", "phys_state"):
        (device / "ports/1" / name).write_bytes(content)
    json.dumps(read_infiniband(sysfs), allow_nan=False)


def test_pci_lists_nvidia_gpus_only(tmp_path: Path) -> None:
    for address, vendor, kind in [
        ("0000:5d:00.0", "0x10de", "0x030200"),
        ("0000:18:00.0", "0x10de", "0x030200"),
        ("0000:05:00.0", "0x10de", "0x068000"),  # NVSwitch
        ("0000:1a:00.0", "0x15b3", "0x020700"),
    ]:
        for name, value in {"vendor": vendor, "class": kind, "device": "0x2330"}.items():
            write(tmp_path / "bus/pci/devices" / address / name, value + "\n")
    gpus = read_pci(tmp_path)["gpus"]
    assert [gpu["address"] for gpu in gpus] == ["0000:18:00.0", "0000:5d:00.0"]


def test_network(tmp_path: Path) -> None:
    net = tmp_path / "class/net"
    for name in ("eno1", "lo", "veth12ab"):
        for file, text in {
            "operstate": "up",
            "carrier": "1",
            "speed": "25000",
            "mtu": "9000",
            "carrier_changes": "4",
        }.items():
            write(net / name / file, f"{text}\n")
        for counter in ("rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "rx_missed_errors"):
            write(net / name / "statistics" / counter, "7\n")
    write(net / "ib0/mtu", "many\n")
    write(net / "bonding_masters", "bond0\n")
    interfaces = read_network(tmp_path)["interfaces"]
    assert list(interfaces) == ["eno1", "ib0"]
    counts = dict.fromkeys(("rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_missed_errors"), 7)
    told = {"state": "up", "carrier": 1, "carrier_changes": 4, "speed_mbps": 25000, "mtu": 9000}
    assert interfaces["eno1"] == {**told, **counts}
    assert "not a number" in interfaces["ib0"]["mtu"]["error"] and "No such file" in interfaces["ib0"]["state"]["error"]
    with pytest.raises(FileNotFoundError):
        read_network(tmp_path / "none")


COUNTS = "RxErr 0\nBadTLP 12\nBadDLLP 0\nTimeout 1\nTOTAL_ERR_COR 13\n"
# As kernels before 5.8 called them.
OLD_COUNTS = "Receiver Error 2\nReplay Timer Timeout 0\nTOTAL_ERR_COR 2\n"
# A GPU's: 16 MiB of registers, no room for the memory behind it.
RESOURCE = (
    "0x000021a042000000 0x000021a042ffffff 0x000000000014220c\n"
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    "0x0000000000000000 0x0000001fffffffff 0x000000002014220c\n"
    "0x0000000000001000 0x000000000000107f 0x0000000000040101\n"
)


def space(*words: tuple[int, int], length: int = 4096) -> bytes:
    content = bytearray(4096)
    # Capabilities: power management at 0x60, PCI Express at 0x78.
    for at, word in [(0x00, 0x10DE), (0x06, 0x0010), (0x34, 0x60), (0x60, 0x7801), (0x78, 0x0010), *words]:
        content[at : at + 2] = word.to_bytes(2, "little")
    return bytes(content[:length])


def pci_function(sysfs: Path, path: str, **files: str | bytes) -> None:
    """A function at the end of the bridges of `path`, as the kernel shows it."""
    folder = sysfs / "devices" / "pci0000:15" / path
    shown: dict[str, str | bytes] = {
        "current_link_speed": "32.0 GT/s PCIe\n",
        "current_link_width": "16\n",
        "max_link_speed": "32.0 GT/s PCIe\n",
        "max_link_width": "16\n",
        "numa_node": "0\n",
        "aer_dev_correctable": COUNTS,
        "resource": RESOURCE,
        **files,
    }
    for name, content in shown.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    link = sysfs / "bus/pci/devices" / folder.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder)


ROOT_PORT, GPU = "0000:15:01.0", "0000:18:00.0"
H100 = {"class": "0x030200\n", "vendor": "0x10de\n"}
ENDPOINT_SPACE = space((0x7A, 0x0002), (0x80, 0x5930))


def test_pcie(tmp_path: Path) -> None:
    port = space((0x7A, 0x0042), (0x80, 0x2930), (0x100, 0x0001), (0x102, 0x1481), (0x148, 0x000D), (0x14E, 0x001D))
    pci_function(tmp_path, ROOT_PORT, **{"class": "0x060400\n", "vendor": "0x8086\n", "config": port})
    pci_function(tmp_path, f"{ROOT_PORT}/{GPU}", **H100, config=ENDPOINT_SPACE)
    devices = read_pcie(tmp_path)["devices"]
    assert list(devices) == [GPU, ROOT_PORT]
    link = {"speed_gts": 32.0, "width": 16, "max_speed_gts": 32.0, "max_width": 16}
    assert devices[GPU] == {
        "kind": "gpu",
        **link,
        "errors": {"correctable": {"BadTLP": 12, "Timeout": 1}, "nonfatal": None, "fatal": None},
        "config": {"type": 0, "control": 0x5930},
        "above": [ROOT_PORT],
        "numa_node": 0,
        "iommu": "off",
        "bars": [
            {"bar": 0, "bytes": 1 << 24, "assigned": True},
            {"bar": 2, "bytes": 1 << 37, "assigned": False},
        ],
    }
    assert devices[ROOT_PORT]["kind"] == "bridge"
    assert devices[ROOT_PORT]["config"] == {"type": 4, "control": 0x2930, "acs": 0x1D}
    assert "above" not in devices[ROOT_PORT]


def test_pcie_knows_what_a_server_computes_with(tmp_path: Path) -> None:
    for number, (kind, vendor) in enumerate(
        [
            ("0x030200", "0x10de"),
            ("0x068000", "0x10de"),
            ("0x020700", "0x15b3"),
            ("0x020000", "0x15b3"),
            ("0x010802", "0x144d"),
            # Neither a management controller's VGA, nor a network of others, nor a GPU's sound and ports.
            ("0x030000", "0x1a03"),
            ("0x020000", "0x8086"),
            ("0x040300", "0x10de"),
            ("0x0c0330", "0x10de"),
            ("0x068000", "0x8086"),
        ]
    ):
        pci_function(tmp_path, f"0000:16:{number:02x}.0", **{"class": f"{kind}\n", "vendor": f"{vendor}\n"})
    pci_function(tmp_path, "0000:17:00.2", **{"class": "0x020700\n", "vendor": "0x15b3\n", "physfn/class": "0x020700"})
    kinds = [device["kind"] for device in read_pcie(tmp_path)["devices"].values()]
    assert kinds == ["gpu", "nvswitch", "hca", "hca", "nvme"]


@pytest.mark.parametrize(
    ("files", "key", "says"),
    [
        ({"current_link_speed": "Unknown\n"}, "speed_gts", "not a speed: 'Unknown'"),
        ({"max_link_width": "255\n"}, "max_width", "not a width: '255'"),
        ({"current_link_width": "-1\n"}, "width", "not a width"),
        ({"numa_node": "none\n"}, "numa_node", "not a NUMA node"),
        ({"iommu_group/type": "\n"}, "iommu", "empty"),
        ({"resource": "0x0\n"}, "bars", "not a region"),
        # Everybody sees the first 64 bytes, root all of them.
        ({"config": ENDPOINT_SPACE[:64]}, "config", "is it read by root?"),
        ({"config": b"\xff" * 4096}, "config", "does not answer"),
        ({"config": space((0x60, 0x6001))}, "config", "has no end"),
    ],
)
def test_pcie_that_cannot_be_read(tmp_path: Path, files: dict[str, str | bytes], key: str, says: str) -> None:
    pci_function(tmp_path, GPU, **{**H100, "config": ENDPOINT_SPACE, **files})
    device = read_pcie(tmp_path)["devices"][GPU]
    assert says in device.pop(key)["error"]
    assert not [value for value in device.values() if isinstance(value, dict) and "error" in value]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # Old PCI, without capabilities or without that of PCI Express.
        (space((0x06, 0)), {"type": None, "control": None, "acs": None}),
        (space((0x60, 0x0001)), {"type": None, "control": None, "acs": None}),
        (space((0x7A, 0x0062), (0x80, 0x2930)), {"type": 6, "control": 0x2930, "acs": None}),
        (space((0x7A, 0x0062), (0x100, 0x0001), (0x102, 0x1001)), "has no end"),
        (space((0x7A, 0x0062), (0x100, 0xFFFF)), "does not answer"),
        (space((0x7A, 0x0062), length=256), "is it read by root?"),
    ],
)
def test_the_capabilities_of_a_bridge(tmp_path: Path, config: bytes, expected: Any) -> None:
    pci_function(tmp_path, ROOT_PORT, **{"class": "0x060400\n"}, config=config)
    pci_function(tmp_path, f"{ROOT_PORT}/{GPU}", **H100, config=ENDPOINT_SPACE)
    read = read_pcie(tmp_path)["devices"][ROOT_PORT]["config"]
    assert expected in read["error"] if isinstance(expected, str) else read == expected


def test_errors_as_kernels_name_and_spoil_them(tmp_path: Path) -> None:
    pci_function(tmp_path, GPU, **H100, aer_dev_correctable=OLD_COUNTS, aer_dev_fatal="DLP\n", aer_dev_nonfatal="\n")
    errors = read_pcie(tmp_path)["devices"][GPU]["errors"]
    assert errors["correctable"] == {"Receiver Error": 2}
    assert "not a count" in errors["fatal"]["error"] and "empty" in errors["nonfatal"]["error"]


@given(st.binary(max_size=4096))
def test_any_configuration_space_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-config"
    path.write_bytes(content)
    try:
        read = _config(path, True)
    except SourceError:
        return
    assert read.keys() == {"type", "control", "acs"}


def test_host(tmp_path: Path) -> None:
    write(tmp_path / "meminfo", "MemTotal:       2113486364 kB\nMemFree: 1 kB\n")
    write(tmp_path / "uptime", "1234.50 99.0\n")
    write(tmp_path / "sys/kernel/osrelease", "6.1.0-23-amd64\n")
    read = read_host(tmp_path)
    assert (read["memory_bytes"], read["uptime_seconds"]) == (2113486364 * 1024, 1234.5)
    assert read["kernel"] == "6.1.0-23-amd64"
    assert "No such file" in read["boot_id"]["error"]


def test_host_without_a_total(tmp_path: Path) -> None:
    write(tmp_path / "meminfo", "MemFree: 1 kB\n")
    assert "no MemTotal" in read_host(tmp_path)["memory_bytes"]["error"]


OS_RELEASE = """PRETTY_NAME="Ubuntu 22.04.5 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.5 LTS (Jammy Jellyfish)"
VERSION_CODENAME=jammy
ID=ubuntu
ID_LIKE=debian
"""
MODULES = """nvidia_uvm 1810432 0 - Live 0x0000000000000000 (OE)
nvidia 11554816 151 nvidia_uvm,nvidia_modeset, Live 0x0000000000000000 (OE)
nouveau 3096576 0 - Unloading 0x0000000000000000
mlx5_core 2621440 1 mlx5_ib, Live 0x0000000000000000 (OE)
"""
SWAPS = """Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/swap.img                               file\t\t8388604\t\t0\t\t-2
"""


def system_root(root: Path) -> Path:
    for name, text in {
        "etc/os-release": OS_RELEASE,
        "proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.8.0-60-generic root=UUID=1 ro iommu=pt\n",
        "proc/modules": MODULES,
        "proc/sys/kernel/tainted": "12289\n",
        "proc/swaps": SWAPS,
        "proc/vmstat": "pgfault 7\noom_kill 2\nswap_ra 0\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    }.items():
        write(root / name, text)
    return root


def test_system(tmp_path: Path) -> None:
    assert read_system(system_root(tmp_path)) == {
        "os": "ubuntu 22.04",
        "command_line": "BOOT_IMAGE=/boot/vmlinuz-6.8.0-60-generic root=UUID=1 ro iommu=pt",
        "modules": ["mlx5_core", "nvidia", "nvidia_uvm"],
        "taint": 12289,
        "swaps": ["/swap.img"],
        "oom_kills": 2,
        "transparent_hugepages": "madvise",
    }


@pytest.mark.parametrize(
    ("file", "text", "key", "says"),
    [
        ("etc/os-release", "ID=debian\nVERSION_CODENAME=sid\n", "os", "names no ID and VERSION_ID"),
        ("proc/cmdline", "", "command_line", "empty"),
        ("proc/modules", "nvidia\n", "modules", "no list of modules"),
        ("proc/modules", None, "modules", "No such file"),
        ("proc/sys/kernel/tainted", "-1\n", "taint", "not a number"),
        ("proc/swaps", "", "swaps", "no table of swap"),
        ("proc/vmstat", "pgfault 7\n", "oom_kills", "has no oom_kill"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always never\n", "transparent_hugepages", "nothing is chosen"),
    ],
)
def test_a_file_of_the_system_that_is_none_costs_its_value(
    tmp_path: Path, file: str, text: str | None, key: str, says: str
) -> None:
    whole = read_system(system_root(tmp_path))
    (tmp_path / file).unlink()
    if text is not None:
        write(tmp_path / file, text)
    read = read_system(tmp_path)
    assert says in read[key]["error"]
    assert {name for name in whole if read[name] != whole[name]} == {key}


def test_a_kernel_without_modules_or_swap_has_none(tmp_path: Path) -> None:
    system_root(tmp_path)
    write(tmp_path / "proc/modules", "")
    write(tmp_path / "proc/swaps", SWAPS.splitlines()[0])
    read = read_system(tmp_path)
    assert (read["modules"], read["swaps"]) == ([], [])


# --- processors and memory

# Two of the threads of one core, and one of another socket, of a server with two Xeon Platinum 8480C.
CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480C
stepping\t: 8
microcode\t: 0x2b000590
cpu MHz\t\t: 2900.000
cache size\t: 107520 KB
physical id\t: 0
siblings\t: 112
core id\t\t: 0
cpu cores\t: 56
apicid\t\t: 0
power management:

processor\t: 112
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480C
microcode\t: 0x2b000590
physical id\t: 0
core id\t\t: 0

processor\t: 56
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480C
microcode\t: 0x2b0004b1
physical id\t: 1
core id\t\t: 0
"""
# Of a Grace: nothing says what sits where.
ARM = "processor\t: 0\nBogoMIPS\t: 2000.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n"


def cpu_memory_root(root: Path) -> Path:
    system = root / "sys/devices/system"
    for path, text in {
        root / "proc/cpuinfo": CPUINFO,
        root / "proc/meminfo": "MemTotal:       2113486364 kB\nHardwareCorrupted:     8 kB\n",
        root / "proc/sys/kernel/numa_balancing": "1\n",
        system / "cpu/cpufreq/policy0/scaling_governor": "performance\n",
        system / "cpu/cpufreq/policy1/scaling_governor": "powersave\n",
        system / "cpu/cpufreq/policy2/scaling_governor": "performance\n",
        system / "node/node0/meminfo": "Node 0 MemTotal:       1056462016 kB\nNode 0 MemFree:  1 kB\n",
        system / "node/node1/meminfo": "Node 1 MemTotal:       0 kB\n",
        system / "node/possible": "0-1\n",
        system / "edac/mc/mc0/ce_count": "7\n",
        system / "edac/mc/mc0/ue_count": "0\n",
        system / "edac/mc/mc1/ce_count": "junk\n",
        system / "edac/mc/power/control": "auto\n",
    }.items():
        write(path, text)
    return root


def test_processors_and_memory(tmp_path: Path) -> None:
    read = read_cpu_memory(cpu_memory_root(tmp_path))
    assert read["processors"] == {
        "model": "Intel(R) Xeon(R) Platinum 8480C",
        "sockets": 2,
        "cores": 2,
        "threads": 3,
        "microcode": ["0x2b0004b1", "0x2b000590"],
    }
    assert read["governors"] == {"performance": 2, "powersave": 1}
    assert (read["numa_balancing"], read["offline_bytes"]) == (True, 8192)
    assert read["numa_nodes"] == {"0": 1056462016 * 1024}, "a node without memory is no node to have it"
    assert read["controllers"]["mc0"] == {"corrected": 7, "uncorrected": 0}
    assert read["controllers"].keys() == {"mc0", "mc1"}
    assert "not a number" in read["controllers"]["mc1"]["corrected"]["error"]
    assert "No such file" in read["controllers"]["mc1"]["uncorrected"]["error"]


def test_what_a_machine_does_not_have_is_no_error(tmp_path: Path) -> None:
    """Its firmware keeps the frequency, its kernel has no NUMA, no driver counts errors."""
    write(tmp_path / "proc/cpuinfo", ARM)
    read = read_cpu_memory(tmp_path)
    assert (read["governors"], read["numa_balancing"], read["controllers"]) == ({}, False, {})
    assert "does not tell of every processor" in read["processors"]["error"]
    assert "No such file" in read["numa_nodes"]["error"]
    assert "No such file" in read["offline_bytes"]["error"]


@pytest.mark.parametrize("text", ["", CPUINFO.replace("core id", "c", 1), CPUINFO.replace("model name", "name")])
def test_processors_that_are_not_told_whole_are_not_counted(text: str) -> None:
    with pytest.raises(SourceError):
        parse_processors(text)


# --- storage

MOUNTINFO = r"""21 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
30 21 0:5 / /data rw,relatime - tmpfs first rw
31 30 259:3 / /data rw,relatime shared:2 master:1 - xfs /dev/md0 rw,noquota
32 21 0:6 / /with\040space rw - nfs4 server:/a\040b rw
half a line
"""


def storage_root(tmp_path: Path) -> Path:
    write(tmp_path / "proc/self/mountinfo", MOUNTINFO)
    for name in ("data", "with space", "plain"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_storage_names_what_is_mounted_last(tmp_path: Path) -> None:
    root = storage_root(tmp_path)
    read = read_storage("/data", root)
    assert (read["mounted"], read["type"], read["source"]) == (True, "xfs", "/dev/md0")
    assert 0 <= read["used_percent"] <= 100
    assert read["size_bytes"] > 0
    assert read_storage("/with space", root)["source"] == "server:/a b"


def test_a_directory_is_no_mount_and_nor_is_nothing(tmp_path: Path) -> None:
    root = storage_root(tmp_path)
    assert read_storage("/plain", root)["mounted"] is False
    assert read_storage("/none", root) == {"mount": "/none", "mounted": False}


def test_storage_counts_as_df_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks kept for root are neither used nor available."""
    state = os.statvfs_result((4096, 4096, 1000, 200, 100, 50, 5, 5, os.ST_RDONLY, 255))
    monkeypatch.setattr(storage.os, "statvfs", lambda _path: state)
    read = read_storage("/data", storage_root(tmp_path))
    assert read["used_percent"] == 88.9
    assert (read["inodes_used_percent"], read["read_only"]) == (90.0, True)


def test_a_file_system_without_blocks_or_inodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = storage_root(tmp_path)
    monkeypatch.setattr(storage.os, "statvfs", lambda _p: os.statvfs_result((4096, 4096, 10, 5, 5, 0, 0, 0, 0, 255)))
    assert read_storage("/data", root)["inodes_used_percent"] is None
    monkeypatch.setattr(storage.os, "statvfs", lambda _p: os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255)))
    with pytest.raises(SourceError, match="no blocks"):
        read_storage("/data", root)


# A DGX whose second disk of the system has failed, while a stripe of data disks is well.
MDSTAT = """Personalities : [raid1] [raid0] [linear] [multipath] [raid6] [raid5] [raid4] [raid10]
md1 : active raid0 nvme5n1[3] nvme4n1[2] nvme3n1[1] nvme2n1[0]
      15002423296 blocks super 1.2 512k chunks

md0 : active (auto-read-only) raid1 nvme1n1p2[1](F) nvme0n1p2[0]
      1874715648 blocks super 1.2 [2/1] [U_]
      [=>...................]  recovery =  8.5% (160000/1874715648) finish=95.1min speed=300000K/sec
      bitmap: 3/14 pages [12KB], 65536KB chunk

md127 : inactive sdb1[0](S)
      976630488 blocks super 1.2

unused devices: <none>
"""


def test_arrays() -> None:
    stripe, mirror, foreign = parse_arrays(MDSTAT)
    assert (stripe["name"], stripe["level"], stripe["active"], stripe["wanted"]) == ("md1", "raid0", True, None)
    assert mirror == {
        "name": "md0",
        "active": True,
        "level": "raid1",
        "failed": ["nvme1n1p2"],
        "wanted": 2,
        "working": 1,
        "action": "recovery",
    }
    assert (foreign["active"], foreign["level"], foreign["failed"]) == (False, "", [])


@pytest.mark.parametrize("text", ["", "md0 : active raid1\n", "Personalities : [raid1]\nmd0 active raid1 sda[0]\n"])
def test_arrays_that_are_not_told(text: str) -> None:
    with pytest.raises(SourceError):
        parse_arrays(text)


def test_nvme_disks_are_those_on_the_pci_bus(tmp_path: Path) -> None:
    for name, transport in {"nvme0": "pcie", "nvme1": "rdma", "nvme10": "pcie"}.items():
        for file, value in {"transport": transport, "state": "live", "model": "Dell BOSS-N1      "}.items():
            write(tmp_path / "sys/class/nvme" / name / file, f"{value}\n")
    read = read_disks(tmp_path)
    assert [*read["nvme"]] == ["nvme0", "nvme10"]
    assert (read["nvme"]["nvme0"]["state"], read["nvme"]["nvme0"]["model"]) == ("live", "Dell BOSS-N1")
    assert "No such file" in read["nvme"]["nvme0"]["firmware"]["error"]
    assert read["arrays"] == [], "the kernel has no driver for any"
    assert read_disks(tmp_path / "none")["nvme"] == {}


def test_errors_that_file_systems_have_recorded(tmp_path: Path) -> None:
    for name, count in {"nvme0n1p2": "0", "md1": "3", "dm-0": "many"}.items():
        write(tmp_path / "sys/fs/ext4" / name / "errors_count", f"{count}\n")
    write(tmp_path / "sys/fs/ext4/features/lazy_itable_init", "supported\n")
    recorded = read_disks(tmp_path)["ext4"]
    assert (list(recorded), recorded["md1"], recorded["nvme0n1p2"]) == (["dm-0", "md1", "nvme0n1p2"], 3, 0)
    assert "not a number" in recorded["dm-0"]["error"]
    assert read_disks(tmp_path / "none")["ext4"] == {}, "the kernel has no driver for any"


def test_health_of_nvme_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, serial in {"nvme0": "S1", "nvme1": "S/2", "nvme2": "S3"}.items():
        for file, value in {"transport": "pcie", "serial": serial}.items():
            write(tmp_path / "sys/class/nvme" / name / file, f"{value}\n")
    write(tmp_path / "var/lib/firstlight/nvme/S%2F2.json", '{"schema": 1, "smart_log": {"media_errors": 4}}')
    write(tmp_path / "var/lib/firstlight/nvme/S3.json", '{"schema": 1')
    logs = {
        "/dev/nvme0": '{"critical_warning": 0, "temperature": 314, "avail_spare": 100, "spare_thresh": 10,'
        ' "percent_used": 1, "media_errors": 0, "warning_temp_time": 3, "critical_comp_time": 1,'
        ' "data_units_read": 340282366920938463463374607431768211455}',
        "/dev/nvme1": '{"critical_warning": 4, "temperature": "314 K", "media_errors": 7}',
    }

    def run(command: list[str]) -> str:
        if command[2] not in logs:
            raise SourceError("nvme failed with status 1: Resource temporarily unavailable", 1)
        return logs[command[2]]

    monkeypatch.setattr(nvme, "run_tool", run)
    disks = nvme.read_nvme(tmp_path)["disks"]
    assert disks["nvme0"] == {
        "critical_warning": 0,
        "used_percent": 1,
        "spare_percent": 100,
        "spare_threshold_percent": 10,
        "media_errors": 0,
        "temperature_c": 41,
        "hot_minutes": 4,
        "media_errors_before": 0,
    }
    second = disks["nvme1"]
    assert (second["critical_warning"], second["media_errors"], second["media_errors_before"]) == (4, 7, 4)
    assert all("has no" in second[key]["error"] for key in ("temperature_c", "spare_percent", "used_percent"))
    assert "Resource temporarily" in disks["nvme2"]["error"]
    assert nvme.read_nvme(tmp_path / "none") == {"disks": {}}


# --- systemd, fabric manager, clock


def test_systemd(tmp_path: Path) -> None:
    script = (
        'if [ "$1" = list-units ]; then\n'
        "  echo 'docker.service loaded failed failed Docker Application Container Engine'\n"
        "  echo '\u25cf ghost.service not-found failed failed ghost.service'\n"
        "else\n"
        "  shift 3\n"
        "  for unit; do\n"
        '    [ "$unit" = "$1" ] || echo\n'
        '    printf "Id=$unit\\nLoadState=loaded\\nActiveState=active\\nSubState=running\\n"\n'
        '    echo "Result=${unit%.service}"\n'
        "  done\n"
        "fi"
    )
    read = read_systemd(tool(tmp_path, script), ["openibd.service", "docker.service"])
    assert [*read["units"]] == ["nvidia-fabricmanager.service", "docker.service", "openibd.service"]
    assert "names no DefaultLimitMEMLOCK" in read["limits"]["error"]
    assert read["failed"] == ["docker.service", "ghost.service"]
    assert read["units"]["docker.service"] == {
        "load": "loaded",
        "active": "active",
        "sub": "running",
        "result": "docker",
    }
    assert read["units"]["nvidia-fabricmanager.service"]["result"] == "nvidia-fabricmanager"


def test_systemd_that_is_not_there_or_does_not_talk(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        read_systemd("/nowhere/systemctl")
    with pytest.raises(SourceError, match="Host is down"):
        read_systemd(tool(tmp_path, "echo 'Failed to connect to bus: Host is down'; exit 1"))
    with pytest.raises(SourceError, match="tells of 0 units where it was asked for 2"):
        read_systemd(tool(tmp_path, "true"))
    with pytest.raises(SourceError, match="tells of 1 units where it was asked for 2"):
        read_systemd(tool(tmp_path, '[ "$1" = list-units ] || echo ActiveState=active'))
    with pytest.raises(SourceError, match="no ActiveState"):
        read_systemd(tool(tmp_path, '[ "$1" = list-units ] || printf "Id=a\\n\\nId=b\\n"'))


@pytest.mark.parametrize(
    ("shown", "limits"),
    [
        ("DefaultLimitMEMLOCK=infinity\nDefaultLimitNOFILE=1048576\n", {"memlock": "infinity", "nofile": 1048576}),
        ("DefaultLimitNOFILE=524288\nDefaultLimitMEMLOCK=8388608\n", {"memlock": 8388608, "nofile": 524288}),
    ],
)
def test_limits_of_services(shown: str, limits: dict[str, Any]) -> None:
    assert parse_limits(shown) == limits


@pytest.mark.parametrize(
    "shown", ["", "DefaultLimitMEMLOCK=infinity\n", "DefaultLimitMEMLOCK=\nDefaultLimitNOFILE=1\n"]
)
def test_limits_that_are_not_told(shown: str) -> None:
    with pytest.raises(SourceError, match="names no DefaultLimit"):
        parse_limits(shown)


def test_a_listing_that_is_none_is_not_taken_for_no_failures() -> None:
    assert parse_failed("") == []
    with pytest.raises(SourceError, match="not a line"):
        parse_failed("something else entirely happened here")


@given(st.text(max_size=200))
def test_any_listing_is_read_or_refused(printed: str) -> None:
    try:
        names = parse_failed(printed)
    except SourceError:
        return
    assert bool(names) is bool(printed.replace("\u25cf", " ").strip())


def test_fabric_manager_version(tmp_path: Path) -> None:
    program = tool(tmp_path, "echo 'Fabric Manager version is : 570.172.08'")
    assert read_fabric_manager(program) == {"version": "570.172.08"}
    with pytest.raises(SourceError, match="names no version"):
        read_fabric_manager(tool(tmp_path, "echo fine"))


def test_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock.time, "time", lambda: 1700000100.1)
    read = read_clock(tool(tmp_path, f"echo '{TRACKING}'"))
    assert (read["synchronised"], read["offset_seconds"], read["stratum"]) == (True, -0.000012, 3)
    assert (read["reference_age_seconds"], read["root_dispersion_seconds"]) == (100.0, 0.001)
    with pytest.raises(SourceError, match="506 Cannot talk to daemon"):
        read_clock(tool(tmp_path, "echo '506 Cannot talk to daemon'; exit 1"))


@pytest.mark.parametrize(
    "printed",
    [
        "00000000,,0,0.0,0.000000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised",
        TRACKING.replace("0A000001", "00000000"),
        # `local stratum 10`: its own clock, which it calls 127.127.1.1 as ntpd does.
        "7F7F0101,,10,1700000000.1,0.000000000,0.000034,0.00005,1.2,0.0,0.1,0.000000000,0.000000000,64.2,Normal",
        TRACKING.replace("Normal", "Not synchronised"),
    ],
)
def test_a_clock_without_source(printed: str) -> None:
    assert parse_tracking(printed)["synchronised"] is False


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "a,b",
        TRACKING.replace("-0.000012", "nan"),
        TRACKING.replace(",3,", ",x,"),
        TRACKING.replace("1700000000.1", "inf"),
    ],
)
def test_tracking_that_is_none(printed: str) -> None:
    with pytest.raises(SourceError):
        parse_tracking(printed)


# --- Docker


class Daemon(http.server.BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, bytes]] = {}  # noqa: RUF012 - set by the fixture

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


INFO = json.dumps(
    {
        "ID": "7TRN:IPZB:QYBB:VPBQ:UMPP:KARE:6ZNR:XE6T:7EWV:PKF4:ZOJD:TPYS",
        "Containers": 3,
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "xfs"], ["Supports d_type", "true"]],
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "DockerRootDir": "/var/lib/docker",
        "Runtimes": {
            "runc": {"path": "runc"},
            "io.containerd.runc.v2": {"path": "runc"},
            "nvidia": {"path": "nvidia-container-runtime"},
        },
    }
).encode()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "docker.sock")
    Daemon.answers = {
        "/_ping": (200, b"OK"),
        "/version": (200, b'{"Version": "20.10.24", "ApiVersion": "1.41"}'),
        "/info": (200, INFO),
    }
    with socketserver.ThreadingUnixStreamServer(path, Daemon) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def active() -> dict[str, str]:
    return {"load": "loaded", "active": "active", "sub": "running", "result": "success"}


def test_docker_answers(daemon: str) -> None:
    assert read_docker(daemon, active) == {
        "answers": True,
        "reason": "",
        "version": "20.10.24",
        "api_version": "1.41",
        "info": {
            "storage_driver": "overlay2",
            "cgroup_version": "2",
            "data_root": "/var/lib/docker",
            "runtimes": ["io.containerd.runc.v2", "nvidia", "runc"],
        },
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"<html>", b"[" * 100_000])
def test_a_docker_that_tells_nothing_of_itself_still_answers(daemon: str, body: bytes) -> None:
    Daemon.answers = {**Daemon.answers, "/info": (200, body)}
    read = read_docker(daemon, active)
    assert (read["answers"], "not an answer" in read["info"]["error"]) == (True, True)


def test_what_docker_does_not_tell_is_not_known(daemon: str) -> None:
    Daemon.answers = {**Daemon.answers, "/info": (200, b'{"Driver": "", "CgroupVersion": 2, "DockerRootDir": "/d"}')}
    info = read_docker(daemon, active)["info"]
    assert info["data_root"] == "/d"
    assert all("names no" in info[key]["error"] for key in ("storage_driver", "cgroup_version", "runtimes"))


def test_docker_without_systemd_is_asked_at_its_socket(daemon: str) -> None:
    def unknown() -> dict[str, str]:
        raise SourceMissing("no such command: systemctl")

    assert read_docker(daemon, unknown)["answers"] is True


def test_a_stopped_docker_is_not_started_by_asking(daemon: str) -> None:
    Daemon.answers = {}  # a connection would fail the test by a KeyError's empty answer
    stopped = {"load": "loaded", "active": "inactive", "sub": "dead", "result": "success"}
    read = read_docker(daemon, lambda: stopped)
    assert read == {"answers": False, "reason": "docker.service is inactive (dead, result success)"}
    absent = {"load": "not-found", "active": "inactive", "sub": "dead", "result": "success"}
    assert read_docker(daemon, lambda: absent)["reason"] == "docker.service is not installed"


def test_nobody_at_the_socket(tmp_path: Path) -> None:
    assert "no socket" in read_docker(str(tmp_path / "none"), active)["reason"]
    path = str(tmp_path / "dead.sock")
    with socketserver.ThreadingUnixStreamServer(path, Daemon):
        pass  # bound and left: the file stays, nobody listens
    assert "nobody listens" in read_docker(path, active)["reason"]


@pytest.mark.parametrize(
    ("url", "answer", "says"),
    [
        ("/_ping", (500, b"broken"), "/_ping answered 500"),
        ("/version", (200, b"<html>"), "not an answer of Docker"),
        ("/version", (200, b"[]"), "names no Version"),
        ("/version", (200, b'{"Version": 5}'), "names no Version"),
    ],
)
def test_answers_that_are_none(daemon: str, url: str, answer: tuple[int, bytes], says: str) -> None:
    Daemon.answers = {**Daemon.answers, url: answer}
    with pytest.raises(SourceError, match=says):
        read_docker(daemon, active)


def test_a_daemon_that_is_not_well(daemon: str) -> None:
    Daemon.answers = {**Daemon.answers, "/_ping": (200, b"starting")}
    assert read_docker(daemon, active)["answers"] is False


def test_a_daemon_that_accepts_and_never_answers(tmp_path: Path) -> None:
    path = str(tmp_path / "mute.sock")
    with socketserver.UnixStreamServer(path, Daemon), pytest.raises(TimeoutError):
        docker.read_docker(path, active, timeout=0.1)
