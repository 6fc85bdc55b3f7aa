# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import finding
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import RunDirectory, write_json
from ansible_collections.firstlight.cluster.plugins.plugin_utils import report_page
from ansible_collections.firstlight.cluster.plugins.plugin_utils.report_page import Page, render, view

from tests.page import reports
from tests.page.markup import Markup, read

STOP = {"phase": "preflight", "task": "Check roster", "hosts": [], "message": "hosts.yml: node02: no serial\nRemedy: x"}


def page_of(built: tuple[RunDirectory, dict[str, Any]]) -> tuple[Page, Markup]:
    """What the page shows and its markup, which is found to be whole."""
    run, report = built
    write_json(run.path / "report.json", report)
    return view(report), read(render(report), run.path)


def test_out_nodes_are_told_with_reason_and_owner(tmp_path: Path) -> None:
    page, markup = page_of(reports.small(tmp_path))
    assert (page.headline, page.tone) == ("1 of 4 nodes is out", "bad")
    (vendor,) = page.blocking.owners
    assert (vendor.owner, vendor.nodes) == ("vendor", 1)
    assert [(check.check, [link.text for link in check.members]) for check in vendor.checks] == [
        ("gpu.count", ["node02"]),
        ("gpu.xid", ["node02"]),
    ]
    assert page.blocking.unfolded
    (software,) = page.advisory.owners
    assert [check.check for check in software.checks] == ["disk.free"]
    for text in (
        "1 of 4 nodes is out",
        "7 of 8 GPUs answer; gpu:2 is missing",
        "observed 7",
        "expected 8",
        "Power-cycle the node; if the GPU stays away, reseat it or have it replaced.",
        "GPU has fallen off the bus",
        "site · 2026-11-23 14:10:00 UTC · took 52 min 41 s",
    ):
        assert text in markup.text, text


def test_every_node_stands_in_its_rack_from_the_top_down(tmp_path: Path) -> None:
    page, markup = page_of(reports.small(tmp_path))
    (rack,) = page.racks
    assert (rack.name, rack.out) == ("r01", 1)
    told = [(cell.label, cell.state, cell.sign, cell.href) for cell in rack.cells]
    assert told == [
        ("node04", "admitted", "!", "#node-node04"),
        ("node03", "admitted", "✓", ""),
        ("node02", "set_aside", "✕", "#node-node02"),
        ("node01", "admitted", "✓", ""),
    ]
    assert len(markup.of_class("cell")) == 4


def test_units_and_racks_sort_by_number_and_a_node_without_a_place_is_shown(tmp_path: Path) -> None:
    nodes = {
        name: {"class": "c", "serial": "S", "location": location}
        for name, location in {"n9": "r2/9", "n10": "r2/10", "n1": "r10/1", "stray": "/"}.items()
    }
    page, markup = page_of(reports.build(tmp_path, nodes, {}))
    assert [(rack.name, [cell.name for cell in rack.cells]) for rack in page.racks] == [
        ("", ["stray"]),
        ("r2", ["n10", "n9"]),
        ("r10", ["n1"]),
    ]
    assert "no rack" in markup.text


def test_evidence_is_linked_where_it_lies(tmp_path: Path) -> None:
    _page, markup = page_of(reports.small(tmp_path))
    assert "nodes/node02/validate.node_health.json" in markup.links
    assert "nodes/node02/validate.node_health.observation.json" in markup.links
    assert "gates/validate.json" in markup.links
    assert "report.json" in markup.links


def test_511_nodes_with_40_findings(tmp_path: Path) -> None:
    run, report = reports.large(tmp_path)
    page, markup = page_of((run, report))
    assert sum(len(node["findings"]) for node in report["nodes"].values()) == 40
    assert page.headline == "21 of 511 nodes are out"
    assert len(markup.of_class("cell")) == 511
    assert [len(markup.of_class(f"cell {state}".split()[1])) > 0 for state in ("set_aside", "unreachable")] == [
        True
    ] * 2
    assert [(group.owner, group.nodes) for group in page.blocking.owners] == [
        ("datacentre", 3),
        ("vendor", 6),
        ("network", 9),
        ("software", 3),
    ]
    assert page.racks[0].cells[0].label == "004"
    assert not page.blocking.unfolded
    assert len(page.nodes) == 27
    assert len(render(report)) < 200_000


def test_what_many_nodes_say_alike_is_said_once(tmp_path: Path) -> None:
    told = {name: reports.lost() for name in ("node01", "node02", "node03")}
    page, _markup = page_of(reports.build(tmp_path, reports.roster(4), told))
    (check,) = page.blocking.owners[0].checks
    (fact,) = check.facts
    assert [member.name for member in fact.members] == ["node01", "node02", "node03"]
    assert check.more == 0


