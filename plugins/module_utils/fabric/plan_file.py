# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a site's cable plan on the controller, with errors that say what to correct."""

from __future__ import annotations

from pathlib import Path

from ..documents.problems import Problem, render
from ..documents.schema import read_checked
from .plan import Plan, PlanError, expand


class PlanFileError(ValueError):
    """A cable plan file that cannot be used: all its `problems`, each with file, line, key and remedy."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(render(problems))
        self.problems = problems


def load(path: Path) -> Plan:
    """The plan in `path`. Raises PlanFileError."""
    document, problems = read_checked(path, "cable_plan")
    if document is None or problems:
        raise PlanFileError(problems)
    try:
        return expand(document.data)
    except PlanError as error:
        raise PlanFileError([document.problem_at(error.where, error.problem, error.remedy)]) from error
