# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A case of a check: what was done to a healthy node, and what is then said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.unit.health.health_factory import Spoil, node_class


@dataclass(frozen=True)
class Case:
    """After `spoils`, `check` gives `component` this verdict, and says `says` about it."""

    check: str
    verdict: str
    component: str
    says: str
    spoils: tuple[Spoil, ...] = ()
    hardware: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.check}-{self.verdict}-{self.says.replace(' ', '_')}"

    @property
    def node_class(self) -> dict[str, Any]:
        own = {"thresholds": self.thresholds} if self.thresholds else {}
        return {**node_class(**self.hardware), **own}


def c(
    check: str,
    verdict: str,
    component: str,
    says: str,
    *spoils: Spoil,
    thresholds: dict[str, Any] | None = None,
    **hardware: Any,
) -> Case:
    """A case; `hardware` is what the class has otherwise, as for `node_class`."""
    return Case(check, verdict, component, says, spoils, hardware, thresholds or {})
