# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that go wrong on purpose: each way, repeatable by seed, through the lab's command; how many there were."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab import faults, files, machines, region_faults, status
from lab.errors import LabError
from lab.maas.faults import WAYS
from lab.maas.tally import kind_of, tally
from lab.machines import Network
from lab.site import Lab

from .world import FakePower, Machine, World, bmc_of, mac_of

BROKEN = (http.client.HTTPException, OSError, json.JSONDecodeError)


def _inject(world: World, **http_fault: Any) -> None:
    content = {"http": http_fault} if http_fault else {}
    (world.directory / "maas-faults.json").write_text(json.dumps(content), encoding="utf-8")


def _fate(world: World, method: str, path: str) -> str:
    """What a client sees of one request."""
    try:
        answer = world.call(method, path)
        if answer.status >= 500:
            return str(answer.status)
        json.loads(answer.text)
    except json.JSONDecodeError:
        return "no JSON"
    except (http.client.HTTPException, OSError):
        return "reset"
    return "well"


@pytest.mark.parametrize(
    ("way", "seen", "done"),
    [
        ("status", "502", False),
        ("reset", "reset", False),
        ("lost", "reset", True),
        ("truncate", "no JSON", True),
        ("stall", "well", True),
    ],
)
def test_each_way(world: World, way: str, seen: str, done: bool) -> None:
    _inject(world, ways=[way], share=1, status=502, seconds=0.2)
    begun = time.monotonic()
    fields = [("name", "gpu")]
    try:
        answer = world.call("POST", "tags/", *fields)
        outcome = str(answer.status) if answer.status >= 500 else "well"
        if outcome == "well":
            answer.json  # noqa: B018 -- it has to be JSON
    except json.JSONDecodeError:
        outcome = "no JSON"
    except (http.client.HTTPException, OSError):
        outcome = "reset"
    assert outcome == seen
    assert (time.monotonic() - begun >= 0.2) == (way == "stall")
    _inject(world)
    assert [tag["name"] for tag in world.get("tags/")] == (["gpu"] if done else [])


