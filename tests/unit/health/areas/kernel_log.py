# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a kernel log says at all: what the class's baseline knows, and something else."""

from __future__ import annotations

from typing import Any

from tests.unit.health.cases import c
from tests.unit.health.health_factory import Spoil, absent, drop, put, unreadable

CLASS = {
    "kernel_log": {
        "known": ["Linux version *", "igb *: link up", "usb *: up", "old * news", "audit…"],
        "expected": ["Linux version *", "igb *: link up"],
        "accepted": [
            {"template": "wlan*: gone*", "reason": "not used", "author": "ops", "expires": "2026-01-01"},
            {"template": "dusty…", "reason": "chatters", "author": "ops", "expires": "2026-12-31"},
        ],
        "bad": [
            {"template": "old*news", "reason": "replace the riser", "author": "ops"},
            {"template": "noisy: BUG*", "reason": "restart it", "author": "ops"},
        ],
    }
}
HEALTHY = {
    "kernel_log": {
        "first_us": 0,
        "templates": {
            "Linux version *": [1, 0, "Linux version 6.1"],
            "usb *: up": [2, 5_000_000, "usb 1: up"],
            "igb *: link up": [2, 9_000_000, "igb eth0: link up"],
            "wlan*: gone again": [1, 5_000_000, "wlan0: gone again"],
            "audit…": [900, 5_000_000, "audit: something"],
            "audit: more": [1, None, ""],
        },
    }
}


def template(text: str, count: int = 1, line: str = "") -> Spoil:
    return put(f"kernel_log|templates|{text}", [count, 7_000_000, line])


def taken(at: Any) -> Spoil:
    def spoil(observation: dict[str, Any]) -> None:
        observation["taken_at"] = at

    return spoil


NEW = template("mce: *", 3, "mce: 4")
MANY = [template(f"new {letter}") for letter in "abcdefgh"]
PART = put("kernel_log|truncated", "too fast")
OLD = template("old * news", 2, "old 1 news")
NO_LINUX = drop("kernel_log|templates|Linux version *")

CASES = [
    c("kernel.log.unknown", "pass", "host", "all 6 kinds of lines are known"),
    c("kernel.log.unknown", "pass", "host", "all 7 kinds of lines are known", OLD),
    c("kernel.log.unknown", "pass", "host", "all 7 kinds of lines are known", template("noisy: BUG at *")),
    c("kernel.log.unknown", "warn", "host", "1 unknown kinds of lines: mce: 4 (3 times)", NEW),
    c("kernel.log.unknown", "warn", "host", "mce: 4 (3 times)", NEW, PART),
    c("kernel.log.unknown", "warn", "host", "new e (1 times); and 3 more", *MANY),
    c("kernel.log.unknown", "warn", "host", "wlan0: gone again", taken("2026-01-02T00:00:01+00:00")),
    c("kernel.log.unknown", "unknown", "host", "read in part only: too fast", PART),
    c("kernel.log.unknown", "unknown", "host", "tells no templates", put("kernel_log|templates", None)),
    c("kernel.log.unknown", "unknown", "host", "no answer", unreadable("kernel_log")),
    c("kernel.log.unknown", "unknown", "host", "'yesterday' is no time", taken("yesterday")),
    c("kernel.log.bad", "pass", "host", "none of 6 kinds"),
    c("kernel.log.bad", "fail", "host", "replace the riser: old 1 news (2 times)", OLD),
    c("kernel.log.bad", "fail", "host", "replace the riser: old 1 news (2 times)", OLD, PART),
    c("kernel.log.bad", "unknown", "host", "read in part only: too fast", PART),
    c("kernel.log.bad", "unknown", "host", "more kinds of lines of noisy than are told apart", template("noisy…")),
    c("kernel.log.bad", "unknown", "host", "of too many programs than", template("…")),
    c("kernel.log.bad", "pass", "host", "none of 7 kinds", template("quiet…")),
    c("kernel.log.bad", "pass", "host", "none of 7 kinds", template("dusty…")),
    c("kernel.log.missing", "pass", "host", "all 2 kinds of lines"),
    c("kernel.log.missing", "pass", "host", "all 2 kinds of lines", drop("kernel_log|templates|usb *: up")),
    c("kernel.log.missing", "warn", "host", "1 kinds of lines are missing: Linux version *", NO_LINUX),
    c("kernel.log.missing", "pass", "host", "all 2 kinds of lines", NO_LINUX, template("Linux…")),
    c("kernel.log.missing", "warn", "host", "lost its beginning", NO_LINUX, put("kernel_log|first_sequence", 1)),
    c("kernel.log.missing", "pass", "host", "all 2 kinds of lines", put("kernel_log|first_sequence", 1)),
    c("kernel.log.missing", "unknown", "host", "no record tells", NO_LINUX, put("kernel_log|first_sequence", None)),
    c("kernel.log.missing", "warn", "host", "less than 600 s after the", NO_LINUX, put("host|uptime_seconds", 599.0)),
    c("kernel.log.missing", "unknown", "host", "read in part only: too fast", PART),
    c("kernel.log.missing", "unknown", "host", "was not read", absent("host")),
]
