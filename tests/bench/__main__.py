# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: every figure is a ratio to a floor that the same run has measured, the median of several.

Brings a lab of its own up and takes it down. Fails where something cannot be measured; an aim that is missed is said.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.bench import deployment, fabric, health, inventory, node, site
from tests.bench.figures import Report
from tests.e2e.session import ROOT, LabSession

NAME = "bench"


def main() -> int:
    # Also where a shell has started it with interrupts ignored: whoever ends it expects the lab to go with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    artifacts = ROOT / "artifacts"
    report = Report(artifacts)
    session = LabSession(NAME, artifacts / NAME)
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / part for part in ("site", "nodes", "replayed", "inventory", "deployment", "node")]
        for folder in folders:
            folder.mkdir()
        for_site, for_nodes, for_replayed, for_inventory, for_deployment, for_node = folders
        report.begin()
        node.of_one_node(for_node, report)
        report.add(fabric.discover_and_compare())
        deployment.of_many_machines(for_deployment, report)
        shutil.rmtree(session.artifacts, ignore_errors=True)
        session.artifacts.mkdir(parents=True)
        # What a killed bench may have left.
        session.lab("down")
        try:
            session.lab("up")
            site.second_run(LabSession(NAME, session.artifacts), for_site, report)
            site.configure_again(LabSession(NAME, session.artifacts), for_site, report)
            report.add(health.over_replayed(session, for_replayed))
            report.add(health.over_nodes(session, for_nodes))
            for figure in inventory.of_many_machines(session, for_inventory):
                report.add(figure)
        finally:
            session.lab("down")
    print(f"Figures: {artifacts / 'bench.json'}, {artifacts / 'bench.txt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
