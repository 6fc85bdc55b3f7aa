# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every role with a Molecule scenario a broken task, that the scenario must notice. Those of a role share a lab."""

from __future__ import annotations

from . import agent, gpu, head, machine

MUTANTS = [*machine.MUTANTS, *agent.MUTANTS, *gpu.MUTANTS, *head.MUTANTS]
