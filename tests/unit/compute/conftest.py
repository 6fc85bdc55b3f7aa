# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.unit.compute.stress_node import Node, make_node


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return make_node(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What three good GPUs give; measured once, and given out by `measured`."""
    with pytest.MonkeyPatch.context() as patched:
        return make_node(tmp_path_factory.mktemp("node"), patched).measure()


@pytest.fixture
def measured(healthy: dict[str, Any]) -> dict[str, Any]:
    """The same for a test to spoil."""
    return copy.deepcopy(healthy)
