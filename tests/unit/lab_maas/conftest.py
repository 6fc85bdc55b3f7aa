# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A region in this process: real HTTP on a free loopback port, a BMC that is a dictionary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .world import FakePower, World, make_world


@pytest.fixture
def power() -> FakePower:
    """The BMCs of all machines."""
    return FakePower()


@pytest.fixture
def new_world(tmp_path: Path, power: FakePower) -> Iterator[Callable[..., World]]:
    """Starts regions on the test's directory; the later one takes over the state of the earlier one."""
    running: list[World] = []

    def start(**settings: object) -> World:
        world = make_world(tmp_path, power, **settings)
        threading.Thread(target=world.server.serve_forever, args=(0.02,), daemon=True).start()
        running.append(world)
        return world

    yield start
    for world in running:
        world.close()


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """One region with the lab's default settings."""
    return new_world()