def test_every_way_is_tested() -> None:
    marks = [mark for mark in test_each_way.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(WAYS)


def test_the_nth_request_of_a_kind_fares_the_same_whatever_comes_between(world: World) -> None:
    def fates(between: int) -> list[str]:
        _inject(world)
        assert _fate(world, "GET", "tags/") == "well"
        _inject(world, ways=["status", "reset", "lost", "truncate"], share=0.5, seed=3)
        seen = []
        for _ in range(20):
            seen.append(_fate(world, "GET", "tags/"))
            for _other in range(between):
                _fate(world, "GET", "zones/")
        return seen

    first = fates(0)
    assert fates(2) == first
    assert set(first) == {"well", "503", "reset", "no JSON"}


def test_a_machine_whose_answer_was_lost_is_deployed_once(world: World, power: FakePower) -> None:
    system_id = world.create("node01", 1)
    power.on_power_on = Machine(world, 1).switched_on
    world.post(f"machines/{system_id}/?op=commission")
    world.wait(lambda: world.region.store.machine(system_id)["status"] == 4)  # type: ignore[index]
    world.wait(lambda: power.states[bmc_of(1)] == "off")
    before = power.calls.count(("on", bmc_of(1)))
    _inject(world, ways=["lost"], share=1)
    with pytest.raises(BROKEN):
        world.post(f"machines/{system_id}/?op=deploy")
    _inject(world)
    world.wait(lambda: world.region.store.machine(system_id)["status"] == 6)  # type: ignore[index]
    assert world.call("POST", f"machines/{system_id}/?op=deploy").status == 409
    assert power.calls.count(("on", bmc_of(1))) == before + 1


def test_requests_are_counted_by_kind(world: World) -> None:
    system_id = world.create("node01", 1)
    log = world.directory / "log" / "maas-requests.jsonl"
    begin = len(log.read_text(encoding="utf-8").splitlines())
    for _ in range(3):
        world.get(f"machines/?id={system_id}")
    world.get(f"machines/{system_id}/")
    world.call("POST", f"machines/{system_id}/?op=lock")
    world.pxe(mac_of(1))
    assert tally(log, begin) == {
        "GET /MAAS/api/2.0/machines/": 3,
        "GET /MAAS/api/2.0/machines/*/": 1,
        "POST /MAAS/api/2.0/machines/*/ lock": 1,
        "GET /pxe/*": 1,
    }
    assert tally(world.directory / "none") == {}
    assert kind_of("GET", "/MAAS/api/2.0/events/?op=query&limit=5") == "GET /MAAS/api/2.0/events/ query"


@pytest.mark.parametrize(("way", "status"), [("lost", 200), ("reset", 0)])
def test_a_fault_is_in_the_log_and_what_was_carried_out(world: World, way: str, status: int) -> None:
    _inject(world, ways=[way], share=1)
    assert _fate(world, "GET", "tags/") == "reset"
    line = (world.directory / "log" / "maas-requests.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    assert (json.loads(line)["fault"], json.loads(line)["status"]) == (way, status)


# -- `lab fault maas KIND` -------------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab on paper with one node."""
    one = Lab("test", tmp_path / "clone")
    one.directory.mkdir(parents=True)
    roster = tmp_path / "hosts.yml"
    roster.write_text(
        json.dumps(
            {
                "gpu_nodes": {"hosts": {"node01": {"serial_number": "FL1", "rack": "r1", "unit": 1}}},
                "head_nodes": {"hosts": {"head01": {"serial_number": "FL2", "rack": "r1", "unit": 2}}},
                "mirror": {"hosts": {"head01": None}},
            }
        ),
        encoding="utf-8",
    )
    machines.save(one.directory, machines.build(roster, Network("198.18.7.0/24", "198.18.7.1", "flabcdef")))
    return one


def _asked(lab: Lab) -> Any:
    return files.read_json(lab.directory / "maas-faults.json", {})


@pytest.mark.parametrize("kind", region_faults.KINDS)
def test_a_fault_of_the_region_comes_and_goes(lab: Lab, kind: str) -> None:
    files.write_json(lab.directory / "maas-faults.json", {"machine": {"node01": {"deploy": "fail"}}})
    used = faults.inject(lab, "maas", kind, {})
    assert _asked(lab) != {"machine": {"node01": {"deploy": "fail"}}}
    assert faults.of(lab.directory)["maas"][0]["parameters"] == used
    assert faults.heal(lab, "maas") == [kind]
    assert _asked(lab) == {"machine": {"node01": {"deploy": "fail"}}}
    assert faults.heal(lab, "maas") == []


def test_parameters_of_a_fault_of_the_region(lab: Lab) -> None:
    faults.inject(lab, "maas", "http-flaky", {"percent": 35, "seconds": 7, "seed": 9})
    http_fault = _asked(lab)["http"]
    assert (http_fault["share"], http_fault["seconds"], http_fault["seed"], http_fault["status"]) == (0.35, 7, 9, 503)
    assert set(http_fault["ways"]) == set(WAYS)


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("nosuch", {}, "http-flaky"),
        ("down", {"percent": 3}, "no parameter"),
        ("http-stalls", {"status": 500}, "--seconds"),
        ("http-errors", {"percent": 0}, "1 to 100"),
    ],
)
def test_what_the_region_cannot_have(lab: Lab, kind: str, given: dict[str, int], says: str) -> None:
    with pytest.raises(LabError, match=says):
        faults.inject(lab, "maas", kind, given)
    assert _asked(lab) == {}


def test_a_fault_of_the_region_is_shown(lab: Lab) -> None:
    assert status.read(lab)["region_faults"] == []
    faults.inject(lab, "maas", "http-errors", {"percent": 35})
    shown = status.read(lab)
    schema = json.loads((Path(status.__file__).parent / "status.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(shown, schema)
    assert [one["kind"] for one in shown["region_faults"]] == ["http-errors"]
    assert "http-errors percent=35" in status.table(shown)


def test_one_fault_of_the_region_at_a_time(lab: Lab) -> None:
    faults.inject(lab, "maas", "down", {})
    with pytest.raises(LabError, match="heal maas"):
        faults.inject(lab, "maas", "http-stalls", {})


def test_the_simulator_does_what_the_command_wrote(lab: Lab, new_world: Callable[..., World]) -> None:
    world = new_world()
    for kind, seen in (("http-errors", "503"), ("down", "reset"), ("http-truncated", "no JSON")):
        faults.inject(lab, "maas", kind, {} if kind == "down" else {"percent": 100})
        (world.directory / "maas-faults.json").write_text(json.dumps(_asked(lab)), encoding="utf-8")
        assert _fate(world, "GET", "version/") == seen
        faults.heal(lab, "maas")
    (world.directory / "maas-faults.json").write_text(json.dumps(_asked(lab)), encoding="utf-8")
    assert _fate(world, "GET", "version/") == "well"
