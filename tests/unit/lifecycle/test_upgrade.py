# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""upgrade.yml as an operator runs it: who goes first, what is done, when it stops, and how it goes on.

MAAS and the nodes are played as in test_phases; ledger, gates, hooks and playbooks are the real ones. A node has its
class's versions once the role base_os, which is played too, was there. Preflight has tests of its own and is left out.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import Batch, StateChange
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State, Step

from tests.unit.lifecycle.played_ledger import Site, findings, furnish
from tests.unit.lifecycle.test_reprovision import stand
from tests.unit.run.test_phases import Played, Run, played

__all__ = ["played"]
# In the order of the roster.
NODES = ["alone", "fit1", "fit2", "together"]
ALL = ("--limit", ",".join(NODES))
TAKE = ("-e", "upgrade_in_service=true")
# The roster has eight other nodes, none of which is in service.
ROOM = ("-e", "upgrade_most_out=10", "-e", "upgrade_batch=2")
OLD = {"gpu_driver": "560.35.03"}
LAST_BATCH = 3


@pytest.fixture(scope="module")
def furnished(played: Played) -> Site:
    site = furnish(played)
    collection = played.folder / "collections/ansible_collections/firstlight/cluster"
    preflight = {"name": "Preflight", "hosts": "gpu_nodes", "gather_facts": False, "tags": ["always"], "tasks": []}
    (collection / "playbooks/preflight.yml").write_text(yaml.safe_dump([preflight]), encoding="utf-8")
    # Fewer batches of one run: each is read before the first begins.
    upgrade = collection / "playbooks/upgrade.yml"
    plays = yaml.safe_load(upgrade.read_text(encoding="utf-8"))
    more = [play for play in plays if (match := re.match(r"Batch (\d+)", play["name"])) and int(match[1]) > LAST_BATCH]
    assert len(more) == 10 - LAST_BATCH
    upgrade.write_text(yaml.safe_dump([play for play in plays if play not in more]), encoding="utf-8")
    configure = {
        "name": "Configure",
        "ansible.builtin.file": {
            "path": f"{played.folder}/configured/{{{{ inventory_hostname }}}}",
            "state": "touch",
            "mode": "0600",
        },
    }
    (collection / "roles/base_os/tasks/main.yml").write_text(yaml.safe_dump([configure]), encoding="utf-8")
    roster = played.folder / "inventory/hosts.yml"
    hosts = yaml.safe_load(roster.read_text(encoding="utf-8"))
    hosts["maas_deployed"] = {"hosts": dict.fromkeys(NODES)}
    roster.write_text(yaml.safe_dump(hosts), encoding="utf-8")
    return site


@pytest.fixture
def site(furnished: Site) -> Site:
    furnished.clear()
    done = furnished.played.folder / "configured"
    shutil.rmtree(done, ignore_errors=True)
    done.mkdir()
    return furnished


def upgrade(site: Site, *arguments: str, **scenario: Any) -> Run:
    """All nodes have an old driver, and none is bad, unless the scenario says so."""
    given = {"has": dict.fromkeys(NODES, OLD), "collective.intra": [], "collective.inter": [], **scenario}
    return site.played.run("upgrade", arguments=(*arguments, *site.hooks), **given)


def configured(site: Site) -> set[str]:
    return {path.name for path in (site.played.folder / "configured").iterdir()}


def orders(site: Site) -> list[tuple[str, list[str]]]:
    return [(order["action"], sorted(order["nodes"])) for order in site.orders]


