# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All mutants, by where they stand. What comes first takes least: `roles` is what needs labs."""

from __future__ import annotations

from . import checks, gates, playbooks, roles, simulated

KINDS = {
    "checks": checks.MUTANTS,
    "gates": gates.MUTANTS,
    "simulated": simulated.MUTANTS,
    "playbooks": playbooks.MUTANTS,
    "roles": roles.MUTANTS,
}
