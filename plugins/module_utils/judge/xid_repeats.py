# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge which GPUs have an XID again and again, by what the node remembers of a month."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..catalog.xid import NVLINK_5, SUSPECT_WHEN_REPEATED, XIDS
from ..findings import Finding, Verdict
from .each import Judged, each_told
from .view import Gpu, NodeClass, Observation, Unjudgeable, data_of, gpus_of, items, limit, number, text, unread

_CHECK = "gpu.xid.repeated"
_WEEK_DAYS = 7
# Whose XID a reset or a reboot is to end. Of NVLink 5 the number alone does not tell.
_TO_BE_ENDED = frozenset(
    code for code, xid in XIDS.items() if xid.bucket in ("drain_rma", "reset_gpu", "reboot") and code not in NVLINK_5
)
_REPLACE = "Drain the node and have the GPU replaced: what a reset ended has come back."

# Code -> sightings of a GPU: days ago, and since which reset.
_Seen = Mapping[int, "list[tuple[int, str]]"]


def gpu_xid_repeated(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """An application's XID that always comes on the same GPU, or one that is there again after a reset.

    An application that is wrong is so on every GPU that it runs on.
    """
    days_warn, days_fail = limit(node_class, "xid_days_a_week.warn"), limit(node_class, "xid_days_a_week.fail")
    resets_warn, resets_fail = limit(node_class, "xid_resets.warn"), limit(node_class, "xid_resets.fail")
    history = data_of(observation, "history")
    gpus = gpus_of(observation, node_class).listed
    seen = {gpu.slot: _seen(history.get("xids"), gpu) for gpu in gpus}
    evidence = {"trouble": history["xids_trouble"]} if history.get("xids_trouble") else {}

    def judge(gpu: Gpu) -> Judged:
        text(gpu.value("uuid"))
        found: list[tuple[Verdict, str, str | None]] = []
        for code, sightings in sorted(seen[gpu.slot].items()):
            if code in SUSPECT_WHEN_REPEATED:
                days = _days(sightings)
                others = sum(
                    _days(seen[other.slot].get(code, [])) >= days_warn for other in gpus if other.slot != gpu.slot
                )
                if days >= days_warn and 2 * others < len(gpus) - 1:
                    verdict = Verdict.FAIL if days >= days_fail else Verdict.WARN
                    found.append((verdict, f"Xid {code} on {days} of {_WEEK_DAYS} days, and not on most others", None))
            elif code in _TO_BE_ENDED:
                resets = len({since for _day, since in sightings})
                if resets >= resets_warn:
                    verdict = Verdict.FAIL if resets >= resets_fail else Verdict.WARN
                    found.append((verdict, f"Xid {code} {resets} times, with a reset between", _REPLACE))
        if not found:
            return Judged(Verdict.PASS, "no XID again and again", sorted(seen[gpu.slot]), [], evidence=evidence)
        gravest = next((each for each in found if each[0] is Verdict.FAIL), found[0])
        return Judged(gravest[0], "; ".join(each[1] for each in found), [], [], gravest[2], evidence)

    return each_told(_CHECK, observation, node_class, judge)


def _seen(xids: Any, gpu: Gpu) -> _Seen:
    if unread(xids) or not isinstance(xids, dict):
        raise Unjudgeable(f"history: {unread(xids) or 'has no XIDs'}")
    found = {}
    for name, sightings in xids.items():
        whose, _slash, code = str(name).rpartition("/")
        if whose in (gpu.value("uuid"), gpu.pci) and code.isdecimal():
            found[int(code)] = [(int(number(days)), text(since)) for days, since in map(items, items(sightings))]
    return found


def _days(sightings: list[tuple[int, str]]) -> int:
    return len({days for days, _since in sightings if days < _WEEK_DAYS})
