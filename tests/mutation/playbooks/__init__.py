# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every phase a playbook that has lost one of its rules; the site that is played must show it."""

from __future__ import annotations

from . import bring_up, day_two

MUTANTS = [*bring_up.MUTANTS, *day_two.MUTANTS]
