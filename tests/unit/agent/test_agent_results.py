# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent's passes leave: results of each level, what of them holds, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.agent import config
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.config import ConfigError, Probe, load, render
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.main import main
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.metrics import exposition
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.results import (
    Now,
    Stale,
    holding,
    in_place_of_a_pass,
    merged,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.show import table
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import expected_checks
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.agent import RESULTS, read_pass
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError

from tests.unit.properties.machine import Machine, answering, healthy, write
from tests.unit.properties.test_thousand_passes import CLASSES, RICH

NOW = Now("this", 10_000.0)
PROBE = Probe(["/y"], size=8192, buffer_bytes=2**30, every=86400, idle_command=["true"])


def one(level: str, age: float, *found: tuple[str, str, str], **other: Any) -> dict[str, Any]:
    """A pass by class `sha`, of (check, component, verdict)."""
    return {
        "level": level,
        "boot_id": "this",
        "uptime": NOW.uptime - age,
        "class": "test",
        "class_sha256": "sha",
        "seconds": 0.5,
        "cpu_seconds": 0.25,
        "findings": [
            {"check": check, "component": component, "verdict": verdict, "summary": f"{check} of {level}"}
            for check, component, verdict in found
        ],
        **other,
    }


FULL = one("full", 1000, ("a", "host", "pass"), ("b", "gpu:0", "fail"), ("b", "gpu:1", "pass"))
LIGHT = one("light", 10, ("a", "host", "warn"))


def test_of_each_check_the_youngest_pass_counts_whole() -> None:
    passes = {"full": FULL, "light": LIGHT}
    found = [(of.level, each.check, each.component) for of, each in merged(holding(passes, NOW, "sha"))]
    assert found == [("light", "a", "host"), ("full", "b", "gpu:0"), ("full", "b", "gpu:1")]
    younger = {"full": {**FULL, "uptime": NOW.uptime - 1}, "light": LIGHT}
    assert {of.level for of, _found in merged(holding(younger, NOW, "sha"))} == {"full"}


@pytest.mark.parametrize("other", [{"boot_id": "earlier"}, {"class_sha256": "another"}])
def test_what_an_earlier_boot_or_another_class_said_does_not_hold(other: dict[str, Any]) -> None:
    passes = {"full": {**FULL, **other}, "light": LIGHT}
    assert [each.level for each in holding(passes, NOW, "sha")] == ["light"]


def test_results_stand_in_for_a_pass_only_where_they_are_as_good() -> None:
    passes = {"full": FULL, "light": LIGHT}
    found = in_place_of_a_pass(passes, NOW, "sha", ["a", "b"], 1500)
    assert [(each.check, each.verdict.value) for each in found] == [("a", "warn"), ("b", "fail"), ("b", "pass")]
    for expected, most, now, sha, left in (
        (["a", "b", "c"], 1500, NOW, "sha", passes),  # a check that nobody judged
        (["a", "b"], 999, NOW, "sha", passes),  # too old
        (["a", "b"], 1500, Now("later", 10.0), "sha", passes),
        (["a", "b"], 1500, NOW, "another", passes),
        (["a"], 1500, NOW, "sha", {"full": None, "light": None}),
    ):
        with pytest.raises(Stale, match="checks were not judged"):
            in_place_of_a_pass(left, now, sha, expected, most)
    # What nobody expects any more is not told.
    assert {each.check for each in in_place_of_a_pass(passes, NOW, "sha", ["a"], 1500)} == {"a"}


def test_metrics_say_each_finding_once_and_escape_what_they_must() -> None:
    odd = 'mount:/a\\b"c\nd'
    full = one("full", 100, ("b", odd, "unknown"), ("b", odd, "unknown"), ("c", "host", "pass"))
    text = exposition(holding({"full": full, "light": None}, NOW, "sha"), "test", "sha", 1000.0)
    lines = text.splitlines()
    odd_line = r'firstlight_health_finding{check="b",component="mount:/a\\b\"c\nd",verdict="unknown"} 1'
    assert lines.count(odd_line) == 1
    for line in (
        'firstlight_health_findings{verdict="unknown"} 2',
        'firstlight_health_findings{verdict="fail"} 0',
        'firstlight_health_pass_timestamp_seconds{level="full"} 900.0',
        'firstlight_health_pass_age_seconds{level="full"} 100.0',
        'firstlight_health_pass_duration_seconds{level="full"} 0.5',
        'firstlight_health_pass_cpu_seconds{level="full"} 0.25',
        'firstlight_health_node_class_info{node_class="test",sha256="sha"} 1',
    ):
        assert line in lines
    names = {line.split("{")[0] for line in lines if not line.startswith("#")}
    assert names == {line.split()[2] for line in lines if line.startswith("# HELP")}
    assert names == {line.split()[2] for line in lines if line.startswith("# TYPE") and line.endswith(" gauge")}
    assert text.endswith("\n")


def test_the_table_begins_with_the_worst() -> None:
    passes = holding({"full": FULL, "light": LIGHT}, NOW, "sha")
    shown = table(passes, every=False)
    assert shown.startswith("1 fail, 1 warn, 1 pass\n")
    assert shown.index("FAIL    gpu:0  b  17 min ago") < shown.index("WARN    host   a  10 s ago")
    assert "gpu:1" not in shown
    assert "PASS    gpu:1" in table(passes, every=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: {**content, "schema": 1}, "has schema 1, not 2"),
        (lambda content: {**content, "class_sha256": "0"}, "class_sha256 is not that of its node_class"),
        (lambda content: {**content, "node_class": {"name": "x"}}, "node_class has no hardware"),
        (lambda content: {"schema": 2}, "is damaged: KeyError"),
        (lambda content: {**content, "probe": {"size": 1}}, "is damaged: TypeError"),
    ],
)
def test_a_class_file_that_is_not_whole_is_refused(tmp_path: Path, spoil: Any, words: str) -> None:
    path = tmp_path / "health.json"
    path.write_text(json.dumps(spoil(json.loads(render(CLASSES[RICH], ["/x"], PROBE)))))
    with pytest.raises(ConfigError, match=f"{words}.*Remedy: run configure.yml"):
        load(path)
    path.write_text(render(CLASSES[RICH], ["/x"], PROBE))
    assert (load(path).nvml_path, load(path).probe) == (["/x"], PROBE)


