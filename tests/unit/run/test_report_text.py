# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import finding
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from ansible_collections.firstlight.cluster.plugins.plugin_utils.report_text import WIDTH, render

from tests.page import reports

SMALL = """\
site 20261123T141000Z-ab12cd, 2026-11-23 14:10:00 UTC, 52 min 41 s: 1 of 4 nodes is out
3 admitted, 1 set aside. Exit status 0: nothing stopped the run, and enough nodes are fit.

NODE    STATE      VERDICT  CHECK      COMPONENT    OWNER
node02  set aside  fail     gpu.count  gpu:2        vendor
    7 of 8 GPUs answer; gpu:2 is missing
    -> Power-cycle the node; if the GPU stays away, reseat it or have it replaced.
node02  set aside  fail     gpu.xid    gpu:2        vendor
    0000:3a:00.0: Xid 79 (GPU has fallen off the bus)
    -> Power-cycle the node; have the GPU replaced if the XID comes back.
node04  admitted   warn     disk.free  mount:/data  software
    /data: 91 % of 3491.2 GiB used (warn 85 %, fail 95 %)
    -> Remove what fills it: images, logs, checkpoints of ended jobs.

Without a finding: 2 admitted.
"""


def rows(text: str) -> list[list[str]]:
    """Node, verdict and check of each row of the table."""
    table = text.partition("\nNODE ")[2].splitlines()[1:]
    cells = [line.replace("set aside", "set_aside").split() for line in table if line and not line.startswith(" ")]
    return [[row[0], row[2], row[3]] for row in cells if row[0] != "Without"]


def test_a_small_site_as_it_is_read(tmp_path: Path) -> None:
    assert render(reports.small(tmp_path)[1]) == SMALL


def test_the_worst_come_first_and_of_a_node_the_worst(tmp_path: Path) -> None:
    told = {
        "node01": reports.disk(90),
        "node04": [*reports.disk(90), *reversed(reports.port_down(3))],
        "node03": reports.lost(),
        "node02": reports.memory(1024),
    }
    cable = finding("fabric.link.missing", "link:leaf-01/12", Verdict.FAIL, "no link between leaf-01 and spine-01")
    text = render(reports.build(tmp_path, reports.roster(4), told, site=[cable])[1])
    assert rows(text) == [
        ["node02", "fail", "host.memory"],
        ["node04", "fail", "hca.state"],
        ["node04", "unknown", "hca.rate"],
        ["node04", "warn", "disk.free"],
        ["site", "fail", "fabric.link.missing"],
        ["node03", "unknown", "host.reachable"],
        ["node01", "warn", "disk.free"],
    ]
    assert "Without a finding" not in text


def test_what_many_findings_say_alike_is_said_once(tmp_path: Path) -> None:
    told = [finding("gpu.ecc.mode", f"gpu:{gpu}", Verdict.FAIL, "ECC is off") for gpu in range(8)]
    crash = "the health module failed on the node: no space left"
    told += [finding(check, "host", Verdict.UNKNOWN, crash, remedy="Make room.") for check in ("gpu.mig", "gpu.model")]
    text = render(reports.build(tmp_path, reports.roster(1), {"node01": told})[1])
    found = [line.split("  ") for line in text.splitlines() if line.startswith("node01")]
    assert [[cell.strip() for cell in line if cell.strip()][2:] for line in found] == [
        ["fail", "gpu.ecc.mode", "gpu:0 +7", "software"],
        ["unknown", "gpu.mig", "host", "software"],
        ["unknown", "gpu.model", "host", "vendor"],
    ]


def test_a_node_that_is_out_for_no_reason_is_named(tmp_path: Path) -> None:
    _run, report = reports.build(tmp_path, reports.roster(2), {})
    report["nodes"]["node02"]["state"] = "set_aside"
    report["summary"] |= {"admitted": 1, "set_aside": 1}
    text = render(report)
    assert rows(text) == [["node02", "unknown", "-"]]
    assert "nothing was found that says why" in text
    assert text.endswith("\n\nWithout a finding: 1 admitted.\n")


def test_of_a_large_site_every_finding_is_there_and_fits_a_terminal(tmp_path: Path) -> None:
    report = reports.large(tmp_path)[1]
    text = render(report)
    bad = {name for name, node in report["nodes"].items() if node["findings"]}
    assert {row[0] for row in rows(text)} == {*bad, "site"}
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.endswith(f"\nWithout a finding: {511 - len(bad)} admitted.\n")


def test_a_run_that_was_stopped_says_by_what_and_lists_no_node(tmp_path: Path) -> None:
    text = render(reports.stopped(tmp_path)[1])
    assert "\nStopped in preflight by the task 'Check roster, node classes and cable plan':\n  2 problems;" in text
    assert "\n  hosts.yml: gpu_nodes.hosts.node017.serial_number: FL00045" in text
    assert "NODE" not in text
    assert text.endswith("\n\nWithout a finding: 511 not judged.\n")


def test_a_long_name_sticks_out_and_widens_no_column(tmp_path: Path) -> None:
    task = "task:" + "Storage and more " * 5
    told = {"node01": [finding("phase.task", task, Verdict.FAIL, "no")], "node02": reports.memory(1024)}
    text = render(reports.build(tmp_path, reports.roster(2), told)[1])
    (long,) = [line for line in text.splitlines() if line.startswith("node01")]
    (short,) = [line for line in text.splitlines() if line.startswith("node02")]
    assert " ".join(task.split()) in long and len(long) > len(short)
    assert len(short) <= WIDTH


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\u202eb", "a\rb"])
def test_texts_of_machines_do_not_act_on_the_terminal(tmp_path: Path, text: str) -> None:
    told = [finding("gpu.xid", f"gpu:{text}", Verdict.FAIL, text, remedy=text)]
    shown = render(reports.build(tmp_path, reports.roster(1), {"node01": told})[1])
    assert shown.count("a\ufffd") == 3
    assert not {"\x1b", "\u202e", "\r"} & {*shown}


def test_check_mode_is_told(tmp_path: Path) -> None:
    further: dict[str, Any] = {"check_mode": True, "deferred": ["node02"]}
    text = render(reports.build(tmp_path, reports.roster(2), {}, **further)[1])
    assert text.startswith("site (check mode) 20261123T141000Z-ab12cd, ")
    assert "Check mode: 1 of 2 not deployed yet" in text
    assert text.endswith("\n\nWithout a finding: 1 admitted, 1 deferred.\n")
