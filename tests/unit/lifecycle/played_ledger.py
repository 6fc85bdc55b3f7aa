# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site that test_phases plays, with a real ledger: its modules write into a file of the test's own folder."""

from __future__ import annotations

import json
import sys
from typing import Any

import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import Ledger, open_ledger

from tests.unit.run.test_phases import ROOT, Played

# The command that a site would have: it keeps its order and answers as it is told in a file.
HOOK = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
with (folder / "orders.jsonl").open("a") as orders:
    orders.write(json.dumps(json.load(sys.stdin)) + "\\n")
answers = (folder / "answers").read_text().split()
(folder / "answers").write_text(" ".join(answers[1:] or answers))
print("job 4711 runs", file=sys.stderr)
sys.exit(int(answers[0]))
"""


class Site:
    """A played site, its ledger and its scheduler's commands."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.path = str(played.folder / "ledger.db")
        self.hook = played.folder / "hook"
        self.hook.mkdir(exist_ok=True)
        (self.hook / "hook.py").write_text(HOOK, encoding="utf-8")

    def clear(self) -> None:
        for left in [*self.played.folder.glob("ledger.db*"), *self.hook.glob("orders.jsonl")]:
            left.unlink()
        self.answer("0")

    def open(self) -> Ledger:
        return open_ledger(self.path)

    def answer(self, *codes: str) -> None:
        """What the scheduler's command exits with, one call after another; the last one for ever."""
        (self.hook / "answers").write_text(" ".join(codes), encoding="utf-8")

    @property
    def orders(self) -> list[dict[str, Any]]:
        path = self.hook / "orders.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    @property
    def hooks(self) -> tuple[str, ...]:
        """Options that give the site its commands."""
        command = json.dumps([sys.executable, str(self.hook / "hook.py"), str(self.hook)])
        given = f'{{"drain_command": {command}, "undrain_command": {command}, "hook_delay": 0, "hook_become": false}}'
        return ("-e", given)

    def hold(self, *nodes: str, run: str = "20260101T000000Z-abcdef", owner: str = "bob@elsewhere") -> str:
        """Another run's lock; returns its expiry."""
        with self.open() as ledger:
            return ledger.acquire_locks(nodes, owner=owner, run=run, seconds=600)[0].expires

    def locks(self) -> dict[str, str]:
        with self.open() as ledger:
            return {lock.node: lock.run for lock in ledger.locks(active=True)}

    def states(self) -> dict[str, str]:
        with self.open() as ledger:
            return {name: node["state"] for name, node in ledger.nodes().items()}


def furnish(played: Played) -> Site:
    """Put the real ledger modules in place of the played ones; their ledger lies in the site's folder."""
    plugins = played.folder / "collections/ansible_collections/firstlight/cluster/plugins"
    for name in ("ledger", "ledger_info"):
        place = plugins / "modules" / f"{name}.py"
        place.unlink()
        place.symlink_to(ROOT / "plugins/modules" / f"{name}.py")
    site = Site(played)
    (plugins / "module_utils").unlink()
    (plugins / "module_utils/lifecycle").mkdir(parents=True)
    for real in (ROOT / "plugins/module_utils").iterdir():
        if real.name not in ("lifecycle", "__pycache__"):
            (plugins / "module_utils" / real.name).symlink_to(real)
    for real in (ROOT / "plugins/module_utils/lifecycle").glob("*.py"):
        place = plugins / "module_utils/lifecycle" / real.name
        text = real.read_text(encoding="utf-8")
        if real.name == "ledger_file.py":
            assert text.count('DEFAULT_PATH = "/var/lib/firstlight/ledger.db"') == 1
            text = text.replace('"/var/lib/firstlight/ledger.db"', repr(site.path))
        place.write_text(text, encoding="utf-8")
    hosts = played.folder / "inventory/hosts.yml"
    inventory = yaml.safe_load(hosts.read_text(encoding="utf-8"))
    inventory["head_nodes"]["hosts"]["head"] = {"ansible_connection": "local"}
    hosts.write_text(yaml.safe_dump(inventory), encoding="utf-8")
    return site


def findings(report: dict[str, Any], node: str) -> dict[str, dict[str, Any]]:
    """What a report says against a node, by check."""
    return {item["check"]: item for item in report["nodes"][node]["findings"]}
