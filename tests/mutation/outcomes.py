# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of what became of all mutants."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from .mutant import KILLED, Outcome


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
