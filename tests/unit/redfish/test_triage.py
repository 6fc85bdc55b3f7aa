# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot-failure triage: one finding for each cause, and for every lack of evidence; none ever passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.boot import BOOT_CAUSES
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.bmc import event_log
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.boot import RULES, explain
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.junk import JSON

# A machine with which everything that can be asked is well, and that is not there all the same.
FINE: dict[str, Any] = {
    "bmc": {"answers": True},
    "power": {"ordered": True, "state": "On", "supplies_ok": True},
    "post": {"done": True, "seconds": 400, "state": "OSRunning"},
    "nic": {"mac": "aa:bb:cc:00:00:01", "link": True},
    "boot": {"first": "pxe", "network_once": False, "network": True},
    "dhcp": {"lease": True, "address": "10.0.0.5"},
    "disks": {"seen": {"S1": "/dev/nvme0n1"}, "wanted": "S1", "installed_as": "/dev/nvme0n1"},
    "maas": {"status": "Failed deployment", "event": "Node installation failure", "scripts": []},
    "clock": {"offset_seconds": 0.2},
    "tls": {"error": ""},
    "ssh": {"answers": True},
}


def changed(**parts: Any) -> dict[str, Any]:
    evidence = copy.deepcopy(FINE)
    for name, part in parts.items():
        evidence[name] = {**evidence.get(name, {}), **part} if isinstance(part, dict) else part
    return evidence


SCRIPT = {"name": "smartctl-validate", "status": "Failed", "exit_status": 4}
CASES = [
    ("boot.script", "script:smartctl-validate", "Failed (exit status 4)", changed(maas={"scripts": [SCRIPT]})),
    (
        "boot.bmc_unreachable",
        "bmc",
        "no answer within 30 s",
        changed(bmc={"answers": False, "error": "no answer within 30 s"}),
    ),
    (
        "boot.bmc_certificate",
        "bmc",
        "self-signed",
        changed(bmc={"answers": False, "kind": "Untrusted", "error": "self-signed"}),
    ),
    ("boot.bmc_login", "bmc", "401", changed(bmc={"answers": False, "kind": "Unauthorized", "error": "401"})),
    ("boot.no_power", "host", "its power is Off", changed(power={"state": "Off"})),
    ("boot.no_power", "host", "power supplies", changed(power={"supplies_ok": False})),
    (
        "boot.post",
        "host",
        "not ended 2000 s after power on (state: MemoryInitializationStarted)",
        changed(post={"done": False, "seconds": 2000, "state": "MemoryInitializationStarted"}, dhcp={"lease": False}),
    ),
    ("boot.no_link", "nic:aa:bb:cc:00:00:01", "has no link", changed(nic={"link": False}, dhcp={"lease": False})),
    (
        "boot.order",
        "host",
        "the first in the boot order is disk",
        changed(boot={"first": "disk"}, dhcp={"lease": False}),
    ),
    ("boot.order", "host", "network boot is switched off", changed(boot={"network": False}, dhcp={"lease": False})),
    ("boot.no_lease", "host", "no DHCP lease", changed(dhcp={"lease": False})),
    ("boot.no_disk", "host", "has no disk", changed(disks={"seen": {}})),
    (
        "boot.no_disk",
        "disk:S9",
        "S9 of the operating system is not there; there are S1",
        changed(disks={"wanted": "S9"}),
    ),
    ("boot.disk_changed", "disk:S1", "was /dev/nvme1n1 when it was", changed(disks={"installed_as": "/dev/nvme1n1"})),
    ("boot.clock", "host", "-7200 s off", changed(clock={"offset_seconds": -7200})),
    ("boot.certificate", "host", "certificate has expired", changed(tls={"error": "certificate has expired"})),
    ("boot.certificate", "host", "x509: unknown", changed(maas={"event": "pull failed: x509: unknown authority"})),
    (
        "boot.no_ssh",
        "host",
        "connection refused",
        changed(maas={"status": "Deployed"}, ssh={"answers": False, "error": "connection refused"}),
    ),
]


