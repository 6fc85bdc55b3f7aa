# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One healthy node for weeks: passes with its own memory of counters, which grow, are cleared and begin anew."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import expected_checks
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import node
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.history import KEEP_SECONDS
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.runner import _outcome

from tests.unit.properties.machine import Machine, _whole, answering, healthy
from tests.unit.properties.test_thousand_passes import CLASSES, RICH, told

# An agent would have passes of its own to make, and a baseline would miss its lines: this node's log is empty.
NODE_CLASS = {
    **{key: value for key, value in CLASSES[RICH].items() if key != "kernel_log"},
    "system": {key: value for key, value in CLASSES[RICH]["system"].items() if key != "health_agent"},
}
PASSES = 200
REBOOTED, CLEARED, WRAPPED = 70, 110, 150
PORT = "sys/class/infiniband/{}/ports/1/counters/{}"


class Life:
    """The machine from pass to pass. What it counts is what healthy machines count in that time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.machine = healthy(self.random, NODE_CLASS)
        self.machine.uptime = 3600.0
        self.machine.history = None
        self.hcas = list(NODE_CLASS["hardware"]["hcas"]["devices"])
        self.counts = {(hca, name): 0 for hca in self.hcas for name in ("symbol_error", "port_rcv_errors")}
        self.corrected = 0
        self.tell()

    def tell(self) -> None:
        machine = self.machine
        machine.files["proc/uptime"] = f"{machine.uptime:.2f} {machine.uptime * 50:.2f}"
        machine.files["proc/sys/kernel/random/boot_id"] = machine.boot_id
        for hca in self.hcas:
            for name in ("link_downed", "link_error_recovery"):
                machine.files[PORT.format(hca, name)] = "0"
        for (hca, name), count in self.counts.items():
            machine.files[PORT.format(hca, name)] = str(count)
        for path in machine.files:
            if path.endswith("/ce_count"):
                machine.files[path] = str(self.corrected)

    def go_on(self, number: int) -> None:
        """Hours pass; some bits flip, the GPUs warm up and cool down."""
        random, machine = self.random, self.machine
        seconds = random.uniform(1800, 14400)
        machine.uptime += seconds
        for key in self.counts:
            self.counts[key] += random.randrange(3)
        self.corrected += random.random() < 0.05
        warmth = random.randint(-5, 5)
        for gpu in machine.gpus:
            gpu["temperature"] = min(72, max(28, gpu["temperature"] + warmth + random.randint(-1, 1)))
            gpu["clock_sm"] = random.randint(1200, 1980)
        if number == REBOOTED:
            machine.uptime, machine.boot_id = 300.0, f"{random.getrandbits(32):08x}-8c1f-4e7a-9f6e-0123456789ab"
            self.counts = dict.fromkeys(self.counts, 0)
            self.corrected = 0
            machine.kernel_log = []
        if number == CLEARED:
            self.counts = dict.fromkeys(self.counts, 0)
        if number == WRAPPED:
            # As one that has come to its end and begins at zero.
            self.counts[self.hcas[0], "symbol_error"] = 1
        self.tell()


def passed(machine: Machine, folder: Path, memory: Path) -> dict[str, Any]:
    """A pass that remembers in `memory` what it has counted."""
    with answering(machine, folder) as sources:
        results = {name: _whole(_outcome(read)) for name, read in node.readers(sources, deadline=20.0).items()}
        kept = node.Sources(history=memory, keep_history=True)
        results["history"] = _outcome(lambda: node.read_history(kept, results))
    observation: dict[str, Any] = json.loads(json.dumps({"schema": 1, "readers": results}, allow_nan=False))
    return observation


def test_two_hundred_passes_over_one_healthy_node_find_nothing(tmp_path: Path) -> None:
    life = Life(11)
    life.machine.kernel_log = []
    memory = tmp_path / "health" / "counters.json"
    grown, kept = 0, 0
    for number in range(PASSES):
        observation = passed(life.machine, tmp_path, memory)
        read = observation["readers"]["history"]["data"]
        assert read["trouble"] == ""
        assert all(until < KEEP_SECONDS for _name, _delta, _since, until in read["changes"])
        grown, kept = grown + bool(read["changes"]), max(kept, len(read["changes"]))
        findings = judge(observation, NODE_CLASS)
        wrong = [item for item in findings if item.verdict.value != "pass"]
        assert not wrong, f"pass {number}: {told(wrong)}"
        assert {item.check for item in findings} == set(expected_checks(NODE_CLASS))
        life.go_on(number + 1)
    # Else nothing was remembered, and growth was never judged.
    assert grown > PASSES / 2
    assert kept > 10


def test_what_breaks_after_healthy_passes_is_found(tmp_path: Path) -> None:
    """The memory of healthy passes does not hide a link that begins to fail."""
    life = Life(12)
    life.machine.kernel_log = []
    memory = tmp_path / "health" / "counters.json"
    for number in range(20):
        passed(life.machine, tmp_path, memory)
        life.go_on(number + 1)
    life.counts[life.hcas[3], "symbol_error"] += 500_000
    life.machine.uptime += 60
    life.tell()
    findings = judge(passed(life.machine, tmp_path, memory), NODE_CLASS)
    wrong = {(item.check, item.component): item.verdict.value for item in findings if item.verdict.value != "pass"}
    assert wrong == {("hca.symbol_errors", f"hca:{life.hcas[3]}"): "fail"}
