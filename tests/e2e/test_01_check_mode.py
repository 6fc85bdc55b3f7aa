# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything is deployed: check mode tells what would be done and touches nothing."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import NODES
from tests.e2e.session import LabSession
from tests.e2e.untouched import CASES, HEAD, differences, state, try_playbook


def test_check_mode_defers_four_nodes_and_touches_nothing(lab: LabSession) -> None:
    # The head answers before its first boot has come to its end, which writes files too.
    lab.ssh(HEAD, "cloud-init status --wait || true")
    before = state(lab, HEAD)

    run = lab.playbook("site.yml", "--check", "--diff")

    assert run.returncode == 0, run.output[-6000:]
    assert {state: count for state, count in run.report["summary"].items() if count} == {"total": 4, "deferred": 4}
    assert [run.state(node) for node in NODES] == ["deferred"] * 4
    assert differences(before, state(lab, HEAD)) == {}


def test_check_mode_looked(lab: LabSession) -> None:
    """The check above would hold of a run that did nothing at all."""
    assert lab.requests("maas", writing=False, method="GET")


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_no_playbook_touches_anything_before_there_is_a_node(lab: LabSession, name: str) -> None:
    """Some fail here, since there is no node or ledger yet: by then they must have done nothing, too."""
    lab.ssh(HEAD, "cloud-init status --wait || true")
    run, changed = try_playbook(lab, name, HEAD)
    assert run.returncode in (0, 2), run.output[-4000:]
    assert changed == {}
