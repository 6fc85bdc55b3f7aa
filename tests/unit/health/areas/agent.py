# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health agent of the node: well, and not."""

from __future__ import annotations

from typing import Any

from tests.unit.health.cases import c
from tests.unit.health.health_factory import put, unreadable

CLASS = {"system": {"health_agent": True}, "compute": {"library": "cupy", "packages": ["cupy-cuda12x==13.6.0"]}}


def last(uptime: float) -> dict[str, Any]:
    """A pass of this boot; the healthy node's own class is put into it where all areas come together."""
    return {
        "taken_at": "2026-01-01T00:00:00+00:00",
        "boot_id": BOOT,
        "uptime": uptime,
        "seconds": 0.4,
        "cpu_seconds": 0.2,
        "class": "test",
        "class_sha256": "",
    }


# As area host has them.
BOOT, UPTIME = "b", 7200.0
PROBED = {"taken_at": "2026-01-01T00:00:00+00:00", "boot_id": BOOT, "uptime": UPTIME - 5000.0, "bad": []}
HEALTHY = {"agent": {"passes": {"full": last(UPTIME - 3000.0), "light": last(UPTIME - 40.0), "probe": PROBED}}}
NOT_JUDGED = {"taken_at", "seconds", "cpu_seconds", "class"}

FULL, LIGHT, PROBE = "agent|passes|full", "agent|passes|light", "agent|passes|probe"
WRONG = {"check": "compute.exact", "component": "gpu:3", "verdict": "fail", "summary": "matmul fp16: 1 wrong values"}
SLOW = {"check": "compute.hbm", "component": "gpu:3", "verdict": "unknown", "summary": "gpu:3 was not measured"}
DAMAGED = {"error": "full.json is damaged: it is no JSON"}

CASES = [
    c("agent.fresh", "pass", "agent:full", "was 3000 s ago"),
    c("agent.fresh", "pass", "agent:light", "was 40 s ago"),
    c("agent.fresh", "warn", "agent:light", "was 700 s ago", put(f"{LIGHT}|uptime", UPTIME - 700.0)),
    c("agent.fresh", "pass", "agent:full", "was 700 s ago", put(f"{FULL}|uptime", UPTIME - 700.0)),
    c("agent.fresh", "warn", "agent:full", "left none", put(FULL, None)),
    # One that began before the uptime was read, and was done after.
    c("agent.fresh", "pass", "agent:light", "was 0 s ago", put(f"{LIGHT}|uptime", UPTIME + 5.0)),
    # Of an earlier boot: since this one there was time enough, or not yet.
    c("agent.fresh", "warn", "agent:light", "before the start", put(f"{LIGHT}|boot_id", "another")),
    c(
        "agent.fresh",
        "pass",
        "agent:light",
        "before the start of 60 s ago",
        put(f"{LIGHT}|boot_id", "another"),
        put("host|uptime_seconds", 60.0),
    ),
    c(
        "agent.fresh",
        "warn",
        "agent:full",
        "was 3000 s ago (warn 1800 s)",
        thresholds={"agent_full_age_seconds": 1800},
    ),
    c("agent.fresh", "unknown", "host", "it is no JSON", put(FULL, DAMAGED)),
    c("agent.fresh", "unknown", "host", "not a text", put("host|boot_id", 7)),
    c("agent.node_class", "pass", "agent:full", "judged by this class"),
    c("agent.node_class", "warn", "agent:full", "judged by another class 'test'", put(f"{FULL}|class_sha256", "0")),
    c("agent.node_class", "pass", "agent:light", "judged by this class", put(f"{FULL}|class_sha256", "0")),
    c("agent.node_class", "warn", "agent:light", "there was none", put(LIGHT, None)),
    # The name says nothing: the content has changed.
    c(
        "agent.node_class",
        "warn",
        "agent:full",
        "another class",
        thresholds={"disk_used_percent": {"warn": 1, "fail": 2}},
    ),
    c("agent.probe", "pass", "host", "the last probe was 5000 s ago (warn 604800 s)"),
    c("agent.probe", "warn", "host", "was 5000 s ago (warn 4000 s)", thresholds={"agent_probe_age_seconds": 4000}),
    c("agent.probe", "fail", "gpu:3", "compute.exact: matmul fp16: 1 wrong", put(f"{PROBE}|bad", [SLOW, WRONG])),
    c("agent.probe", "unknown", "gpu:3", "compute.hbm: gpu:3 was not measured", put(f"{PROBE}|bad", [SLOW])),
    c("agent.probe", "pass", "host", "no probe since the start of 7200 s ago", put(PROBE, None)),
    c(
        "agent.probe",
        "pass",
        "host",
        "no probe since",
        put(f"{PROBE}|bad", [WRONG]),
        put(f"{PROBE}|boot_id", "another"),
    ),
    c("agent.probe", "warn", "host", "no probe", put(PROBE, None), thresholds={"agent_probe_age_seconds": 7000}),
    c("agent.probe", "unknown", "host", "was not read", put(f"{PROBE}|bad", None)),
    c("agent.probe", "unknown", "host", "is no finding of a probe", put(f"{PROBE}|bad", [{"verdict": "good"}])),
    c("agent.probe", "unknown", "host", "it is no JSON", put(PROBE, DAMAGED)),
    c("agent.node_class", "unknown", "host", "no answer", unreadable("agent")),
    c("agent.node_class", "unknown", "host", "nothing is told of full", put("agent|passes", {})),
]
