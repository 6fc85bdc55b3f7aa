# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Break one thing at a time and see that a test notices: `python -m tests.mutation [KIND ...] [--list] [--only NAME]`.

Without a KIND all kinds. What became of each is told, and kept in artifacts/mutation/KIND.txt and KIND.json, but not
with --only. Mutants of the kind `roles` have labs of their own, no others have.

Exit status 1 where a mutant survived, could not be applied, or could not be judged.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .engine import try_all
from .kinds import KINDS
from .mutant import KILLED
from .outcomes import table, write

ROOT = Path(__file__).resolve().parents[2]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", metavar="KIND", nargs="*", help=f"of {', '.join(KINDS)}; by default all")
    parser.add_argument("--list", action="store_true", help="name the mutants and end")
    parser.add_argument("--only", metavar="NAME", help="those mutants whose name contains NAME")
    arguments = parser.parse_args(words)
    unknown = [kind for kind in arguments.kinds if kind not in KINDS]
    if unknown:
        parser.error(f"no kind is called {', '.join(unknown)}; there are {', '.join(KINDS)}")
    chosen = {
        kind: named
        for kind, mutants in KINDS.items()
        if not arguments.kinds or kind in arguments.kinds
        if (named := [mutant for mutant in mutants if not arguments.only or arguments.only in mutant.name])
    }
    if not chosen:
        parser.error(f"no mutant is called {arguments.only}")
    if arguments.list:
        for kind, mutants in chosen.items():
            for mutant in mutants:
                print(f"{kind:10} {mutant.name:44} {mutant.file}: {mutant.what}")
        return 0
    folder = Path(os.environ.get("FIRSTLIGHT_ARTIFACTS", ROOT / "artifacts")) / "mutation"
    noticed = True
    for kind, mutants in chosen.items():
        with tempfile.TemporaryDirectory(prefix="firstlight-mutation-") as work:
            outcomes = try_all(ROOT, mutants, Path(work))
        if not arguments.only:
            write(outcomes, folder, kind)
        print(table(outcomes), end="")
        noticed = noticed and all(outcome.outcome == KILLED for outcome in outcomes)
    return 0 if noticed else 1


if __name__ == "__main__":
    raise SystemExit(main())
