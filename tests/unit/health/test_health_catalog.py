# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue, the XID table, the node classes that are shipped, and their schema."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog import areas
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog import health as health_package
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import (
    CHECKS,
    NODE_HEALTH,
    _by_id,
    excluded_checks,
    expected_checks,
    finding,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.health.gpu_errors import (
    MAX_UNCORRECTABLE_REMAPS,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.model import OWNERS
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.thresholds import DEFAULTS, SOURCES
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.xid import (
    BUCKETS,
    XIDS,
    bucket_of,
    meaning_of,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Verdict
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.node import Sources, readers
from ansible_collections.firstlight.cluster.plugins.module_utils.site.kernel_log import baseline_of
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "plugins/module_utils/schemas/node_class.schema.json").read_text())
CLASSES = [ROOT / "node_classes/h100-sxm5-8x400g.yml", ROOT / "inventories/lab/node_classes/lab-h100.yml"]


def errors(node_class: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(node_class)]


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.id)
def test_every_check_says_who_ends_it_and_how(check: Any) -> None:
    assert check.owner in OWNERS
    assert check.title and check.remedy.endswith(".")
    names = {name.partition(":")[0] for name in readers(Sources(mounts=["/"], optics=["mlx5_0"]), 1.0)}
    assert set(check.reads) <= names | {"history"}  # read behind the others, of what they counted


# What the sentences of `fails` begin with where a check never fails.
WORST = {"warn": "It warns ", "unknown": "It is unknown ", "waived": "It is waived "}


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.id)
def test_every_check_says_what_it_reads_and_when_it_fails(check: Any) -> None:
    assert len(check.source) > 10 and not check.source.endswith(".")
    assert len(check.fails) > 20 and check.fails.endswith(".")
    begins = [verdict for verdict, words in WORST.items() if check.fails.startswith(words)]
    assert begins == ([check.severity] if check.severity in WORST else [])


def test_what_the_catalogue_names_is_what_is_read_and_what_a_class_may_say() -> None:
    utils = ROOT / "plugins/module_utils"
    readers = "\n".join(path.read_text() for part in ("observe", "compute") for path in (utils / part).glob("*.py"))
    told = [(check.id, check.source, check.fails) for check in CHECKS.values()]
    calls = {(id_, call) for id_, source, _fails in told for call in re.findall(r"nvml[A-Z]\w+", source)}
    assert len(calls) > 30
    assert {(id_, call) for id_, call in calls if f'"{call}"' not in readers} == set()
    limits = SCHEMA["properties"]["thresholds"]["properties"]
    keys = "|".join(SCHEMA["properties"])
    named = {(id_, key) for id_, _source, fails in told for key in re.findall(rf"\b((?:{keys})(?:\.\w+)+)", fails)}
    assert len(named) > 30
    assert {(id_, key) for id_, key in named if not _in_schema(key)} == set()
    reached = {(id_, name) for id_, _source, fails in told for name in re.findall(r"\b(\w+)\.(?:warn|fail)\b", fails)}
    assert len(reached) > 20
    assert {(id_, name) for id_, name in reached if name not in limits} == set()
    assert f" {MAX_UNCORRECTABLE_REMAPS} rows" in CHECKS["gpu.row_remap.spare"].fails


@pytest.mark.parametrize("check", NODE_HEALTH)
def test_every_check_of_a_node_needs_what_a_class_can_have(check: str) -> None:
    assert all(_in_schema(key) for key in CHECKS[check].needs)


def _in_schema(key: str) -> bool:
    """Whether a node class may have a dotted key; the baseline of its kernel log is in a file of its own."""
    if key.startswith("kernel_log."):
        return key.partition(".")[2] in baseline_of({})
    part = SCHEMA
    for step in key.split("."):
        part = part.get("properties", {}).get(step, {})
    return bool(part)


def test_every_file_of_an_area_is_in_the_list_of_areas() -> None:
    there = {path.stem for path in Path(health_package.__path__[0]).glob("[a-z]*.py")}
    assert {area.__name__.rpartition(".")[2] for area in areas.AREAS} == there


def test_an_id_that_two_checks_have_is_refused() -> None:
    check = CHECKS["gpu.count"]
    assert _by_id([check]) == {"gpu.count": check}
    with pytest.raises(ValueError, match=r"two checks gpu\.count"):
        _by_id([check, CHECKS["gpu.model"], check])


def test_no_threshold_belongs_to_two_areas() -> None:
    assert len(DEFAULTS) == sum(len(source.THRESHOLDS) for source in SOURCES)


