# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module all_reduce, run as Ansible runs it, with a stand-in for mpirun."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.modules import all_reduce

Make = Callable[..., Any]
NODES = ["node01", "node02", "node03", "node04"]


@pytest.fixture
def module(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    monkeypatch.setattr(all_reduce.os, "geteuid", lambda: 1000)

    def call(**args: Any) -> dict[str, Any]:
        with patch_module_args(args), pytest.raises(SystemExit):
            all_reduce.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        return result

    return call


def programs(fake: Any) -> dict[str, str]:
    return {"binary": fake.program, "mpirun": fake.program}


def test_names_the_slow_node(fake: Make, module: Make) -> None:
    site = fake({"hosts": ["node02"], "speed": 4.0})
    result = module(hosts=NODES, floor_gbps=30.0, parallel_pairs=2, **programs(site))
    failed = [host for host, found in result["findings"].items() if any(each["verdict"] == "fail" for each in found)]
    assert failed == ["node02"]
    assert result["changed"] is False
    assert result["measured"]["localisation"]["blamed"] == ["node02"]
    pairs = [(one, other) for index, one in enumerate(NODES) for other in NODES[index + 1 :]]
    slow = [pair for pair in pairs if "node02" in pair]
    assert sorted(map(tuple, site.runs)) == sorted([tuple(NODES), ("node01", "node03", "node04"), *pairs, *slow])
    assert len(result["commands"]) == len(site.runs)


def test_inside_a_node(fake: Make, module: Make) -> None:
    site = fake()
    result = module(scope="intra", hosts=["node01"], floor_gbps=41.0, **programs(site))
    (found,) = result["findings"]["node01"]
    assert (found["check"], found["verdict"], found["observed"]) == ("collective.intra", "fail", 40.0)
    assert "-np" not in result["commands"][0]


def test_references_are_not_judged(fake: Make, module: Make) -> None:
    site = fake()
    result = module(hosts=["node02"], references=["node01"], **programs(site))
    assert list(result["findings"]) == ["node02"]
    assert site.runs == [["node02", "node01"]]


def test_a_lone_node_is_unknown(fake: Make, module: Make) -> None:
    site = fake()
    result = module(hosts=["node02"], **programs(site))
    assert result["findings"]["node02"][0]["verdict"] == "unknown"
    assert site.runs == []


def test_check_mode_runs_nothing(fake: Make, module: Make) -> None:
    site = fake()
    result = module(hosts=NODES, _ansible_check_mode=True, **programs(site))
    assert result["skipped"] is True
    assert site.runs == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hosts": []}, "hosts: is empty"),
        ({"hosts": ["node01", "node01"]}, "more than once: node01"),
        ({"hosts": ["-x", "node01"]}, "'-x' is no host name"),
        ({"hosts": ["node01,node02"]}, "is no host name"),
        ({"hosts": NODES, "scope": "intra"}, "scope intra"),
        ({"hosts": NODES, "network": "10.20.0.1/22"}, "network: 10.20.0.1/22 has host bits set"),
        ({"hosts": NODES, "pair_ratio": 1.5}, "pair_ratio"),
        ({"hosts": NODES, "floor_gbps": -1}, "floor_gbps"),
        ({"hosts": NODES, "gpus": 0}, "gpus"),
        ({"hosts": NODES, "step_factor": 1}, "step_factor"),
        ({"hosts": NODES, "min_bytes": 64, "max_bytes": 8}, "min_bytes"),
        ({"hosts": NODES, "environment": {"A B": "1"}}, "'A B'"),
        ({"hosts": NODES, "timeout": 0}, "timeout"),
        ({"hosts": NODES, "warmup_iterations": -1}, "warmup_iterations"),
    ],
)
def test_bad_options_are_named_and_nothing_runs(fake: Make, module: Make, options: dict[str, Any], words: str) -> None:
    site = fake()
    result = module(**options, **programs(site))
    assert result["failed"] is True
    assert words in result["msg"]
    assert site.runs == []


def test_all_bad_options_are_named_at_once(module: Make) -> None:
    message = module(hosts=[], gpus=0, pair_ratio=2)["msg"]
    assert all(word in message for word in ("hosts:", "gpus:", "pair_ratio:"))


def test_root_is_told_to_become_somebody_else(fake: Make, module: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_reduce.os, "geteuid", lambda: 0)
    assert "become_user" in module(hosts=NODES, **programs(fake()))["msg"]
    assert "findings" in module(scope="intra", hosts=["node01"], **programs(fake()))
