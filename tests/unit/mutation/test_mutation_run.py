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
from tests.mutation.engine import copy_tree, run_tests, try_all
from tests.mutation.kinds import KINDS
from tests.mutation.mutant import BROKEN, KILLED, NOT_APPLICABLE, SURVIVED, Mutant, Outcome, broken, try_mutant
from tests.mutation.outcomes import table, write
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


def try_in(tree: Path, mutant: Mutant) -> Outcome:
    def noticed_by(mutant: Mutant) -> str:
        with broken(mutant, tree):
            return run_tests(tree, mutant.tests)

    return try_mutant(mutant, noticed_by)


def test_a_mutant_is_noticed_by_the_test_that_fails(tree: Path) -> None:
    outcome = try_in(tree, ADD)
    assert (outcome.outcome, outcome.by) == (KILLED, "test_sums.py::test_add")
    assert "a + b" in (tree / "sums.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"new": "a + b"}, {"old": "a * b"}, {"old": "return"}, {"file": "none.py"}])
def test_a_mutant_that_changes_nothing_is_no_success(tree: Path, change: dict[str, str]) -> None:
    assert try_in(tree, replace(ADD, **change)).outcome == NOT_APPLICABLE


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


# Stands for molecule. What the role brings about is what sums.py returns, in the file `state` of the lab, which a new
# lab has not. `converge` of a role that does nothing (0) leaves what is there; what one does that does harm (9) stays.
MOLECULE = """#!/bin/sh
echo "$1 $PYTEST_ADDOPTS" >> {log}
value=$(sed -n 's/^    return \\([0-9]\\)$/\\1/p' sums.py)
case "$1" in
create)
    test -z "${{NO_MACHINE:-}}" || {{ echo "│ TASK [Bring it up]
│ fatal: [localhost]: FAILED! => $NO_MACHINE"; exit 2; }}
    rm -f {state};;
converge) test "$value" = 0 || grep -qs 9 {state} || echo "$value" > {state};;
verify)
    case "$PYTEST_ADDOPTS" in *nothing*) echo "==== 3 deselected in 0.01s ===="; exit 5;; *unheeded*) exit 0;; esac
    test "$(cat {state})" = 1 || {{ echo "FAILED tests/test_web.py::test_idle"; exit 1; }};;
esac
"""


@pytest.fixture
def molecule(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What it was asked, a line each."""
    log = tmp_path / "log"
    program = tmp_path / "bin/molecule"
    program.parent.mkdir()
    program.write_text(MOLECULE.format(log=log, state=tmp_path / "state"), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    return log


def of_role(name: str, value: str, words: str) -> Mutant:
    return replace(ADD, name=name, old="return 1", new=f"return {value}", tests=("-k", words), role="web")


def test_the_mutants_of_a_role_share_a_lab_and_each_is_tried_with_the_tests_that_it_names(
    tree: Path, tmp_path: Path, molecule: Path
) -> None:
    mutants = [of_role("one", "2", "test_a or test_b"), of_role("two", "3", "test_c"), of_role("none", "2", "nothing")]

    outcomes = try_all(tree, mutants, tmp_path / "work", trees=1)

    assert [outcome.outcome for outcome in outcomes] == [KILLED, KILLED, BROKEN]
    assert outcomes[0].by == "molecule verify: tests/test_web.py::test_idle"
    assert outcomes[2].by == "no test of the scenario web is chosen by -k nothing"
    asked = molecule.read_text(encoding="utf-8").splitlines()
    assert [line for line in asked if not line.startswith("converge")] == [
        *("destroy -x", "create -x", "prepare -x"),
        *["verify -x -k 'test_a or test_b'"] * 2,
        *["verify -x -k test_c"] * 2,
        "verify -x -k nothing",
        "destroy -x",
    ]


def test_what_an_earlier_run_hides_is_tried_on_a_new_lab(tree: Path, tmp_path: Path, molecule: Path) -> None:
    mutants = [of_role("seen", "2", "test_a"), of_role("hidden", "0", "test_b"), of_role("unheeded", "2", "unheeded")]

    outcomes = try_all(tree, mutants, tmp_path / "work", trees=1)

    assert [outcome.outcome for outcome in outcomes] == [KILLED, KILLED, SURVIVED]
    assert molecule.read_text(encoding="utf-8").count("create") == 3


def test_a_lab_that_a_mutant_has_spoilt_is_blamed_on_no_other(tree: Path, tmp_path: Path, molecule: Path) -> None:
    mutants = [of_role("harm", "9", "test_a"), of_role("next", "2", "test_b")]

    outcomes = try_all(tree, mutants, tmp_path / "work", trees=1)

    assert [outcome.outcome for outcome in outcomes] == [KILLED, KILLED]
    assert molecule.read_text(encoding="utf-8").count("create") == 2


def test_tests_of_a_role_that_fail_without_the_mutant_say_nothing(tree: Path, tmp_path: Path, molecule: Path) -> None:
    (tree / "sums.py").write_text("def idle():\n    return 2\n", encoding="utf-8")
    outcomes = try_all(tree, [replace(of_role("other", "3", "test_a"), old="return 2")], tmp_path / "work", trees=1)
    assert [(outcome.outcome, outcome.by) for outcome in outcomes] == [
        (BROKEN, "molecule verify: tests/test_web.py::test_idle")
    ]


@pytest.mark.parametrize("error", ["lab: no memory", ""])
def test_a_lab_that_does_not_come_up_says_why(
    tree: Path, tmp_path: Path, molecule: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    said = json.dumps({"msg": "exit status 1", "stderr": error}).replace("no memory", "no\n│ memory")
    monkeypatch.setenv("NO_MACHINE", said)
    (outcome,) = try_all(tree, [of_role("one", "2", "test_a")], tmp_path / "work", trees=1)
    why = error or "exit status 1"
    assert (outcome.outcome, outcome.by) == (BROKEN, f"molecule create: Bring it up: {why}")
    assert molecule.read_text(encoding="utf-8").split()[-2:] == ["destroy", "-x"]


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


def test_the_catalogue_says_how_bad_each_check_gets() -> None:
    worst = {
        check: next(verdict for verdict in ("fail", "warn", "unknown", "waived") if verdict in verdicts.split())
        for check, (verdicts, _tests) in checks.JUDGED.items()
    }
    assert worst == {check: CHECKS[check].severity for check in worst}


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
