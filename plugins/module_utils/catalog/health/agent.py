# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of the agent that watches the node between runs."""

from __future__ import annotations

from ..model import Check, Thresholds

_NEEDS = ("system.health_agent",)

CHECKS: tuple[Check, ...] = (
    Check(
        "agent.fresh",
        "The node's health agent ran lately",
        ("agent", "host"),
        "software",
        "Read `systemctl list-timers 'firstlight-health*'` and `journalctl -u 'firstlight-health@*'`; "
        "configure.yml with --tags node_agent puts it in place.",
        "validate",
        source="`/var/lib/firstlight/health/results/light.json` and full.json (`systemctl list-timers`)",
        fails="It warns where the last pass of a level is older than agent_full_age_seconds or "
        "agent_light_age_seconds, or none came for so long since the node was started.",
        severity="warn",
        needs=_NEEDS,
    ),
    Check(
        "agent.node_class",
        "The node's health agent judges by the class of today",
        ("agent",),
        "software",
        "Run configure.yml on the node with --tags node_agent.",
        "validate",
        source="class_sha256 of `/var/lib/firstlight/health/results/light.json` and full.json",
        fails="It warns where the last pass of a level judged by a class whose content is not that of the node's "
        "class, or there was none.",
        severity="warn",
        needs=_NEEDS,
    ),
    Check(
        "agent.probe",
        "The GPUs of the node, tried while it was idle, compute right and fast enough",
        ("agent", "host"),
        "vendor",
        "Read `journalctl -u firstlight-health@probe`, which says what kept the node from being probed. Drain it for "
        "an hour, or run validate.yml on it, which tests more.",
        "validate",
        source="`/var/lib/firstlight/health/results/probe.json` (`firstlight-health show`): the compute.* checks of "
        "the node's own short test",
        fails="A probe since the last start found what a compute.* check fails on. It warns where the last probe is "
        "older than agent_probe_age_seconds, or none came for so long since the node was started.",
        needs=(*_NEEDS, "compute"),
        unless=("system.health_probe",),
    ),
)

THRESHOLDS: Thresholds = {
    # A full pass comes every hour, give or take minutes, and may be late by one.
    "agent_full_age_seconds": 9000,
    # A probe comes every day on which the node is idle for a moment. After a busy week nobody knows its GPUs any more.
    "agent_probe_age_seconds": 604800,
    # A light one comes every minute; ten of them do not fail to come by chance.
    "agent_light_age_seconds": 600,
}
