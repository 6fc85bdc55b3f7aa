# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of many nodes compared with each other: who computes otherwise, and who falls out of the distribution. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..catalog.checks import finding
from ..catalog.thresholds import DEFAULTS
from ..findings import Finding, Verdict, worst
from .compare import FEWEST, slow, vote
from .judge import gpus_of

CHECK = "compute.fleet"
_UNITS = {"hbm_gbps": "GB/s of HBM", "h2d_gbps": "GB/s from the host", "d2h_gbps": "GB/s to the host"}

Place = tuple[str, str]


def summary_of(measured: Mapping[str, Any], node_class: Mapping[str, Any]) -> dict[str, Any]:
    """What the fleet needs of one node: `node_class` (its name), `outlier_percent`, and `gpus` by component.

    Each has `kind` (what it must have in common with those that it is compared with), `figures` by name, and `digests`.
    A GPU that was not measured is left out; its own node's findings tell of it.
    """
    gpus = {}
    for gpu in gpus_of(measured, node_class):
        if gpu.trouble:
            continue
        peers = (gpu.copies.get("p2p_gbps") or {}).values()
        gpus[gpu.component] = {
            "kind": f"{gpu.model}, {gpu.burn['library']}",
            "figures": {
                **{f"TFLOP/s of {format_}": rate for format_, rate in gpu.burn["tflops"].items()},
                _UNITS["hbm_gbps"]: gpu.burn["hbm_gbps"],
                **{_UNITS[key]: gpu.copies[key] for key in ("h2d_gbps", "d2h_gbps") if key in gpu.copies},
                **({"GB/s to its slowest peer": min(peers)} if peers else {}),
            },
            "digests": {name: found[0] for name, found in gpu.burn["digests"].items() if len(found) == 1},
        }
    limits = {**DEFAULTS, **(node_class.get("thresholds") or {})}
    return {"node_class": node_class["name"], "outlier_percent": limits["compute_outlier_percent"], "gpus": gpus}


def judge(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Finding]]:
    """Findings of `compute.fleet` by node. `summaries`: of each node what `summary_of` returned."""
    told: dict[Place, list[tuple[Verdict, str]]] = {}
    fleets: dict[str, dict[Place, Mapping[str, Any]]] = {}
    percents: dict[str, float] = {}
    for node, summary in summaries.items():
        for component, gpu in summary["gpus"].items():
            fleet = f"{summary['node_class']}: {gpu['kind']}"
            fleets.setdefault(fleet, {})[node, component] = gpu
            percents[fleet] = float(summary["outlier_percent"])
    for fleet, gpus in fleets.items():
        for place, outcome in _outcomes(gpus, percents[fleet]):
            told.setdefault(place, []).append(outcome)
    sizes = {place: len(gpus) for gpus in fleets.values() for place in gpus}
    return {node: _of_node(node, summary, told, sizes) for node, summary in summaries.items()}


def _outcomes(gpus: Mapping[Place, Mapping[str, Any]], percent: float) -> Iterator[tuple[Place, tuple[Verdict, str]]]:
    for name in sorted({name for gpu in gpus.values() for name in gpu["figures"]}):
        values = {place: gpu["figures"][name] for place, gpu in gpus.items() if name in gpu["figures"]}
        found = slow(values, percent)
        for place in found.names:
            text = f"{values[place]:.4g} {name}; the median of {len(values)} GPUs is {found.median:.4g}"
            yield place, (Verdict.WARN, text)
    for name in sorted({name for gpu in gpus.values() for name in gpu["digests"]}):
        results = {place: gpu["digests"][name] for place, gpu in gpus.items() if name in gpu["digests"]}
        for place in vote(results).strangers:
            yield place, (Verdict.FAIL, f"{name}: another result than most of {len(results)} GPUs of the fleet")


def _of_node(
    node: str,
    summary: Mapping[str, Any],
    told: Mapping[Place, list[tuple[Verdict, str]]],
    sizes: Mapping[Place, int],
) -> list[Finding]:
    if not summary["gpus"]:
        return [finding(CHECK, "host", Verdict.UNKNOWN, "no GPU was measured that could be compared")]
    found = []
    for component in summary["gpus"]:
        outcomes = told.get((node, component), [])
        size = sizes[node, component]
        if size < FEWEST and not outcomes:
            outcomes = [
                (Verdict.WARN, f"compared with nobody: the run has {size} GPUs of its kind, {FEWEST} are needed")
            ]
        text = "; ".join(text for _verdict, text in outcomes) or f"as the {size} GPUs of its kind"
        verdict = worst([Verdict.PASS, *(verdict for verdict, _text in outcomes)])
        found.append(finding(CHECK, component, verdict, f"{component} {text}"))
    return found