def test_a_damaged_result_is_told(tmp_path: Path) -> None:
    assert read_pass(tmp_path, "full") is None
    for content in ("{", "[]", '{"schema": 1}', json.dumps({"schema": 1, **LIGHT, "taken_at": 7})):
        (tmp_path / "full.json").write_text(content)
        with pytest.raises(SourceError, match=r"full\.json"):
            read_pass(tmp_path, "full")


# -- whole passes over a machine that is made up


@pytest.fixture
def node(tmp_path: Path) -> Iterator[tuple[Machine, Path]]:
    machine = healthy(Random(3), CLASSES[RICH])
    machine.files = {path: content for path, content in machine.files.items() if not path.startswith(RESULTS)}
    root = tmp_path / "root"
    root.mkdir()
    write(machine, root)
    (tmp_path / "health.json").write_text(render(machine.node_class, [], PROBE))
    with answering(machine, tmp_path, root):
        yield machine, root


def run(root: Path, *arguments: str) -> int:
    return main(["--config", str(root.parent / "health.json"), *arguments], root)


def test_a_full_pass_says_what_node_health_says_and_a_light_one_leaves_it(node: tuple[Machine, Path]) -> None:
    machine, root = node
    metrics = root.parent / "x.prom"
    assert run(root, "run", "--level", "full", "--metrics", str(metrics)) == 0
    full = read_pass(root / RESULTS, "full")
    assert full is not None
    others = [check for check in expected_checks(machine.node_class) if not check.startswith("agent.")]
    assert list(dict.fromkeys(each["check"] for each in full["findings"])) == others
    (root / "proc/sys/kernel/tainted").write_text("32\n")
    assert run(root, "run", "--level", "light", "--metrics", str(metrics)) == 0
    assert read_pass(root / RESULTS, "full") == full
    light = read_pass(root / RESULTS, "light")
    assert light is not None
    checks = {each["check"] for each in light["findings"]}
    assert {"kernel.taint", "hca.state", "disk.mount"} <= checks
    assert not {"gpu.count", "docker.daemon"} & checks
    text = metrics.read_text()
    assert 'firstlight_health_finding{check="kernel.taint",component="host",verdict="fail"} 1' in text
    assert 'firstlight_health_finding{check="gpu.count"' in text
    # What the passes counted is in the history that node_health reads.
    assert json.loads((root / "var/lib/firstlight/health/counters.json").read_text())["counters"]


def test_show_tells_by_its_status_whether_the_node_is_fit(
    node: tuple[Machine, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _machine, root = node
    assert run(root, "show") == 3
    assert "no pass of this boot" in capsys.readouterr().err
    assert run(root, "run", "--level", "light") == 0
    found = json.loads((root / RESULTS / "light.json").read_text())
    found["findings"] = [each for each in found["findings"] if each["verdict"] == "pass"]
    (root / RESULTS / "light.json").write_text(json.dumps(found))
    assert run(root, "show") == 0
    (root / "proc/sys/kernel/tainted").write_text("32\n")
    assert run(root, "run", "--level", "light") == 0
    capsys.readouterr()
    assert run(root, "show") == 1
    assert "FAIL    host" in capsys.readouterr().out


def test_it_does_not_judge_itself() -> None:
    known = config.Config(CLASSES[RICH], "sha", (), PROBE)
    assert "agent.fresh" in expected_checks(known.node_class)
    assert not [check for check in expected_checks(known.judged) if check.startswith("agent.")]
