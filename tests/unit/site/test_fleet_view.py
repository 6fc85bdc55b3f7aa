# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What most nodes have, who differs, and who did not tell."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.firstlight.cluster.plugins.module_utils.site import fleet
from ansible_collections.firstlight.cluster.plugins.module_utils.site.fleet import Compared, compare, table, to_dict

from tests.unit.health.health_factory import healthy, put, spoiled, unreadable

KERNEL, VBIOS = "software.kernel", "hardware.gpus.vbios"


def of(observations: dict[str, Any]) -> dict[str, Compared]:
    return {one.fact: one for one in compare(observations)}


def test_nodes_that_are_alike_have_no_outliers() -> None:
    found = compare({f"node{number:02d}": healthy() for number in range(3)})
    assert {one.have for one in found} == {3} and not any(one.outliers or one.tie or one.unread for one in found)
    facts = {one.fact: one.majority for one in found}
    assert facts[KERNEL] == "6.8.0-60-generic" and facts["hardware.gpus.count"] == 8
    assert facts["nvme.model"] == "SAMSUNG MZQL23T8HCLS-00A07" and facts["nvme.firmware"] == "GDC5602Q"


def test_who_differs_is_named_with_what_it_has() -> None:
    other = spoiled(put("host|kernel", "6.8.0-62-generic"), put("nvml|gpus|3|vbios", "96.00.99.00.02"))
    found = of({"node01": healthy(), "node02": other, "node03": healthy()})
    assert (found[KERNEL].majority, found[KERNEL].have) == ("6.8.0-60-generic", 2)
    assert found[KERNEL].outliers == [{"value": "6.8.0-62-generic", "nodes": ["node02"]}]
    # One GPU of eight: what most of them have would hide it.
    assert found[VBIOS].outliers == [{"value": "96.00.99.00.01 (7), 96.00.99.00.02 (1)", "nodes": ["node02"]}]


def test_a_tie_is_told_as_one() -> None:
    other = spoiled(put("host|kernel", "6.8.0-62-generic"))
    found = of({"node01": healthy(), "node02": other})[KERNEL]
    assert found.majority is None and found.have == 1
    assert found.tie == ["6.8.0-60-generic", "6.8.0-62-generic"]
    assert [each["nodes"] for each in found.outliers] == [["node01"], ["node02"]]
    assert "no majority" in "\n".join(table([found], ["node01", "node02"], []))


def test_a_node_that_did_not_tell_is_no_outlier() -> None:
    found = of({"node01": healthy(), "node02": spoiled(unreadable("nvml")), "node03": healthy()})[VBIOS]
    assert found.unread == ["node02"] and not found.outliers and found.have == 2


def test_the_table_fits_a_terminal_and_names_all() -> None:
    observations = {f"node{number:03d}": healthy() for number in range(1, 40)}
    for number in range(1, 19):
        put("host|kernel", "6.8.0-62-generic")(observations[f"node{number:03d}"])
    lines = table(compare(observations), list(observations), ["node900"])
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert "21/39" in text and "node018" in text and "not reached: node900" in text


def test_the_file_holds_the_same() -> None:
    observations = {"node01": healthy(), "node02": spoiled(put("host|kernel", "6.8.0-62-generic"))}
    content = json.loads(json.dumps(to_dict(compare(observations), list(observations), ["node09"])))
    assert content["nodes"] == ["node01", "node02"] and content["not_reached"] == ["node09"]
    assert {one["fact"] for one in content["facts"]} >= {KERNEL, VBIOS, "nvme.model"}


def test_a_fleet_is_looked_through_once(monkeypatch: Any) -> None:
    """511 nodes, each with a kernel of its own: every observation is read once, and every value compared once."""
    observation, reads = healthy(), []
    read = fleet.facts_of
    monkeypatch.setattr(fleet, "facts_of", lambda *args, **more: reads.append(1) or read(*args, **more))
    nodes = {f"node{number:03d}": observation for number in range(511)}
    found = of(nodes)
    assert len(reads) == 511 and found[KERNEL].have == 511
