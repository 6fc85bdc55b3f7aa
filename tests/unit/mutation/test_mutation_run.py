# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mutation run itself: it tells what was noticed from what was not, and leaves the tree as it was."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS

from tests.mutation import __main__ as command
from tests.mutation import checks
from tests.mutation.engine import (
    BROKEN,
    KILLED,
    NOT_APPLICABLE,
    SURVIVED,
    Mutant,
    Outcome,
    copy_tree,
    table,
    try_all,
    try_mutant,
    write,
)
from tests.mutation.kinds import KINDS
from tests.unit.conftest import ROOT

MUTANTS = [mutant for mutants in KINDS.values() for mutant in mutants]
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
    write(outcomes, tmp_path / "artifacts", "sums")
    assert (tmp_path / "artifacts/sums.txt").read_text(encoding="utf-8") == table(outcomes)
    kept = json.loads((tmp_path / "artifacts/sums.json").read_text(encoding="utf-8"))
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


# Stands for molecule: the scenario notices what is idle, by a test that others need not run.
MOLECULE = """#!/bin/sh
echo "$1 $3 $PYTEST_ADDOPTS" >> {log}
test "$1" = verify || exit 0
case "$PYTEST_ADDOPTS" in *nothing*) echo "==== 3 deselected in 0.01s ===="; exit 5;; esac
grep -q "return 1" sums.py && exit 0
echo "FAILED tests/test_web.py::test_idle"
exit 1
"""


def test_a_role_runs_its_whole_scenario_once_and_for_each_mutant_the_tests_that_it_names(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    program = tmp_path / "bin/molecule"
    program.parent.mkdir()
    program.write_text(MOLECULE.format(log=log), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    (tree / "molecule/web").mkdir(parents=True)
    (tree / "molecule/web/molecule.yml").write_text("", encoding="utf-8")
    idle = replace(ADD, name="idle", old="return 1", new="return 2", tests=("-k", "test_a or test_b"), role="web")
    other = replace(ADD, name="other", tests=("-k", "test_c"), role="web")
    none = replace(ADD, name="none", tests=("-k", "nothing"), role="web")

    outcomes = try_all(tree, [idle, other, none], tmp_path / "work", trees=1)

    assert [outcome.outcome for outcome in outcomes] == [KILLED, SURVIVED, BROKEN]
    assert outcomes[0].by == "molecule verify: tests/test_web.py::test_idle"
    assert outcomes[2].by == "no test of the scenario web is chosen by -k nothing"
    verified = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("verify")]
    assert verified == [
        "verify web -x",
        *(f"verify web -x -k {words}" for words in ("'test_a or test_b'", "test_c", "nothing")),
    ]


def run_command(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> tuple[int, list[list[str]]]:
    """What it returns, and which mutants it tried at a time."""
    tried: list[list[str]] = []

    def try_them(_root: Path, mutants: list[Mutant], _work: Path) -> list[Outcome]:
        tried.append([mutant.name for mutant in mutants])
        return [Outcome(mutant.name, mutant.file, mutant.what, KILLED, "a test", 0.0) for mutant in mutants]

    monkeypatch.setenv("FIRSTLIGHT_ARTIFACTS", str(folder))
    monkeypatch.setattr(command, "try_all", try_them)
    return command.main(words), tried


def test_a_kind_is_tried_alone_and_has_a_table_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = run_command(monkeypatch, tmp_path, "simulated", "roles")[1]
    assert tried == [[mutant.name for mutant in KINDS[kind]] for kind in ("simulated", "roles")]
    kept = sorted(path.name for path in (tmp_path / "mutation").iterdir())
    assert kept == ["roles.json", "roles.txt", "simulated.json", "simulated.txt"]


def test_without_a_kind_all_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(run_command(monkeypatch, tmp_path)[1]) == len(KINDS)


def test_some_of_a_kind_leave_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command(monkeypatch, tmp_path, "roles", "--only", "storage: record") == (0, [["role storage: record"]])
    assert not (tmp_path / "mutation").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rolls"], "no kind is called rolls; there are checks, gates, simulated, playbooks, roles"),
        (["gates", "--only", "storage: record"], "no mutant is called storage: record"),
    ],
)
def test_a_kind_or_a_name_that_is_none_is_told(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_command(monkeypatch, tmp_path, *words)
    assert message in capsys.readouterr().err


# -- the mutants of this project


def test_labs_are_what_roles_need_and_nothing_else() -> None:
    assert {kind for kind, mutants in KINDS.items() for mutant in mutants if mutant.role} == {"roles"}
    assert all(mutant.role for mutant in KINDS["roles"])


@pytest.mark.parametrize("mutant", KINDS["roles"], ids=lambda mutant: mutant.name)
def test_a_mutant_of_a_role_names_tests_of_its_scenario(mutant: Mutant) -> None:
    """`-k` chooses by any part of a name; where it chooses none, nothing is said of the mutant."""
    folder = ROOT / "molecule"
    files = [*(folder / mutant.role / "tests").glob("test_*.py"), folder / "shared/test_every_role.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    option, words = mutant.tests
    assert option == "-k"
    for choice in words.split(" or "):
        name, *case = choice.split(" and ")
        assert re.search(rf"^def {name}", text, re.MULTILINE), name
        assert all(re.search(rf"^    ids=.*\"{each}\"", text, re.MULTILINE) for each in case), case


def test_every_check_of_the_catalogue_has_a_broken_judge() -> None:
    assert {*checks.JUDGED, "gate.missing"} == {*CHECKS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_can_be_applied(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert mutant.role or (ROOT / mutant.tests[0]).exists()


def test_every_role_has_broken_tasks() -> None:
    known = {path.name for path in (ROOT / "roles").iterdir() if (path / "tasks/main.yml").is_file()}
    broken = Counter(
        mutant.name.removeprefix("role ").partition(":")[0] for kind in ("roles", "simulated") for mutant in KINDS[kind]
    )
    assert {role for role in known if broken[role] < 2} == set()


def test_names_are_unique() -> None:
    assert Counter(mutant.name for mutant in MUTANTS).most_common(1)[0][1] == 1
