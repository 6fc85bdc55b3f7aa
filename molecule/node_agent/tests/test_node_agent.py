# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role node_agent on a node."""

from __future__ import annotations

import json
import re
from typing import Any

from shared.machine import Machine
from shared.scenario import Scenario

PROGRAM, CONFIG = "/usr/local/sbin/firstlight-health", "/etc/firstlight/health.json"
RESULTS, METRICS = "/var/lib/firstlight/health/results", "/var/lib/prometheus/node-exporter/firstlight_health.prom"
LEVELS = ("light", "full")
SAMPLE = re.compile(r'(firstlight_health_\w+)\{(\w+="(?:[^"\\\n]|\\[\\"n])*",?)+\} -?[0-9.e+-]+')


def last(machine: Machine, level: str) -> dict[str, Any]:
    return dict(json.loads(machine.read(f"{RESULTS}/{level}.json")))


def run_pass(machine: Machine, level: str) -> dict[str, Any]:
    """As the timer does it."""
    machine.run(f"systemctl start firstlight-health@{level}.service")
    return last(machine, level)


def test_timers_are_active_and_enabled(machine: Machine) -> None:
    for level in (*LEVELS, "probe"):
        timer = machine.host.service(f"firstlight-health-{level}.timer")
        assert timer.is_running and timer.is_enabled
    assert machine.run("systemctl list-timers --no-legend --plain 'firstlight-health*' | wc -l") == "3"


def test_a_pass_is_of_this_boot_and_by_the_class_of_today(machine: Machine) -> None:
    known = json.loads(machine.read(CONFIG))
    for level in LEVELS:
        read = run_pass(machine, level)
        assert read["boot_id"] == machine.read("/proc/sys/kernel/random/boot_id").strip()
        assert (read["class"], read["class_sha256"]) == ("lab-h100", known["class_sha256"])
    full, light = ({each["check"] for each in last(machine, level)["findings"]} for level in ("full", "light"))
    assert light < full and "gpu.count" in full - light and "hca.state" in light


def test_a_light_pass_leaves_what_the_full_one_said_and_finds_what_is_new(machine: Machine) -> None:
    before = run_pass(machine, "full")

    def failed() -> list[str]:
        found = run_pass(machine, "light")["findings"]
        return [each["component"] for each in found if each["check"] == "systemd.failed" and each["verdict"] != "pass"]

    assert failed() == []
    machine.run("systemd-run --unit=broken false; systemctl is-failed --wait broken.service || true")
    try:
        assert failed() == ["unit:broken.service"]
        shown = machine.host.run(f"{PROGRAM} show")
        assert "unit:broken.service" in shown.stdout and "-> Read `journalctl -u UNIT`" in shown.stdout
    finally:
        machine.run("systemctl reset-failed broken.service")
    assert failed() == []
    assert last(machine, "full") == before


def test_metrics_are_as_prometheus_reads_them(machine: Machine) -> None:
    run_pass(machine, "full")
    run_pass(machine, "light")
    lines = machine.read(METRICS).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    assert len({line.rpartition(" ")[0] for line in samples}) == len(samples)
    assert 'firstlight_health_finding{check="host.reachable",component="host",verdict="pass"} 1' in samples
    assert machine.host.file(METRICS).mode == 0o644


def test_a_pass_costs_little(machine: Machine) -> None:
    run_pass(machine, "light")
    # One percent of a core, at a light pass a minute and a full one an hour.
    spent = run_pass(machine, "light")["cpu_seconds"] + run_pass(machine, "full")["cpu_seconds"] / 60
    assert spent < 0.6


def test_a_node_whose_class_computes_with_nothing_is_not_probed(machine: Machine) -> None:
    machine.run("systemctl start firstlight-health@probe.service")
    told = machine.run("journalctl -u firstlight-health@probe.service -o cat")
    assert "not probed: node class 'lab-h100' does not ask for it" in told
    assert not machine.host.file(f"{RESULTS}/probe.json").exists


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(f"systemctl disable --now firstlight-health-light.timer && echo >> {PROGRAM} && chmod 600 {CONFIG}")
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before) == set()
    touched = {f"file {PROGRAM}", f"file {CONFIG}"}
    assert {
        name for name in after.touched_since(drifted) if name.startswith("file /usr") or "/etc/firstlight" in name
    } == touched
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_a_class_that_has_changed_is_judged_by_at_once(machine: Machine, scenario: Scenario) -> None:
    known = json.loads(machine.read(CONFIG))
    other = {**known["node_class"], "description": "another"}

    run = scenario.converge(variables={"node_agent_class": other})

    assert run.returncode == 0, run.tail
    judged = {last(machine, level)["class_sha256"] for level in LEVELS}
    assert judged == {json.loads(machine.read(CONFIG))["class_sha256"]} != {known["class_sha256"]}
    assert scenario.converge().returncode == 0


def test_a_class_that_nothing_can_be_judged_by_is_refused(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"node_agent_class": {"name": "none"}})

    assert run.returncode != 0
    assert "node class 'none': has no hardware. Remedy: give the content of a node class file" in run.messages
    assert machine.state().touched_since(before) == set()


def test_it_is_taken_away_and_comes_back(machine: Machine, scenario: Scenario) -> None:
    gone = scenario.converge(variables={"node_agent_enabled": False})

    assert gone.returncode == 0, gone.tail
    assert machine.run("systemctl list-units --all --no-legend --plain 'firstlight-health*.timer'") == ""
    for path in (PROGRAM, CONFIG, METRICS, RESULTS):
        assert not machine.host.file(path).exists
    again = scenario.converge(variables={"node_agent_enabled": False})
    assert (again.returncode, again.changes) == (0, []), again.tail
    assert scenario.converge().returncode == 0
    assert last(machine, "full")["class"] == "lab-h100"
