# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's simulators take junk as servers do: they refuse it, and go on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bmc.places import RESET, ROOT, SESSIONS, SYSTEM
from lab.maas.api import Api
from tests.unit.lab_bmc.world import Client
from tests.unit.lab_maas.world import KEY, FakePower, World, make_world, oauth
from tests.unit.properties.junk import BYTES, JSON, TEXTS, mutated, mutated_bytes

PART = '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--'
METHODS = st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "", "X"])


@pytest.fixture(scope="module")
def bmc(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(tmp_path_factory.mktemp("bmc"))


@given(
    METHODS,
    st.sampled_from([ROOT, SYSTEM, SESSIONS, RESET]) | mutated(SYSTEM) | TEXTS,
    mutated_bytes('{"ResetType": "On"}', '{"UserName": "admin", "Password": "x"}')
    | BYTES
    | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_request_to_a_bmc_is_answered(bmc: Client, method: str, path: str, body: bytes) -> None:
    answer = bmc.ask(method, path, body)
    assert 200 <= answer.status < 500, answer.body


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A region whose server does not run: what it makes of a request is asked of it directly."""
    world = make_world(tmp_path_factory.mktemp("region"), FakePower())
    yield world
    world.region.lifecycle.stop()
    world.server.server_close()


@given(
    METHODS,
    st.sampled_from(["machines/", "machines/?op=is_registered&mac_address=", "events/?op=query", "tags/", "users/"])
    | TEXTS,
    st.sampled_from(["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", ""])
    | TEXTS,
    mutated_bytes(
        "name=x&comment=y", '{"name": "x"}', '--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--'
    )
    | BYTES,
)
def test_any_request_to_maas_is_answered(region: World, method: str, path: str, kind: str, body: bytes) -> None:
    headers = {"authorization": oauth(KEY), "content-type": kind}
    response = Api(region.region).handle(method, f"/MAAS/api/2.0/{path}", headers, body)
    # The real one fails so, in these words, on a body of a type that it does not know.
    assert 200 <= response.status < 500 or b"NoneType" in response.body, response.body
