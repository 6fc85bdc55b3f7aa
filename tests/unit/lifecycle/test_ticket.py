# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tickets, word for word, and which of them are open."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ticket import (
    markdown,
    node_ticket,
    open_tickets,
    shared_ticket,
)

FINDING: dict[str, Any] = {
    "check": "gpu.row_remap.failure",
    "component": "gpu:3",
    "verdict": "fail",
    "summary": "row remapping of gpu:3 failed",
    "observed": True,
    "expected": False,
    "remedy": "Drain the node and have the GPU replaced.",
    "owner": "vendor",
    "evidence": {"remapped_rows": {"uncorrectable": 8}},
    "run": "20261130T115800Z-a1b2c3",
    "phase": "health",
    "at": "2026-11-30T12:00:00.000000Z",
}
PARTS = [
    {"kind": "gpu", "slot": "0000:5d:00.0", "serial": "1653021000123", "model": "H100|80GB", "firmware": "96.00"}
    | {"component": "gpu:3"},
    {"kind": "gpu", "slot": "0000:1b:00.0", "serial": "1653021000999", "model": "H100", "component": "gpu:0"},
]
ACTION = {"at": "2026-11-29T10:00:00.000000Z", "action": "reset_gpu", "detail": "gpu.row_remap.pending gpu:3"}
STEP = {"at": "2026-11-30T12:00:00.000000Z", "to_state": "set_aside", "reason": "fail\ngpu.row_remap.failure"}
OF_NODE = """\
# node02: row remapping of gpu:3 failed

|  |  |
| --- | --- |
| For | vendor |
| Node | node02 |
| Serial number | FL0000N02 |
| Place | rack r1, unit 2 |
| Class | h100 |
| Run | 20261201T080000Z-d4e5f6 |

## Findings

### fail gpu.row_remap.failure gpu:3

row remapping of gpu:3 failed

* observed: `true`
* expected: `false`
* remedy: Drain the node and have the GPU replaced.
* found: 2026-11-30T12:00:00.000000Z in run 20261130T115800Z-a1b2c3, phase health

```json
{
 "remapped_rows": {
  "uncorrectable": 8
 }
}
```

## Parts

| kind | slot | serial number | model | firmware |
| --- | --- | --- | --- | --- |
| gpu | 0000:5d:00.0 | 1653021000123 | H100\\|80GB | 96.00 |

## What was done before

| when | what | details | by |
| --- | --- | --- | --- |
| 2026-11-29T10:00:00.000000Z | reset_gpu | gpu.row_remap.pending gpu:3 | alice@ctl |

## Where the node stood

| when | state | reason | by |
| --- | --- | --- | --- |
| 2026-11-30T12:00:00.000000Z | set_aside | fail gpu.row_remap.failure | alice@ctl |

## Files

* `node02/kernel.log`
* `node02/lspci.txt`
"""
OF_MANY = """\
# hca.rate on 2 nodes

40 of 511 nodes fail alike: it is not the nodes. Nothing was done to the nodes for it.

|  |  |
| --- | --- |
| For | network |
| Run | 20261201T080000Z-d4e5f6 |

| node | part | finding |
| --- | --- | --- |
| node02 | hca:mlx5_3/1 | 200 Gb/s |
| node03 | hca:mlx5_3/1 | 200 Gb/s |
"""


def ticket(findings: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    given = {
        "node": {"serial": "FL0000N02", "class": "h100", "rack": "r1", "unit": 2},
        "parts": PARTS,
        "actions": [ACTION | {"operator": "alice@ctl"}],
        "history": [STEP | {"operator": "alice@ctl"}],
        "files": ["node02/lspci.txt", "node02/kernel.log"],
    }
    case = {"node": "node02", "group": "gpu-3", "findings": findings}
    return node_ticket(case, run="20261201T080000Z-d4e5f6", **{**given, **more})


def test_a_ticket_of_a_part() -> None:
    written = ticket([FINDING])
    assert (written["id"], written["schema"], written["owners"]) == ("node02-gpu-3", 1, ["vendor"])
    assert [part["serial"] for part in written["parts"]] == ["1653021000123"]
    assert markdown(written) == OF_NODE


def test_what_is_not_known_is_said() -> None:
    text = markdown(ticket([FINDING | {"evidence": {}}], node={}, parts=[], actions=[], history=[], files=[]))
    assert "| Serial number | not known |" in text and "| Place | not known |" in text
    assert text.endswith("## Files\n\nNone: nothing could be read from the node.\n")
    assert "## Parts" not in text and "```" not in text


def test_a_ticket_keeps_within_bounds() -> None:
    evidence = {"lines": [f"line {number}" for number in range(1000)]}
    written = ticket([FINDING | {"evidence": evidence}], actions=[ACTION] * 99)
    assert len(written["actions"]) == 20
    assert markdown(written).count('"line ') == 38 and "\n…\n```" in markdown(written)


def test_a_ticket_of_a_defect_that_many_share() -> None:
    finding = {"component": "hca:mlx5_3/1", "summary": "200 Gb/s", "owner": "network"}
    nodes = {"node02": finding, "node03": finding}
    why = "40 of 511 nodes fail alike: it is not the nodes"
    written = shared_ticket("hca.rate", why, nodes, run="20261201T080000Z-d4e5f6")
    assert written["id"] == "alike-hca.rate"
    assert markdown(written) == OF_MANY


@pytest.mark.parametrize(
    ("told", "still"),
    [
        ("", {}),
        ("ticket_opened gpu-3 r1", {"gpu-3": "r1"}),
        ("ticket_opened gpu-3 r1, ticket_closed gpu-3 r2", {}),
        ("ticket_opened gpu-3 r1, ticket_closed gpu-3 r2, ticket_opened gpu-3 r3", {"gpu-3": "r3"}),
        ("ticket_opened gpu-3 r1, ticket_closed disk r2, drained gpu-3 r3", {"gpu-3": "r1"}),
    ],
)
def test_the_ledger_knows_which_are_open(told: str, still: dict[str, str]) -> None:
    entries = [entry.split() for entry in told.split(", ") if entry]
    actions = [dict(zip(("action", "detail", "run"), entry, strict=True)) for entry in entries]
    assert open_tickets(actions) == still