@pytest.mark.parametrize(("check", "component", "summary", "evidence"), CASES)
def test_a_cause_is_named_with_evidence_remedy_and_owner(
    check: str, component: str, summary: str, evidence: dict[str, Any]
) -> None:
    found = explain(evidence)
    assert (found.check, found.component, found.verdict) == (check, component, Verdict.FAIL)
    assert summary in found.summary
    assert found.remedy == CHECKS[check].remedy and found.owner == CHECKS[check].owner
    assert found.evidence["maas"] == evidence["maas"]


def test_every_cause_of_the_catalogue_has_a_case() -> None:
    assert {check for check, *_rest in CASES} | {"boot.unexplained"} == {cause.id for cause in BOOT_CAUSES}


@pytest.mark.parametrize(
    ("first", "second", "check"),
    [
        # MAAS switches a machine off whose script failed.
        (changed(maas={"scripts": [SCRIPT]}), {"power": {"ordered": True, "state": "Off"}}, "boot.script"),
        (changed(power={"state": "Off"}), {"nic": {"link": False}, "dhcp": {"lease": False}}, "boot.no_power"),
        (changed(nic={"link": False}), {"dhcp": {"lease": False}}, "boot.no_link"),
        (changed(boot={"first": "disk"}), {"dhcp": {"lease": False}}, "boot.order"),
        # A wrong clock makes certificates invalid, and not the other way round.
        (changed(tls={"error": "certificate is not yet valid"}), {"clock": {"offset_seconds": -86400}}, "boot.clock"),
    ],
)
def test_the_first_cause_hides_those_that_follow_from_it(
    first: dict[str, Any], second: dict[str, Any], check: str
) -> None:
    assert explain({**first, **second}).check == check


@pytest.mark.parametrize(
    "evidence",
    [
        # It got an address, so it had a link, whatever the BMC last read of it.
        changed(nic={"link": False}),
        changed(post={"done": False, "seconds": 9999}),
        changed(boot={"first": "disk"}),
        # Switched off on purpose; still in its self-test; once from the network; a disk boot is right here.
        changed(power={"ordered": False, "state": "Off"}),
        changed(post={"done": False, "seconds": 60}, dhcp=None),
        changed(boot={"first": "disk", "network_once": True}, dhcp=None),
        changed(maas={"status": "Deployed"}, boot={"first": "disk"}, dhcp={"lease": False}),
        changed(clock={"offset_seconds": 299}),
    ],
)
def test_what_is_no_cause_is_not_called_one(evidence: dict[str, Any]) -> None:
    assert (explain(evidence).check, explain(evidence).verdict) == ("boot.unexplained", Verdict.UNKNOWN)


def test_with_all_well_it_is_still_not_healthy() -> None:
    found = explain(FINE)
    assert (found.check, found.verdict) == ("boot.unexplained", Verdict.UNKNOWN)
    assert "MAAS says: Node installation failure" in found.summary and found.remedy
    assert len(found.evidence["ruled_out"]) == len(RULES)


def test_without_any_evidence_everything_is_called_not_known() -> None:
    found = explain({})
    assert found.verdict is Verdict.UNKNOWN
    assert all(name in found.summary for name, _rule in RULES)


@pytest.mark.parametrize("absent", FINE)
@pytest.mark.parametrize("how", [None, {}, "junk", []])
def test_missing_evidence_is_not_a_cause_and_not_health(absent: str, how: Any) -> None:
    found = explain({**FINE, absent: how})
    assert (found.check, found.verdict) == ("boot.unexplained", Verdict.UNKNOWN)


