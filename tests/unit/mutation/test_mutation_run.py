# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mutation run itself: it tells what was noticed from what was not, and leaves the tree as it was."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS

from tests.mutation import checks, gates, playbooks, roles
from tests.mutation.engine import (
    BROKEN,
    KILLED,
    NOT_APPLICABLE,
    SURVIVED,
    Mutant,
    copy_tree,
    table,
    try_all,
    try_mutant,
    write,
)
from tests.unit.conftest import ROOT

MUTANTS = [*checks.MUTANTS, *gates.MUTANTS, *playbooks.MUTANTS, *roles.MUTANTS]
ADD = Mutant("add", "sums.py", "takes instead of adding", "a + b", "a - b", ("test_sums.py",))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "project"
    tree.mkdir()
    (tree / "sums.py").write_text("def add(a, b):\n    return a + b\n\n\ndef idle():\n    return 1\n", encoding="utf-8")
    (tree / "test_sums.py").write_text(
        "import sums\n\n\ndef test_add():\n    assert sums.add(2, 1) == 3\n", encoding="utf-8"
    )
    (tree / "test_broken.py").write_text("def test_broken():\n    assert False\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    return tree


def test_a_mutant_is_noticed_by_the_test_that_fails(tree: Path) -> None:
    outcome = try_mutant(ADD, tree)
    assert (outcome.outcome, outcome.by) == (KILLED, "test_sums.py::test_add")
    assert "a + b" in (tree / "sums.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"new": "a + b"}, {"old": "a * b"}, {"old": "return"}, {"file": "none.py"}])
def test_a_mutant_that_changes_nothing_is_no_success(tree: Path, change: dict[str, str]) -> None:
    assert try_mutant(replace(ADD, **change), tree).outcome == NOT_APPLICABLE


def test_a_mutant_that_no_test_notices_survives_and_stands_at_the_top(tree: Path, tmp_path: Path) -> None:
    idle = replace(ADD, name="idle", old="return 1", new="return 2")
    broken = replace(ADD, name="broken", tests=("test_broken.py",))
    none = replace(ADD, name="none", tests=("test_sums.py", "-k", "nothing"))
    outcomes = try_all(tree, [ADD, idle, broken, none], tmp_path / "work", trees=1)
    assert [outcome.outcome for outcome in outcomes] == [KILLED, SURVIVED, BROKEN, BROKEN]
    assert (tree / "sums.py").read_text(encoding="utf-8").count("a + b") == 1
    lines = table(outcomes).splitlines()
    assert lines[-1] == "1 of 4 mutants were noticed"
    assert next(number for number, line in enumerate(lines) if line.startswith(KILLED)) > 2
    write(outcomes, tmp_path / "artifacts")
    kept = json.loads((tmp_path / "artifacts/mutation.json").read_text(encoding="utf-8"))
    assert [mutant["name"] for mutant in kept["mutants"]] == ["add", "idle", "broken", "none"]


def test_a_copy_has_what_git_would_know_and_nothing_else(tree: Path, tmp_path: Path) -> None:
    (tree / ".gitignore").write_text("artifacts/\n", encoding="utf-8")
    (tree / "artifacts").mkdir()
    (tree / "artifacts/large").write_text("x", encoding="utf-8")
    (tree / "link").symlink_to("sums.py")
    copy = copy_tree(tree, tmp_path / "0" / "copy")
    assert sorted(path.name for path in copy.iterdir() if path.name != ".git") == [
        ".gitignore",
        "link",
        "sums.py",
        "test_broken.py",
        "test_sums.py",
    ]
    assert (copy / "link").is_symlink()
    assert (copy / ".git").is_dir()


# -- the mutants of this project


def test_every_check_of_the_catalogue_has_a_broken_judge() -> None:
    assert {*checks.JUDGED, "gate.missing"} == {*CHECKS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_can_be_applied(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert bool(mutant.role) is not bool(mutant.tests)
    assert all((ROOT / test).exists() for test in mutant.tests[:1])


def test_every_role_has_broken_tasks() -> None:
    known = {path.name for path in (ROOT / "roles").iterdir() if (path / "tasks/main.yml").is_file()}
    broken = Counter(mutant.name.removeprefix("role ").partition(":")[0] for mutant in roles.MUTANTS)
    assert {role for role in known if broken[role] < 2} == set()


def test_names_are_unique() -> None:
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1
