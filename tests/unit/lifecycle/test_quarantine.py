# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quarantine and release as an operator runs them, with a scheduler that is drained and undrained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_history import drained

from tests.unit.lifecycle.played_ledger import Site, findings, furnish
from tests.unit.run.test_phases import SITE, Played, Run, played

__all__ = ["played"]
ALICE, BOB = ("-e", "quarantine_by=alice@ctl"), ("-e", "quarantine_by=bob@ctl")
FIT1 = ("--limit", "fit1")


@pytest.fixture(scope="module")
def furnished(played: Played) -> Site:
    return furnish(played)


@pytest.fixture
def site(furnished: Site) -> Site:
    furnished.clear()
    return furnished


def because(why: str, name: str = "quarantine") -> tuple[str, ...]:
    return ("-e", f'{{"{name}_reason": "{why}"}}')


def quarantine(site: Site, *arguments: str) -> Run:
    return site.played.run("quarantine", arguments=arguments)


def release(site: Site, *arguments: str) -> Run:
    return site.played.run("release", arguments=arguments)


def test_a_node_is_held_released_proved_and_given_back(site: Site) -> None:
    held = quarantine(site, *FIT1, *because("waits for a GPU"), "-e", "quarantine_until=2099-01-31", *site.hooks)
    assert held.status == 0, held.output
    assert site.states() == {"fit1": "quarantined"}
    with site.open() as ledger:
        node = ledger.nodes()["fit1"]
        assert [each["action"] for each in ledger.actions("fit1")] == ["drained", "quarantined"]
    assert (node["reason"], node["until"], node["serial"]) == ("waits for a GPU", "2099-01-31", "S-fit1")
    [order] = site.orders
    assert order == {
        "schema": 1,
        "action": "drain",
        "nodes": ["fit1"],
        "reason": "waits for a GPU",
        "run": held.report["run"],
        "operator": node["operator"],
    }
    found = findings(held.report, "fit1")
    assert found["lifecycle.quarantined"]["summary"].endswith("until 2099-01-31: waits for a GPU")
    assert (held.report["completed"], held.report["nodes"]["fit1"]["state"]) == (True, "set_aside")
    assert [call["machines_absent"][0]["serial"] for call in held.told("maas_tag")] == ["S-fit1"]
    evidence = (site.played.folder / "artifacts/latest/nodes/fit1/quarantine.lifecycle.drained.json").read_text()
    assert "job 4711 runs" in evidence
    assert site.locks() == {}

    again = quarantine(site, *FIT1, *because("waits for a GPU"), *site.hooks)
    assert again.status == 0, again.output
    assert "changed=1" not in again.output
    assert len(site.orders) == 1, "what is drained is not drained again"

    refused = site.played.run("configure", arguments=FIT1)
    assert (refused.status, site.states()) == (2, {"fit1": "quarantined"})
    assert "none of these nodes takes part: 1 quarantined" in refused.output

    ended = release(site, *FIT1, *because("exchanged", "release"), *site.hooks)
    assert ended.status == 0, ended.output
    assert site.states() == {"fit1": "set_aside"}
    assert "lifecycle.released" in findings(ended.report, "fit1")
    assert len(site.orders) == 1, "not proved yet, so the scheduler does not get it"

    site.answer("1")
    proved = site.played.run(*SITE, arguments=("--limit", "fit1,fit2", *site.hooks))
    assert proved.status == 0, proved.output
    assert site.states() == {"fit1": "in_service", "fit2": "in_service"}
    told = findings(proved.report, "fit1")["lifecycle.undrained"]
    assert (told["verdict"], proved.report["nodes"]["fit1"]["state"]) == ("warn", "admitted")
    assert "refused (exit status 1): job 4711 runs" in told["summary"]
    with site.open() as ledger:
        assert list(ledger.open_findings()) == ["fit2"], "proved; fit2 is warm"

    site.answer("0")
    site.played.run(*SITE, arguments=("--limit", "fit1,fit2", *site.hooks))
    undrained = [order["nodes"] for order in site.orders if order["action"] == "undrain"]
    assert undrained == [["fit1"], ["fit1"]], "fit2 was never drained by a run"
    with site.open() as ledger:
        assert drained(ledger) == [], "so that no later run undrains it again"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*FIT1, *because("  ")), "quarantine_reason: is missing"),
        (("--limit", "fit1,later", *because("x")), "later: is planned"),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [
                ((*FIT1, *because("x"), "-e", "quarantine_until=2020-01-01"), "2020-01-01 is no coming day"),
                (("--limit", "fit1,fti2", *because("x")), "--limit: the inventory has no fti2"),
                (because("x"), "--limit: is missing, and all nodes cannot be meant"),
            ]
        ),
    ],
)
def test_what_is_not_clear_is_refused_before_anything_changes(site: Site, arguments: Sequence[str], words: str) -> None:
    run = quarantine(site, *arguments, *site.hooks)
    assert run.status == 2, run.output
    assert words in run.output
    assert (site.orders, site.states(), site.locks()) == ([], {}, {})
    assert not run.told("maas_tag")


