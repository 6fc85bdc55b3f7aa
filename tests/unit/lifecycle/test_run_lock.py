# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who works on which node: runs hold their nodes, leave those of others alone, and give theirs back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.lifecycle.played_ledger import Site, findings, furnish
from tests.unit.run.test_phases import Played, played

__all__ = ["played"]
OTHER = "20260101T000000Z-abcdef"


@pytest.fixture(scope="module")
def furnished(played: Played) -> Site:
    return furnish(played)


@pytest.fixture
def site(furnished: Site) -> Site:
    furnished.clear()
    return furnished


def test_a_run_leaves_out_what_another_holds_and_gives_back_its_own(site: Site) -> None:
    expires = site.hold("fit2")
    run = site.played.run("configure", arguments=("--limit", "fit1,fit2"))
    assert run.status == 0, run.output
    assert site.states() == {"fit1": "configured"}
    assert run.gates["configure"]["passed"] == ["fit1"]
    assert "configuring fit2" not in run.output
    told = findings(run.report, "fit2")["lifecycle.held"]
    assert told["summary"] == f"held by bob@elsewhere in run {OTHER} until {expires}"
    assert run.report["nodes"]["fit2"]["state"] == "set_aside"
    assert site.locks() == {"fit2": OTHER}
    assert "gave them back" not in run.output


def test_a_run_over_nodes_that_others_hold_is_refused(site: Site) -> None:
    expires = site.hold("fit1", "fit2")
    run = site.played.run("configure", arguments=("--limit", "fit1,fit2"))
    assert run.status == 2, run.output
    who = f"bob@elsewhere in run {OTHER} until {expires}"
    assert f"none of these nodes takes part: 2 held by another run ({who})" in run.output


def test_a_run_that_fails_keeps_its_nodes_until_its_controller_comes_again(site: Site) -> None:
    failed = site.played.run("admit", arguments=("--limit", "fit1"))
    assert failed.status == 2
    assert list(site.locks()) == ["fit1"]
    assert "fit1: the run ended before it gave them back" in failed.output
    again = site.played.run("configure", arguments=("--limit", "fit1"))
    assert again.status == 0, again.output
    assert site.states() == {"fit1": "configured"}
    assert site.locks() == {}


def test_check_mode_takes_no_lock_and_tells_who_has_one(site: Site) -> None:
    site.hold("fit2")
    before = Path(site.path).read_bytes()
    run = site.played.run("configure", arguments=("--check", "--limit", "fit1,fit2"))
    assert run.status == 0, run.output
    assert "lifecycle.held" in findings(run.report, "fit2")
    assert run.gates["configure"]["passed"] == ["fit1"]
    assert Path(site.path).read_bytes() == before
    assert site.states() == {}


def test_health_holds_nothing_leaves_the_held_alone_and_records_parts(site: Site) -> None:
    site.hold("sick")
    run = site.played.run("health", arguments=("--limit", "fit1,mute,sick"))
    assert run.status == 0, run.output
    assert (run.gates["health"]["passed"], run.gates["health"]["set_aside"]) == (["fit1"], ["mute"])
    assert site.states() == {"mute": "set_aside"}
    assert site.locks() == {"sick": OTHER}
    assert "gave them back" not in run.output
    with site.open() as ledger:
        exported = ledger.export()
    assert {row["run"]: row["playbook"] for row in exported["runs"]}[run.report["run"]] == "site"
    gpus = [(row["node"], row["slot"], row["component"]) for row in exported["stays"] if row["kind"] == "gpu"]
    assert ("fit1", "0000:5d:00.0", "gpu:3") in gpus or ("mute", "0000:5d:00.0", "gpu:3") in gpus
    assert {row["node"] for row in exported["readings"]} == {"fit1", "mute"}


def test_a_state_that_another_run_forbids_meanwhile_stops_only_who_holds_nodes(site: Site) -> None:
    """The lock of a run expired in the middle of a phase, and somebody took the node."""
    tasks = site.played.folder / "collections/ansible_collections/firstlight/cluster/playbooks/tasks/configured.yml"
    text = tasks.read_text(encoding="utf-8")
    steal = f"""
- name: Another run takes the node
  firstlight.cluster.ledger:
    run: {OTHER}
    operator: bob@elsewhere
    dead_runs: ["{{{{ __hold.run }}}}"]
    lock: [fit2]
  run_once: true
"""
    tasks.write_text(text + steal, encoding="utf-8")
    try:
        run = site.played.run("configure", arguments=("--limit", "fit1,fit2"))
    finally:
        tasks.write_text(text, encoding="utf-8")
    assert run.status == 2, run.output
    assert "fit2: another run took over since this run's lock expired: bob@elsewhere" in run.output
    assert site.states() == {"fit1": "configured"}, "what could be written is written, and fit2 is left alone"
    assert run.report["nodes"]["fit2"]["state"] == "unjudged"
