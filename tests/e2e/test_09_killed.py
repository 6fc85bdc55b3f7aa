# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bring-up that is killed twice on the way converges when it is run again."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.conftest import NODES
from tests.e2e.session import LabSession

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("in_service")]


def test_each_node_is_deployed_once_in_spite_of_two_kills(lab: LabSession) -> None:
    before = lab.deployments()

    def deployed() -> Counter[str]:
        return lab.deployments() - before

    def installing() -> bool:
        return "dpkg" in lab.ssh("node03", "pgrep -a dpkg || true", check=False)

    lab.release()
    lab.kill_playbook_when(lambda: deployed().total() >= 2, "site.yml")
    lab.kill_playbook_when(installing, "site.yml")
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    assert run.report["summary"]["admitted"] == 4
    assert sorted(deployed().values()) == [1, 1, 1, 1]
    for node in NODES:
        assert lab.ssh(node, "dpkg --audit") == ""
