# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MAAS that answers badly does not stop a bring-up; one that is gone stops it cleanly, and the next run goes on."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.conftest import NODES
from tests.e2e.session import LabSession
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.long


def deployed_once_each(lab: LabSession, since: int) -> bool:
    return sorted(lab.deployments(since).values()) == [1] * len(NODES)


def test_a_bring_up_gets_through_requests_that_go_wrong(lab: LabSession) -> None:
    lab.release()
    before, requests = lab.deployments().total(), len(lab.requests("maas"))
    # Among these are a deployment that is carried out and not answered, and answers that end half-way.
    lab.lab("fault", "maas", "http-flaky", "--percent", "20", "--seed", "3", "--seconds", "30")
    try:
        run = lab.playbook("site.yml")
    finally:
        lab.lab("heal", "maas")
    wrong = [entry for entry in lab.requests("maas")[requests:] if "fault" in entry]
    # Of some twenty-five requests every fifth; which, and in which of the five ways, is chance.
    assert len(wrong) >= 3, Counter(entry["fault"] for entry in wrong)
    assert run.returncode == 0, run.output[-8000:]
    assert [run.state(node) for node in NODES] == ["admitted"] * 4
    assert deployed_once_each(lab, before), lab.deployments(before)


def test_a_maas_that_is_gone_stops_a_run_and_the_next_goes_on(lab: LabSession) -> None:
    """Machines that MAAS lost sight of fail in it once their time is over, and are deployed once more."""
    lab.release()
    before = lab.deployments().total()
    lab.lab("fault", "maas", "impatient", "--seconds", "90")
    process = lab.start_playbook("site.yml", log=lab.artifacts / "gone.log")
    try:
        wait_until(lambda: lab.deployments(before).total() >= 2 or process.poll() is not None, 600, "two deployments")
        lab.lab("heal", "maas")
        lab.lab("fault", "maas", "down")
        returncode = process.wait(timeout=600)
    finally:
        process.kill()
        lab.lab("heal", "maas")
    said = (lab.artifacts / "gone.log").read_text(encoding="utf-8")
    assert returncode == 2, said[-8000:]
    assert "MAAS" in said and "Is MAAS running" in said, said[-8000:]
    assert "Report: " in said

    # It has one fault at a time.
    lab.lab("fault", "maas", "impatient", "--seconds", "90")
    try:
        run = lab.playbook("site.yml")
    finally:
        lab.lab("heal", "maas")
    assert run.returncode == 0, run.output[-8000:]
    assert [run.state(node) for node in NODES] == ["admitted"] * 4
    assert set(lab.deployments(before).values()) <= {1, 2}, lab.deployments(before)


def test_no_run_begins_without_maas(lab: LabSession) -> None:
    lab.lab("fault", "maas", "down")
    try:
        run = lab.playbook("site.yml")
    finally:
        lab.lab("heal", "maas")
    assert run.returncode != 0
    assert "Is MAAS running" in run.output, run.output[-4000:]
    assert lab.playbook("playbooks/health.yml").report["summary"]["admitted"] == 4
