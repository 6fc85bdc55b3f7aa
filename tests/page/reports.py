# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run directories as runs leave them, of a small site and of one of 511 nodes, and their reports."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import NODE_HEALTH, finding
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.report import build_report
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import Gate, RunDirectory

SCHEMA = Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "schemas" / "report.schema.json"
RUN = "20261123T141000Z-ab12cd"
ENDED = datetime.datetime(2026, 11, 23, 15, 2, 41, tzinfo=datetime.timezone.utc)
SECONDS = {"preflight": 1.3, "provision": 1860.0, "configure": 904.2, "fabric": 14.8, "validate": 221.0, "admit": 4.4}
XID = "NVRM: Xid (PCI:0000:3a:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def roster(count: int) -> dict[str, dict[str, str]]:
    """`count` nodes, four to a rack."""
    digits = 3 if count > 99 else 2
    return {
        f"node{number:0{digits}}": {
            "class": "xe9680-h100",
            "serial": f"FL{number:05}",
            "location": f"r{(number + 3) // 4:0{digits}}/{2 + 8 * ((number - 1) % 4)}",
        }
        for number in range(1, count + 1)
    }


def gpu_lost(gpu: int = 2) -> list[Finding]:
    count = f"7 of 8 GPUs answer; gpu:{gpu} is missing"
    event = {"code": 79, "count": 1, "device": "0000:3a:00.0", "last_us": 4824780180, "text": XID}
    return [
        finding("gpu.count", f"gpu:{gpu}", Verdict.FAIL, count, observed=7, expected=8),
        finding(
            "gpu.xid",
            f"gpu:{gpu}",
            Verdict.FAIL,
            "0000:3a:00.0: Xid 79 (GPU has fallen off the bus)",
            observed=[79],
            expected=[],
            remedy="Power-cycle the node; have the GPU replaced if the XID comes back.",
            evidence={"events": [event]},
        ),
    ]


def port_down(port: int) -> list[Finding]:
    name = f"mlx5_{port}"
    return [
        finding(
            "hca.state",
            f"hca:{name}",
            Verdict.FAIL,
            f"{name}: port is DOWN, physically Polling",
            observed="DOWN",
            expected="ACTIVE",
        ),
        finding("hca.rate", f"hca:{name}", Verdict.UNKNOWN, f"{name}: no rate, its port is DOWN"),
    ]


def lost() -> list[Finding]:
    told = "not reached: ssh: connect to host 10.1.2.3 port 22: Connection timed out"
    return [finding("host.reachable", "host", Verdict.UNKNOWN, told)]


def disk(percent: int) -> list[Finding]:
    verdict = Verdict.FAIL if percent >= 95 else Verdict.WARN
    told = f"/data: {percent} % of 3491.2 GiB used (warn 85 %, fail 95 %)"
    observed, expected = {"inodes_used_percent": 0.4, "used_percent": float(percent)}, {"used_percent_below": 85.0}
    return [finding("disk.free", "mount:/data", verdict, told, observed=observed, expected=expected)]


def memory(gib: int) -> list[Finding]:
    return [finding("host.memory", "host", Verdict.FAIL, f"{gib} GiB of memory", observed=gib, expected=2048)]


def build(
    artifacts: Path,
    nodes: Mapping[str, Mapping[str, Any]],
    told: Mapping[str, Iterable[Finding]],
    *,
    site: Sequence[Finding] = (),
    phases: Sequence[str] = tuple(SECONDS),
    completed: bool = True,
    deferred: Sequence[str] = (),
    playbook: str = "site",
    **further: Any,
) -> tuple[RunDirectory, dict[str, Any]]:
    """A run directory with what its phases recorded, and the valid report of it.

    `told`: what validate found on a node besides the checks that pass. Those with a finding that is not
    allocatable are set aside by the gate of validate, as the real gate would.
    """
    run = RunDirectory(artifacts / RUN)
    for name in nodes:
        findings = list(told.get(name, ()))
        bad = {item.check for item in findings}
        passes = [finding(check, "host", Verdict.PASS, "as expected") for check in NODE_HEALTH if check not in bad]
        if name not in deferred and "validate" in phases:
            run.record(name, "validate", "node_health", [*passes, *findings], observation={"readers": {}})
    run.record_site("fabric", "cables", site)
    aside = {name for name, found in told.items() if not all(item.verdict.allocatable for item in found)}
    going = set(nodes) - set(deferred)
    rows = []
    for phase in phases:
        left = going - aside if phase in ("validate", "admit") else going
        rows.append({"name": phase, "seconds": SECONDS[phase], "nodes_in": len(going), "nodes_out": len(left)})
        if phase != "preflight":
            run.record_gate(Gate(phase, sorted(left), sorted(going - left), sorted(deferred)))
        going = left
    if phases and phases[-1] == "admit":
        run.conclude("admit")
    services = {"head01": {"state": "ok"}, "head02": {"state": "ok"}}
    report = build_report(run, playbook, nodes, services, rows, completed, ended=ENDED, **further)
    jsonschema.validate(report, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return run, report


def small(artifacts: Path) -> tuple[RunDirectory, dict[str, Any]]:
    """Four nodes: one lost a GPU, one has a full disk that is only a warning."""
    nodes = roster(4)
    return build(artifacts, nodes, {"node02": gpu_lost(), "node04": disk(91)})


def large(artifacts: Path) -> tuple[RunDirectory, dict[str, Any]]:
    """511 nodes, 40 findings on 27 of them, and a cable between switches that is missing."""
    told: dict[str, list[Finding]] = {}
    told |= {f"node{number:03}": gpu_lost(number % 8) for number in (17, 18, 203, 440)}
    told |= {f"node{number:03}": port_down(number % 8) for number in (33, 34, 35, 36, 120, 121, 122, 301, 509)}
    told |= {f"node{number:03}": lost() for number in (64, 377, 378)}
    told |= {f"node{number:03}": memory(1984) for number in (90, 250)}
    told |= {f"node{number:03}": disk(97) for number in (12, 13, 500)}
    told |= {f"node{number:03}": disk(88) for number in (5, 6, 7, 8, 99, 410)}
    cable = finding("fabric.link.missing", "link:spine-03/17", Verdict.FAIL, "spine-03/17 to core-01/5 is not there")
    return build(artifacts, roster(511), told, site=[cable])


def stopped(artifacts: Path) -> tuple[RunDirectory, dict[str, Any]]:
    """511 nodes, and a preflight that refused the inventory."""
    message = (
        "2 problems; nothing was changed.\n"
        "hosts.yml: gpu_nodes.hosts.node017.serial_number: FL00045 is also that of node045. Remedy: correct one.\n"
        "cable_plan.yml: rails: 7 rails, the node class xe9680-h100 has 8. Remedy: describe the eighth."
    )
    stop = {"phase": "preflight", "task": "Check roster, node classes and cable plan", "hosts": [], "message": message}
    return build(artifacts, roster(511), {}, phases=["preflight"], completed=False, stopped_by=[stop])
