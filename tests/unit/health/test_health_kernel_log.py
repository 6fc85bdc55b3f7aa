# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel log's reader: the device's ways, the driver's lines, and anything else that may come."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import kernel_log
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.kernel_log import (
    MAX_EVENTS,
    MAX_LINE,
    read_kernel_log,
    split_lines,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.runner import run_readers
from hypothesis import given
from hypothesis import strategies as st

XID_79 = b"NVRM: Xid (PCI:0000:5d:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def record(message: bytes, sequence: int = 1, microseconds: int = 1_000_000) -> bytes:
    return b"3,%d,%d,-;%s\n" % (sequence, microseconds, message)


def read(tmp_path: Path, content: bytes) -> dict[str, Any]:
    path = tmp_path / "kmsg"
    path.write_bytes(content)
    return read_kernel_log(str(path))


class Device:
    """/dev/kmsg as the kernel has it: a record for each read, errors in between, EAGAIN at the end."""

    def __init__(self, *records: bytes | int) -> None:
        self.opened = 0
        self._records = records
        self._rest: Iterator[bytes | int] = iter(())

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_open, real_close, real_read = os.open, os.close, os.read

        def fake_open(path: Any, flags: int, *arguments: Any) -> int:
            if path != "/dev/kmsg":
                return real_open(path, flags, *arguments)
            assert flags & os.O_NONBLOCK
            self.opened += 1
            self._rest = iter(self._records)
            return -77

        def fake_read(handle: int, size: int) -> bytes:
            if handle != -77:
                return real_read(handle, size)
            assert size >= 8192  # less, and the kernel answers EINVAL
            item = next(self._rest, errno.EAGAIN)
            if isinstance(item, int):
                raise OSError(item, os.strerror(item))
            return item

        monkeypatch.setattr(os, "open", fake_open)
        monkeypatch.setattr(os, "read", fake_read)
        monkeypatch.setattr(os, "close", lambda handle: None if handle == -77 else real_close(handle))


def test_the_device_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(record(b"Linux version 6.1", 7), record(XID_79, 8, 5_000_000), record(b"more", 9))
    device.install(monkeypatch)
    result = read_kernel_log()
    assert result["lines"] == 3
    assert result["first_sequence"] == 7
    assert result["truncated"] == ""
    assert [(x["code"], x["device"], x["first_us"]) for x in result["xids"]] == [(79, "0000:5d:00.0", 5_000_000)]


def test_records_overwritten_while_reading_are_owned_up_to(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(record(b"a"), errno.EPIPE, record(XID_79))
    device.install(monkeypatch)
    result = read_kernel_log()
    assert device.opened == kernel_log.ATTEMPTS
    assert "overwritten" in result["truncated"]
    assert [x["code"] for x in result["xids"]] == [79], "what comes behind the gap still counts, and once"
    assert result["xids"][0]["count"] == 1


def test_an_interrupted_read_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(errno.EINTR, record(XID_79)).install(monkeypatch)
    assert [x["code"] for x in read_kernel_log()["xids"]] == [79]


def test_a_log_that_never_ends_is_left_at_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(kernel_log.time, "monotonic", lambda: float(next(ticks)))
    Device(*[record(XID_79)] * 5000).install(monkeypatch)
    result = read_kernel_log(budget=100.0)
    assert 50 < result["xids"][0]["count"] <= 101
    assert "faster than it can be read" in result["truncated"]


def test_a_device_error_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(record(b"a"), errno.EIO).install(monkeypatch)
    with pytest.raises(OSError, match="Input/output error"):
        read_kernel_log()


def test_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_kernel_log(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("line", "code", "device"),
    [
        (XID_79, 79, "0000:5d:00.0"),
        (b"NVRM: Xid (PCI:0000:5D:00): 31, pid=1, name=python3, Ch 0000000b", 31, "0000:5d:00.0"),
        (b"NVRM: Xid (0000:03:00): 14, Channel 00000001", 14, "0000:03:00.0"),
        (b"NVRM: Xid (PCI:0000:81:00 GPU-I:02): 13, pid=3", 13, "0000:81:00.0"),
        (b"NVRM: Xid (PCI:00000001:00:00.0): 94, Contained", 94, "0001:00:00.0"),
    ],
)
def test_forms_of_the_xid_line(tmp_path: Path, line: bytes, code: int, device: str) -> None:
    found = read(tmp_path, record(line))
    assert [(x["code"], x["device"]) for x in found["xids"]] == [(code, device)]
    assert found["off_bus"] == []


def test_an_sxid_is_counted_once_for_its_three_lines(tmp_path: Path) -> None:
    lines = [
        b"nvidia-nvswitch3: SXid (PCI:0000:08:00.0): 22013, Non-fatal, Link 60 Minion Link DLREQ interrupt",
        b"nvidia-nvswitch3: SXid (PCI:0000:08:00.0): 22013, Severity 0 Engine instance 60 Sub-engine instance 00",
        b"nvidia-nvswitch3: SXid (PCI:0000:08:00.0): 22013, Data {0x0000003c, 0x00000000}",
        b"nvidia-nvswitch0: SXid (PCI:0000:c3:00.0): 24007, Fatal, Link 28 sourcetrack timeout error (First)",
        b"nvidia-nvswitch0: SXid (PCI:0000:c3:00.0): 24007, Fatal, Link 29 sourcetrack timeout error (First)",
    ]
    found = read(tmp_path, b"".join(record(line, number) for number, line in enumerate(lines)))
    told = [(each["switch"], each["code"], each["device"], each["fatal"], each["count"]) for each in found["sxids"]]
    assert told == [(3, 22013, "0000:08:00.0", False, 1), (0, 24007, "0000:c3:00.0", True, 2)]
    assert found["sxids"][1]["text"].endswith("Link 29 sourcetrack timeout error (First)")
    assert (found["xids"], found["off_bus"]) == ([], [])


@pytest.mark.parametrize(
    "lines",
    [
        [b"NVRM: GPU 0000:5d:00.0: GPU has fallen off the bus."],
        [b"NVRM: GPU at PCI:0000:5d:00: GPU-1234", b"NVRM: GPU has fallen off the bus."],
        # newer drivers, several lines without an Xid
        [
            b"NVRM: The NVIDIA GPU 0000:5d:00.0",
            b"NVRM: (PCI ID: 10de:2330) installed in this system has",
            b"NVRM: fallen off the bus and is not responding to commands.",
        ],
        [rb"NVRM: The NVIDIA GPU 0000:5d:00.0\x0aNVRM: installed in this system has\x0aNVRM: fallen off the bus"],
        [b"NVRM: The NVIDIA GPU 0000:5d:00.0", b"usb 1-1: new device", b"NVRM: has fallen off the bus"],
    ],
)
def test_fallen_off_the_bus_without_an_xid(tmp_path: Path, lines: list[bytes]) -> None:
    found = read(tmp_path, b"".join(record(line, number) for number, line in enumerate(lines)))
    assert [(event["device"], event["count"]) for event in found["off_bus"]] == [("0000:5d:00.0", 1)]
    assert found["xids"] == []


def test_an_address_named_long_before_is_not_blamed(tmp_path: Path) -> None:
    lines = [b"NVRM: GPU at PCI:0000:5d:00: GPU-1", *[b"NVRM: loading"] * 5, b"NVRM: GPU has fallen off the bus."]
    found = read(tmp_path, b"".join(record(line) for line in lines))
    assert [event["device"] for event in found["off_bus"]] == [""]


@pytest.mark.parametrize(
    "line",
    [b"Xid (PCI:0000:5d:00): 79", b"NVRM: loading NVIDIA UNIX driver", b"a bird has fallen off the bus"],
)
def test_lines_of_others_are_none_of_ours(tmp_path: Path, line: bytes) -> None:
    found = read(tmp_path, record(line))
    assert (found["xids"], found["off_bus"], found["lines"]) == ([], [], 1)


def test_a_burst_is_one_event_with_its_first_and_last_time(tmp_path: Path) -> None:
    lines = [record(XID_79.replace(b"79", b"95"), number, 1000 * number) for number in range(1, 101)]
    (event,) = read(tmp_path, b"".join(lines))["xids"]
    assert (event["count"], event["first_us"], event["last_us"]) == (100, 1000, 100_000)


def test_a_harmless_line_does_not_hide_the_fatal_one_before_it(tmp_path: Path) -> None:
    line = b"NVRM: Xid (PCI:0001:00:00): 145, RLW_REMAP %s XC1 i0 Link 10 (0x00000082 0x00000040)"
    told = [line % severity for severity in (b"Fatal", b"Nonfatal", b"Non-fatal")]
    found = read(tmp_path, b"".join(record(each, number, number) for number, each in enumerate(told)))
    assert [(x["code"], x["count"], x["text"].split()[5]) for x in found["xids"]] == [
        (145, 1, "Fatal"),
        (145, 2, "Non-fatal"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"NVRM: loading NVIDIA UNIX x86_64 Kernel Module  570.172.08  Wed Jul  9 12:00:00 UTC 2025",
        b"NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  570.172.08  Release Build  (root@node01)",
    ],
)
def test_when_the_driver_was_loaded_last(tmp_path: Path, line: bytes) -> None:
    others = b"nvidia-modeset: Loading NVIDIA Kernel Mode Setting Driver for UNIX platforms  570.172.08"
    told = [line, XID_79, line, others]
    content = b"".join(record(each, number, 1_000_000 * number) for number, each in enumerate(told, start=1))
    assert read(tmp_path, content)["driver_loaded_us"] == 3_000_000
    assert read(tmp_path, record(XID_79))["driver_loaded_us"] is None
    assert read(tmp_path, line)["driver_loaded_us"] is None, "the log has no times"


def test_plain_text_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    content = b"\xff\xfe\x00 \x80\n" + b"Aug 17 00:00:01 host kernel: [ 1.0] " + XID_79 + b" \xff\n"
    found = read(tmp_path, content)
    assert [(x["code"], x["first_us"]) for x in found["xids"]] == [(79, None)]


def test_annotations_and_a_last_line_without_end(tmp_path: Path) -> None:
    found = read(
        tmp_path, record(b"mlx5_core 0000:1a:00.0: up") + b" SUBSYSTEM=pci\n DEVICE=+pci:0000:1a:00.0\n" + XID_79
    )
    assert [x["code"] for x in found["xids"]] == [79]


def test_a_line_without_end_mutes_nothing_after_it(tmp_path: Path) -> None:
    found = read(tmp_path, b"6,1,1,-;" + b"x" * (5 * MAX_LINE) + b"\n" + record(XID_79))
    assert [x["code"] for x in found["xids"]] == [79]


def test_more_kinds_of_events_than_are_kept_are_reported(tmp_path: Path) -> None:
    lines = (record(b"NVRM: Xid (PCI:0000:5d:00): %d, x" % code) for code in range(MAX_EVENTS + 5))
    found = read(tmp_path, b"".join(lines))
    assert len(found["xids"]) == MAX_EVENTS
    assert found["truncated"]


def test_800_000_repeated_lines_take_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    block = b"".join(record(XID_79.replace(b"79", b"95"), number, number) for number in range(8000))
    with path.open("wb") as stream:
        for _ in range(100):
            stream.write(block)

    def read_and_weigh() -> tuple[dict[str, Any], int]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = read_kernel_log(str(path), budget=300.0, templates=True)
        return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    # In a process of its own: the peak of this one may already be higher than any log could make it.
    found, grown_kib = run_readers({"log": read_and_weigh}, 300.0)["log"]["data"]
    assert found["xids"][0]["count"] == 800_000
    assert found["lines"] == 800_000
    assert [(name, count) for name, (count, _at, _line, _start) in found["templates"].items()] == [
        ("NVRM: Xid (PCI:*): 95, pid='<unknown>', name=*, GPU has fallen off the bus.", 800_000)
    ]
    assert grown_kib < 16 * 1024 < path.stat().st_size / 1024


def test_recorded_logs_are_read(recorded: Path) -> None:
    logs = sorted((recorded / "nvidia_smi").glob("*syslog"))
    assert logs
    for log in logs:
        found = read_kernel_log(str(log))
        assert found["lines"] > 0
        assert (found["xids"], found["truncated"]) == ([], "")


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_lines_do_not_depend_on_how_they_were_cut(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = whole.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert list(split_lines(iter(chunks))) == expected


_DRIVER_LIKE = st.builds(
    lambda before, device, code, after: before + b"NVRM: Xid (PCI:" + device + b"): " + code + after,
    st.binary(max_size=30),
    st.from_regex(rb"[0-9a-fA-F:.]{0,20}", fullmatch=True),
    st.from_regex(rb"[0-9]{0,8}", fullmatch=True),
    st.binary(max_size=30),
)


@given(st.lists(st.one_of(st.binary(max_size=100), _DRIVER_LIKE, st.just(b"NVRM: fallen off the bus"))))
def test_anything_is_read_without_an_exception(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "any-kmsg"
    path.write_bytes(b"\n".join(lines))
    found = read_kernel_log(str(path))
    assert all(isinstance(event["code"], int) and event["count"] >= 1 for event in found["xids"])


@given(
    st.lists(st.binary(max_size=60).filter(lambda line: b"NVRM" not in line and b"\n" not in line)),
    st.integers(0, 50),
)
def test_noise_never_hides_an_xid(tmp_path_factory: pytest.TempPathFactory, noise: list[bytes], at: int) -> None:
    path = tmp_path_factory.getbasetemp() / "noisy-kmsg"
    lines = [*noise[:at], record(XID_79).rstrip(b"\n"), *noise[at:]]
    path.write_bytes(b"\n".join(lines))
    assert [event["code"] for event in read_kernel_log(str(path))["xids"]] == [79]
