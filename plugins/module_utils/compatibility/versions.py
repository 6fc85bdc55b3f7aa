# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions as vendors write them, compared by the numbers that they begin with."""

from __future__ import annotations

import re

# Python refuses to read numbers of thousands of digits, and no version has one of nineteen.
_NUMBERS = re.compile(r"\d{1,18}(?:\.\d{1,18})*", re.ASCII)


def numbers(version: str) -> tuple[int, ...]:
    """570.172.08 is (570, 172, 8) and 6.8.0-60-generic is (6, 8, 0); empty where no number comes first."""
    match = _NUMBERS.match(version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def reaches(version: str, floor: str) -> bool:
    """Whether `version` is `floor` or later.

    A version that is cut short stands for all that begin so, and reaches what one of them reaches: 26 reaches 26.1.
    """
    have = numbers(version)
    return have >= numbers(floor)[: len(have)]


def all_reach(version: str, floor: str) -> bool:
    """Whether all that `version` stands for are `floor` or later: 12 does reach 12.0, but 6 does not reach 6.8.

    A version without a number says nothing of itself, and so reaches nothing here.
    """
    have, wanted = numbers(version), numbers(floor)
    return bool(have) and have + (0,) * (len(wanted) - len(have)) >= wanted