@pytest.mark.long
def test_a_node_that_somebody_else_holds_is_refused(site: Site) -> None:
    expires = site.hold("fit2")
    run = quarantine(site, "--limit", "fit1,fit2", *because("x"), *site.hooks)
    assert run.status == 2, run.output
    assert f"held by another run: fit2 by bob@elsewhere (run 20260101T000000Z-abcdef) until {expires}" in run.output
    assert (site.orders, site.states(), list(site.locks())) == ([], {}, ["fit2"])

    site.clear()
    assert quarantine(site, *FIT1, *because("alice's"), *ALICE).status == 0
    run = quarantine(site, "--limit", "fit1,fit2", *because("bob's"), *BOB, *site.hooks)
    assert run.status == 2, run.output
    assert "fit1: alice@ctl holds it already" in run.output
    assert (site.orders, site.states(), site.locks()) == ([], {"fit1": "quarantined"}, {})

    run = release(site, *FIT1, *because("x", "release"))
    assert run.status == 2, run.output
    assert "alice@ctl holds it since" in run.output
    assert site.states() == {"fit1": "quarantined"}
    run = release(site, *FIT1, *because("agreed", "release"), "-e", "release_held_by=alice@ctl")
    assert run.status == 0, run.output
    run = release(site, *FIT1, *because("once more", "release"))
    assert run.status == 2, run.output
    assert "fit1: is set_aside, not quarantined" in run.output
    assert site.locks() == {}


@pytest.mark.parametrize(
    ("codes", "calls", "words"),
    [
        (("75", "75", "0"), 3, ""),
        (("75",), 4, "still says try again later (exit status 75) after"),
        (("3",), 1, "refused (exit status 3): job 4711 runs"),
    ],
)
def test_what_the_scheduler_says_counts(site: Site, codes: Sequence[str], calls: int, words: str) -> None:
    site.answer(*codes)
    run = quarantine(site, *FIT1, *because("x"), *site.hooks, "-e", "hook_retries=3")
    assert len(site.orders) == calls
    assert (run.status, site.states()) == ((2, {}) if words else (0, {"fit1": "quarantined"})), run.output
    if words:
        assert words in findings(run.report, "fit1")["lifecycle.drained"]["summary"]
        assert "Nothing was changed" in run.output
        assert not run.told("maas_tag")
    assert site.locks() == {}


def test_a_command_that_hangs_is_ended(site: Site) -> None:
    hang = ("-e", '{"drain_command": ["sleep", "600"], "hook_become": false, "hook_timeout": 1}')
    run = quarantine(site, *FIT1, *because("x"), *hang)
    assert (run.status, site.states()) == (2, {}), run.output
    assert "did not end within 1 s" in findings(run.report, "fit1")["lifecycle.drained"]["summary"]


@pytest.mark.long
def test_check_mode_calls_and_writes_nothing_and_tells_who_would_move(site: Site) -> None:
    run = quarantine(site, *FIT1, *because("x"), "--check", "--diff", *site.hooks)
    assert run.status == 0, run.output
    assert "changed=1" in run.output
    assert site.orders == []
    assert not Path(site.path).exists()
    quarantine(site, *FIT1, *because("x"))
    before = Path(site.path).read_bytes()
    run = release(site, *FIT1, *because("x", "release"), "--check")
    assert (run.status, Path(site.path).read_bytes() == before) == (0, True), run.output
