# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutants, each in a copy of the tree, and the tests that should notice them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from .mutant import Mutant, Outcome, UnjudgedError, broken, try_mutant
from .scenario_lab import ScenarioLab

# A mutant may make a loop endless; the slowest selection of tests takes a minute.
SECONDS = 600.0
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


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


def run_tests(tree: Path, tests: Sequence[str]) -> str:
    """Which of `tests` fails first in `tree`; empty where all pass. None collected counts as a failure."""
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no end within {SECONDS:g} s"
    if done.returncode == 0:
        return ""
    failed = _FAILED.search(done.stdout)
    return failed[1] if failed else done.stdout.strip()[-200:] or f"exit status {done.returncode}"


def try_all(root: Path, mutants: Sequence[Mutant], work: Path, trees: int | None = None) -> list[Outcome]:
    """Every mutant; as many at a time as there are processors, those of a role one after the other on one lab.

    Tests that fail without any mutant say nothing about one: their mutants count as not killed.
    """
    free: SimpleQueue[Path] = SimpleQueue()
    count = trees or os.cpu_count() or 1
    for number in range(count):
        free.put(copy_tree(root, work / f"{number}" / "tree"))

    def fails_without(tests: Sequence[str]) -> str:
        tree = free.get()
        try:
            return run_tests(tree, tests)
        finally:
            free.put(tree)

    def alone(mutant: Mutant) -> list[Outcome]:
        tree = free.get()

        def noticed_by(mutant: Mutant) -> str:
            if without := baseline[mutant.tests]:
                raise UnjudgedError(without)
            with broken(mutant, tree):
                return run_tests(tree, mutant.tests)

        try:
            return [try_mutant(mutant, noticed_by)]
        finally:
            free.put(tree)

    def of_role(role: str) -> list[Outcome]:
        tree = free.get()
        try:
            with ScenarioLab(tree, role) as lab:
                return [try_mutant(mutant, lab.noticed_by) for mutant in mutants if mutant.role == role]
        finally:
            free.put(tree)

    selections = list(dict.fromkeys(mutant.tests for mutant in mutants if not mutant.role))
    with ThreadPoolExecutor(count) as pool:
        baseline = dict(zip(selections, pool.map(fails_without, selections), strict=True))
        tried = [pool.submit(alone, mutant) for mutant in mutants if not mutant.role]
        tried += [pool.submit(of_role, role) for role in dict.fromkeys(mutant.role for mutant in mutants) if role]
        return [outcome for outcomes in tried for outcome in outcomes.result()]
