# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XIDs of NVLinks, from their lines in the log to what is to be done."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.nvlink_xid import NVLINK_BITS, is_hopper
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.xid import BUCKETS
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.kernel_log import read_kernel_log

from tests.unit.health.health_factory import ADDRESSES, node_class, put, spoiled, xid

MINUTE = 60_000_000
NEW = 7_100_000_000


def observed(path: Path, *texts: str, apart: int = MINUTE) -> list[dict[str, object]]:
    """What the reader makes of a log of these XIDs of GPU 2, each so long after the other; the last is new."""
    log = path / "kmsg"
    bus = ADDRESSES[2][:-2]
    times = [NEW - apart * (len(texts) - place - 1) for place in range(len(texts))]
    lines = [f"3,1,{at},-;NVRM: Xid (PCI:{bus}): {text}\n" for at, text in zip(times, texts, strict=True)]
    log.write_text("".join(lines))
    xids: list[dict[str, object]] = read_kernel_log(str(log))["xids"]
    return xids


def found(path: Path, *texts: str, apart: int = MINUTE, model: str = "NVIDIA H100 80GB HBM3") -> Finding:
    observation = spoiled(put("kernel_log|xids", observed(path, *texts, apart=apart)))
    findings = judge(observation, node_class(gpus={"model": model}))
    (finding,) = (each for each in findings if each.check == "gpu.xid")
    return finding


def nvlink(link: int = 14, **registers: int) -> str:
    """XID 74 with registers r0 to r6."""
    words = ", ".join(f"{registers.get(f'r{number}', 0):#x}" for number in range(7))
    return f"74, pid='<unknown>', name=<unknown>, NVLink: fatal error detected on link {link}({words})"


def nvlink_5(unit: str, status: int, severity: str, code: int = 145, intr: int = 4, link: int = 10) -> str:
    return f"{code}, {unit} {severity} XC0 i0 Link {link:02} ({intr:#010x} {status:#010x} 0x00000000 0x00000000)"


def test_no_bit_has_two_meanings_and_every_bucket_is_one() -> None:
    bits = [(row.register, bit) for row in NVLINK_BITS for bit in row.bits]
    assert len(bits) == len(set(bits)) == 42
    assert {row.bucket for row in NVLINK_BITS} < set(BUCKETS)


@pytest.mark.parametrize(
    ("registers", "verdict", "says", "remedy"),
    [
        ({"r0": 1 << 8}, "fail", "maybe a bad connection", "reseat"),
        ({"r0": 1 << 21}, "fail", "marginal signal", "reseat"),
        ({"r0": 1 << 4}, "fail", "ECC or parity error", "reset the GPU"),
        ({"r2": 1 << 6}, "fail", "ECC or parity error", "reset the GPU"),
        ({"r4": 1 << 28}, "fail", "ECC or parity error", "reset the GPU"),
        ({"r0": 1 << 29}, "fail", "if it repeats", "reset the GPU"),
        ({"r3": 1 << 16}, "fail", "follows from another error", "reset the GPU"),
        ({"r4": 1 << 20}, "warn", "many corrected errors", "other checks"),
        ({"r0": 1 << 30}, "warn", "harmless", "other checks"),
        # The gravest counts.
        ({"r0": 1 << 30 | 1 << 12}, "fail", "maybe a bad connection", "reseat"),
        ({"r4": 1 << 20, "r3": 1 << 18}, "fail", "follows from another error", "reset the GPU"),
        # What nobody has told the meaning of, and nothing at all, excuse nothing.
        ({"r0": 1 << 30 | 1 << 2}, "fail", "not known", "reset the GPU"),
        ({"r3": 1}, "fail", "not known", "reset the GPU"),
        ({}, "fail", "not known", "reset the GPU"),
        # The second, the sixth and the seventh say nothing on Hopper.
        ({"r0": 1 << 30, "r1": 0xFFFF, "r6": 0x10000}, "warn", "harmless", "other checks"),
    ],
)
def test_xid_74_is_judged_by_its_registers(
    tmp_path: Path, registers: dict[str, int], verdict: str, says: str, remedy: str
) -> None:
    told = found(tmp_path, nvlink(**registers))
    assert (told.component, told.verdict.value) == ("gpu:2", verdict)
    assert "Xid 74 (NVLink error on link 14: " in told.summary
    assert says in told.summary
    assert remedy in told.remedy


def test_each_link_is_told_with_all_its_bits(tmp_path: Path) -> None:
    texts = nvlink(3, r0=1 << 30), nvlink(4, r0=1 << 21), nvlink(3, r4=1 << 20)
    assert [(each["links"], each["count"]) for each in observed(tmp_path, *texts)] == [([3], 2), ([4], 1)]
    assert observed(tmp_path, *texts)[0]["registers"] == [1 << 30, 0, 0, 0, 1 << 20, 0, 0]
    told = found(tmp_path, *texts)
    assert ("on link 4: marginal" in told.summary, "on link 3" in told.summary) == (True, True)


