# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a figure says of the costs that were taken, and what the bench makes of counts and of a region."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import Cost, Figure, Report, in_turns
from tests.bench.health import observations
from tests.bench.inventory import multiplied
from tests.bench.site import by_phase, table


def costs(*walls: float) -> list[Cost]:
    return [Cost(wall, wall / 2) for wall in walls]


def test_a_figure_is_the_median_of_ratios_that_were_taken_together() -> None:
    """The machine was ten times slower in the second round: that is no one's fault and does not show."""
    figure = Figure("a", "b", costs(1.2, 13, 1.1), costs(1, 10, 1), aim=1.2)
    assert figure.ratio() == pytest.approx(1.2)
    assert figure.met is True


def test_one_floor_stands_for_all() -> None:
    assert Figure("a", "b", costs(1, 3, 2), costs(10)).ratio() == pytest.approx(0.2)


@pytest.mark.parametrize(("aim", "met", "says"), [(None, None, "aim"), (1.9, False, "missed"), (2.0, True, "met")])
def test_an_aim_is_told_with_its_outcome(aim: float | None, met: bool | None, says: str) -> None:
    figure = Figure("a", "b", costs(2), costs(1), aim)
    assert figure.met is met
    assert (says in str(figure)) is (aim is not None)


def test_rounds_are_taken_in_turns_behind_one_that_does_not_count() -> None:
    order: list[str] = []
    taken = in_turns(lambda: order.append("a"), lambda: order.append("b"), rounds=3)
    assert "".join(order) == "ab" * 4
    assert [len(of) for of in taken] == [3, 3]


def test_a_bench_that_breaks_off_leaves_what_it_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(tmp_path)
    report.begin()
    report.add(Figure("health", "ping", costs(2), costs(1), 1.3))
    written = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [(one["name"], one["ratio"], one["met"]) for one in written["figures"]] == [("health", 2.0, False)]
    assert (tmp_path / "bench.txt").read_text(encoding="utf-8") == capsys.readouterr().out
    assert "health: 2.00 x ping" in report.lines[-1]


def test_counts_are_of_one_node_and_of_all_heads() -> None:
    counts = {
        "configure": {
            "node01": {"executed": 4, "skipped": 1},
            "node02": {"executed": 2, "skipped": 2},
            "head01": {"executed": 5, "skipped": 0},
        },
        "services": {"head01": {"executed": 7, "skipped": 3}},
    }
    phases = by_phase(counts, {"configure": 12.0})
    assert phases["configure"]["node"] == {"executed": 3.0, "skipped": 1.5}
    assert phases["services"] == {
        "seconds": None,
        "node": {"executed": 0, "skipped": 0},
        "heads": {"executed": 7, "skipped": 3},
    }
    assert table("first", phases)[-1].split() == ["all", "3", "+", "1.5", "12", "+", "3"]


def test_a_region_has_one_machine_of_its_own_for_each_of_the_roster() -> None:
    model: dict[str, Any] = {
        "system_id": "abc",
        "hostname": "node01",
        "hardware_info": {"system_serial": "S"},
        "interfaces": [{"id": 1, "mac_address": "m", "links": [{"id": 1, "ip_address": "a"}]}],
        "disks": [{"id": 1, "serial": "d"}],
    }
    roster = [(f"n{number}", {"serial_number": f"S{number}"}) for number in range(300)]
    state = multiplied({"machines": [model, model], "events": [1], "other": 2}, roster)
    machines = state["machines"]
    assert [machine["hardware_info"]["system_serial"] for machine in machines] == [f"S{n}" for n in range(300)]
    assert len({machine["interfaces"][0]["links"][0]["ip_address"] for machine in machines}) == 300
    assert len({machine["interfaces"][0]["mac_address"] for machine in machines}) == 300
    assert (state["other"], state["events"], model["hostname"]) == (2, [], "node01")


def test_what_is_replayed_is_of_the_newest_run_that_judged_the_nodes(tmp_path: Path) -> None:
    name = "validate.node_health.observation.json"
    for run in ("20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb"):
        for node in ("node01", "node02"):
            place = tmp_path / run / "nodes" / node
            place.mkdir(parents=True)
            (place / name).touch()
    # configure.yml, which judges nobody, was the last.
    (tmp_path / "20260103T000000Z-cccccc" / "nodes" / "node01").mkdir(parents=True)
    (tmp_path / "latest").symlink_to("20260103T000000Z-cccccc")
    nodes = tmp_path / "20260102T000000Z-bbbbbb" / "nodes"
    assert observations(tmp_path) == [nodes / "node01" / name, nodes / "node02" / name]


def test_nothing_to_replay_is_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"site\.yml must have run"):
        observations(tmp_path)
