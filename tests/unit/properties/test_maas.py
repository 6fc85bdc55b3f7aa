# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What MAAS may answer, and the keys to it: every answer is read or is an error with a name, and no key gets out."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import requests
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import (
    ApiKey,
    Client,
    Request,
    Response,
    Retry,
    api_root,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.errors import (
    InvalidKey,
    InvalidResponse,
    MaasError,
    from_answer,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Machine, Status, read_list
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Wanted, match
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.planning import (
    Action,
    Goal,
    State,
    foresee,
    next_step,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.junk import BYTES, JSON, TEXTS, mutated, mutated_bytes

SECRET = "s3cr3t-part-of-the-key"
KEY = f"consumer:token:{SECRET}"
MACHINE: dict[str, Any] = {
    "system_id": "abc123",
    "hostname": "node01",
    "fqdn": "node01.maas",
    "status": 6,
    "status_name": "Deployed",
    "owner": "admin",
    "locked": False,
    "osystem": "debian",
    "distro_series": "bookworm",
    "power_state": "on",
    "hardware_info": {"system_serial": "SN01"},
    "tag_names": ["b", "a"],
    "pool": {"name": "default"},
    "zone": {"name": "default"},
    "boot_interface": {"links": [{"ip_address": "10.0.0.1", "subnet": {"cidr": "10.0.0.0/24"}}]},
    "interface_set": [{"links": [{"ip_address": "10.0.0.1", "subnet": {"cidr": "10.0.0.0/24"}}]}],
    "ip_addresses": ["10.0.0.1"],
}
ANSWER = json.dumps([MACHINE])


def client(*bodies: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Client:
    """A client whose MAAS gives these bodies, the last one for ever."""
    answers = itertools.chain(bodies, itertools.repeat(bodies[-1]))

    def carry(_request: Request) -> Response:
        return Response(status, headers or {}, next(answers))

    return Client("http://maas:5240/MAAS", ApiKey.parse(KEY), carry, retry=Retry(2), sleep=lambda _seconds: None)


QUESTIONS: list[Callable[[Client], object]] = [
    requests.list_machines,
    requests.whoami,
    requests.version,
    lambda each: requests.find(each, [Wanted("node01", serial="SN01")]),
    lambda each: requests.read_machines(each, ["abc123"]),
]


@given(mutated_bytes(ANSWER) | BYTES | st.just(b"[" * 20_000) | st.just(b'[{"status": 1e999}]'))
def test_any_answer_is_a_list_of_machines_or_an_error_with_a_name(body: bytes) -> None:
    for ask in QUESTIONS:
        with contextlib.suppress(MaasError):
            ask(client(body))


@given(mutated_bytes('{"events": [{"node": "abc123", "level": "ERROR", "type": "x", "description": "y"}]}') | BYTES)
def test_events_never_raise(body: bytes) -> None:
    machine = Machine.from_json(MACHINE)
    assert requests.latest_events(client(body), [machine]).keys() == {"abc123"}


@given(st.dictionaries(st.sampled_from([*sorted(MACHINE), "status_action", "error_description"]), JSON, max_size=4))
def test_any_machine_is_read_or_refused_and_survives_its_variables(values: dict[str, Any]) -> None:
    try:
        machine = Machine.from_json(MACHINE | values)
    except InvalidResponse:
        return
    kept = json.loads(json.dumps(machine.as_vars(), default=str))
    assert Machine.from_vars(kept).as_vars() == kept


@given(JSON)
def test_anything_else_is_no_list_of_machines(data: Any) -> None:
    try:
        machines = read_list(data)
    except InvalidResponse:
        return
    assert data == [] and machines == []


@given(
    st.integers(100, 599) | st.integers(),
    st.dictionaries(st.sampled_from(["retry-after", "location"]), TEXTS | st.just("nan")),
    mutated_bytes("<html><h1>Bad</h1></html>", '{"name": ["is taken"]}', f"Invalid signature. Expected: {SECRET}")
    | BYTES,
)
def test_any_refusal_is_one_sentence_without_the_key(status: int, headers: dict[str, str], body: bytes) -> None:
    error = from_answer("GET", "machines/", status, headers, body + SECRET.encode(), ApiKey.parse(KEY).secrets())
    assert len(str(error)) < 3000 + len(headers.get("location", ""))
    assert SECRET not in f"{error} {error.body}"
    assert error.retry_after is None or error.retry_after >= 0
    assert Retry().pause(1, error.retry_after) <= Retry().longest


@pytest.mark.parametrize("body", [b"<h1>" * 300_000, b"<h1 " * 300_000, b'{"a": ' * 200_000])
def test_a_page_without_end_becomes_a_sentence(body: bytes) -> None:
    """In a moment: a pattern that begins anew at every heading would need hours."""
    assert len(str(from_answer("GET", "machines/", 502, {}, body))) < 3000


@given(mutated(KEY) | TEXTS)
def test_any_key_is_taken_or_refused_without_being_told(text: str) -> None:
    try:
        key = ApiKey.parse(text)
    except InvalidKey as error:
        assert SECRET not in str(error)
        return
    assert ":".join((key.consumer, key.token, key.secret)) == text.strip()
    assert key.secret not in repr(key) or key.secret in "ApiKey(***)"


@given(mutated("http://maas:5240/MAAS/api/2.0/", "https://user:pw@maas/MAAS", "http://[::1]:5240") | TEXTS)
def test_any_url_is_a_root_or_refused(url: str) -> None:
    try:
        root = api_root(url)
    except MaasError:
        return
    assert root.endswith("/api/2.0/") and "@" not in root.split("/")[2]
    assert api_root(root) == root


# -- matching and planning

MACHINES = st.builds(
    Machine,
    system_id=st.sampled_from("abcd"),
    hostname=st.sampled_from(["node01", "NODE01", "node02", ""]),
    status=st.sampled_from([int(each) for each in Status] + [99, -1]),
    status_name=st.just("x"),
    owner=st.sampled_from([None, "admin", "other"]),
    locked=st.booleans(),
    osystem=st.sampled_from(["debian", "ubuntu", ""]),
    distro_series=st.sampled_from(["bookworm", "noble", ""]),
    serial=st.sampled_from(["", "S1", "S2"]),
    tags=st.sampled_from([(), ("in-service",)]),
)
WANTED = st.builds(
    Wanted, st.sampled_from(["node01", "node02"]), st.sampled_from(["", "a", "z"]), st.sampled_from(["", "S1", "S2"])
)


@given(st.lists(WANTED, max_size=3, unique_by=lambda host: host.name), st.lists(MACHINES, max_size=4))
def test_matching_gives_every_host_one_answer_whatever_the_order(roster: list[Wanted], machines: list[Machine]) -> None:
    machines = list({machine.system_id: machine for machine in machines}.values())
    one, other = match(roster, machines), match(roster[::-1], machines[::-1])
    assert one.found.keys() | one.problems.keys() == {host.name for host in roster}
    assert not one.found.keys() & one.problems.keys()
    assert (one.found, one.problems.keys()) == (other.found, other.problems.keys())
    assert len({machine.system_id for machine in one.found.values()}) == len(one.found)


GOALS = st.sampled_from(State).map(lambda state: Goal(state, "admin", "debian", "bookworm", "in-service"))


@given(MACHINES, WANTED, GOALS, st.lists(st.sampled_from([each for each in Action if each.writes]), max_size=4))
def test_every_machine_has_a_next_step_and_none_is_taken_from_its_owner(
    machine: Machine, host: Wanted, goal: Goal, done: list[Action]
) -> None:
    step = next_step(machine, host, goal, done)
    assert (step.action is Action.REFUSE) is bool(step.reason)
    if step.action.writes:
        assert not machine.locked
        assert not (host.serial and machine.serial) or host.serial == machine.serial
        assert not ("in-service" in machine.tags and machine.status == Status.DEPLOYED)
    foresight = foresee(machine, host, goal)
    assert len(foresight.steps) < 12
