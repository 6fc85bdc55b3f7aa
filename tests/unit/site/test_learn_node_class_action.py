# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The class of a golden node is written once, of a node that is fit, and in check mode not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.template import trust_as_template
from ansible_collections.firstlight.cluster.plugins.action import learn_node_class
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.health.host import required_units
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import ENVIRONMENT
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import load_file

from tests.unit.conftest import ROOT
from tests.unit.health.health_factory import absent, healthy, put, spoiled

Learn = Callable[..., dict[str, Any]]
TEMPLATE = "h100-sxm5-8x400g"


@pytest.fixture
def learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Learn:
    """The action, on a site below `tmp_path`; nodes by what was read of them, None for one that is not reached."""
    monkeypatch.setattr(learn_node_class.ActionBase, "run", lambda *_: {})
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "run"))

    def call(nodes: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        action = learn_node_class.ActionModule.__new__(learn_node_class.ActionModule)
        results = {
            trust_as_template(node): {"unreachable": True} if read is None else {"observation": json.dumps(read)}
            for node, read in nodes.items()
        }
        given = {"name": "h100-a", "golden": "node01", "mounts": ["/", "/data"], **more}
        # Ansible's texts know where they come from.
        told = {
            key: [*map(trust_as_template, value)] if isinstance(value, list) else trust_as_template(value)
            for key, value in given.items()
            if not isinstance(value, bool)
        }
        given |= {**told, "observations": results}
        action._task = SimpleNamespace(args=given, check_mode=check)
        return action.run(task_vars={"inventory_dir": str(tmp_path)})

    return call


def written(tmp_path: Path) -> Path:
    return tmp_path / "node_classes" / "h100-a.yml"


def test_the_class_is_written_and_the_fleet_is_told(learn: Learn, tmp_path: Path) -> None:
    other = spoiled(put("host|kernel", "6.8.0-62-generic"))
    found = learn({"node01": healthy(), "node02": healthy(), "node03": other, "node04": None}, template=TEMPLATE)
    data, problems = load_file(written(tmp_path))
    assert not problems and data is not None and data["hardware"]["gpus"]["count"] == 8
    assert found["changed"] and found["file"] == str(written(tmp_path))
    assert not found["to_decide"] and not found["warned"] and not found["not_learned"]
    kept = json.loads((tmp_path / "run" / "fleet.json").read_text())
    assert kept["nodes"] == ["node01", "node02", "node03"] and kept["not_reached"] == ["node04"]
    assert "    6.8.0-62-generic: node03" in found["table"]


def test_check_mode_shows_the_file_and_writes_none(learn: Learn, tmp_path: Path) -> None:
    found = learn({"node01": healthy()}, check=True, template=TEMPLATE)
    assert found["changed"] and "count: 8" in found["diff"]["after"] and not written(tmp_path).parent.exists()


def test_a_class_that_is_there_is_overwritten_only_when_told(learn: Learn, tmp_path: Path) -> None:
    learn({"node01": healthy()})
    written(tmp_path).write_text("mine")
    with pytest.raises(AnsibleActionFail, match=r"h100-a.yml: is there already. Remedy: .*overwrite"):
        learn({"node01": healthy()})
    assert written(tmp_path).read_text() == "mine"
    assert learn({"node01": healthy()}, overwrite=True)["changed"]
    assert not learn({"node01": healthy()}, overwrite=True)["changed"]


@pytest.mark.parametrize(
    ("golden", "told"),
    [
        (spoiled(put("nvml|gpus|3|vbios", "96.00.99.00.02")), "fail gpu.vbios gpu:3"),
        (spoiled(put("nvml|gpus|3|ecc_volatile_uncorrected", 2)), "fail gpu.ecc.uncorrected gpu:3"),
        (spoiled(absent("kernel_log")), "unknown gpu.xid"),
        (spoiled(absent("nvml")), "unknown gpu.model"),
        (spoiled(absent("nvml"), absent("pci")), "hardware.gpus.count"),
        (None, "was not read"),
    ],
)
def test_an_unfit_node_is_no_golden_one(learn: Learn, tmp_path: Path, golden: Any, told: str) -> None:
    found = learn({"node01": golden, "node02": healthy()})
    assert found["failed"] and told in found["msg"] and "Remedy" in found["msg"]
    assert not written(tmp_path).exists() and found["table"]


def test_bad_input_is_named(learn: Learn) -> None:
    with pytest.raises(AnsibleActionFail, match=r"learn_node_class_name: '../x' is no name"):
        learn({"node01": healthy()}, name="../x")
    with pytest.raises(AnsibleActionFail, match=r"learn_node_class_template: there is no node class 'none'"):
        learn({"node01": healthy()}, template="none")


def test_the_playbook_reads_every_unit_that_a_learned_class_asks_for() -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / "learn_node_class.yml").read_text(encoding="utf-8"))
    (task,) = (each for each in plays[0]["tasks"] if "firstlight.cluster.node_observation" in each)
    asked = required_units({"hardware": {"gpus": {"count": 8}}, "software": {"doca_ofed": "3.1.0-091000"}})
    assert task["firstlight.cluster.node_observation"]["units"] == asked
