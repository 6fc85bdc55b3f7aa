# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One mutant at a time in a copy of the tree, and the tests that should notice it."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

KILLED, SURVIVED, NOT_APPLICABLE, BROKEN = "killed", "SURVIVED", "NOT APPLICABLE", "TESTS FAIL WITHOUT IT"
# A mutant may make a loop endless; the slowest selection of tests takes a minute.
SECONDS = 600.0
# The same in the frame that Molecule draws around what it runs.
_FAILED_INSIDE = re.compile(r"(?:FAILED|ERROR) (\S+::\S+)")
# Pytest fails where nothing is left of what it collected, and nothing was tested.
_NONE_CHOSEN = re.compile(r"/ 0 selected\b|(?<!, )\b\d+ deselected in ")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# A lab that comes up, a role, and all that its scenario asks of it.
ROLE_SECONDS = 1800.0
LAB_NAME = "mutation"
_NUMBERS = itertools.count()
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """One thing broken: in `file` the text `old`, which is there once, becomes `new`.

    `tests` (arguments of pytest) should notice. Where `role` is given, they choose among the tests of its Molecule
    scenario, which can notice by its converge already.
    """

    name: str
    file: str
    what: str
    old: str
    new: str
    tests: tuple[str, ...]
    role: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant; `by` is the test that failed, or why there was none."""

    name: str
    file: str
    what: str
    outcome: str
    by: str
    seconds: float


class UnjudgedError(Exception):
    """Nothing is known of the mutant: its lab did not come up, or no test was chosen."""


def copy_tree(root: Path, target: Path) -> Path:
    """What git knows or would know of `root`, under `target`; what is costly to make is linked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        source, place = root / name, target / name
        if not source.is_symlink() and not source.is_file():
            continue  # deleted, and not yet committed
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place, follow_symlinks=False)
    # Molecule looks for its shared configuration at the top of a repository.
    subprocess.run(["git", "init", "-q", str(target)], check=True)
    for linked in (".venv", ".lab/cache"):
        if (root / linked).exists() and not (target / linked).exists():
            (target / linked).parent.mkdir(parents=True, exist_ok=True)
            (target / linked).symlink_to((root / linked).resolve())
    recorded = root.parent / "shared"
    if recorded.is_dir() and not (target.parent / "shared").exists():
        (target.parent / "shared").symlink_to(recorded.resolve())
    return target


def _put(path: Path, text: str, written: float) -> None:
    """Python tells compiled code of another text by time and size: two mutants of a second must not look alike."""
    path.write_text(text, encoding="utf-8")
    os.utime(path, (written, written))


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Whether `tests` pass in `tree`; if not, which one failed first. None collected counts as a failure."""
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"no end within {SECONDS:g} s"
    failed = _FAILED.search(done.stdout)
    return done.returncode == 0, failed[1] if failed else done.stdout.strip()[-200:]


def run_scenario(tree: Path, role: str, tests: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether converge and verify of the role's scenario succeed on a new lab; if not, what failed first.

    Of its tests those that `tests` choose: they are what takes minutes.
    """
    if not (tree / "molecule" / role / "molecule.yml").is_file():
        return False, f"there is no scenario {role}"
    # Molecule keeps its state in the home directory, under the name of the scenario alone.
    home = tree.parent / "home"
    home.mkdir(exist_ok=True)
    # In a narrow frame the name of the test that failed would be broken.
    environment = {**os.environ, "HOME": str(home), "COLUMNS": "300", "PYTEST_ADDOPTS": shlex.join(["-x", *tests])}
    environment["LAB_NAME"] = f"{LAB_NAME}{tree.parent.name}"
    molecule = str(Path(sys.executable).with_name("molecule"))
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"

    def run(step: str) -> tuple[bool, str]:
        done = subprocess.run(
            [molecule, step, "-s", role],
            cwd=tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=ROLE_SECONDS,
            check=False,
        )
        if step == "verify" and _NONE_CHOSEN.search(_COLOUR.sub("", done.stdout)):
            raise UnjudgedError(f"no test of the scenario {role} is chosen by {shlex.join(tests)}")
        return done.returncode == 0, f"molecule {step}: {_first_failure(done.stdout)}"

    try:
        for step in ("destroy", "create", "prepare"):
            passed, by = run(step)
            if not passed:
                raise UnjudgedError(by)
        for step in ("converge", "verify"):
            passed, by = run(step)
            if not passed:
                return False, by
        return True, ""
    except subprocess.TimeoutExpired:
        return False, f"no end within {ROLE_SECONDS:g} s"
    finally:
        run("destroy")


