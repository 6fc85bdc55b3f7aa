# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BIOS and firmware of deployed nodes, and passwords of BMCs, as operators change them: who is refused, what is done.

The site is that of test_phases with BMCs that remember; ledger, gates, hooks and playbooks are the real ones.
Preflight, which needs a site's secrets and its MAAS, has tests of its own and is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from tests.unit.lifecycle.played_ledger import Site, furnish
from tests.unit.lifecycle.test_reprovision import KILL, stand
from tests.unit.run.played_bmcs import NEW, OLD, Racks, set_by, told_to_maas
from tests.unit.run.test_phases import Played, Run, played

__all__ = ["played"]
FIT1 = ("--limit", "fit1")
TAKE = ("-e", "firmware_in_service=true")
DEPLOYED = ["fit1", "fit2", "sick", "held", "alone"]


@pytest.fixture(scope="module")
def furnished(played: Played) -> tuple[Site, Racks]:
    site = furnish(played)
    racks = Racks(played, DEPLOYED, [*DEPLOYED, "undeployed", "mute"])
    preflight = {"name": "Preflight", "hosts": "gpu_nodes", "gather_facts": False, "tags": ["always"], "tasks": []}
    place = played.folder / "collections/ansible_collections/firstlight/cluster/playbooks/preflight.yml"
    place.write_text(yaml.safe_dump([preflight]), encoding="utf-8")
    return site, racks


@pytest.fixture
def site(furnished: tuple[Site, Racks]) -> Site:
    furnished[0].clear()
    furnished[1].clear()
    return furnished[0]


@pytest.fixture
def racks(furnished: tuple[Site, Racks]) -> Racks:
    return furnished[1]


def firmware(site: Site, racks: Racks, *arguments: str, **scenario: Any) -> Run:
    return racks.run("firmware", *arguments, *site.hooks, **scenario)


def steps(site: Site, node: str) -> list[tuple[str, str]]:
    with site.open() as ledger:
        return [(step["from_state"], step["to_state"]) for step in ledger.history(node)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--limit: is missing, and all nodes cannot be meant"),
        (("--limit", "fit1,fit2"), "fit2 is in service since"),
        (
            ("--limit", "fit1,alone", "-e", "bmc_firmware_most=1"),
            "Firmware is due on 2 nodes, more than bmc_firmware_most (1)",
        ),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [
                (
                    ("-e", "firmware_nodes=fit1,fti2"),
                    "firmware_nodes: fti2: no GPU node of the inventory, or left out by",
                ),
                (
                    (*FIT1, "--tags", "nccl"),
                    "--tags, --skip-tags: nodes that were restarted are proved with every role",
                ),
                (("--limit", "fit1,held"), "held is quarantined by alice@ctl: by the test"),
                (("--limit", "fit1,later"), "later is planned, so there is nothing to work on"),
                (
                    ("--limit", "fit1,undeployed"),
                    "undeployed is not deployed, and provision.yml brings BIOS and firmware",
                ),
                (
                    ("--limit", "fit1,sick"),
                    "sick its BMC could not be compared with the class: this BIOS has no such attribute",
                ),
                (("--limit", "fit1", "-e", '{"maas": {"locked": true}}'), "fit1 is locked in MAAS"),
            ]
        ),
    ],
)
def test_what_must_not_be_touched_is_refused_before_anything_changes(
    site: Site, racks: Racks, arguments: Sequence[str], words: str
) -> None:
    before = {"fit1": "set_aside", "fit2": "in_service", "held": "quarantined"}
    stand(site, **before)
    due = ["fit1", "fit2", "held", "undeployed", "alone"]
    run = firmware(site, racks, *arguments, bios_due=due, firmware_due=["fit1", "alone"], bad_bmc=["sick"])
    assert run.status == 2, run.output
    assert words in " ".join(run.output.split())
    assert (site.orders, site.states(), site.locks()) == ([], before, {})
    assert set_by(run, "bmc_bios") == set_by(run, "bmc_firmware") == []
    assert not run.told("maas_tag")


