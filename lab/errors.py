# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The error that a person sees."""

from __future__ import annotations


class LabError(Exception):
    """Something the operator can put right; the message says what happened and what to do."""
