# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules storage_plan and nvme_baseline, run as Ansible runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import nvme
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.block_devices import read_left
from ansible_collections.firstlight.cluster.plugins.modules import nvme_baseline, storage_plan
from made_up_host import FSTAB, NOTE, VOLUME, Host

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    def run(module: ModuleType, check: bool = False, **args: Any) -> dict[str, Any]:
        with patch_module_args({**args, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return run


@pytest.fixture
def on_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(storage_plan, "read_block_devices", lambda points: host.read(*points))
    return host


def test_steps_and_why(call: Call, on_host: Host) -> None:
    found = call(storage_plan, volumes=[VOLUME], docker_data_root="/scratch/docker")
    assert [step["kind"] for step in found["steps"]] == ["array", "filesystem", "mount"]
    assert found["why"] == [step["text"] for step in found["steps"]]
    assert (found["changed"], found["units"], found["fstab"]) == (False, {"docker.service": ["/scratch"]}, [])


def test_units_that_depended_on_a_mount_once(call: Call, on_host: Host) -> None:
    for unit in ("docker.service", "slurmd.service"):
        on_host.write(f"etc/systemd/system/{unit}.d/50-firstlight-storage.conf", "")
    on_host.write("etc/systemd/system/other.service.d/of-others.conf", "")
    found = call(storage_plan, volumes=[VOLUME], docker_data_root="/scratch")
    assert (found["units"], found["former_units"]) == ({"docker.service": ["/scratch"]}, ["slurmd.service"])


def test_without_volumes_no_disk_is_read_and_what_is_left_of_former_ones_is_told(
    call: Call, on_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_host.whole()
    on_host.read()
    monkeypatch.setattr(storage_plan, "read_block_devices", None)
    monkeypatch.setattr(storage_plan, "read_left", lambda: read_left(on_host.root))
    found = call(storage_plan, volumes=[])
    assert (found["steps"], found["former_units"], found["noted"]) == ([], [], False)
    on_host.write(NOTE, FSTAB)
    on_host.write("etc/systemd/system/docker.service.d/50-firstlight-storage.conf", "")
    found = call(storage_plan, volumes=[])
    assert [step["kind"] for step in found["steps"]] == ["former_mount"]
    assert (found["former_units"], found["noted"], found["fstab"]) == (["docker.service"], True, [])


def test_what_is_in_the_way_fails(call: Call, on_host: Host) -> None:
    on_host.mark(on_host.devices[1], "ext4")
    found = call(storage_plan, volumes=[VOLUME])
    assert found["failed"] and found["msg"] == "\n".join(found["refusals"])
    assert "serial S1) holds ext4" in found["msg"]
    assert not call(storage_plan, volumes=[VOLUME], erase_serials=["S1"]).get("failed")


def test_the_system_s_disk_is_known_by_the_class(call: Call, on_host: Host) -> None:
    found = call(storage_plan, volumes=[VOLUME], os_disk={"serial": "S2"})
    assert found["failed"] and "serial S2) is the system's: it is as hardware.os_disk describes it" in found["msg"]
    # An empty description is none, and not one that every disk fits.
    assert not call(storage_plan, volumes=[VOLUME], os_disk={}).get("failed")


def test_volumes_that_cannot_be_are_told_before_disks_are_read(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_plan, "read_block_devices", None)
    found = call(storage_plan, volumes=[{**VOLUME, "layout": "single"}])
    assert found["failed"] and "volume scratch: disks are 2, but single takes one disk" in found["msg"]


def test_disks_that_cannot_be_read(call: Call, on_host: Host) -> None:
    on_host.devices.append({})
    found = call(storage_plan, volumes=[VOLUME])
    assert found["failed"] and "the disks cannot be read: lsblk cannot be understood" in found["msg"]


def test_a_disk_that_hangs_is_not_waited_for(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_plan, "read_block_devices", lambda points: os.read(os.pipe()[0], 1))
    found = call(storage_plan, volumes=[VOLUME], deadline=0.2)
    assert found["failed"] and "the disks cannot be read: " in found["msg"]


def test_the_role_takes_what_the_module_takes() -> None:
    """But for the defaults, which are the module's."""
    root = Path(storage_plan.__file__).resolve().parents[2]
    spec = yaml.safe_load((root / "roles/storage/meta/argument_specs.yml").read_text())["argument_specs"]["main"]

    def plain(options: dict[str, Any]) -> dict[str, Any]:
        kept = ("type", "elements", "choices", "required")
        return {
            name: {key: option[key] for key in kept if key in option} | {"options": plain(option.get("options", {}))}
            for name, option in options.items()
        }

    assert plain(spec["options"]["storage_volumes"]["options"]) == plain(storage_plan._VOLUME)


SMART = {"critical_warning": 0, "percent_used": 1, "media_errors": 0, "data_units_written": 12345}


@pytest.fixture
def controllers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """NVMe disks by their serial numbers, and `nvme` as it answers for them."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(nvme_baseline, "read_controllers", lambda _: nvme.read_controllers(tmp_path / "sys"))

    def put(*serials: str, broken: str = "none", transport: str = "pcie") -> None:
        for number, serial in enumerate(serials):
            folder = tmp_path / f"sys/class/nvme/nvme{number}"
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in {
                "serial": serial,
                "model": "PM1743 ",
                "firmware_rev": "1.0",
                "transport": transport,
            }.items():
                (folder / name).write_text(f"{text}\n")
        tool = tmp_path / "bin/nvme"
        tool.write_text(
            "#!/bin/sh\n"
            f'test "$1 $3" = "smart-log --output-format=json" || exit 9\n'
            f"case $2 in *{broken}) echo 'failed to open' >&2; exit 1;; esac\n"
            f"echo '{json.dumps(SMART)}'\n"
        )
        tool.chmod(0o755)

    return put


def records(directory: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in sorted(directory.glob("*"))}


def test_a_record_for_each_disk_once(call: Call, controllers: Callable[..., None], tmp_path: Path) -> None:
    controllers("S1", "S2/a b")
    place = tmp_path / "records"
    tried = call(nvme_baseline, check=True, directory=str(place))
    assert tried["changed"] and tried["recorded"] == ["S1", "S2/a b"] and not place.exists()

    first = call(nvme_baseline, directory=str(place))

    assert first["changed"] and first["recorded"] == ["S1", "S2/a b"]
    assert (first["diff"]["before"], first["diff"]["after"]) == ("", "S1\nS2/a b\n")
    kept = records(place)
    assert [*kept] == ["S1.json", "S2%2Fa%20b.json"]
    assert kept["S1.json"]["smart_log"] == SMART and kept["S1.json"]["model"] == "PM1743"
    second = call(nvme_baseline, directory=str(place))
    assert (second["changed"], second["known"], records(place)) == (False, ["S1", "S2/a b"], kept)


def test_an_exchanged_disk_gets_its_own(call: Call, controllers: Callable[..., None], tmp_path: Path) -> None:
    place = tmp_path / "records"
    controllers("S1", "S2")
    call(nvme_baseline, directory=str(place))
    controllers("S1", "S9")
    assert call(nvme_baseline, directory=str(place))["recorded"] == ["S9"]
    assert [*records(place)] == ["S1.json", "S2.json", "S9.json"]


@pytest.mark.parametrize(
    "half", ["", "{", "[]", '{"schema": 1, "serial": "S1"}', '{"schema": 1, "serial": "S2", "smart_log": {}}']
)
def test_half_a_record_is_none(call: Call, controllers: Callable[..., None], tmp_path: Path, half: str) -> None:
    controllers("S1")
    (tmp_path / "S1.json").write_text(half)
    assert call(nvme_baseline, directory=str(tmp_path))["recorded"] == ["S1"]
    assert call(nvme_baseline, directory=str(tmp_path))["known"] == ["S1"]


def test_a_disk_that_does_not_answer_costs_only_its_own_record(
    call: Call, controllers: Callable[..., None], tmp_path: Path
) -> None:
    controllers("S1", "S2", broken="nvme1")
    found = call(nvme_baseline, directory=str(tmp_path / "records"))
    assert found["failed"] and found["recorded"] == ["S1"]
    assert "nvme1 (serial S2): " in found["msg"] and "failed to open" in found["msg"]


def test_disks_of_a_network_are_not_the_hosts(call: Call, controllers: Callable[..., None], tmp_path: Path) -> None:
    controllers("S1", transport="rdma")
    assert call(nvme_baseline, directory=str(tmp_path / "records"))["recorded"] == []


def test_the_name_of_a_record_is_no_path() -> None:
    assert nvme.file_name("../../etc/passwd") == "%2E.%2F..%2Fetc%2Fpasswd.json"