@pytest.mark.parametrize("value", [None, False, 0, [], {}])
def test_a_check_is_not_expected_without_what_it_needs(value: Any) -> None:
    class_ = change("hardware.hcas.firmware", "28.39.1002")
    expected = set(expected_checks(class_))
    assert "hca.firmware" in expected
    class_["hardware"]["hcas"]["firmware"] = value
    assert expected - set(expected_checks(class_)) == {"hca.firmware"}
    class_["hardware"]["hcas"] = value
    gone = expected - set(expected_checks(class_))
    assert gone == {check for check in expected if any(key.startswith("hardware.hcas.") for key in CHECKS[check].needs)}
    assert {check for check in expected if check.startswith("hca.")} <= gone


def test_a_finding_takes_owner_and_remedy_from_the_catalogue() -> None:
    failed = finding("hca.state", "hca:mlx5_5", Verdict.FAIL, "port is DOWN")
    assert (failed.owner, failed.remedy) == ("network", CHECKS["hca.state"].remedy)
    assert finding("hca.state", "hca:mlx5_5", Verdict.PASS, "ACTIVE").remedy == ""
    assert finding("gpu.count", "host", Verdict.FAIL, "7", remedy="Look.").remedy == "Look."


def test_what_could_not_be_read_is_not_to_be_replaced_yet() -> None:
    unknown = finding("gpu.count", "host", Verdict.UNKNOWN, "nvml: no answer")
    assert "nvml" in unknown.remedy and "reseat" not in unknown.remedy
    assert finding("host.reachable", "host", Verdict.UNKNOWN, "away").remedy == CHECKS["host.reachable"].remedy


def test_an_id_that_the_catalogue_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError, match="gpu\\.colour"):
        finding("gpu.colour", "gpu:0", Verdict.FAIL, "green")


def test_xid_table_is_whole() -> None:
    assert set(XIDS) == set(range(1, 173))
    assert {xid.bucket for xid in XIDS.values()} == set(BUCKETS) - {"connection"}, "that one is told by registers"
    assert all(xid.code == code and xid.meaning for code, xid in XIDS.items())


@pytest.mark.parametrize(
    ("code", "bucket"),
    [
        *((code, "drain_rma") for code in (54, 64)),
        *((code, "reset_gpu") for code in (46, 48, 62, 74, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158)),
        *((code, "reboot") for code in (79, 151, 168)),
        *((code, "app") for code in (8, 11, 13, 25, 31, 32, 37, 43, 69, 80, 94, 126, 135, 139)),
        *((code, "ignore") for code in (45, 63, 106, 107, 108, 141, 152, 153, 160, 161)),
        *((code, "info") for code in (1, 92, 172, 4711)),
    ],
)
def test_xid_buckets(code: int, bucket: str) -> None:
    assert bucket_of(code, "") == bucket


@pytest.mark.parametrize(
    ("text", "bucket"),
    [
        ("GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)", "reset_gpu"),
        ("GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)", "reboot"),
        ("GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)", "ignore"),
        ("GPU recovery action changed from 0x0 (None) to 0x3 (Drain P2P)", "recovery"),
        ("GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)", "reset_gpu"),
        # The words are the driver's of the day; the numbers are NVML's.
        ("GPU recovery action changed from 0x0 (None) to 0x1 (PF FLR)", "reset_gpu"),
        ("GPU recovery action changed from 0x0 (None) to 0x2 (OS Reboot)", "reboot"),
        ("GPU recovery action changed from 0x2 (OS Reboot) to 0x0 (No Action)", "ignore"),
        ("GPU recovery action changed from 0x0 (None) to 0x00000001", "reset_gpu"),
        # What cannot be told is not nothing.
        ("GPU recovery action changed to 0x9 (None)", "recovery"),
        ("GPU recovery action changed from 0x0 (None) to 0x10 (Bus Reset)", "recovery"),
        ("GPU recovery action changed to (None)", "recovery"),
        ("", "recovery"),
    ],
)
def test_xid_154_is_judged_by_the_number_of_the_action(text: str, bucket: str) -> None:
    assert bucket_of(154, text) == bucket