@pytest.mark.parametrize(("check", "component", "summary", "evidence"), CASES)
def test_a_cause_is_named_also_where_what_comes_later_is_not_known(
    check: str, component: str, summary: str, evidence: dict[str, Any]
) -> None:
    """A BMC that does not answer takes most of the evidence away."""
    kept = {
        "boot.bmc_unreachable": ["bmc"],
        "boot.bmc_certificate": ["bmc"],
        "boot.bmc_login": ["bmc"],
        "boot.no_power": ["power"],
        "boot.post": ["post"],
        "boot.no_link": ["nic"],
        "boot.order": ["maas", "boot"],
        "boot.no_lease": ["maas", "dhcp"],
        "boot.no_disk": ["disks"],
        "boot.disk_changed": ["disks"],
        "boot.clock": ["clock"],
        "boot.certificate": ["tls", "maas"],
        "boot.no_ssh": ["maas", "ssh"],
        "boot.script": ["maas"],
    }[check]
    found = explain({name: evidence[name] for name in kept})
    assert (found.check, found.component) == (check, component)
    assert summary in found.summary


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ("Redfish request to 10.0.0.1 failed: timed out", "boot.bmc_unreachable"),
        ("Redfish request failed with response status code: 401.", "boot.bmc_login"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "boot.bmc_certificate"),
    ],
)
def test_where_nobody_else_asked_the_bmc_maas_is_believed(said: str, check: str) -> None:
    found = explain({"maas": {"status": "New", "power_error": said}})
    assert found.check == check and said in found.summary
    assert explain({"bmc": {"answers": True}, "maas": {"power_error": said}}).check == "boot.unexplained"


def test_limits_are_those_that_are_given() -> None:
    slow = changed(post={"done": False, "seconds": 40}, dhcp=None)
    assert explain(slow).check == "boot.unexplained"
    assert explain({**slow, "limits": {"post_seconds": 30}}).check == "boot.post"
    waited = changed(dhcp=None)
    waited["post"] = {"done": False, "waited": 1900}
    assert explain(waited).check == "boot.post"
    assert explain({**changed(clock={"offset_seconds": 40}), "limits": {"clock_seconds": 30}}).check == "boot.clock"


def test_the_clock_of_a_bmc_counts_only_where_something_suffered_from_the_time() -> None:
    late = changed(clock={"offset_seconds": -86400 * 365, "of": "BMC"})
    assert explain(late).check == "boot.unexplained"
    late["maas"]["errors"] = ["curtin: certificate verify failed: certificate is not yet valid"]
    assert explain(late).check == "boot.clock"
    del late["clock"]
    assert explain(late).check == "boot.certificate"


def test_what_a_bmc_tells_of_a_machine_that_is_off_is_no_cause() -> None:
    off = changed(power={"ordered": False, "state": "Off"}, nic={"link": False}, dhcp=None, disks={"seen": {}})
    assert explain(off).check == "boot.unexplained"


def test_names_of_disks_are_those_of_the_last_commissioning() -> None:
    disks = {"seen": {"S1": None}, "names": {"S1": "nvme1n1"}, "wanted": "S1", "installed_as": "nvme0n1"}
    assert explain({**FINE, "disks": disks}).check == "boot.disk_changed"
    assert explain({**FINE, "disks": {"names": {}}}).check == "boot.no_disk"


@given(st.dictionaries(st.sampled_from(list(FINE)), JSON))
def test_whatever_the_evidence_there_is_one_finding_that_does_not_pass(evidence: dict[str, Any]) -> None:
    found = explain(evidence)
    assert found.verdict in (Verdict.FAIL, Verdict.UNKNOWN) and found.remedy and found.owner


# -- event log ---------------------------------------------------------------------------------


def entry(number: int, severity: str = "Critical") -> dict[str, Any]:
    return {"id": str(number), "created": "2027-01-01", "severity": severity, "message": f"fan {number}"}


def test_entries_of_the_event_log_become_findings() -> None:
    found = event_log([entry(1), entry(2, "")], 5)
    assert [(one.check, one.component, one.verdict) for one in found] == [
        ("bmc.event_log", "event:1", Verdict.WARN),
        ("bmc.event_log", "event:2", Verdict.WARN),
    ]
    assert "fan 1" in found[0].summary


def test_a_flood_of_entries_is_cut_and_says_so_and_none_is_a_pass() -> None:
    found = event_log([entry(number) for number in range(50)], 50)
    assert len(found) == 20 and "30 earlier ones are not told" in found[0].summary
    assert [one.verdict for one in event_log([], 3)] == [Verdict.PASS]
    assert "among 3 new ones" in event_log([], 3)[0].summary