def test_nodes_that_differ_are_drained_set_and_proved_and_no_other_is_touched(site: Site, racks: Racks) -> None:
    stand(site, fit1="in_service", fit2="in_service", alone="set_aside")
    due: dict[str, Any] = {"bios_due": ["fit1"], "firmware_due": ["alone"]}
    run = firmware(site, racks, "-e", "firmware_nodes=fit1,fit2,alone", *TAKE, **due)
    assert run.status == 0, run.output
    assert (set_by(run, "bmc_bios"), set_by(run, "bmc_firmware")) == (["alone", "fit1"], ["alone"])
    # Compared, or set: only where the machine is the node's own.
    told = [*run.told("bmc_bios"), *run.told("bmc_firmware")]
    assert all(call["serial"] == call["address"].replace("bmc-", "S-") for call in told)
    assert [(order["action"], order["nodes"]) for order in site.orders] == [
        ("drain", ["alone", "fit1"]),
        ("undrain", ["fit1"]),
    ]
    assert site.states() == {"fit1": "in_service", "fit2": "in_service", "alone": "set_aside"}
    assert ("in_service", "deployed") in steps(site, "fit1")
    assert steps(site, "fit1")[-1] == ("configured", "in_service")
    assert "fit1 in service: False." in run.output, "taken from its users, it may be restarted"
    assert len(steps(site, "fit2")) == 1, "as its class says, and so left alone"
    assert run.report["nodes"].keys() == {"fit1", "alone"}
    assert told_to_maas(run, check=True) == [("released", ["alone", "fit1"])]
    assert told_to_maas(run) == [("deployed", ["alone", "fit1"])]
    assert [machine["serial"] for machine in run.told("maas_tag")[0]["machines_absent"]] == ["S-alone", "S-fit1"]
    assert site.locks() == {}
    # Again: there is nothing to do, and nobody is drained for it.
    again = firmware(site, racks, "-e", "firmware_nodes=fit1,fit2", *TAKE, **due)
    assert again.status == 0, again.output
    assert (len(site.orders), again.told("maas_machine"), again.told("maas_tag")) == (2, [], [])
    assert "2 of 2 nodes are as their class says, and are left alone: fit1, fit2" in " ".join(again.output.split())
    assert "changed=0" in again.output and "changed=1" not in again.output


@pytest.mark.long
def test_a_node_whose_bmc_fails_is_set_aside_and_not_proved(site: Site, racks: Racks) -> None:
    """It could be compared, and then not be set: the played one fails where it is to write only."""
    stand(site, fit1="set_aside", fit2="set_aside")
    tasks = racks.played.folder / "collections/ansible_collections/firstlight/cluster/roles/bmc/tasks/bios.yml"
    text = tasks.read_text(encoding="utf-8")
    refuse = {
        "name": "Refuse",
        "ansible.builtin.assert": {"that": "inventory_hostname != 'fit2' or bmc_is_due is not defined"},
    }
    tasks.write_text(yaml.safe_dump([refuse, *yaml.safe_load(text)]), encoding="utf-8")
    try:
        run = firmware(site, racks, "--limit", "fit1,fit2", bios_due=["fit1", "fit2"])
    finally:
        tasks.write_text(text, encoding="utf-8")
    assert run.gates["bmc"]["set_aside"] == ["fit2"], run.output
    assert site.states() == {"fit1": "in_service", "fit2": "set_aside"}
    assert told_to_maas(run) == [("deployed", ["fit1"])]
    # Again, when somebody has mended the BMC and set all by hand: nothing is due, and it is still to be proved.
    again = firmware(site, racks, "--limit", "fit1,fit2")
    assert again.status == 0, again.output
    assert "1 of 2 nodes are as their class says, and are left alone: fit1" in " ".join(again.output.split())
    assert site.states() == {"fit1": "in_service", "fit2": "in_service"}
    assert again.report["nodes"].keys() == {"fit2"}


