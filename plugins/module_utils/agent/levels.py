# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the levels of a pass judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..catalog.checks import CHECKS, expected_checks
from ..observe.node import LIGHT


def is_probed(node_class: Mapping[str, Any]) -> bool:
    """Whether the GPUs of such a node are probed."""
    return "agent.probe" in expected_checks(node_class)


def checks_of(level: str, node_class: Mapping[str, Any]) -> list[str]:
    """Of the checks that the class expects those of a level: a light pass judges what light readers alone tell."""
    expected = expected_checks(node_class)
    return expected if level == "full" else [check for check in expected if LIGHT.issuperset(CHECKS[check].reads)]
