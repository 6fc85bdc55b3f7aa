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
        "lines": {"igb *: link up": 2},
        "seconds": {
            "Linux version *": [0, 0],
            "usb *: up": [4, 6.5],
            "igb *: link up": [7, 12],
            "zz *: ready": [7.5, 99],
        },
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
            "Linux version *": [1, 0, "Linux version 6.1", 1],
            "usb *: up": [2, 5_000_000, "usb 1: up", 1],
            "igb *: link up": [2, 9_000_000, "igb eth0: link up", 2],
            "wlan*: gone again": [1, 5_000_000, "wlan0: gone again", 1],
            "audit…": [900, 5_000_000, "audit: something", 9],
            "audit: more": [1, None, "", 0],
        },
    },
    "history": {"starts": {"start": None, "fewer": {}, "earlier": 2, "trouble": ""}},
}
# Where the log has its beginning nobody asks what the node remembers of it.
NOT_JUDGED = {"start"}
# As the node remembers it where the log has lost its beginning.
REMEMBERED = {"Linux version *": [1, 0.0], "usb *: up": [1, 5.0], "igb *: link up": [2, 9.0]}
LOST = put("kernel_log|first_sequence", 1)


def template(text: str, count: int = 1, line: str = "") -> Spoil:
    return put(f"kernel_log|templates|{text}", [count, 7_000_000, line, count])


def taken(at: Any) -> Spoil:
    def spoil(observation: dict[str, Any]) -> None:
        observation["taken_at"] = at

    return spoil


NEW = template("mce: *", 3, "mce: 4")
MANY = [template(f"new {letter}") for letter in "abcdefgh"]
PART = put("kernel_log|truncated", "too fast")
OLD = template("old * news", 2, "old 1 news")
LATE_LINUX = template("Linux version *")
NO_LINUX = drop("kernel_log|templates|Linux version *")


def remembers(*without: str) -> Spoil:
    return put("history|starts|start", {each: said for each, said in REMEMBERED.items() if each not in without})


def trouble(text: str) -> Spoil:
    return put("history|starts|trouble", text)


def fewer(lines: dict[str, list[int]]) -> Spoil:
    return put("history|starts|fewer", lines)


def usb(first_us: int | None) -> Spoil:
    return put("kernel_log|templates|usb *: up", [2, first_us, "usb 1: up", 1])


def igb(at_start: int, first_us: int | None) -> Spoil:
    return put("kernel_log|templates|igb *: link up", [2, first_us, "igb eth0: link up", at_start])


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
    c("kernel.log.missing", "warn", "host", "lost its beginning", NO_LINUX, LOST),
    c("kernel.log.missing", "warn", "host", "lost its beginning", igb(0, 9_000_000), LOST),
    c("kernel.log.missing", "pass", "host", "all 2 kinds", NO_LINUX, igb(0, 9_000_000), LOST, remembers()),
    c(
        "kernel.log.missing",
        "warn",
        "host",
        "1 kinds of lines are missing: Linux",
        NO_LINUX,
        LOST,
        remembers("Linux version *"),
    ),
    c("kernel.log.missing", "warn", "host", "not 2) (no space)", NO_LINUX, LOST, trouble("no space")),
    c("kernel.log.missing", "unknown", "host", "no record tells", NO_LINUX, put("kernel_log|first_sequence", None)),
    c("kernel.log.missing", "warn", "host", "less than 600 s after the", NO_LINUX, put("host|uptime_seconds", 599.0)),
    c("kernel.log.missing", "warn", "host", "missing: igb *: link up (1 lines, not 2)", igb(1, 9_000_000)),
    c("kernel.log.missing", "pass", "host", "all 2 kinds", igb(3, 9_000_000)),
    c("kernel.log.missing", "pass", "host", "all 2 kinds", igb(1, 9_000_000), template("igb…")),
    c("kernel.log.order", "pass", "host", "3 kinds of lines came in the order"),
    c("kernel.log.order", "warn", "host", "Linux version * at 7.0 s, behind usb *: up at 5.0 s", LATE_LINUX),
    c(
        "kernel.log.order",
        "warn",
        "host",
        "Linux version * at 7.0 s, behind igb *: link up at 2.0 s",
        LATE_LINUX,
        igb(2, 2_000_000),
    ),
    # Learned with less than a second between them.
    c("kernel.log.order", "pass", "host", "3 kinds of lines came in the order", usb(9_500_000)),
    # What is not there, or has no time, has no order.
    c("kernel.log.order", "pass", "host", "2 kinds", drop("kernel_log|templates|usb *: up")),
    c("kernel.log.order", "pass", "host", "2 kinds", usb(None)),
    c("kernel.log.order", "warn", "host", "lost its beginning", LOST),
    c("kernel.log.order", "pass", "host", "3 kinds of lines came in the order", LATE_LINUX, LOST, remembers()),
    c(
        "kernel.log.order",
        "warn",
        "host",
        "usb *: up at 9.0",
        LOST,
        put("history|starts|start", {"usb *: up": [1, 9.0], "zz *: ready": [1, 3.0]}),
    ),
    c("kernel.log.order", "warn", "host", "what came first (no space)", LOST, trouble("no space")),
    c("kernel.log.changed", "pass", "host", "not two starts", put("history|starts|earlier", 1)),
    c("kernel.log.changed", "warn", "host", "has lost its beginning before anybody", put("history|starts|fewer", None)),
    c("kernel.log.changed", "pass", "host", "all lines that both starts before had", fewer({})),
    c(
        "kernel.log.changed",
        "warn",
        "host",
        "1 kinds of lines came fewer times than at both starts before: mlx*: up (7 lines, 8 before)",
        fewer({"mlx*: up": [7, 8]}),
    ),
    c("kernel.log.changed", "unknown", "host", "was not read", put("history|starts", None)),
    c("kernel.log.changed", "warn", "host", "earlier starts is not known (damaged)", trouble("damaged")),
    c(
        "kernel.log.changed",
        "warn",
        "host",
        "less than 600 s after the start 1 kinds",
        fewer({"mlx*: up": [7, 8]}),
        put("host|uptime_seconds", 599.0),
    ),
    c("kernel.log.order", "unknown", "host", "no record tells", put("kernel_log|first_sequence", None)),
    c("kernel.log.order", "unknown", "host", "read in part only: too fast", PART),
    c("kernel.log.missing", "unknown", "host", "read in part only: too fast", PART),
    c("kernel.log.missing", "unknown", "host", "was not read", absent("host")),
]
