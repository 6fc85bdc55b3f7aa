# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area agent."""

from __future__ import annotations

from tests.mutation.reasons import HEALTH, Judged, reason

PROBE = ("tests/unit/agent/test_agent_probe.py",)
JUDGED: Judged = {
    "agent.fresh": ("warn unknown", HEALTH),
    "agent.node_class": ("warn unknown", HEALTH),
    "agent.probe": ("fail warn unknown", HEALTH),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "agent: earlier boot",
        "judge/agent.py",
        "a pass of an earlier boot is as good as one of this",
        'if text(last.get("boot_id")) == boot_id else None',
        "",
    ),
    reason(
        "agent: just started",
        "judge/agent.py",
        "a node that has just been started is late",
        "late = last is None or waited >= most",
        "late = last is None or age is None or waited >= most",
    ),
    reason(
        "agent: probe of a node in use",
        "agent/probe.py",
        "GPUs are probed under a job that does not compute at the moment",
        'if answer["status"] != "ok":',
        "if False:",
        PROBE,
    ),
    reason(
        "agent: probe beside a job",
        "agent/probe.py",
        "a GPU is blamed for what a job that began meanwhile took",
        '    if strangers:\n        raise NotIdle(f"{strangers} began meanwhile")\n',
        "",
        PROBE,
    ),
    reason(
        "agent: probe of a blind driver",
        "agent/probe.py",
        "GPUs are probed where nobody can tell who computes",
        'if asked["status"] != "ok":',
        "if False:",
        PROBE,
    ),
]