@pytest.mark.long
def test_a_run_that_was_killed_is_run_again_though_nothing_is_due_any_longer(site: Site, racks: Racks) -> None:
    stand(site, fit1="in_service")
    tasks = racks.played.folder / "collections/ansible_collections/firstlight/cluster/playbooks/tasks/deploy.yml"
    text = tasks.read_text(encoding="utf-8")
    kill = {"name": "Kill", "ansible.builtin.command": {"argv": [sys.executable, "-c", KILL]}}
    tasks.write_text(yaml.safe_dump([kill]), encoding="utf-8")
    try:
        killed = firmware(site, racks, *FIT1, *TAKE, bios_due=["fit1"])
    finally:
        tasks.write_text(text, encoding="utf-8")
    assert killed.status != 0
    assert (site.states(), list(site.locks())) == ({"fit1": "deployed"}, ["fit1"])
    run = firmware(site, racks, *FIT1, bios_due=["fit1"])
    assert run.status == 0, run.output
    assert (site.states(), site.locks()) == ({"fit1": "in_service"}, {})
    assert site.orders[-1]["action"] == "undrain"


@pytest.mark.long
def test_check_mode_changes_nothing(site: Site, racks: Racks) -> None:
    stand(site, fit1="in_service")
    run = firmware(site, racks, *FIT1, *TAKE, "--check", "--diff", bios_due=["fit1"])
    assert run.status == 0, run.output
    assert (site.orders, site.states(), site.locks()) == ([], {"fit1": "in_service"}, {})
    assert (set_by(run, "bmc_bios"), told_to_maas(run)) == ([], [])


# -- passwords


def rotate(racks: Racks, *arguments: str, **scenario: Any) -> Run:
    run = racks.run("bmc_password", "-vvvv", "-e", f"bmc_new_password={NEW}", *arguments, **scenario)
    # The command line, which the test itself wrote, is shown by -v.
    assert OLD not in run.output
    assert not [line for line in run.output.splitlines() if NEW in line and "bmc_new_password=" not in line]
    return run


def given(run: Run, check: bool = False) -> dict[str, dict[str, Any]]:
    calls = [call for call in run.told("maas_machine") if call["check"] is check]
    return {machine["name"]: machine for call in calls for machine in call["machines"]}


def test_passwords_are_changed_on_the_bmc_and_in_maas_in_one_call(site: Site, racks: Racks) -> None:
    stand(site, fit1="in_service")
    tried = rotate(racks, "--limit", "fit1,fit2", "--check")
    assert (tried.status, set_by(tried, "bmc_password"), given(tried)) == (0, [], {}), tried.output
    run = rotate(racks, "--limit", "fit1,fit2")
    assert run.status == 0, run.output
    assert set_by(run, "bmc_password") == ["fit1", "fit2"]
    assert told_to_maas(run) == [("enrolled", ["fit1", "fit2"])]
    assert given(run)["fit1"] == {
        "name": "fit1",
        "system_id": "id-fit1",
        "power_type": "redfish",
        "power_parameters": {"power_user": "root", "power_pass": NEW},
    }
    assert (site.states(), site.locks()) == ({"fit1": "in_service"}, {})


def test_each_bmc_fails_for_itself_and_maas_is_told_of_no_password_that_does_not_hold(site: Site, racks: Racks) -> None:
    run = rotate(racks, "--limit", "fit1,fit2,sick,alone", bad_bmc=["sick"], foreign=["alone"])
    assert run.status == 2, run.output
    said = " ".join(run.output.split())
    assert "sick: failed logins lock the account" in said
    assert "alone: MAAS would not take it: it belongs to bob" in said
    assert set_by(run, "bmc_password") == ["fit1", "fit2", "sick"], "MAAS would not take it, so the BMC keeps it"
    assert sorted(given(run)) == ["fit1", "fit2"]
    assert site.locks() == {}


@pytest.mark.long
def test_where_maas_has_an_account_of_its_own_only_the_bmc_is_told(site: Site, racks: Racks) -> None:
    run = rotate(racks, "--limit", "fit1,fit2", own_account=["fit2"], shared_account=["fit1"])
    assert run.status == 0, run.output
    assert set_by(run, "bmc_password") == ["fit1", "fit2"]
    assert sorted(given(run)) == ["fit1"]
    assert "another account, and was told no new password: fit2 (maas)" in " ".join(run.output.split())


def test_a_node_without_a_new_password_ends_the_run_before_anything_changes(site: Site, racks: Racks) -> None:
    run = rotate(racks, "--limit", "fit1,uncabled")
    assert run.status == 2
    assert "uncabled: bmc_address, bmc_user, bmc_password: missing" in " ".join(run.output.split())
    assert not run.told("bmc_password") and not run.told("maas_machine")
