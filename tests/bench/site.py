# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of site.yml and configure.yml that find all done, and how many tasks each phase costs a host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.figures import Cost, Figure, Report, cost_of, in_turns
from tests.e2e.session import LabSession, PlaybookRun

AIM = 0.25
SECOND_RUNS = 2
CONFIGURE_ROUNDS = 3
# What every playbook pays that decides by facts: a connection and one module for each node.
FACTS = "- hosts: gpu_nodes\n  gather_facts: true\n  tasks: []\n"

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]


class SiteRuns:
    """site.yml on a fresh lab, and again."""

    def __init__(self, session: LabSession, folder: Path) -> None:
        self._session = session
        self._counts = folder / "task_counts.json"
        session.environment.update(
            ANSIBLE_CALLBACK_PLUGINS=str(Path(__file__).with_name("callback")),
            ANSIBLE_CALLBACKS_ENABLED="firstlight.cluster.progress,task_counts",
            TASK_COUNTS=str(self._counts),
        )

    def configure(self) -> dict[str, Any]:
        """configure.yml alone, which must have nothing to do: what it did by phase."""
        run = self._session.playbook("playbooks/configure.yml", timeout=3600)
        nodes = {host: changed for host, changed in run.changed.items() if host.startswith("node")}
        if run.returncode or not nodes or any(nodes.values()):
            raise RuntimeError(f"configure.yml changed something on nodes in service:\n{run.output[-4000:]}")
        return by_phase(json.loads(self._counts.read_text(encoding="utf-8")), {})

    def gather_facts(self) -> None:
        playbook = self._counts.with_name("facts.yml")
        playbook.write_text(FACTS, encoding="utf-8")
        run = self._session.playbook(str(playbook))
        if run.returncode:
            raise RuntimeError(f"facts could not be gathered:\n{run.output[-4000:]}")

    def run(self) -> tuple[Cost, dict[str, Any]]:
        """One run that admits every node: its cost, and what it did by phase."""
        runs: list[PlaybookRun] = []
        cost = cost_of(lambda: runs.append(self._session.playbook("site.yml", timeout=3600)))
        (run,) = runs
        if run.returncode or run.report["summary"]["admitted"] != run.report["summary"]["total"]:
            raise RuntimeError(f"site.yml admitted not every node:\n{run.output[-4000:]}")
        seconds = {phase["name"]: phase["seconds"] for phase in run.report["phases"]}
        return cost, by_phase(json.loads(self._counts.read_text(encoding="utf-8")), seconds)


def by_phase(counts: Counts, seconds: Mapping[str, float]) -> dict[str, Any]:
    """For each phase its seconds, and executed and skipped tasks of a GPU node (the mean) and of all heads."""
    phases = {}
    for phase, hosts in counts.items():
        nodes = [of for host, of in hosts.items() if host.startswith("node")]
        heads = [of for host, of in hosts.items() if host.startswith("head")]
        phases[phase] = {
            "seconds": seconds.get(phase),
            "node": {
                key: round(sum(of[key] for of in nodes) / max(len(nodes), 1), 1) for key in ("executed", "skipped")
            },
            "heads": {key: sum(of[key] for of in heads) for key in ("executed", "skipped")},
        }
    return phases


def table(title: str, phases: Mapping[str, Any]) -> list[str]:
    """The counts as lines of text, their sum last."""
    total: dict[str, Any] = {
        who: {key: round(sum(of[who][key] for of in phases.values()), 1) for key in ("executed", "skipped")}
        for who in ("node", "heads")
    }
    lines = [f"{title}: tasks of a node (executed + skipped), tasks of all heads, seconds"]
    for phase, of in [*phases.items(), ("all", total)]:
        node, heads, seconds = of["node"], of["heads"], of.get("seconds")
        took = "" if seconds is None else f"{seconds:7.1f} s"
        lines.append(
            f"  {phase:18} {node['executed']:6g} + {node['skipped']:<6g}"
            f" {heads['executed']:5} + {heads['skipped']:<5} {took}".rstrip()
        )
    return lines


def second_run(session: LabSession, folder: Path, report: Report) -> None:
    """Expects a lab that has just come up; leaves one whose nodes are in service."""
    site = SiteRuns(session, folder)
    first, of_first = site.run()
    again = [site.run() for _round in range(SECOND_RUNS)]
    report.add(
        Figure("site.yml again", "its one first run on a fresh lab", [cost for cost, _phases in again], [first], AIM)
    )
    report.add_counts("first", of_first, table("first run", of_first))
    report.add_counts("second", again[0][1], table("second run", again[0][1]))


def configure_again(session: LabSession, folder: Path, report: Report) -> None:
    """Expects a lab whose nodes are in service."""
    site = SiteRuns(session, folder)
    phases: list[dict[str, Any]] = []
    facts, configured = in_turns(site.gather_facts, lambda: phases.append(site.configure()), rounds=CONFIGURE_ROUNDS)
    report.add(Figure("configure.yml again over 4 nodes", "gathering their facts", configured, facts))
    report.add_counts("configure", phases[-1], table("configure.yml again", phases[-1]))
