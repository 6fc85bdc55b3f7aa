# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of every scenario are given. Run by `molecule verify`, which says by MOLECULE_* what is tested."""

from __future__ import annotations

import pytest
from shared.machine import Machine
from shared.scenario import Scenario


@pytest.fixture(scope="session")
def scenario() -> Scenario:
    return Scenario.from_environment()


@pytest.fixture(scope="session")
def machines(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Machine]:
    """The machines of the scenario by their names; all commands on them run as root."""
    ssh_config = tmp_path_factory.mktemp("ssh") / "config"
    ssh_config.write_text(scenario.ssh_config(), encoding="utf-8")
    return {name: Machine(name, ssh_config) for name in scenario.host_names}


@pytest.fixture(scope="session")
def machine(machines: dict[str, Machine]) -> Machine:
    """The first node of the scenario; where there is none, the virtual machine, else the head node."""
    names = [name for kind in ("node", "vm", "head") for name in sorted(machines) if name.startswith(kind)]
    return machines[names[0]]
