# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a restart is due, and what a host has less of after one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.reboot import parts, reasons
from ansible_collections.firstlight.cluster.plugins.modules import reboot_info

PAGES = {"size_kb": 2048, "count": 512, "node": None}
RUNNING = reasons.Running("1-2", "6.1.0-37-amd64", "root=/dev/sda1 ro iommu=pt")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, []),
        ({"kernel": "6.1.0-37-amd64", "command_line": ["iommu=pt"]}, []),
        ({"kernel": "6.1.0-38-amd64"}, ["kernel 6.1.0-37-amd64 runs, 6.1.0-38-amd64 is pinned"]),
        (
            {"command_line": ["iommu=pt", "mmu=pt", "pci=realloc"]},
            ["the kernel was started without mmu=pt pci=realloc"],
        ),
        ({"hugepages": [PAGES]}, ["0 of 512 huge pages of 2048 kB are there"]),
    ],
)
def test_reasons(wanted: dict[str, Any], expected: list[str]) -> None:
    assert reasons.why(RUNNING, **wanted) == expected


def test_more_huge_pages_than_asked_for_are_no_reason() -> None:
    path = reasons.hugepages_path(2048, 1)
    assert path == "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
    running = reasons.Running("1-2", "k", "", hugepages={path: 600, reasons.hugepages_path(2048): 100})
    assert reasons.why(running, hugepages=[{**PAGES, "node": 1}]) == []
    assert reasons.why(running, hugepages=[PAGES]) == ["100 of 512 huge pages of 2048 kB are there"]
    on_node = [{**PAGES, "node": 1, "count": 700}]
    assert reasons.why(running, hugepages=on_node) == ["600 of 700 huge pages of 2048 kB are there on NUMA node 1"]


def test_who_asks_is_a_reason_and_the_distribution_is_none() -> None:
    running = reasons.Running("1", "k", "", requests={"doca_ofed": "new modules", "x": ""}, packages=["libc6"])
    assert reasons.why(running) == ["doca_ofed: new modules", "x: it did not say why"]


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def machine(root: Path, gpus: int = 2, memory_kib: int = 2**31) -> Path:
    write(root, "proc/sys/kernel/random/boot_id", "1-2\n")
    write(root, "proc/sys/kernel/osrelease", "6.1.0-37-amd64\n")
    write(root, "proc/cmdline", "ro iommu=pt\n")
    write(root, "proc/meminfo", f"MemTotal:       {memory_kib} kB\nMemFree: 1 kB\n")
    write(root, "sys/devices/system/cpu/present", "0-3,8,10-11\n")
    write(root, "sys/devices/system/cpu/online", "0-1\n")
    devices = {f"0000:{number}8:00.0": ("0x030200", "0x10de", "0x2330") for number in range(gpus)}
    devices["0000:a0:00.0"] = ("0x020700", "0x15b3", "0x1021")
    devices["0000:a0:00.1"] = ("0x020700", "0x15b3", "0x101e")
    devices["0000:b0:00.0"] = ("0x068000", "0x10de", "0x22a3")
    devices["0000:b1:00.0"] = ("0x068000", "0x8086", "0x0001")
    for address, (code, vendor, device) in devices.items():
        for name, text in {"class": code, "vendor": vendor, "device": device}.items():
            write(root, f"sys/bus/pci/devices/{address}/{name}", f"{text}\n")
    write(root, "sys/bus/pci/devices/0000:a0:00.1/physfn/vendor", "0x15b3\n")
    write(root, "sys/block/nvme0n1/device/model", "x\n")
    write(root, "sys/block/nvme0n1/removable", "0\n")
    write(root, "sys/block/sr0/device/model", "Virtual CDROM0\n")
    write(root, "sys/block/sr0/removable", "1\n")
    write(root, "sys/block/loop0/size", "0\n")
    return root


