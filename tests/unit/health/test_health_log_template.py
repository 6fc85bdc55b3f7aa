# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of kernel lines: what varies is masked, codes stay; and all of a log, bounded in work and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import log_template
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.kernel_log import read_kernel_log
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.log_template import (
    MAX_EXAMPLE,
    MAX_LINE,
    MAX_MASKED,
    MAX_MASKED_OF_SOURCE,
    MAX_MEMO,
    MAX_OF_SOURCE,
    MAX_SOURCES,
    MAX_TEMPLATE,
    MAX_TEMPLATES,
    START_SECONDS,
    Templates,
    template_of,
)
from hypothesis import given
from hypothesis import strategies as st

XID = b"NVRM: Xid (PCI:0000:%02x:00): %d, pid=%d, name=python3, Ch 00000010"


@pytest.mark.parametrize(
    ("line", "template"),
    [
        (b"usb 1-1.2: new device", "usb *: new device"),
        (b"pid_max: default: 32768", "pid_max: default: *"),
        (b"mlx5_core 0000:5d:00.0: firmware version: 28.39.1002", "mlx*_core *: firmware version: *"),
        (b"pci 0000:ab:00.0: BAR 0 [mem 0xd0000000-0xdfffffff]", "pci *: BAR * [mem *]"),
        (b"NVRM: Xid (PCI:0000:5d:00): 79, pid=12, name=python3", "NVRM: Xid (PCI:*): 79, pid=*, name=*"),
        (b"NVRM: Xid (PCI:0000:5d:00): 13, pid=12, name=python3", "NVRM: Xid (PCI:*): 13, pid=*, name=*"),
        (b"nvidia-nvswitch3: SXid (PCI:0000:08:00.0): 22013, Data", "nvidia-nvswitch*: SXid (PCI:*): 22013, Data"),
        (b"foo 0000:01:00.0: probe failed with error -110", "foo *: probe failed with error -110"),
        (b"foo: offset -123456 of 7", "foo: offset -* of *"),
        (b"igb eth0: (PCIe) fc:6a:1c:dd:ee:ff", "igb eth*: (PCIe) *"),
        (b"EXT4-fs (sda1): mounted 6f9619ff-8b86-d011-b42d-00cf4fc964ff r/w", "EXT*-fs (sd*): mounted * r/w"),
        (b"EXT4-fs (nvme0n1p2): mounted filesystem", "EXT*-fs (nvme*n*p*): mounted filesystem"),
        (b"RIP: foo+0x1a/0x40 deadbeefab RAX: ffff888100000000", "RIP: foo+* RAX: *"),
        (b"pcpu-alloc: [0] 0 1 2 3 4", "pcpu-alloc: [*] *"),
        (b"disk: S6CKNT0W5A1234 S6CKNT", "disk: * S*CKNT"),
        (b"docker0: port 1(veth1ab2c3d) entered blocking state", "docker*: port *(veth*) entered blocking state"),
        (b"task: comm: train.py after 3 s", "task: comm: * after * s"),
        (b"memory added to the facade of a decade", "memory added to the facade of a decade"),
        (b"  two   words ", "two words"),
        (b"", ""),
        (b"\xff\xfe5", "\ufffd\ufffd*"),
    ],
)
def test_what_varies_is_masked_and_codes_stay(line: bytes, template: str) -> None:
    assert template_of(line) == template


@given(st.binary(max_size=2 * MAX_LINE))
def test_any_line_has_a_short_template(line: bytes) -> None:
    template = template_of(line)
    assert len(template) <= MAX_TEMPLATE and template == template.rstrip() and "  " not in template


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 255))
def test_numbers_and_addresses_do_not_matter(first: int, second: int, bus: int) -> None:
    line = "mlx5_core 0000:%02x:00.0: %d of %#x queues"
    assert template_of((line % (bus, first, first)).encode()) == template_of((line % (93, second, second)).encode())


def records(lines: Iterator[bytes] | list[bytes]) -> bytes:
    return b"".join(b"6,%d,%d,-;%s\n SUBSYSTEM=pci\n" % (at, at * 1000, line) for at, line in enumerate(lines))


def read(folder: Path, content: bytes) -> dict[str, Any]:
    (folder / "kmsg").write_bytes(content)
    return read_kernel_log(str(folder / "kmsg"), budget=300.0, templates=True)


def test_all_templates_of_a_log_in_one_pass(tmp_path: Path) -> None:
    lines = [b"microcode: updated early", b"usb 1-1: up", b"usb 2-1: up", b"two\\x0alines", XID % (93, 79, 5)]
    found = read(tmp_path, records(lines))
    assert found["templates"] == {
        "microcode: updated early": [1, 0, "", 1],
        "usb *: up": [2, 1000, "usb 1-1: up", 2],
        "two": [1, 3000, "", 1],
        "lines": [1, 3000, "", 1],
        "NVRM: Xid (PCI:*): 79, pid=*, name=*, Ch *": [1, 4000, (XID % (93, 79, 5)).decode(), 1],
    }
    assert (found["first_sequence"], found["first_us"]) == (0, 0)
    assert [each["code"] for each in found["xids"]] == [79]