@pytest.mark.parametrize(
    ("times", "apart", "remedy"),
    [(2, MINUTE, "reset the GPU"), (3, MINUTE, "part replaced"), (500, MINUTE // 1000, "reset the GPU")],
)
def test_ecc_errors_of_one_link_again_and_again_are_the_part(
    tmp_path: Path, times: int, apart: int, remedy: str
) -> None:
    """A burst of lines is one time."""
    assert remedy in found(tmp_path, *[nvlink(r2=1)] * times, apart=apart).remedy
    assert "reset the GPU" in found(tmp_path, *(nvlink(link, r2=1) for link in range(5))).remedy, "not one link"


@pytest.mark.parametrize("model", ["NVIDIA A100-SXM4-80GB", "NVIDIA B200"])
def test_the_registers_of_other_gpus_are_not_read_as_hoppers(tmp_path: Path, model: str) -> None:
    assert not is_hopper(model)
    told = found(tmp_path, nvlink(r0=1 << 30), model=model)
    assert (told.verdict.value, "Xid 74 (NVLink error)" in told.summary) == ("fail", True)


@pytest.mark.parametrize(
    ("text", "verdict", "says"),
    [
        (nvlink_5("RLW_REMAP", 0x40, "Fatal"), "fail", "NVLink 5 RLW error on link 10: RLW_REMAP 0x40"),
        (nvlink_5("RLW_REMAP", 0x100, "Nonfatal"), "pass", "1 harmless"),
        (nvlink_5("RLW_REMAP", 0x4, "Nonfatal"), "pass", "1 harmless"),
        (nvlink_5("RLW_CTRL", 0x80000000, "Nonfatal"), "warn", "RLW_CTRL 0x80000000"),
        # The driver's word is never softened.
        (nvlink_5("RLW_REMAP", 0x100, "Fatal"), "fail", "RLW_REMAP 0x100"),
        (nvlink_5("SAW_MVB", 0x20, "Nonfatal", 144), "pass", "1 harmless"),
        (nvlink_5("TLW_RX_PIPE1", 0x1, "Nonfatal", 146), "pass", "1 harmless"),
        (nvlink_5("TLW_RX_PIPE1", 0x2, "Nonfatal", 146), "warn", "TLW_RX_PIPE1 0x2"),
        (nvlink_5("NETIR_BER_EVENT", 0x1, "Nonfatal", 149), "warn", "bit errors"),
        (nvlink_5("NETIR_MFDE_EVENT", 0x3, "Nonfatal", 149), "pass", "1 harmless"),
        (nvlink_5("NETIR_MFDE_EVENT", 0x4, "Fatal", 149), "fail", "NETIR_MFDE_EVENT 0x4"),
        (nvlink_5("NETIR_LINK_DOWN", 0, "Fatal", 149, 4 << 20 | 0x11), "fail", "link down: bad signal or cable"),
        (nvlink_5("NETIR_LINK_EVT", 0, "Fatal", 149, 4 << 20 | 0x1C6), "fail", "link down: bad signal or cable"),
        (nvlink_5("NETIR_LINK_DOWN", 0, "Fatal", 149, 33 << 20 | 0x11), "fail", "the other end took it down"),
        (nvlink_5("NETIR_LINK_DOWN", 0, "Fatal", 149, 40 << 20 | 0x11), "warn", "the host took it down"),
        (nvlink_5("NETIR_LINK_DOWN", 0, "Fatal", 149, 63 << 20 | 0x11), "fail", "cause not told"),
        (nvlink_5("MSE_WATCHDOG", 0, "Fatal", 150, 0), "fail", "MSE_WATCHDOG 0x0"),
        # Without registers the severity decides alone.
        ("145, RLW_REMAP Nonfatal XC0 i0 Link 10", "warn", "NVLink 5 RLW error)"),
        ("145, RLW_REMAP Fatal XC0 i0 Link 10", "fail", "NVLink 5 RLW error)"),
    ],
)
def test_an_xid_of_nvlink_5_is_judged_by_unit_and_status(tmp_path: Path, text: str, verdict: str, says: str) -> None:
    told = found(tmp_path, text, model="NVIDIA B200")
    assert (told.verdict.value, says in told.summary) == (verdict, True), told.summary


def test_links_of_one_error_are_told_together(tmp_path: Path) -> None:
    told = found(tmp_path, *(nvlink_5("RLW_REMAP", 0x40, "Fatal", link=link) for link in (3, 9, 3)))
    assert "on links 3, 9: RLW_REMAP 0x40) 3 times" in told.summary
    cable = found(tmp_path, nvlink_5("NETIR_LINK_DOWN", 0, "Fatal", 149, 2 << 20 | 0x11))
    assert "reseat" in cable.remedy


def test_800_000_lines_of_one_xid_are_one_finding_with_their_number() -> None:
    observation = spoiled(put("kernel_log|xids", [xid(95, count=800_000)]))
    (told,) = (each for each in judge(observation, node_class()) if each.check == "gpu.xid")
    assert "Xid 95 (uncontained ECC error) 800000 times" in told.summary
    assert len(told.evidence["events"]) == 1
