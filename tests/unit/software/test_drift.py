# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""drift.yml on the site that test_phases plays: what it tells, and that it changes nothing."""

from __future__ import annotations

import pytest

from tests.unit.run.test_phases import Played, Run, played

__all__ = ["played"]
FIT = ("--limit", "fit1,fit2")
HAS = {"fit1": {"gpu_driver": "560.35.03", "nccl": "2.26.5"}, "sick": {"gpu_driver": "560.35.03"}}


def drift(played: Played, *arguments: str, **scenario: object) -> Run:
    return played.run("drift", arguments=arguments, **scenario)


def told(run: Run, node: str) -> list[tuple[str, str, str]]:
    return [(item["check"], item["component"], item["verdict"]) for item in run.report["nodes"][node]["findings"]]


@pytest.mark.parametrize("check", [(), ("--check", "--diff")])
def test_what_differs_is_told_by_node_and_item_and_nothing_is_changed(played: Played, check: tuple[str, ...]) -> None:
    run = drift(played, "--limit", "fit1,fit2,sick", *check, has=HAS)
    assert run.status == 2, run.output
    said = " ".join(run.output.split())
    assert "gpu_driver is 560.35.03, the class has 570.172.08: fit1, sick" in said
    assert "nccl is 2.26.5, the class has 2.27.7: fit1" in said
    assert "2 of 3 nodes differ from their classes or could not be compared." in said
    assert told(run, "fit1") == [
        ("software.drift", "software:gpu_driver", "warn"),
        ("software.drift", "software:nccl", "warn"),
    ]
    assert {node: entry["state"] for node, entry in run.report["nodes"].items()} == dict.fromkeys(
        ["fit1", "fit2", "sick"], "admitted"
    ), "a difference makes no node unfit"
    assert not [call for call in run.told("ledger") if not call.get("lock")] and not run.told("maas_tag")
    assert "changed=0" in run.output and "changed=1" not in run.output


def test_without_a_difference_the_run_is_a_success(played: Played) -> None:
    run = drift(played, *FIT)
    assert run.status == 0, run.output
    assert told(run, "fit1") == []


def test_a_node_that_cannot_be_compared_is_not_taken_for_the_same(played: Played) -> None:
    # Port 1 of loopback refuses.
    away = '{"__silent_in": ["drift"], "ansible_host": "127.0.0.1", "ansible_port": 1}'
    run = drift(played, *FIT, unlooked=["fit2"])
    assert run.status == 2, run.output
    assert told(run, "fit2") == [("software.drift", "host", "unknown")]
    assert "1 of 2 nodes differ" in " ".join(run.output.split())
    run = drift(played, *FIT, "-e", away)
    assert run.status == 2, run.output
    assert [entry["state"] for entry in run.report["nodes"].values()] == ["unreachable", "unreachable"]