def test_lines_of_the_start_are_counted_from_the_first_record_on(tmp_path: Path) -> None:
    begins, last = 10**9, 10**9 + START_SECONDS * 10**6
    stamps = (begins, last, last + 1)
    content = b"".join(b"6,%d,%d,-;usb %d-1: up\n" % (at, stamp, at) for at, stamp in enumerate(stamps))
    assert read(tmp_path, content)["templates"] == {"usb *: up": [3, begins, "usb 0-1: up", 2]}
    # A log without times tells no start.
    assert read(tmp_path, b"usb 1-1: up\n")["templates"] == {"usb *: up": [1, None, "usb 1-1: up", 0]}


def test_nobody_who_does_not_ask_pays_for_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_template, "template_of", None)
    (tmp_path / "kmsg").write_bytes(records([b"usb 1-1: up"]))
    assert "templates" not in read_kernel_log(str(tmp_path / "kmsg"))


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"[    1.235100] ",
        b"<6>[ 1.235100][   T1] ",
        b"Aug 17 00:00:01 node07 kernel: [    1.000000] ",
        b"2025-07-09T12:00:00.123456+00:00 node07 kernel: ",
    ],
)
def test_what_a_syslog_writes_before_a_line_is_not_of_it(tmp_path: Path, before: bytes) -> None:
    assert [*read(tmp_path, before + b"usb 1-1: up\n")["templates"]] == ["usb *: up"]


# -- floods


def letters(random: Random, size: int = 20) -> bytes:
    return bytes(random.choices(b"ghijklmnop", k=size))


def fed(lines: Iterator[bytes]) -> Templates:
    templates = Templates()
    for line in lines:
        templates.feed(line, 1)
    return templates


def test_a_flood_of_one_source_hides_no_line_of_another() -> None:
    random = Random(1)
    lines = (b"audit: " + letters(random) for _ in range(MAX_MASKED_OF_SOURCE + 9))
    templates = fed(lines)
    templates.feed(b"mce: CPU 3 is hot", 7)
    said = templates.told()
    assert said["mce: CPU * is hot"] == [1, 7, "mce: CPU 3 is hot", 1]
    assert len(said) == MAX_OF_SOURCE + 2 and templates.masked == MAX_MASKED_OF_SOURCE + 1
    assert said["audit…"][0] == MAX_MASKED_OF_SOURCE + 9 - MAX_OF_SOURCE


def test_a_known_line_is_counted_behind_any_flood() -> None:
    random = Random(2)
    templates = fed(b"oops: it is back" if at == 0 else letters(random) for at in range(MAX_SOURCES + 9))
    templates.feed(b"oops: it is back", 7)
    assert templates.said["oops: it is back"].count == 2


@pytest.mark.parametrize(
    "line",
    [
        lambda random: b"dump: %032x %032x" % (random.getrandbits(128), random.getrandbits(128)),
        lambda random: b" ".join(b"%07x" % random.getrandbits(28) for _ in range(50)),
        lambda random: letters(random, 300),
        lambda random: letters(random) + b": " + letters(random),
        lambda random: b"Xid (" * 50 + letters(random),
        lambda random: bytes(random.choices(range(33, 127), k=MAX_LINE * 3)),
    ],
)
def test_work_and_memory_have_a_bound_whatever_comes(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By counting what is masked: no more of a long log than of a short one."""
    masked: list[int] = []
    real = log_template.template_of

    def counting(text: bytes) -> str:
        masked.append(len(text))
        return real(text)

    monkeypatch.setattr(log_template, "MAX_MASKED", 900)
    monkeypatch.setattr(log_template, "template_of", counting)
    random = Random(3)
    templates = fed(line(random) for _ in range(3000))
    assert len(masked) <= 900 and max(masked) <= MAX_LINE
    assert len(templates.said) <= MAX_TEMPLATES and len(templates._memo) <= MAX_MEMO
    assert len(templates._sources) <= MAX_SOURCES
    assert sum(said.count for said in templates.said.values()) == 3000, "what is not told apart is counted"
    assert max(len(said.example) for said in templates.said.values()) <= MAX_EXAMPLE


def test_limits_leave_room_for_a_large_machine() -> None:
    assert MAX_MASKED > 4 * MAX_TEMPLATES and MAX_MASKED_OF_SOURCE > 4 * MAX_OF_SOURCE


def test_recorded_logs_of_one_kind_have_few_templates(recorded: Path) -> None:
    """Six flaps of a link are a handful of lines again and again."""
    found = read_kernel_log(str(recorded / "nvidia_smi" / "1dev_6flap_syslog"), templates=True)
    assert len(found["templates"]) <= found["lines"] / 3
    assert sum(count for count, _at, _example, _start in found["templates"].values()) == found["lines"]
