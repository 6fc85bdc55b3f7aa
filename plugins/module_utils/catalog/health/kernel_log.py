# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of what the kernel log says at all, by the baseline of the class."""

from __future__ import annotations

from ..model import Check, Thresholds

_SOURCE = (
    "Every record of `/dev/kmsg` (`dmesg`), by what does not vary in it, beside kernel_log/CLASS.yml of the inventory"
)
CHECKS: tuple[Check, ...] = (
    Check(
        "kernel.log.bad",
        "The kernel log has no line that the site calls bad",
        ("kernel_log",),
        "vendor",
        "Do what the entry's reason says; the line stays in the log until the node is restarted.",
        "validate",
        source=_SOURCE,
        fails="The kernel log has a line that `bad` of the class's kernel log baseline names.",
        needs=("kernel_log.bad",),
    ),
    Check(
        "kernel.log.unknown",
        "The kernel log has no line that healthy nodes of the class do not have",
        ("kernel_log",),
        "software",
        "Find out what the line means; then put its template into `accepted` or `bad` of kernel_log/CLASS.yml.",
        "validate",
        source=_SOURCE,
        fails="It warns where the kernel log has a line that the class's kernel log baseline does not name.",
        severity="warn",
        needs=("kernel_log.known",),
    ),
    Check(
        "kernel.log.missing",
        "The kernel log has every line that all healthy nodes of the class begin with",
        ("kernel_log", "host", "history"),
        "software",
        "Look for what the line announces: a driver that was not loaded, a device that was not found.",
        "validate",
        source=_SOURCE,
        fails=(
            "It warns where the kernel log lacks a line that every node had from which the class's kernel log baseline "
            "was learned, or has fewer of them than all had at their start, also where the line may have been in a "
            "beginning that the log has lost and the node does not remember, or may still come."
        ),
        severity="warn",
        needs=("kernel_log.expected",),
    ),
    Check(
        "kernel.log.order",
        "The node starts in the order in which all healthy nodes of the class start",
        ("kernel_log", "history"),
        "software",
        "Look at what came late, or at what came before its turn: a device that took long to answer, a driver that was "
        "loaded by something else.",
        "validate",
        source=_SOURCE,
        fails=(
            "It warns where the kernel log first says a line later than another one that came at least a second after "
            "it on every node from which the class's kernel log baseline was learned, and where the log has lost its "
            "beginning and the node does not remember it."
        ),
        severity="warn",
        needs=("kernel_log.seconds",),
    ),
    Check(
        "kernel.log.changed",
        "The node says at its start what it said at the two starts before",
        ("kernel_log", "host", "history"),
        "software",
        "Look for what the line announces: a device or a link that was there before the restart.",
        "validate",
        source="`/var/lib/firstlight/health/starts.json`, what the kernel log said within ten minutes of the last "
        "three starts",
        fails="It warns where a kind of line came fewer times at the last start than at each of the two before, and "
        "where these are remembered and the last one is not.",
        severity="warn",
        needs=("kernel_log.known",),
    ),
)

THRESHOLDS: Thresholds = {}