def _first_failure(printed: str) -> str:
    printed = _COLOUR.sub("", printed)
    test = _FAILED_INSIDE.search(printed)
    if test:
        return test[1]
    task = re.findall(r"TASK \[(.*?)\]", printed[: printed.find("fatal:")], re.MULTILINE)
    return task[-1] if task else printed.strip()[-200:]


def _run(tree: Path, mutant: Mutant) -> tuple[bool, str]:
    return run_scenario(tree, mutant.role, mutant.tests) if mutant.role else run_tests(tree, mutant.tests)


def try_mutant(mutant: Mutant, tree: Path) -> Outcome:
    """Break, test, mend."""
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    started = time.monotonic()

    def outcome(kind: str, by: str) -> Outcome:
        return Outcome(mutant.name, mutant.file, mutant.what, kind, by, round(time.monotonic() - started, 1))

    if text.count(mutant.old) != 1 or mutant.old == mutant.new:
        return outcome(NOT_APPLICABLE, f"what it breaks is there {text.count(mutant.old)} times, or is not changed")
    written = path.stat().st_mtime
    try:
        _put(path, text.replace(mutant.old, mutant.new), written + 2 + next(_NUMBERS))
        passed, by = _run(tree, mutant)
    except UnjudgedError as error:
        return outcome(BROKEN, str(error))
    finally:
        _put(path, text, written)
    return outcome(SURVIVED, "") if passed else outcome(KILLED, by)


Selection = tuple[str, tuple[str, ...]]


def _selection(mutant: Mutant) -> Selection:
    """What must pass without it: of a role the whole scenario, once for all its mutants."""
    return (mutant.role, ()) if mutant.role else ("", mutant.tests)


def try_all(root: Path, mutants: Sequence[Mutant], work: Path, trees: int | None = None) -> list[Outcome]:
    """Every mutant; as many at a time as there are processors, each in a copy of its own.

    Tests that fail without any mutant say nothing about one: their mutants count as not killed.
    """
    free: SimpleQueue[Path] = SimpleQueue()
    count = trees or os.cpu_count() or 1
    for number in range(count):
        free.put(copy_tree(root, work / f"{number}" / "tree"))

    def sound(selection: Selection) -> tuple[bool, str]:
        role, tests = selection
        tree = free.get()
        try:
            return run_scenario(tree, role) if role else run_tests(tree, tests)
        except UnjudgedError as error:
            return False, str(error)
        finally:
            free.put(tree)

    def one(mutant: Mutant) -> Outcome:
        passed, by = baseline[_selection(mutant)]
        if not passed:
            return Outcome(mutant.name, mutant.file, mutant.what, BROKEN, by, 0.0)
        tree = free.get()
        try:
            outcome = try_mutant(mutant, tree)
        finally:
            free.put(tree)
        print(f"{outcome.outcome:14} {outcome.name} ({outcome.seconds:.0f} s) {outcome.by}", flush=True)
        return outcome

    selections = list(dict.fromkeys(map(_selection, mutants)))
    with ThreadPoolExecutor(count) as pool:
        baseline = dict(zip(selections, pool.map(sound, selections), strict=True))
        return list(pool.map(one, mutants))


def table(outcomes: Iterable[Outcome]) -> str:
    """What survived first."""
    rows = sorted(outcomes, key=lambda outcome: (outcome.outcome == KILLED, outcome.name))
    lines = [
        f"{row.outcome:22} {row.name:44} {row.seconds:6.1f} s  {row.file}: {row.what}"
        + (f"\n{'':22} {'':44}           noticed by {row.by}" if row.by else "")
        for row in rows
    ]
    killed = sum(row.outcome == KILLED for row in rows)
    return "\n".join([*lines, "", f"{killed} of {len(rows)} mutants were noticed"]) + "\n"


def write(outcomes: Sequence[Outcome], folder: Path, kind: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}.txt").write_text(table(outcomes), encoding="utf-8")
    (folder / f"{kind}.json").write_text(
        json.dumps({"schema": 1, "kind": kind, "mutants": [asdict(outcome) for outcome in outcomes]}, indent=1) + "\n",
        encoding="utf-8",
    )
