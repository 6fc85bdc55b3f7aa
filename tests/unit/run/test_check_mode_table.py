# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No playbook is forgotten by the tests of check mode, which try in a lab whatever stands in their table."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.untouched import CASES, ELSEWHERE, differences

ROOT = Path(__file__).resolve().parents[3]


def test_every_playbook_is_tried_in_check_mode() -> None:
    there = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - set(ELSEWHERE)
    absent, strange = sorted(there - set(CASES)), sorted(set(CASES) - there)
    assert there == set(CASES), (
        f"tests/e2e/untouched.py: CASES lacks {absent}, and has {strange}, which are no playbooks."
        " Give each playbook a line: the options with which it would change most without --check, the exit status on a"
        " deployed lab, and words that it says when it got far; in_gate where no other playbook of the gate imports it."
    )


def test_what_the_lab_cannot_play_is_tried_elsewhere() -> None:
    for name, tests in ELSEWHERE.items():
        text = (ROOT / tests).read_text(encoding="utf-8")
        assert (ROOT / "playbooks" / f"{name}.yml").is_file() and "--check" in text and name in text


def test_what_is_not_tried_alone_in_the_gate_is_part_of_what_is() -> None:
    """site.yml (test_01, 02), reprovision.yml (test_06) and upgrade.yml are tried there, with all that they import."""
    parts = {"site", "reprovision"}
    for name in ("site", "reprovision", "provision", "upgrade"):
        text = (ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8")
        parts |= {each for each in CASES if f"import_playbook: {each}.yml" in text}
    assert {name for name, case in CASES.items() if not case.in_gate} <= parts


def test_whatever_differs_is_told() -> None:
    before = {"files": ["a", "b"], "writing requests": 3, "machines": {"node01": "on"}}
    assert differences(before, dict(before)) == {}
    after = {"files": ["a", "c"], "writing requests": 4, "machines": {"node01": "off"}}
    assert differences(before, after).keys() == before.keys()
    assert differences(before, after)["files"] == ["b", "c"]
