# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab on paper: a clone with a roster, a state directory, nothing of it running."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab import machines
from lab.machines import Network, Site
from lab.site import Lab

NETWORK = Network("198.18.7.0/24", "198.18.7.1", "flabcdef")


def roster(nodes: int = 2) -> dict[str, object]:
    return {
        "gpu_nodes": {
            "hosts": {
                f"node0{n}": {"serial_number": f"FL0000N0{n}", "rack": "r1", "unit": n} for n in range(1, nodes + 1)
            }
        },
        "head_nodes": {"hosts": {"head01": {"serial_number": "FL0000H01", "rack": "r1", "unit": 10}}},
        "mirror": {"hosts": {"head01": None}},
    }


@pytest.fixture
def roster_path(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(roster()))
    return path


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    one = Lab("test", tmp_path / "clone")
    one.directory.mkdir(parents=True)
    return one


@pytest.fixture
def site(lab: Lab, roster_path: Path) -> Site:
    built = machines.build(roster_path, NETWORK)
    machines.save(lab.directory, built)
    return built
