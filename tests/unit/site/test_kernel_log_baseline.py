# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kernel_log/CLASS.yml: what is wrong with it is told with file, line, key and remedy; its example is sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import expected_checks
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.kernel_log import matches
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import asked_of
from ansible_collections.firstlight.cluster.plugins.module_utils.site.kernel_log import add_baselines
from ansible_collections.firstlight.cluster.plugins.module_utils.site.validate import validate

PAGE = Path(__file__).resolve().parents[3] / "docs" / "kernel_log.md"
SOUND = """
learned:
  nodes: [node017, node018, node019]
  templates:
    "Linux version *": 3
    "usb *: up": 2
    "wlan*: gone": 0
  lines: {"Linux version *": 2, "usb *: up": 3}
  seconds: {"Linux version *": [0.0, 1.5], "usb *: up": [2, 3]}
accepted:
  - template: "wlan*: gone"
    reason: not used
    author: ops
    expires: "2026-12-15"
bad:
  - {template: "nvme*: I/O * timeout*", reason: replace the disk, author: ops}
  - {template: "*Xid (*): 79, *", reason: replace the GPU, author: ops}
"""


def read(folder: Path, text: str, name: str = "h100") -> tuple[dict[str, Any], str]:
    (folder / "kernel_log").mkdir(exist_ok=True)
    (folder / "kernel_log" / f"{name}.yml").write_text(text, encoding="utf-8")
    classes: dict[str, dict[str, Any]] = {"h100": {"name": "h100", "hardware": {}}}
    return classes["h100"], render(add_baselines(classes, folder, ("h100", "b200")))


def test_a_sound_file_is_in_the_class(tmp_path: Path) -> None:
    node_class, problems = read(tmp_path, SOUND)
    assert problems == ""
    baseline = node_class["kernel_log"]
    assert baseline["known"] == ["Linux version *", "usb *: up", "wlan*: gone"]
    assert baseline["expected"] == ["Linux version *"]
    assert (baseline["lines"], baseline["seconds"]) == ({"Linux version *": 2}, {"Linux version *": [0.0, 1.5]})
    assert [entry["expires"] for entry in baseline["accepted"]] == ["2026-12-15"]
    assert [entry["reason"] for entry in baseline["bad"]] == ["replace the disk", "replace the GPU"]
    assert asked_of(node_class)["kernel_log_templates"] is True
    assert {"kernel.log.bad", "kernel.log.unknown", "kernel.log.missing", "kernel.log.order", "kernel.log.changed"} <= {
        *expected_checks(node_class)
    }


def test_what_all_of_two_nodes_say_is_not_expected_of_others(tmp_path: Path) -> None:
    two = SOUND.replace(", node019", "").replace(": 3\n", ": 2\n")
    node_class, problems = read(tmp_path, two)
    assert (problems, node_class["kernel_log"]["expected"]) == ("", [])
    assert "kernel.log.missing" not in expected_checks(node_class)


def test_a_class_without_a_file_has_no_baseline_and_nothing_is_read_for_it(tmp_path: Path) -> None:
    node_class, problems = read(tmp_path, SOUND, name="b200")
    assert (node_class, problems) == ({"name": "h100", "hardware": {}}, "")
    assert asked_of(node_class)["kernel_log_templates"] is False
    assert not any(check.startswith("kernel.log.") for check in expected_checks(node_class))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (": 2\n", ": -1\n", "learned.templates.usb *: up: is -1, must be at least 0"),
        ("[2, 3]", "[2]", "learned.seconds.usb *: up"),
        ('"usb *: up": 3}', '"usb *: up": 1}', "learned.lines.usb *: up: is 1, must be at least 2"),
        (": 2\n", ": 0.5\n", "learned.templates.usb *: up: is 0.5"),
        ("  nodes: [node017, node018, node019]\n", "", "learned.nodes: is missing. Remedy: add it: Names of the nodes"),
        ('template: "wlan*: gone"', 'template: "wlan0: gone"', "'wlan0: gone' has a number, which no template has"),
        ('template: "wlan*: gone"', 'template: "*"', ":11: accepted[0].template: '*' would fit almost every line"),
        ('"2026-12-15"', '"2026-02-30"', ":14: accepted[0].expires: '2026-02-30' is no day"),
        ('"nvme*: I/O * timeout*"', '"*:*"', ":16: bad[0].template: '*:*' would fit almost every line"),
        ("    author: ops\n", "", "accepted[0].author: is missing"),
        ("accepted:", "acepted:", "did you mean 'accepted'?"),
        ("accepted:", "learned: {}\naccepted:", "learned: is there twice"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in SOUND
    node_class, message = read(tmp_path, SOUND.replace(old, new, 1))
    assert words in message
    assert message.startswith(str(tmp_path / "kernel_log" / "h100.yml"))
    assert "kernel_log" not in node_class


def test_a_file_of_no_class_is_told_by_preflight(tmp_path: Path) -> None:
    read(tmp_path, SOUND, name="h1000")
    (tmp_path / "hosts.yml").write_text("all: {}\n", encoding="utf-8")
    assert "there is no node class 'h1000'" in render(validate(tmp_path).problems)


@pytest.mark.parametrize(
    ("pattern", "template", "whether"),
    [
        ("usb *: up", "usb *: up", True),
        ("usb*", "usb *: up", True),
        ("*up", "usb *: up", True),
        ("u*b*s*up", "usb up", False),
        ("u*b*up", "usb up", True),
        ("aba*aba", "aba", False),
        ("aba*aba", "abaaba", True),
        ("[usb] *", "[usb] up", True),
        ("usb", "usb up", False),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, template: str, whether: bool) -> None:
    assert matches(pattern, template) is whether


def test_the_example_of_the_page_is_sound(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    node_class, problems = read(tmp_path, example)
    assert problems == ""
    assert all(node_class["kernel_log"].values())
