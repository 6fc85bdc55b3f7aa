# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that is down is started again and proved; a link that is down becomes a ticket with evidence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.session import LabSession

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("in_service")]
REMEDIATE, HEALTH = "playbooks/remediate.yml", "playbooks/health.yml"
ENOUGH = ("-e", "min_healthy_fraction=0.25")
APPLY = ("-e", "remediate_apply=true")


def states(lab: LabSession) -> dict[str, str]:
    return {name: lab.ledger()["nodes"][name]["state"] for name in ("node02", "node03")}


def test_what_can_be_mended_is_and_the_rest_is_told(lab: LabSession) -> None:
    lab.ssh("node02", "sudo systemctl stop docker.socket docker.service")
    lab.lab("fault", "node03", "hca-down", "--hca", "5")
    try:
        lab.playbook(HEALTH, *ENOUGH)
        assert states(lab) == {"node02": "set_aside", "node03": "set_aside"}
        told = lab.playbook(REMEDIATE)
        assert told.returncode == 0 and "restart_service" in told.output, told.output[-8000:]
        assert states(lab) == {"node02": "set_aside", "node03": "set_aside"}
        run = lab.playbook(REMEDIATE, *APPLY)
        assert run.returncode == 0, run.output[-8000:]
        assert states(lab) == {"node02": "in_service", "node03": "set_aside"}
        said = re.search(r"new tickets: (\S+)", run.output)
        assert said, run.output[-8000:]
        ticket = json.loads((Path(said[1]) / "node03-hca-mlx5_5.json").read_text(encoding="utf-8"))
        assert ticket["owners"] == ["network"] and ticket["files"]
    finally:
        lab.lab("heal", "node03")
