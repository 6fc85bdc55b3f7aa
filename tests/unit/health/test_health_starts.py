# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node remembers of its starts: this one when the log has lost it, and the two before to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import history
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.history import Instant, remember_start
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.log_template import START_SECONDS

UP = START_SECONDS + 1.0


def log(first_sequence: int | None = 0, truncated: str = "", **said: tuple[int, int]) -> dict[str, Any]:
    """By template how many lines at the start, and the second of the first."""
    return {
        "first_sequence": first_sequence,
        "first_us": 0,
        "truncated": truncated,
        "templates": {each: [lines + 3, second * 10**6, "", lines] for each, (lines, second) in said.items()},
    }


def remembered(path: Path, boot: str, read: dict[str, Any] | None, uptime: float = UP, write: bool = True) -> Any:
    return remember_start(path / "starts.json", read, Instant(boot, uptime), write)["starts"]


def test_a_start_is_remembered_when_the_log_has_lost_it(tmp_path: Path) -> None:
    assert remembered(tmp_path, "one", log(a=(8, 1), later=(0, 700))) == {
        **{"start": None, "fewer": {}, "earlier": 0, "trouble": ""}
    }
    told = remembered(tmp_path, "one", log(7, later=(4, 900)))
    assert told == {"start": {"a": [8, 1.0]}, "fewer": {}, "earlier": 0, "trouble": ""}
    # Another boot has another start.
    assert remembered(tmp_path, "two", log(7))["start"] is None


@pytest.mark.parametrize(
    ("read", "uptime"),
    [(log(a=(8, 1)), UP - 2), (log(7, a=(8, 1)), UP), (log(None, a=(8, 1)), UP), (log(truncated="cut", a=(8, 1)), UP)],
)
def test_half_a_start_is_none(tmp_path: Path, read: dict[str, Any], uptime: float) -> None:
    remembered(tmp_path, "one", read, uptime)
    assert not (tmp_path / "starts.json").exists()


def test_what_came_at_both_starts_before_is_missed(tmp_path: Path) -> None:
    remembered(tmp_path, "one", log(gpus=(8, 1), links=(4, 1), chance=(1, 1), gone=(1, 1)))
    assert remembered(tmp_path, "two", log(gpus=(7, 1), links=(3, 1), gone=(2, 1)))["fewer"] == {}
    # While it starts, by what is there so far, which nobody remembers yet.
    early = remembered(tmp_path, "three", log(gpus=(3, 1)), uptime=60.0)
    assert (early["fewer"], early["earlier"]) == ({"gpus": [3, 7], "links": [0, 3], "gone": [0, 1]}, 2)
    # A start that nobody has seen cannot be compared.
    assert remembered(tmp_path, "three", log(9))["fewer"] is None
    (tmp_path / "starts.json").unlink()
    remembered(tmp_path, "one", log(gpus=(8, 1), links=(4, 1), chance=(1, 1), gone=(1, 1)))
    remembered(tmp_path, "two", log(gpus=(8, 1), links=(3, 1), gone=(2, 1)))
    told = remembered(tmp_path, "three", log(gpus=(7, 1), links=(3, 1), new=(1, 1)))
    assert told["fewer"] == {"gpus": [7, 8], "gone": [0, 1]}
    # As long as this boot lasts, and no longer than two starts.
    assert remembered(tmp_path, "three", log(9))["fewer"] == {"gpus": [7, 8], "gone": [0, 1]}
    assert remembered(tmp_path, "four", log(gpus=(7, 1), links=(3, 1)))["fewer"] == {}


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "starts.json").write_text("{")
    assert "begun anew" in remembered(tmp_path, "one", log(a=(1, 1)), write=False)["trouble"]
    assert (tmp_path / "starts.json").read_text() == "{"
    assert "begun anew" in remembered(tmp_path, "one", log(a=(1, 1)))["trouble"]
    assert remembered(tmp_path, "one", log(4))["start"] == {"a": [1, 1.0]}
    (tmp_path / "starts.json").unlink()
    (tmp_path / "starts.json").mkdir()
    assert "not written" in remembered(tmp_path, "one", log(a=(1, 1)))["trouble"]


def test_a_pass_that_comes_second_at_the_same_moment_has_no_trouble(tmp_path: Path) -> None:
    with history._locked(tmp_path):
        assert remembered(tmp_path, "one", log(a=(1, 1)))["trouble"] == ""
    assert not (tmp_path / "starts.json").exists()


def test_without_a_baseline_nothing_is_remembered(tmp_path: Path) -> None:
    read = log()
    del read["templates"]
    assert remembered(tmp_path, "one", read) is None and remembered(tmp_path, "one", None) is None
    assert [*tmp_path.iterdir()] == []