def test_different_remedies_of_one_check_stay_with_their_findings(tmp_path: Path) -> None:
    told = {
        "node01": [finding("gpu.xid", "gpu:0", Verdict.FAIL, "Xid 79", remedy="Power-cycle it.")],
        "node02": [finding("gpu.xid", "gpu:0", Verdict.FAIL, "Xid 48", remedy="Reset it.")],
    }
    page, markup = page_of(reports.build(tmp_path, reports.roster(2), told))
    (check,) = page.blocking.owners[0].checks
    assert check.remedy == ""
    assert [fact.remedy for fact in check.facts] == ["Power-cycle it.", "Reset it."]
    assert "Power-cycle it." in markup.text and "Reset it." in markup.text


def test_the_worst_comes_first(tmp_path: Path) -> None:
    told = {
        "node01": [
            finding("hca.rate", "hca:mlx5_0", Verdict.UNKNOWN, "no rate"),
            finding("hca.rate", "hca:mlx5_1", Verdict.FAIL, "slow"),
            finding("fabric.discovery", "fabric", Verdict.UNKNOWN, "nothing read"),
        ]
    }
    page, _markup = page_of(reports.build(tmp_path, reports.roster(1), told))
    checks = page.blocking.owners[0].checks
    assert [(check.check, check.verdict) for check in checks] == [("hca.rate", "fail"), ("fabric.discovery", "unknown")]
    assert [fact.verdict for fact in checks[0].facts] == ["fail", "unknown"]


def test_findings_of_the_site_have_their_owner_too(tmp_path: Path) -> None:
    cable = finding("fabric.link.missing", "link:spine-03/17", Verdict.FAIL, "spine-03/17 is not there")
    page, markup = page_of(reports.build(tmp_path, reports.roster(2), {}, site=[cable]))
    assert (page.headline, page.tone) == ("All 2 nodes are in service", "good")
    assert [(group.owner, group.nodes) for group in page.blocking.owners] == [("datacentre", 0)]
    assert "site/fabric.cables.json" in markup.links
    assert "the site" in markup.text


def test_all_failed(tmp_path: Path) -> None:
    told = {name: reports.gpu_lost() for name in reports.roster(4)}
    failed = {"phase": "admit", "task": "Say who is fit", "hosts": [], "message": "0 of 4 nodes are fit, fewer than"}
    built = reports.build(tmp_path, reports.roster(4), told, completed=False, stopped_by=[failed])
    page, markup = page_of(built)
    assert (page.headline, page.tone) == ("All 4 nodes are out", "bad")
    assert "admit failed at the task “Say who is fit”: 0 of 4 nodes are fit, fewer than" in markup.text
    assert "Exit status not 0" in page.exit


def test_a_run_that_stopped_says_where_and_why_before_anything_else(tmp_path: Path) -> None:
    built = reports.build(
        tmp_path, reports.roster(511), {}, phases=["preflight"], completed=False, stopped_by=[STOP], playbook="site"
    )
    page, markup = page_of(built)
    assert page.headline == "Stopped in preflight: no node was judged"
    text = markup.text
    assert text.index("no serial") < text.index("Nodes by rack")
    assert (page.blocking.owners, page.nodes) == ([], []), "no node has to be acted on"
    assert {(cell.state, cell.href) for rack in page.racks for cell in rack.cells} == {("unjudged", "")}


def test_too_few_is_not_called_a_stop_when_nodes_were_judged(tmp_path: Path) -> None:
    told = {"node01": reports.gpu_lost()}
    page, _markup = page_of(reports.build(tmp_path, reports.roster(2), told, completed=False))
    assert page.headline == "1 of 2 nodes is out"


def test_check_mode_with_nothing_deployed(tmp_path: Path) -> None:
    nodes = reports.roster(4)
    page, markup = page_of(reports.build(tmp_path, nodes, {}, deferred=sorted(nodes), check_mode=True))
    assert (page.headline, page.tone) == ("Check mode: 4 of 4 not deployed yet", "neutral")
    assert [cell.sign for rack in page.racks for cell in rack.cells] == ["…"] * 4
    assert "check mode" in markup.text
    assert page.nodes == []


def test_check_mode_of_what_runs_says_that_nothing_was_changed(tmp_path: Path) -> None:
    page, _markup = page_of(reports.build(tmp_path, reports.roster(2), {}, check_mode=True))
    assert (page.headline, page.tone) == ("Check mode: nothing was changed", "neutral")


