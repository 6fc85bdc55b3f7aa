# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""health_policy.yml: what is wrong with it is told with file, line, key and remedy; its example is sound."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.site.health_policy import FILE, load

PAGE = Path(__file__).resolve().parents[3] / "docs" / "health_policy.md"
NODES = {"node017": "r1", "node018": "r2"}
SOUND = """
waivers:
  - check: hca.rate
    nodes: [node017]
    reason: cable is ordered
    author: ops
    expires: "2026-12-15"
severity:
  - {check: gpu.temperature, verdict: warn, reason: warm aisle}
remedies:
  - {check: docker.daemon, ladder: [restart_service, ticket], reason: jobs keep their data}
maintenance:
  - reason: new coolers
    racks: [r2]
    nodes: [node018]
    from: "2026-12-01T08:00+01:00"
    until: "2026-12-01T18:00+01:00"
    author: ops
"""


def told(folder: Path, text: str) -> str:
    (folder / FILE).write_text(text, encoding="utf-8")
    policy, problems = load(folder, NODES)
    assert bool(policy) is not bool(problems)
    return render(problems)


def test_without_a_file_there_is_no_policy(tmp_path: Path) -> None:
    assert load(tmp_path, NODES) == ({}, [])


def test_a_sound_file(tmp_path: Path) -> None:
    assert told(tmp_path, SOUND) == ""
    assert load(tmp_path, NODES)[0]["waivers"][0]["expires"] == "2026-12-15"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "check: hca.rate",
            "check: hca.rat",
            ":3: waivers[0].check: 'hca.rat' is no check that a site can decide about",
        ),
        ("check: hca.rate", "check: host.reachable", "waivers[0].check: 'host.reachable' is no check that a site can"),
        ("    author: ops\n", "", "waivers[0].author: is missing. Remedy: add it: Who decided so"),
        ('"2026-12-15"', '"2026-02-30"', "waivers[0].expires: '2026-02-30' is no day. Remedy: write year-month-day"),
        ('"2026-12-15"', "soon", "waivers[0].expires: "),
        ("[node017]", "[node17]", "waivers[0].nodes[0]: 'node17' is the name of no node (did you mean 'node017'?)"),
        ("[node017]", "[]", "waivers[0].nodes: "),
        ("verdict: warn", "verdict: pass", "severity[0].verdict: "),
        ("check: gpu.temperature", "check: gpu.heat", "severity[0].check: 'gpu.heat' is no check"),
        ("severity:\n", "severity:\n  - {check: gpu.temperature, verdict: fail, reason: x}\n", "is there twice"),
        ("waivers:", "waiver:", "did you mean 'waivers'?"),
        ("check: docker.daemon", "check: docker.demon", "remedies[0].check: 'docker.demon' is no check"),
        ("[restart_service, ticket]", "[reboot]", "remedies[0].ladder: it must end with ticket"),
        ("[restart_service, ticket]", "[pray, ticket]", "remedies[0].ladder[0]: "),
        ("check: docker.daemon", "check: gpu.count", "remedies[0].ladder: no service belongs to gpu.count"),
        ("remedies:\n", "remedies:\n  - {check: docker.daemon, ladder: [ticket], reason: x}\n", "is there twice"),
        ("racks: [r2]", "racks: [r3]", "maintenance[0].racks[0]: 'r3' is the name of no rack"),
        ("nodes: [node018]", "nodes: [node18]", "maintenance[0].nodes[0]: 'node18' is the name of no node"),
        ("    racks: [r2]\n    nodes: [node018]\n", "", "maintenance[0]"),
        ("12-01T18:00+01:00", "12-01T07:00Z", "maintenance[0].until: it ends before it begins"),
        ("12-01T18:00+01:00", "12-01T18:00", "maintenance[0].until: "),
        ("12-01T18:00+01:00", "12-31T25:00Z", "maintenance[0].until: '2026-12-31T25:00Z' is no time"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in SOUND
    message = told(tmp_path, SOUND.replace(old, new))
    assert words in message
    assert message.startswith(str(tmp_path / FILE))


def test_a_name_with_an_asterisk_stands_for_many(tmp_path: Path) -> None:
    assert told(tmp_path, SOUND.replace("[node017]", '["node01*"]')) == ""
    assert "is the name of no node" in told(tmp_path, SOUND.replace("[node017]", '["node2*"]'))


def test_the_example_of_the_page_is_sound(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert told(tmp_path, example) == ""
