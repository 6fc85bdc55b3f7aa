# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook in check mode on a cluster in service: no writing request, no file, no line in the ledger."""

from __future__ import annotations

import pytest

from tests.e2e.session import LabSession
from tests.e2e.untouched import CASES, HEAD, try_playbook


@pytest.mark.usefixtures("in_service")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if case.in_gate else pytest.mark.long) for name, case in CASES.items()]
)
def test_a_playbook_touches_nothing(lab: LabSession, name: str) -> None:
    run, changed = try_playbook(lab, name, HEAD, "node02")
    assert run.returncode == CASES[name].status, run.output[-8000:]
    assert CASES[name].says in run.output, run.output[-8000:]
    assert changed == {}
