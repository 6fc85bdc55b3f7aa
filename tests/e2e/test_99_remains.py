# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that carries the lab is the same after as before."""

from __future__ import annotations

from typing import Any

from lab.site import Lab
from tests.e2e import host
from tests.e2e.conftest import NAME
from tests.e2e.session import ROOT, LabSession

LAB = Lab(NAME, ROOT)


def test_a_second_up_says_that_the_lab_is_up(lab: LabSession) -> None:
    before = lab.status()
    done = lab.lab("up")
    assert "is up already" in done.stdout and "python -m lab down" in done.stdout
    assert lab.status() == before


def test_the_host_is_unchanged_while_the_lab_runs(lab: LabSession, host_before: dict[str, Any]) -> None:
    now = host.snapshot(LAB)
    for part in ("sysctl", "swap", "modules", "md", "etc", "firewall"):
        assert now[part] == host_before[part], part
    assert abs(now["clock"] - host_before["clock"]) < 1.0


def test_down_leaves_nothing(lab: LabSession, host_before: dict[str, Any]) -> None:
    assert host.processes(LAB)
    lab.lab("down")
    assert host.processes(LAB) == []
    now = host.snapshot(LAB)
    assert {part for part in host_before if part != "clock" and now[part] != host_before[part]} == set()