def in_service(site: Site) -> dict[str, str]:
    states = dict.fromkeys(NODES, "in_service")
    stand(site, **states)
    return states


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (ALL, "alone is in service since"),
        ((*ALL, *TAKE), "nodes are out of service, and upgrade_most_out is 2: no room for the canaries"),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [
                ((), "--limit: is missing, and all nodes cannot be meant"),
                ((*ALL, "--tags", "nccl"), "--tags, --skip-tags: nodes with new versions are proved with every role"),
                ((*ALL, *TAKE, "-e", "upgrade_canary=fti1"), "upgrade_canary: fti1: no GPU node of the inventory"),
                ((*ALL, *TAKE, "-e", "upgrade_batch=some"), "upgrade_batch: 'some' is no number of nodes"),
            ]
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_changes(
    site: Site, arguments: Sequence[str], words: str
) -> None:
    before = in_service(site)
    run = upgrade(site, *arguments)
    assert run.status == 2, run.output
    assert words in " ".join(run.output.split())
    assert (site.orders, site.states(), site.locks(), configured(site)) == ([], before, {}, set())
    assert not run.told("maas_tag") and not run.told("maas_machine")


@pytest.mark.long
def test_a_canary_first_then_batches_and_nobody_who_is_as_the_class_says(site: Site) -> None:
    in_service(site)
    run = upgrade(site, *ALL, *TAKE, *ROOM, "-e", "upgrade_canary=fit2")
    assert run.status == 0, run.output
    assert orders(site) == [
        ("drain", ["fit2"]),
        ("undrain", ["fit2"]),
        ("drain", ["alone", "fit1"]),
        ("undrain", ["alone", "fit1"]),
        ("drain", ["together"]),
        ("undrain", ["together"]),
    ]
    assert site.states() == dict.fromkeys(NODES, "in_service")
    assert (configured(site), site.locks()) == (set(NODES), {})
    assert {node: entry["state"] for node, entry in run.report["nodes"].items()} == dict.fromkeys(NODES, "admitted")
    assert "gpu_driver is 560.35.03, the class has 570.172.08: alone, fit1, fit2, together" in run.output
    # Again: there is nothing to do, and nobody is drained for it.
    again = upgrade(site, *ALL, *TAKE, *ROOM)
    assert again.status == 0, again.output
    assert (len(site.orders), again.told("maas_machine")) == (6, [])
    assert "4 of 4 nodes are as their class says, and are left alone" in " ".join(again.output.split())
    assert "changed=0" in again.output and "changed=1" not in again.output


@pytest.mark.parametrize(
    "bad", [pytest.param({"collective.intra": ["alone"]}, marks=pytest.mark.long), {"stuck": ["alone"]}]
)
def test_a_canary_that_fails_is_set_aside_and_the_others_stay_as_they_are(site: Site, bad: dict[str, Any]) -> None:
    before = in_service(site)
    run = upgrade(site, *ALL, *TAKE, *ROOM, **bad)
    assert run.status == 2, run.output
    said = " ".join(run.output.split())
    assert "canary alone was set aside. 3 nodes were left as they were: fit1, fit2, together." in said
    assert site.states() == before | {"alone": "set_aside"}
    assert (orders(site), configured(site), site.locks()) == ([("drain", ["alone"])], {"alone"}, {})
    check = "software.drift" if "stuck" in bad else "collective.intra"
    assert findings(run.report, "alone")[check]["verdict"] == "fail"
    assert {node: entry["state"] for node, entry in run.report["nodes"].items()} == dict.fromkeys(NODES, "unjudged") | {
        "alone": "set_aside"
    }
    # The way back: the class has its old versions again, which all others have; no canary is needed to prove them.
    (site.played.folder / "configured/alone").unlink()
    back = upgrade(site, *ALL, *ROOM, has={"alone": {"gpu_driver": "575.57.08"}})
    assert back.status == 0, back.output
    assert "No canary: nodes in service have these versions" in back.output
    assert site.states() == before
    assert orders(site)[1:] == [("drain", ["alone"]), ("undrain", ["alone"])]
    assert back.report["nodes"].keys() == {"alone"}


