# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last results as metrics, for the textfile collector of Prometheus' node_exporter. docs/agent.md explains them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..findings import Verdict
from .results import Pass, merged


class _Metric(NamedTuple):
    name: str
    help: str


_FINDING = _Metric("firstlight_health_finding", "1 for what each component was judged to be at a check.")
_FINDINGS = _Metric("firstlight_health_findings", "How many findings have a verdict.")
_TIME = _Metric("firstlight_health_pass_timestamp_seconds", "When the last pass began, in seconds since 1970.")
_AGE = _Metric("firstlight_health_pass_age_seconds", "How old the last pass was when this was written.")
_DURATION = _Metric("firstlight_health_pass_duration_seconds", "How long the last pass took.")
_CPU = _Metric("firstlight_health_pass_cpu_seconds", "CPU time of the last pass and all its processes.")
_CLASS = _Metric(
    "firstlight_health_node_class_info", "The node class that was judged by, and the SHA-256 of its content."
)

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(passes: Sequence[Pass], node_class: str, class_sha256: str, now: float) -> str:
    """Text of the file, of passes that hold, the youngest first. `now` in seconds since 1970."""
    found = [finding for _pass, finding in merged(passes)]
    levels = sorted(passes, key=lambda each: each.level)
    lines = [
        *_lines(
            _FINDING,
            (
                ({"check": each.check, "component": each.component, "verdict": each.verdict.value}, 1)
                # A check tells of a component once; where it does not, a label twice would cost the whole file.
                for each in {(each.check, each.component, each.verdict): each for each in found}.values()
            ),
        ),
        *_lines(
            _FINDINGS,
            (({"verdict": verdict.value}, sum(each.verdict is verdict for each in found)) for verdict in Verdict),
        ),
        *_lines(_TIME, (({"level": each.level}, round(now - each.age, 3)) for each in levels)),
        *_lines(_AGE, (({"level": each.level}, round(each.age, 3)) for each in levels)),
        *_lines(_DURATION, (({"level": each.level}, each.read["seconds"]) for each in levels)),
        *_lines(_CPU, (({"level": each.level}, each.read["cpu_seconds"]) for each in levels)),
        *_lines(_CLASS, [({"node_class": node_class, "sha256": class_sha256}, 1)]),
    ]
    return "\n".join(lines) + "\n"


def _lines(metric: _Metric, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    return [
        f"# HELP {metric.name} {metric.help}",
        f"# TYPE {metric.name} gauge",
        *(f"{metric.name}{{{_labels(labels)}}} {value}" for labels, value in samples),
    ]


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
