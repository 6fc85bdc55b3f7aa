# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of data disks are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.plan import Plan
from made_up_host import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """With a disk of the system and two others, on which is nothing."""
    made = Host(tmp_path)
    boss = made.disk("nvme8n1", "B1", "Dell BOSS-N1", size=959656755200)
    part = made.put([boss], "nvme8n1p1", "part", size=959000000000)
    made.mark(boss, "gpt")
    made.mark(part, "ext4", "root-uuid", "root")
    made.mount(part, "/", "ext4")
    made.disk("nvme0n1", "S1")
    made.disk("nvme1n1", "S2")
    return made


@pytest.fixture
def kinds() -> Callable[[Plan], list[str]]:
    return lambda plan: [step.kind for step in plan.steps]
