# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a mutant of a role is written."""

from __future__ import annotations

from ..mutant import Mutant

NEVER = "when: false"


def broken(role: str, name: str, file: str, what: str, old: str, new: str, noticed_by: str) -> Mutant:
    """`noticed_by` says, as pytest's -k takes it, which tests of the scenario notice, where converge does not."""
    return Mutant(f"role {role}: {name}", f"roles/{file}", what, old, new, ("-k", noticed_by), role)
