# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make test-scale` promises: a million cases."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import settings

TESTS = Path(__file__).parents[1]


def decorators(path: Path) -> list[set[str]]:
    """The names of the decorators of each function in the file."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return [{ast.unparse(each).partition("(")[0] for each in function.decorator_list} for function in functions]


def test_scale_is_a_million_cases() -> None:
    properties = [names for path in sorted(TESTS.rglob("test_*.py")) for names in decorators(path) if "given" in names]
    # Each of those with other settings than the profile's has fewer.
    whole = [names for names in properties if not names & {"settings", "of_whole_nodes"}]
    assert len(whole) * settings.get_profile("scale").max_examples >= 1_000_000
