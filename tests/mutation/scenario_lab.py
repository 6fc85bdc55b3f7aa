# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab with the machines of a role's scenario, for one mutant of the role after the other.

What a mutant is said to be noticed by has failed with it and passed without it on the same machines. Machines that an
earlier run has configured can hide what is not done any more: where nothing fails on them, the lab is made anew.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .mutant import Mutant, UnjudgedError, broken

# A lab that comes up, a role, and all that its scenario asks of it.
SECONDS = 1800.0
LAB_NAME = "mutation"
# As pytest tells it in the frame that Molecule draws around what it runs.
_FAILED = re.compile(r"(?:FAILED|ERROR) (\S+::\S+)")
# Pytest fails where nothing is left of what it collected, and nothing was tested.
_NONE_CHOSEN = re.compile(r"/ 0 selected\b|(?<!, )\b\d+ deselected in ")
_SAID = re.compile(r'"(msg|stderr)": "((?:[^"\\]|\\.)*)"')
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class ScenarioLab:
    """Of the scenario of `role` in `tree`; nothing is left of it at the end of the context."""

    def __init__(self, tree: Path, role: str) -> None:
        self._tree = tree
        self._role = role
        # Whether the role has been run on its machines.
        self._used = False
        self._up = False

    def __enter__(self) -> ScenarioLab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._up:
            self._molecule("destroy")

    def noticed_by(self, mutant: Mutant) -> str:
        """What fails with the mutant and passes without it; empty where nothing fails on new machines either."""
        if not self._up:
            self._renew()
        while True:
            used = self._used
            with broken(mutant, self._tree):
                failed = self._first_failure(mutant.tests)
            if failed and not self._first_failure(mutant.tests):
                return failed
            if not failed and not used:
                return ""
            # Hidden by what was there before, or broken for good by this mutant or the one before.
            self._renew()
            if failed and not used:
                if without := self._first_failure(mutant.tests):
                    raise UnjudgedError(without)
                return failed

    def _renew(self) -> None:
        self._used, self._up = False, True
        for step in ("destroy", "create", "prepare"):
            passed, printed = self._molecule(step)
            if not passed:
                self._up = False
                self._molecule("destroy")
                raise UnjudgedError(f"molecule {step}: {_told(printed)}")

    def _first_failure(self, tests: Sequence[str]) -> str:
        """What fails first of converge and of those tests of the scenario that `tests` choose; empty: nothing."""
        self._used = True
        for step in ("converge", "verify"):
            passed, printed = self._molecule(step, tests)
            if step == "verify" and _NONE_CHOSEN.search(printed):
                raise UnjudgedError(f"no test of the scenario {self._role} is chosen by {shlex.join(tests)}")
            if not passed:
                return f"molecule {step}: {_told(printed)}"
        return ""

    def _molecule(self, step: str, tests: Sequence[str] = ()) -> tuple[bool, str]:
        # Molecule keeps its state in the home directory, under the name of the scenario alone.
        home = self._tree.parent / "home"
        home.mkdir(exist_ok=True)
        binaries = Path(sys.executable).parent
        environment = {
            **os.environ,
            "HOME": str(home),
            "LAB_NAME": f"{LAB_NAME}{self._tree.parent.name}",
            "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTEST_ADDOPTS": shlex.join(["-x", *tests]),
            # In a narrow frame the name of the test that failed would be broken.
            "COLUMNS": "300",
        }
        try:
            done = subprocess.run(
                [str(binaries / "molecule"), step, "-s", self._role],
                cwd=self._tree,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False, f"no end within {SECONDS:g} s"
        return done.returncode == 0, _COLOUR.sub("", done.stdout)


def _told(printed: str) -> str:
    """The test that failed, or else the task and what it said."""
    if test := _FAILED.search(printed):
        return test[1]
    before, fatal, after = printed.partition("fatal:")
    task = re.findall(r"TASK \[(.*?)\]", before)
    if not fatal or not task:
        return printed.strip()[-200:]
    said = dict(_SAID.findall(" ".join(after.replace("│", " ").split())))
    return f"{task[-1]}: {(said.get('stderr') or said.get('msg', ''))[-200:]}"
