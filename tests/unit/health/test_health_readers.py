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
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import clock, docker, storage
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.clock import parse_tracking, read_clock
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.docker import read_docker
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.fabric_manager import read_fabric_manager
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.host import read_host
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.infiniband import read_infiniband
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.pci import read_pci
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.storage import read_storage
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.systemd import (
    parse_failed,
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
    read = read_systemd(tool(tmp_path, script))
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


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "docker.sock")
    Daemon.answers = {
        "/_ping": (200, b"OK"),
        "/version": (200, b'{"Version": "20.10.24", "ApiVersion": "1.41"}'),
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
    expected = {"answers": True, "reason": "", "version": "20.10.24", "api_version": "1.41"}
    assert read_docker(daemon, active) == expected


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
