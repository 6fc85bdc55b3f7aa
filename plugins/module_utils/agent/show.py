# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last results as a table, for a person who is logged in on the node."""

from __future__ import annotations

from collections.abc import Sequence

from ..findings import Finding, Verdict
from .results import Pass, merged

_ORDER = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN, Verdict.WAIVED, Verdict.PASS)


def table(passes: Sequence[Pass], *, every: bool) -> str:
    """What did not pass, the worst first, with what to do; with `every` also what did. Of passes that hold."""
    pairs = sorted(merged(passes), key=lambda pair: _ORDER.index(pair[1].verdict))
    counts = {verdict: sum(each.verdict is verdict for _pass, each in pairs) for verdict in _ORDER}
    lines = [", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)]
    lines += [f"{each.level} pass: {_ago(each.age)}, took {each.read['seconds']:g} s" for each in passes]
    shown = [pair for pair in pairs if every or pair[1].verdict is not Verdict.PASS]
    width = max((len(each.component) for _pass, each in shown), default=0)
    check_width = max((len(each.check) for _pass, each in shown), default=0)
    for of, each in shown:
        lines.append("")
        lines.append(
            f"{each.verdict.value.upper():<8}{each.component:<{width}}  {each.check:<{check_width}}  {_ago(of.age)}"
        )
        lines += [f"        {text}" for text in _told(each)]
    return "\n".join(lines) + "\n"


def _told(finding: Finding) -> list[str]:
    told = [finding.summary]
    if finding.remedy:
        told.append(f"-> {finding.remedy} ({finding.owner})")
    return [line for text in told for line in text.splitlines()]


def _ago(seconds: float) -> str:
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
