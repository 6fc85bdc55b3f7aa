# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every unit test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[2]

# `fast` is the same at every run; `scale` (HYPOTHESIS_PROFILE=scale, `make test-scale`) seeks further, at random: a
# million cases and more over all properties, which test_scale.py counts.
settings.register_profile("fast", max_examples=60, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "scale", max_examples=10_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what plays whole playbooks."""
    for item in items:
        if "played" in getattr(item, "fixturenames", ()):
            item.add_marker("played")


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded outputs beside the clone; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "recorded"
    if not folder.is_dir():
        pytest.skip("no recorded outputs beside this clone")
    return folder