@pytest.mark.long
def test_too_many_failures_stop_it_and_the_next_run_goes_on_where_it_stopped(site: Site) -> None:
    in_service(site)
    one = (*ROOM, "-e", "upgrade_batch=1")
    run = upgrade(site, *ALL, *TAKE, *one, **{"collective.intra": ["fit1"]})
    assert run.status == 2, run.output
    said = " ".join(run.output.split())
    assert "1 of 2 nodes were set aside, more than upgrade_max_failed (0.1) allows. 2 nodes were left" in said
    assert configured(site) == {"alone", "fit1"}
    assert (site.states()["alone"], site.states()["fit1"]) == ("in_service", "set_aside")
    again = upgrade(site, *ALL, *TAKE, *one)
    assert again.status == 0, again.output
    assert "No canary" in again.output
    assert again.report["nodes"].keys() == set(NODES) - {"alone"}
    assert site.states() == dict.fromkeys(NODES, "in_service")
    drained = [nodes for action, nodes in orders(site) if action == "drain"]
    assert drained == [["alone"], ["fit1"], ["fit2"], ["together"], ["fit1"]], "who was set aside goes last"


@pytest.mark.long
def test_who_was_broken_before_holds_nobody_up_and_what_a_killed_run_had_begun_is_finished_first(site: Site) -> None:
    """The first of the roster is broken. Another was configured by a run that was killed before it could prove it."""
    in_service(site)
    taken = "versions brought to the class: upgrade"
    steps = {"alone": [("set_aside", "sick")], "together": [("deployed", taken), ("configured", "every role ran")]}
    with site.open() as ledger:
        for node, changes in steps.items():
            for number, (state, reason) in enumerate(changes, 1):
                step = Step.BACKWARD if state == "deployed" else Step.FORWARD
                change = StateChange(node, State(state), reason=reason, step=step)
                name = f"20260101T00000{number}Z-000000"
                ledger.record(Batch(run=name, phase="test", operator="alice@ctl", states=[change]))
    (site.played.folder / "configured/together").touch()
    run = upgrade(site, *ALL, *TAKE, *ROOM, **{"collective.intra": ["alone"]})
    said = " ".join(run.output.split())
    assert "1 were set aside before: they go last, and are not counted when they fail: alone." in said
    assert [nodes for action, nodes in orders(site) if action == "drain"] == [
        ["together"],
        ["fit1"],
        ["fit2"],
        ["alone"],
    ]
    assert site.states() == dict.fromkeys(NODES, "in_service") | {"alone": "set_aside"}
    assert "Stopped: " not in said and "nodes were left as they were: " not in said
    # Three of four are fit.
    assert run.status == 0, run.output


@pytest.mark.long
def test_what_does_not_fit_into_one_run_is_left_for_the_next(site: Site) -> None:
    in_service(site)
    place = site.played.folder / "collections/ansible_collections/firstlight/cluster/playbooks/upgrade.yml"
    text = place.read_text(encoding="utf-8")
    plays = [play for play in yaml.safe_load(text) if not play["name"].startswith("Batch")]
    place.write_text(yaml.safe_dump(plays), encoding="utf-8")
    try:
        run = upgrade(site, *ALL, *TAKE, *ROOM)
    finally:
        place.write_text(text, encoding="utf-8")
    assert run.status == 2, run.output
    assert "one run takes at most its canaries and ten batches. 3 nodes were left as they were" in run.output
    assert configured(site) == {"alone"}


def test_a_node_that_cannot_be_compared_is_no_success(site: Site) -> None:
    before = in_service(site)
    run = upgrade(site, "--limit", "fit1", *TAKE, *ROOM, unlooked=["fit1"])
    assert run.status == 2, run.output
    assert "no node could be compared" in run.output
    assert (site.orders, site.states()) == ([], before)
    assert findings(run.report, "fit1")["software.drift"]["verdict"] == "unknown"


@pytest.mark.long
def test_check_mode_tells_what_differs_and_changes_nothing(site: Site) -> None:
    before = in_service(site)
    run = upgrade(site, *ALL, *TAKE, *ROOM, "--check", "--diff")
    assert run.status == 0, run.output
    assert (site.orders, site.states(), site.locks(), configured(site)) == ([], before, {}, set())
    assert findings(run.report, "fit2")["software.drift"]["component"] == "software:gpu_driver"
    assert {entry["state"] for entry in run.report["nodes"].values()} == {"deferred"}
    assert "gpu_driver is 560.35.03, the class has 570.172.08" in run.output
