# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask chrony how far the clock is off."""

from __future__ import annotations

import math
import time
from typing import Any

from .source import SourceError, run_tool

# chronyc -c tracking: reference id, name, stratum, reference time, system time, last offset, rms offset,
# frequency, residual frequency, skew, root delay, root dispersion, update interval, leap status
_FIELDS = 14
# Every leap status that chronyc knows: of a line that was cut off the last word is another.
_NOT_SYNCHRONISED = "Not synchronised"
# Reference ids of a clock that follows nobody: none at all, and 127.127.1.1, which is chrony's `local`.
_OWN_CLOCK = ("", "00000000", "7F7F0101")
_LEAPS = ("Normal", "Insert second", "Delete second", _NOT_SYNCHRONISED)


def read_clock(chronyc: str = "chronyc") -> dict[str, Any]:
    """See `parse_tracking`; besides `reference_age_seconds`, how long ago chrony last took a measurement of its source.

    Raises SourceMissing without chronyc, SourceError where chronyd does not answer.
    """
    read = parse_tracking(run_tool([chronyc, "-n", "-c", "tracking"]))
    return {**read, "reference_age_seconds": round(time.time() - read["reference_time"], 3)}


def parse_tracking(printed: str) -> dict[str, Any]:
    """One line of `chronyc -c tracking`.

    Returns `synchronised`, `source`, `stratum`, `reference_time` (of the last measurement, in Unix time),
    `offset_seconds` (positive: the clock is behind true time), `last_offset_seconds`, `root_delay_seconds`,
    `root_dispersion_seconds` (grows while no source answers), `leap`. Raises SourceError.
    """
    fields = printed.strip().split(",")
    if len(fields) != _FIELDS:
        raise SourceError(f"not a line of chronyc -c tracking: {printed.strip()[:120]!r}")
    try:
        reference, offset, last, delay, dispersion = (float(fields[index]) for index in (3, 4, 5, 10, 11))
        stratum = int(fields[2])
    except ValueError as error:
        raise SourceError(f"chronyc -c tracking: {error}") from error
    if not all(math.isfinite(number) for number in (reference, offset, last, delay, dispersion)):
        raise SourceError(f"chronyc -c tracking: not a number in {printed.strip()[:120]!r}")
    leap = fields[13]
    if leap not in _LEAPS:
        raise SourceError(f"chronyc -c tracking: not a leap status: {leap[:80]!r}")
    return {
        "synchronised": leap != _NOT_SYNCHRONISED and fields[0] not in _OWN_CLOCK,
        "source": fields[1] or fields[0],
        "stratum": stratum,
        "reference_time": reference,
        "offset_seconds": offset,
        "last_offset_seconds": last,
        "root_delay_seconds": delay,
        "root_dispersion_seconds": dispersion,
        "leap": leap,
    }
