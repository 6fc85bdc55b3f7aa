# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every recorded answer of a real MAAS, read by the client: the right value or the right error, and no secret in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import errors
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import (
    ApiKey,
    Client,
    Request,
    Response,
    Retry,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import read_list
from fake_maas import KEY, URL

BY_STATUS = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MaasError,
    409: errors.Conflict,
    410: errors.Gone,
    500: errors.ServerError,
    503: errors.Unavailable,
}
# Lists asked for with credentials that MAAS does not recognise as such: a 400 that means 401.
NO_CREDENTIALS = {"010-auth-none", "024-auth-no-nonce", "028-auth-basic", "029-auth-bearer", "030-auth-garbage-oauth"}


def exchanges(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((folder / "maas").glob("*.json")):
        yield path.stem, json.loads(path.read_text("utf-8"))


def replay(exchange: dict[str, Any]) -> Any:
    """What the client makes of one recorded answer, asked once."""
    answer = exchange["response"]
    body = answer["body"]
    data = json.dumps(body) if answer["body_kind"] == "json" else str(body)

    def transport(request: Request) -> Response:
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        return Response(answer["status"], headers, data.encode())

    client = Client(URL, ApiKey.parse(KEY), transport, retry=Retry(attempts=1))
    method, url = exchange["request"]["method"], exchange["request"]["url"]
    path, _, query = url.partition("/api/2.0/")[2].partition("?")
    op = next((part[3:] for part in query.split("&") if part.startswith("op=")), None)
    if method == "PUT":
        return client.upload(path, b"piece") if "/upload/" in path else client.put(path, {})
    if method == "DELETE":
        return client.delete(path)
    return client.get(path, op) if method == "GET" else client.post(path, op)


def secrets_in(exchange: dict[str, Any]) -> str | None:
    body = str(exchange["response"]["body"])
    return body.rpartition("base string: &")[2].rstrip("'") if "base string: &" in body else None


def test_every_recorded_answer_becomes_a_value_or_its_error(recorded: Path) -> None:
    seen = 0
    for name, exchange in exchanges(recorded):
        status = exchange["response"]["status"]
        if status < 300:
            if exchange["response"]["body_kind"] == "json" and exchange["request"]["method"] != "DELETE":
                assert replay(exchange) == exchange["response"]["body"], name
                seen += 1
            continue
        expected = errors.Unauthorized if name in NO_CREDENTIALS else BY_STATUS[status]
        with pytest.raises(errors.MaasError) as caught:
            replay(exchange)
        error = caught.value
        assert type(error) is expected, name
        assert error.status == status, name
        assert str(status) in str(error), name
        assert error.path.partition("?")[0] in exchange["request"]["url"], name
        if status == 401:
            assert error.body == "", name
        elif exchange["response"]["body_kind"] == "text" and expected is not errors.Unauthorized:
            assert error.body == exchange["response"]["body"], name
        if status not in (400, 405):
            assert error.remedy and str(error).endswith(error.remedy), name
        seen += 1
    assert seen > 500


def test_the_secret_in_a_401_is_shown_nowhere(recorded: Path) -> None:
    found = 0
    for _, exchange in exchanges(recorded):
        secret = secrets_in(exchange)
        if secret is None:
            continue
        found += 1
        with pytest.raises(errors.Unauthorized) as caught:
            replay(exchange)
        error = caught.value
        shown = f"{error} {error!r} {error.args} {vars(error)} {error.__context__!r} {error.__cause__!r}"
        assert secret not in shown
        assert "secret) is wrong" in str(error)
    assert found == 2


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("014-auth-unknown-consumer", "(consumer) is not known"),
        ("015-auth-unknown-token", "(token) is not known"),
        ("019-auth-timestamp-one-day-old", "clock is more than five minutes behind"),
        ("023-auth-nonce-replayed", "repeats requests"),
        ("010-auth-none", "saw no credentials"),
        ("391-deploy-unknown-series", "distro_series: 'nosuch' is not a valid distro_series."),
        ("331-commissioning-commission-again", "Commission is not available because of the current state"),
        ("332-commissioning-deploy", "Can't deploy a machine that is in the 'Commissioning' state"),
        ("131-create-same-bmc-address-as-n2", "Conflict error. Try your request again"),
        ("416-locked-power-off", "must be an administrator and own the machine"),
        ("042-url-unknown-endpoint", "Is the URL that of MAAS?"),
        ("048-url-lowercase-maas", "No Such Resource"),
        ("850-norack-create-ipmi-commission", "No rack controllers can access the BMC of node norack1"),
        ("850-norack-create-ipmi-commission", "Is a rack controller running"),
        ("861-norack-deploy", "Is a rack controller running"),
        ("881e-notemporal-deploy", "workflow service (Temporal) is down"),
        ("090-fresh-machine-create-no-boot-images", "import some (maas_boot_source)"),
        ("120-create-duplicate-mac", "match it by its serial or name"),
        ("131-create-same-bmc-address-as-n2", "the same unique value exists (a BMC address"),
        ("233-list-pool-unknown", "Create the resource pool first"),
        ("243-list-unknown-filter", "Filter by what MAAS can filter by"),
        ("374-allocate-by-name-again", "No machine that is Ready fits"),
        ("393-deploy-series-not-imported", "Import the series or upload the image"),
        ("550-pool-delete-in-use", "Move its machines to another pool first"),
        ("606-vlan-dhcp-on-no-rack", "Give primary_rack"),
        ("636-upload-wrong-sha", "upload it anew"),
    ],
)
def test_messages_name_the_cause(recorded: Path, name: str, part: str) -> None:
    exchange = dict(exchanges(recorded))[name]
    with pytest.raises(errors.MaasError) as caught:
        replay(exchange)
    assert part in str(caught.value)
    assert "<" not in str(caught.value)


def test_form_errors_are_kept_by_field(recorded: Path) -> None:
    with pytest.raises(errors.BadRequest) as caught:
        replay(dict(exchanges(recorded))["587-subnet-create-again"])
    assert set(caught.value.fields) == {"__all__", "cidr"}


def test_the_form_of_retry_after_is_read(recorded: Path) -> None:
    with pytest.raises(errors.Conflict) as caught:
        replay(dict(exchanges(recorded))["131-create-same-bmc-address-as-n2"])
    assert caught.value.retry_after == 5.0


def test_every_recorded_machine_can_be_read(recorded: Path) -> None:
    machines = []
    for _, exchange in exchanges(recorded):
        body, url = exchange["response"]["body"], exchange["request"]["url"]
        if exchange["response"]["status"] == 200 and "/machines/" in url and isinstance(body, list):
            machines += read_list([item for item in body if isinstance(item, dict)])
        elif isinstance(body, dict) and "system_id" in body and "hostname" in body:
            machines += read_list([body])
    assert len(machines) > 250
    deployed = [machine for machine in machines if machine.status == 6 and machine.addresses]
    assert deployed and all(machine.primary_address == "10.20.0.1" for machine in deployed if machine.hostname == "n3")
    assert {machine.serial for machine in machines} == {""}, "Unknown means that there is none"