def test_what_a_host_runs_with(tmp_path: Path) -> None:
    root = machine(tmp_path)
    write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n")
    write(root, "run/firstlight/reboot/gpu_driver", "the new module\nis loaded then\n")
    write(root, "run/reboot-required.pkgs", "libc6\nlinux-base\nlibc6\n")
    running = reasons.read([PAGES, {**PAGES, "size_kb": 1048576}], "/run/firstlight/reboot", str(root))
    assert running == reasons.Running(
        "1-2",
        "6.1.0-37-amd64",
        "ro iommu=pt",
        {reasons.hugepages_path(2048): 512},
        {"gpu_driver": "the new module is loaded then"},
        ["libc6", "linux-base"],
    )
    assert reasons.read([], "/run/none", str(root)).requests == {}


def test_parts_of_a_host(tmp_path: Path) -> None:
    found = parts.read(str(machine(tmp_path)))
    assert found == {
        "devices": {
            "0000:08:00.0": "GPU or display 10de:2330",
            "0000:18:00.0": "GPU or display 10de:2330",
            "0000:a0:00.0": "network adapter 15b3:1021",
            "0000:b0:00.0": "bridge (NVSwitch) 10de:22a3",
        },
        "memory_kib": 2**31,
        "processors": 7,
        "disks": 1,
    }
    nothing = parts.read(str(tmp_path / "none"))
    assert nothing == {"devices": {}, "memory_kib": 0, "processors": 0, "disks": 0}
    assert parts.worse(nothing, found) == []


def test_what_came_back_worse_is_named(tmp_path: Path) -> None:
    before = parts.read(str(machine(tmp_path / "before")))
    after = parts.read(str(machine(tmp_path / "after", gpus=1, memory_kib=2**31 * 15 // 16)))
    assert parts.worse(before, before) == []
    assert parts.worse(before, after) == [
        "1 of 2 are left of GPU or display 10de:2330, gone: 0000:18:00.0",
        "1920 of 2048 GiB of memory are left",
    ]
    fewer = {**before, "processors": 6, "disks": 0, "memory_kib": 2**31 - 2**20}
    assert parts.worse(before, fewer) == ["6 of 7 processors are left", "0 of 1 disks are left"]


def test_parts_that_only_moved_are_not_lost() -> None:
    before = {"devices": {"0000:18:00.0": "GPU"}, "memory_kib": 1, "processors": 1, "disks": 1}
    assert parts.worse(before, {**before, "devices": {"0000:19:00.0": "GPU"}}) == []


def run(capfd: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        reboot_info.main()
    told: dict[str, Any] = json.loads(capfd.readouterr().out)
    return told


def test_a_restart_in_vain_is_known_until_something_has_changed(tmp_path: Path) -> None:
    wanted = {"kernel": "6.1.0-38-amd64", "command_line": ["iommu=pt"], "hugepages": [PAGES]}
    mark = "run/firstlight/restarted_in_vain"
    assert not reasons.in_vain(wanted, f"/{mark}", str(tmp_path))
    write(tmp_path, "boot/grub/grub.cfg", "menu")
    write(tmp_path, mark, json.dumps(wanted))
    os.utime(tmp_path / "boot/grub/grub.cfg", (1, 1))
    assert reasons.in_vain(wanted, f"/{mark}", str(tmp_path))
    assert not reasons.in_vain(wanted, "", str(tmp_path))
    assert not reasons.in_vain({**wanted, "hugepages": []}, f"/{mark}", str(tmp_path))
    os.utime(tmp_path / mark, (0, 0))
    assert not reasons.in_vain(wanted, f"/{mark}", str(tmp_path))
    write(tmp_path, mark, "{")
    assert not reasons.in_vain(wanted, f"/{mark}", str(tmp_path))


def test_the_module_compares_with_before(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = run(capfd, requests=str(tmp_path / "none"))
    assert (first["reasons"], first["worse"], first["changed"]) == ([], [], False)
    write(tmp_path / "vain", "mark", json.dumps(first["wanted"]))
    assert run(capfd, requests=str(tmp_path / "none"), vain_mark=str(tmp_path / "vain/mark"))["in_vain"]
    more = {**first["parts"], "processors": 4096}
    second = run(capfd, kernel="9.9", requests=str(tmp_path / "none"), before=more)
    assert second["reasons"] == [f"kernel {second['kernel']} runs, 9.9 is pinned"]
    assert second["worse"] == [f"{first['parts']['processors']} of 4096 processors are left"]
    assert "before: has no devices" in run(capfd, before={})["msg"]
