# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for MAAS say when it goes wrong: Ansible refuses the call, or MAAS repeats what it was sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import client, errors
from ansible_collections.firstlight.cluster.plugins.modules import maas_config, maas_machine
from fake_maas import KEY, URL, Box, FakeMaas, text

from tests.e2e.leaks import Search, Secret

Run = Callable[..., dict[str, Any]]
# As one may be: with every character that somebody has to escape.
PASSWORD = "a1b2c3/+ '\"&<%\\é$-d4e5f6"
USER_DATA = "#cloud-config\nssh_keys: {ed25519_private: VeryPrivateKeyOfANode0123456789}\n"
SETTINGS = {
    "maas_auto_ipmi_k_g_bmc_key": PASSWORD,
    "http_proxy": f"http://{PASSWORD[:6]}:hunter2-hunter2@proxy:3128",
    "ntp_servers": ["10.0.0.1"],
}
SEARCH = Search(
    [Secret("password", PASSWORD), Secret("proxy", "hunter2-hunter2"), Secret("user data", USER_DATA.splitlines()[1])]
)


def machine() -> dict[str, Any]:
    power = {"power_address": "10.0.1.1", "power_user": "maas", "power_pass": PASSWORD}
    macs = ["52:54:00:AA:00:01"]
    return {
        "name": "node01",
        "power_type": "redfish",
        "power_parameters": power,
        "mac_addresses": macs,
        "user_data": USER_DATA,
    }


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the modules tell the system's log."""
    lines: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda self, msg, log_args=None: lines.append(msg))
    return lines


@pytest.mark.parametrize("refused", [{"request_timeout": "soon"}, {"no_such_option": 1}])
@pytest.mark.parametrize(
    ("module", "options"),
    [(maas_machine, {"state": "enrolled", "machines": [machine()]}), (maas_config, {"settings": SETTINGS})],
)
def test_a_call_that_ansible_refuses_shows_nothing_of_it(
    run: Run, module: Any, options: dict[str, Any], refused: dict[str, Any]
) -> None:
    result = run(module, FakeMaas(), _ansible_inject_invocation=True, **options, **refused)
    assert result["failed"] is True and "invocation" in result
    assert SEARCH.text("result", json.dumps(result)) == []


@pytest.mark.parametrize("check", [True, False])
def test_settings_are_set_and_their_secrets_shown_nowhere(run: Run, told: list[str], check: bool) -> None:
    maas = FakeMaas()
    maas.site.settings = dict.fromkeys(SETTINGS, "")
    result = run(maas_config, maas, check=check, diff=True, _ansible_inject_invocation=True, settings=SETTINGS)
    assert len(result["actions"]) == len(SETTINGS)
    assert SEARCH.text("result", json.dumps(result)) == []
    assert "10.0.0.1" in json.dumps(result["diff"]), "a setting that is no secret is shown"
    assert told
    assert SEARCH.text("system log", "\n".join(told)) == []


@pytest.mark.parametrize("repeat", [lambda said: said, json.dumps, lambda said: json.dumps({"power_pass": [said]})])
def test_what_maas_repeats_of_a_password_is_not_shown(run: Run, repeat: Callable[[str], str]) -> None:
    maas = FakeMaas()
    refusal = text(400, repeat(f"{PASSWORD} is too long"))
    maas.before = lambda method, what: refusal if method == "POST" else None
    result = run(maas_machine, maas, state="enrolled", machines=[machine()])
    assert "is too long" in result["machines"]["node01"]["reason"]
    assert SEARCH.text("result", json.dumps(result)) == []


@pytest.mark.parametrize("status", [400, 403])
def test_what_maas_repeats_of_user_data_is_not_shown(run: Run, status: int) -> None:
    maas = FakeMaas(Box("a", "node01", serial="S1"))
    sent = base64.b64encode(USER_DATA.encode()).decode()
    refusal = text(status, json.dumps({"user_data": [f"{sent} is not welcome"]}))
    maas.before = lambda method, what: refusal if "op=deploy" in what else None
    result = run(maas_machine, maas, machines=[{"name": "node01", "user_data": USER_DATA}])
    assert "is not welcome" in result["machines"]["node01"]["reason"]
    assert SEARCH.text("result", json.dumps(result)) == []


@pytest.mark.parametrize("form", sorted(errors.forms(PASSWORD)))
def test_no_form_of_a_secret_is_in_an_error(form: str) -> None:
    answers = [text(400, f"what is {form} to me"), client.Response(302, {"location": f"http://x/?{form}"}, b"")]
    for answer in answers:
        maas = client.Client(URL, client.ApiKey.parse(KEY), lambda request, answer=answer: answer)
        maas.conceal([PASSWORD])
        with pytest.raises(errors.MaasError) as caught:
            maas.post("machines/")
        assert SEARCH.text("error", f"{caught.value} {vars(caught.value)}") == []


def test_a_secret_that_begins_like_another_is_hidden_whole() -> None:
    maas = client.Client(URL, client.ApiKey.parse(KEY), lambda request: text(400, f"no {PASSWORD}-new-and-longer"))
    maas.conceal([PASSWORD])
    maas.conceal([f"{PASSWORD}-new-and-longer"])
    with pytest.raises(errors.BadRequest) as caught:
        maas.post("machines/")
    assert "new-and-longer" not in str(caught.value)


def test_a_request_does_not_show_what_it_carries() -> None:
    """It may be part of what some exception says."""
    shown = repr(client.Request("POST", f"{URL}/x", {"Authorization": PASSWORD}, PASSWORD.encode(), 1.0))
    assert "POST" in shown
    assert SEARCH.text("repr", shown) == []
