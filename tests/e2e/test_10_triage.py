# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Four nodes that do not come up, each for a reason of its own: one run names all four, and healed they come up.

It needs machines that nobody has deployed yet, so it brings up a lab of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.session import ROOT, LabSession

pytestmark = pytest.mark.long

FAULTS = {
    "node01": ("no-link", "boot.no_link", "datacentre"),
    "node02": ("script-fails", "boot.script", "vendor"),
    "node03": ("no-ssh", "boot.no_ssh", "software"),
    "node04": ("bmc-down", "boot.bmc_unreachable", "datacentre"),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[LabSession]:
    session = LabSession("triage", ROOT / "artifacts" / "triage")
    session.artifacts.mkdir(parents=True, exist_ok=True)
    session.lab("down")
    session.lab("up")
    yield session
    session.lab("down")


def test_one_run_names_the_cause_of_each_node_that_did_not_come_up(lab: LabSession) -> None:
    # As long as a healthy machine of the lab needs twice, and not half an hour.
    lab.lab("fault", "maas", "impatient", "--seconds", "45")
    for node, (kind, _check, _owner) in FAULTS.items():
        lab.lab("fault", node, kind)
    run = lab.playbook("playbooks/provision.yml", "-e", "maas_arrival_timeout=10", timeout=240)

    for node, (_kind, check, owner) in FAULTS.items():
        causes = [found for found in run.findings(node) if found["check"].startswith("boot.")]
        assert [(found["check"], found["owner"]) for found in causes] == [(check, owner)], run.findings(node)
        assert causes[0]["remedy"]
        # A BMC that says nothing ends its node's run before anything was switched on, so there is nothing to rule out.
        assert ("ruled_out" in causes[0]["evidence"]) is (node != "node04")
        assert f"{node}: fail {check}" in run.output, run.output[-4000:]
        assert run.state(node) in ("set_aside", "unreachable")
    assert lab.status()["machines"]["node01"]["faults"]


def test_healed_they_come_up(lab: LabSession) -> None:
    lab.lab("heal", "maas")
    for node in FAULTS:
        lab.lab("heal", node)
    run = lab.playbook("playbooks/provision.yml", timeout=240)
    assert run.returncode == 0, run.output[-4000:]
    assert {node: run.findings(node) for node in FAULTS} == {node: [] for node in FAULTS}
