# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging a node as a whole: nothing is lost, nothing unread passes, no defect spreads."""

from __future__ import annotations

import copy
import importlib
import re
from collections import Counter
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils import judge as judge_package
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.areas import AREAS
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import CHECKS, expected_checks
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding, Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import JUDGES, judge
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.health.areas import areas
from tests.unit.health.health_factory import healthy, node_class, unreadable

ALLOWED_WITHOUT_DATA = {"host.reachable"}


def verdicts(findings: list[Finding]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in findings:
        found.setdefault(item.check, set()).add(item.verdict.value)
    return found


def test_there_is_a_judge_for_every_check_that_can_be_expected() -> None:
    assert list(JUDGES) == expected_checks(node_class())


def test_the_judges_of_an_area_are_those_of_its_checks() -> None:
    """In the same order, so that what is read in one file is found in the other."""
    for area in AREAS:
        name = area.__name__.rpartition(".")[2]
        judges = importlib.import_module(f"{judge_package.__name__}.{name}")
        assert list(judges.JUDGES) == [check.id for check in area.CHECKS], name


def test_a_judge_that_crashes_costs_its_own_check() -> None:
    def crash(_observation: Any, _node_class: Any) -> list[Finding]:
        raise ZeroDivisionError("oops")

    found = judge(healthy(), node_class(), {**JUDGES, "gpu.model": crash})
    assert verdicts(found)["gpu.model"] == {"unknown"}
    assert [item.summary for item in found if item.check == "gpu.model"] == [
        "its judge failed: ZeroDivisionError: oops"
    ]
    assert {check for check, seen in verdicts(found).items() if seen != {"pass"}} == {"gpu.model"}


def test_a_judge_that_says_nothing_is_unknown() -> None:
    found = judge(healthy(), node_class(), {**JUDGES, "disk.free": lambda _o, _c: []})
    assert verdicts(found)["disk.free"] == {"unknown"}


def test_excluded_checks_are_not_judged() -> None:
    wanted = node_class()
    wanted["checks"]["exclude"] = [{"id": "clock.offset", "reason": "the site has its own"}]
    assert set(expected_checks(wanted)) == set(JUDGES) - {"clock.offset"}
    assert "clock.offset" not in verdicts(judge(healthy(), wanted))


def test_a_class_without_gpus_and_hcas_expects_none_of_theirs() -> None:
    wanted = node_class(gpus={"count": 0}, hcas={"devices": []}, mounts=[])
    others = ("docker.gpu", "disk.mount", "disk.read_only", "disk.free", "disk.inodes", "disk.filesystem_errors")
    theirs = {check for check in JUDGES if check.startswith(("gpu.", "hca.", "optics.", "pcie.", *others))}
    assert theirs and set(expected_checks(wanted)) == set(JUDGES) - theirs


def test_pcie_gpus_have_neither_nvlinks_nor_fabric_manager() -> None:
    wanted = node_class(gpus={"nvlinks": 0, "fabric_manager": False})
    theirs = {check for check in JUDGES if check.startswith(("gpu.nvlink.", "gpu.fabric", "gpu.sxid"))}
    assert theirs and set(JUDGES) - set(expected_checks(wanted)) == theirs


@pytest.mark.parametrize("reader", sorted(healthy()["readers"]))
@pytest.mark.parametrize("status", ["error", "timeout", "missing"])
def test_no_check_passes_without_what_it_reads(reader: str, status: str) -> None:
    """Each reader in turn is lost: then some check is unknown, none fails, the others pass."""
    observation = healthy()
    unreadable(reader, status)(observation)
    found = verdicts(judge(observation, node_class()))
    seen = set().union(*found.values())
    assert "fail" not in seen
    # The PCI bus only helps to name what NVML misses.
    assert ("unknown" in seen) is (reader != "pci")
    assert found["host.reachable"] == {"pass"}


def test_an_empty_observation_is_unknown_throughout() -> None:
    results = judge({"readers": {}}, node_class())
    found = verdicts(results)
    assert {check for check, seen in found.items() if seen == {"unknown"}} == set(JUDGES) - ALLOWED_WITHOUT_DATA
    advice = next(item.remedy for item in results if item.check == "gpu.xid")
    assert CHECKS["gpu.xid"].source in advice  # what a person tries by hand first


def test_an_empty_class_judges_nothing_by_chance() -> None:
    """What the class does not say is unknown, not passed."""
    found = judge(healthy(), {"name": "empty", "hardware": {"gpus": {"count": 8}, "hcas": {"devices": ["mlx5_0"]}}})
    assert verdicts(found)["gpu.model"] == {"unknown"}
    assert verdicts(found)["hca.rate"] == {"unknown"}
    assert "node class 'empty' has no hardware.gpus.model" in {item.summary for item in found}


def test_thresholds_of_the_class_win() -> None:
    strict = {**node_class(), "thresholds": {"memory_tolerance_percent": 1}}
    assert verdicts(judge(healthy(), strict))["host.memory"] == {"fail"}
    assert verdicts(judge(healthy(), node_class()))["host.memory"] == {"pass"}


# What is read for the record, for evidence or as a hint only; nothing hangs on it.
NOT_JUDGED = set().union(*(getattr(area, "NOT_JUDGED", ()) for area in areas()))

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [here]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths(inner, (*here, key))
    return found


HEALTHY = healthy()
PLACES = [("readers", *path) for path in paths(HEALTHY["readers"])]
# One of those that differ in numbers only: which GPU, which port.
KINDS = [*{re.sub("[0-9a-f]*[0-9][0-9a-f]*", "#", repr(path)): path for path in PLACES}.values()]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = replaced(changed[path[0]], path[1:], new)
    return changed


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), _JSON)
def test_anything_anywhere_is_judged(path: tuple[Any, ...], garbage: Any) -> None:
    """Whatever stands where: every expected check reports, each component once, and only JSON comes out."""
    found = judge(replaced(HEALTHY, path, garbage), node_class())
    assert {item.check for item in found} == set(JUDGES)
    assert [key for key, times in Counter((item.check, item.component) for item in found).items() if times > 1] == []


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(HEALTHY["readers"])), _JSON))
def test_garbage_alone_never_passes(readers: dict[str, Any]) -> None:
    found = judge({"readers": readers}, node_class())
    assert {item.check for item in found if item.verdict is Verdict.PASS} <= ALLOWED_WITHOUT_DATA


@pytest.mark.parametrize("places", [KINDS, pytest.param(PLACES, marks=pytest.mark.long)], ids=["kinds", "all"])
def test_a_value_that_is_an_error_never_makes_things_worse_than_unknown_nor_better(places: list[Any]) -> None:
    """Every single value in turn could not be read: what it decides is unknown, nothing fails, none is lost."""
    for path in places:
        if path[2:3] != ("data",) or len(path) == 3:
            continue
        found = judge(replaced(HEALTHY, path, {"error": "Input/output error"}), node_class())
        assert {item.check for item in found} == set(JUDGES), path
        worse = [item for item in found if item.verdict not in (Verdict.PASS, Verdict.UNKNOWN)]
        assert worse == [], path
        told = any(item.verdict is Verdict.UNKNOWN for item in found)
        hint = path[1] == "pci" or "docker.service" in path
        assert told or hint or path[-1] in NOT_JUDGED, path