@pytest.mark.parametrize("code", range(144, 151))
@pytest.mark.parametrize(
    ("text", "bucket"),
    [
        ("RLW_REMAP Fatal XC1 i0 Link 10 (0x00000082 0x00000040 0x00000000)", "reset_gpu"),
        ("NETIR_LINK_EVT  Fatal   XC0 i0 Link 09 (0x025525c6 0x00000000)", "reset_gpu"),
        ("RLW_CTRL Nonfatal XC0 i0 Link 00 (0x00000003 0x80000000)", "info"),
        ("RLW_CTRL Non-fatal XC0 i0 Link 00 (0x00000003 0x80000000)", "info"),
        ("MSE fatal 0 0 Link 2 (0x00000001 0x00000002)", "reset_gpu"),
        # No severity: nothing says that it was harmless.
        ("SAW_MVB XC0 i0 Link 00 (0x00000001 0x00000001)", "reset_gpu"),
        ("", "reset_gpu"),
    ],
)
def test_an_nvlink_5_xid_is_judged_by_its_severity(code: int, text: str, bucket: str) -> None:
    assert bucket_of(code, text) == bucket


def test_no_other_xid_is_excused_by_the_word_nonfatal() -> None:
    assert (bucket_of(74, "Nonfatal"), bucket_of(151, "Nonfatal")) == ("reset_gpu", "reboot")


def test_an_unknown_xid_has_a_meaning_too() -> None:
    assert meaning_of(4711) == "not in the XID table"


@pytest.mark.parametrize("path", CLASSES, ids=lambda path: path.stem)
def test_shipped_classes_follow_the_schema(path: Path) -> None:
    node_class = yaml.safe_load(path.read_text())
    assert errors(node_class) == []
    assert node_class["name"] == path.stem
    # A site says the rest of its own chassis and system.
    missing = set(NODE_HEALTH) - set(expected_checks(node_class)) - {*excluded_checks(node_class)}
    assert missing <= {check for check in NODE_HEALTH if CHECKS[check].needs}
    assert len(node_class["hardware"]["hcas"]["devices"]) == node_class["hardware"]["gpus"]["count"]


def test_the_schema_is_one_and_knows_the_thresholds() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(DEFAULTS) <= set(SCHEMA["properties"]["thresholds"]["properties"])


def test_every_key_of_the_schema_is_described() -> None:
    def walk(schema: dict[str, Any], where: str) -> list[str]:
        bare = []
        for key, value in schema.get("properties", {}).items():
            if "description" not in value:
                bare.append(f"{where}.{key}")
            bare += walk(value, f"{where}.{key}") + walk(value.get("items", {}), f"{where}.{key}[]")
        return bare

    assert walk(SCHEMA, "$") == []


def change(path: str, value: Any) -> dict[str, Any]:
    """The real class with one key set, or taken away for a value of None."""
    result: dict[str, Any] = copy.deepcopy(yaml.safe_load(CLASSES[0].read_text()))
    target = result
    *parents, last = path.split(".")
    for key in parents:
        target = target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return result


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("schema", 2, "schema: 1 was expected"),
        ("name", "Big Node", "name"),
        ("name", None, "'name' is a required property"),
        ("colour", "green", "'colour' was unexpected"),
        ("hardware.gpus", None, "'gpus' is a required property"),
        ("hardware.gpus.count", "8", "'8' is not of type 'integer'"),
        ("hardware.gpus.model", None, "'model' is a required property"),
        ("hardware.gpus.fans", 3, "'fans' was unexpected"),
        ("hardware.gpus.pci_addresses", ["1b:00.0"], "does not match"),
        ("hardware.hcas.devices", ["mlx5_0", "mlx5_0"], "non-unique"),
        ("hardware.hcas.rate_gbps", None, "'rate_gbps' is a required property"),
        ("hardware.mounts", ["data"], "does not match"),
        ("software.gpu_driver", None, "'gpu_driver' is a required property"),
        ("software.docker", 20.1, "20.1 is not of type 'string'"),
        ("thresholds.gpu_temperature_c", {"warn": 80}, "'fail' is a required property"),
        ("thresholds.pair_ratio", 1.5, "1.5 is greater than the maximum"),
        ("thresholds.gpu_temp", 3, "'gpu_temp' was unexpected"),
        ("checks.exclude", [{"id": "", "reason": "x"}], "'' should be non-empty"),
        ("checks.exclude", [{"id": "gpu.xid"}], "'reason' is a required property"),
    ],
)
def test_the_schema_refuses(path: str, value: Any, says: str) -> None:
    found = errors(change(path, value))
    assert any(says in error for error in found), found


def test_a_class_without_gpus_needs_to_say_nothing_more_of_them() -> None:
    bare = change("hardware.gpus", {"count": 0})
    bare["hardware"]["hcas"] = {"devices": []}
    bare["software"] = {}
    assert errors(bare) == []