def test_a_run_without_nodes(tmp_path: Path) -> None:
    page, _markup = page_of(reports.build(tmp_path, {}, {}, phases=[], completed=False))
    assert (page.headline, page.racks, page.blocking.owners) == ("No node was in this run", [], [])


def test_a_playbook_that_does_not_admit_calls_nodes_fit(tmp_path: Path) -> None:
    built = reports.build(tmp_path, reports.roster(1), {}, phases=["validate"], playbook="health", completed=True)
    page, _markup = page_of(built)
    assert page.headline == "The node is fit"
    assert [count.label for count in page.counts] == ["fit", "set aside", "unreachable", "deferred", "not judged"]


def test_a_phase_alone_calls_nobody_fit(tmp_path: Path) -> None:
    built = reports.build(tmp_path, reports.roster(4), {}, phases=["configure"], playbook="configure", completed=True)
    page, markup = page_of(built)
    assert page.headline == "All 4 nodes are through configure"
    assert page.counts[0].label == "passed"
    assert page.exit == "Exit status 0: nothing stopped the run."
    assert " fit" not in markup.text


def test_phases_show_how_long_they_took_and_whom_they_lost(tmp_path: Path) -> None:
    page, markup = page_of(reports.small(tmp_path))
    rows = {row.name: row for row in page.phases}
    assert (rows["provision"].duration, rows["provision"].percent) == ("31 min 00 s", 100)
    assert (rows["validate"].nodes_in, rows["validate"].nodes_out, rows["validate"].lost) == (4, 3, 1)
    assert "4 → 3 \N{MINUS SIGN}1" in markup.text
    assert rows["preflight"].gate == ""


def test_head_nodes_are_shown_with_their_state(tmp_path: Path) -> None:
    run, report = reports.small(tmp_path)
    report["services"] = {"head01": {"state": "ok"}, "head02": {"state": "not_run"}}
    _page, markup = page_of((run, report))
    assert "head01 ✓ ok head02 \N{EN DASH} not run" in markup.text


ACTIVE = "</dd></style><script>alert(1)</script><img src=x onerror=alert(1)>"
HOSTILE = f"{ACTIVE} \" ' {{{{ 7*7 }}}} & \x1b[31mred\x00 \u202eevil \udc80"


def test_texts_of_machines_stay_texts(tmp_path: Path) -> None:
    """They come from kernel logs, MAAS and whoever can write there; every place that shows one is tried."""
    told = Finding(
        check="gpu.xid",
        component=HOSTILE,
        verdict=Verdict.FAIL,
        summary=HOSTILE,
        observed={HOSTILE: [HOSTILE]},
        expected=[{"text": HOSTILE}],
        remedy=HOSTILE,
        owner=HOSTILE,
        evidence={HOSTILE: HOSTILE},
    )
    nodes = {'no"de <b>': {"class": HOSTILE, "serial": HOSTILE, "location": f"{HOSTILE}/{HOSTILE}"}}
    stop = {"phase": "admit", "task": HOSTILE, "hosts": [HOSTILE], "message": HOSTILE}
    run, report = reports.build(tmp_path, nodes, {'no"de <b>': [told]}, site=[told], completed=False, stopped_by=[stop])
    report["services"] = {HOSTILE: {"state": "ok"}}
    _page, markup = page_of((run, report))
    assert "<script>alert(1)</script>" in markup.text
    assert "{{ 7*7 }}" in markup.text
    page = render(report)
    assert page.encode("utf-8")
    assert not set(page) & set("\x1b\x00\u202e")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0, "0"),
        (False, "false"),
        ("", ""),
        ([], "none"),
        ([79, 48], "79, 48"),
        ({"below": 1.5}, "below: 1.5"),
        ([{"code": 79}, {"code": 48}], "code: 79\ncode: 48"),
    ],
)
def test_values_are_shown_for_people(value: Any, text: str) -> None:
    assert report_page.shown(value) == text


def test_a_long_value_is_cut_and_says_so() -> None:
    text = report_page.shown("x" * 100_000)
    assert len(text) < 3000
    assert text.endswith("(report.json has it whole)")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (252, "4 min 12 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert report_page.duration(seconds) == text


def test_labels_keep_what_tells_nodes_apart(tmp_path: Path) -> None:
    def labels(names: list[str]) -> list[str]:
        nodes = {name: {"class": "c", "serial": "", "location": "r1/1"} for name in names}
        _run, report = reports.build(tmp_path, nodes, {}, phases=["validate"])
        return [cell.label for rack in view(report).racks for cell in rack.cells]

    assert labels([f"gpu-a{number:03}" for number in range(100, 150)])[0] == "100"
    assert "x" in labels([*(f"node{number}" for number in range(50)), "x"])
