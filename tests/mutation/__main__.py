# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Break one thing at a time and see that a test notices: `python -m tests.mutation [--list] [--only NAME]`.

Exit status 1 where a mutant survived, could not be applied, or could not be judged.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from . import checks, gates, playbooks, roles
from .engine import KILLED, table, try_all, write

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the mutants and end")
    parser.add_argument("--only", metavar="NAME", help="those mutants whose name contains NAME")
    arguments = parser.parse_args()
    mutants = [*checks.MUTANTS, *gates.MUTANTS, *playbooks.MUTANTS, *roles.MUTANTS]
    mutants = [mutant for mutant in mutants if not arguments.only or arguments.only in mutant.name]
    if arguments.list:
        print("\n".join(f"{mutant.name:44} {mutant.file}: {mutant.what}" for mutant in mutants))
        return 0
    if not mutants:
        parser.error(f"no mutant is called {arguments.only}")
    with tempfile.TemporaryDirectory(prefix="firstlight-mutation-") as work:
        outcomes = try_all(ROOT, mutants, Path(work))
    if not arguments.only:
        write(outcomes, Path(os.environ.get("FIRSTLIGHT_ARTIFACTS", ROOT / "artifacts")))
    print(table(outcomes), end="")
    return 0 if all(outcome.outcome == KILLED for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
