# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as Ansible runs them: their results, check mode, diff, and what they never say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import ansible_module
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Status
from ansible_collections.firstlight.cluster.plugins.modules import maas_machine, maas_machine_info, maas_tag
from fake_maas import Box, FakeMaas, text

Run = Callable[..., dict[str, Any]]
DEPLOYED: dict[str, Any] = {
    "status": Status.DEPLOYED,
    "owner": "admin",
    "osystem": "ubuntu",
    "distro_series": "noble",
    "address": "10.20.0.9",
}
NOBLE = {"osystem": "ubuntu", "distro_series": "noble"}


def names(*given: str) -> list[dict[str, str]]:
    return [{"name": name} for name in given]


def test_a_fleet_in_every_condition_gets_its_results(run: Run) -> None:
    maas = FakeMaas(
        Box("a", "n1", serial="S1"),
        Box("b", "n2", **DEPLOYED),
        Box("c", "n3", locked=True),
        Box("d", "n5", serial="S5"),
        Box("e", "n6", serial="S5"),
    )
    machines = [
        {"name": "n1", "serial": "S1", "user_data": "#cloud-config\npassword: hidden-in-user-data\n"},
        *names("n2", "n3", "n4"),
        {"name": "n5", "serial": "S5"},
    ]
    result = run(maas_machine, maas, machines=machines, **NOBLE)
    assert result["changed"] is True
    assert list(result["machines"]) == ["n1", "n2", "n3", "n4", "n5"]
    assert result["failed_machines"] == ["n3", "n4", "n5"]
    assert result["counts"] == {"total": 5, "ok": 2, "changed": 1, "failed": 3}
    n1 = result["machines"]["n1"]
    assert n1 == {
        "system_id": "a",
        "status": 6,
        "status_name": "Deployed",
        "serial": "S1",
        "addresses": {"10.20.0.0/24": ["10.20.0.1"]},
        "primary_address": "10.20.0.1",
        "actions": ["deploy"],
        "changed": True,
        "failed": False,
        "reason": "",
        "remedy": "",
        "event": "",
    }
    assert result["machines"]["n2"]["changed"] is False and not result["machines"]["n2"]["failed"]
    for name, part in {"n3": "locked", "n4": "No machine of MAAS is named n4", "n5": "d (n5), e (n6)"}.items():
        assert part in result["machines"][name]["reason"]
        assert result["machines"][name]["remedy"]
    assert maas.writes == ["machines/a/?op=deploy"]
    assert "hidden-in-user-data" not in json.dumps(result)


def test_the_second_run_changes_nothing(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1"))
    options = {"machines": names("n1"), "tags": ["gpu"], **NOBLE}
    first = run(maas_machine, maas, **options)
    assert first["machines"]["n1"]["actions"] == ["deploy", "tag:gpu"]
    assert maas.boxes["a"].tags == ["gpu"] and "gpu" in maas.tags
    maas.requests.clear()
    second = run(maas_machine, maas, **options)
    assert second["changed"] is False
    assert maas.writes == []


def test_check_mode_writes_nothing_and_tells_the_truth(run: Run) -> None:
    def fleet() -> FakeMaas:
        return FakeMaas(
            Box("a", "n1", Status.NEW),
            Box("b", "n2", **DEPLOYED),
            Box("c", "n3", locked=True),
            Box("d", "n4", Status.FAILED_DEPLOYMENT, owner="admin"),
        )

    options = {"machines": names("n1", "n2", "n3", "n4"), "tags": ["gpu"], "diff": True, **NOBLE}
    maas = fleet()
    foretold = run(maas_machine, maas, check=True, **options)
    assert maas.writes == []
    real = run(maas_machine, fleet(), **options)
    for name, result in real["machines"].items():
        for key in ("actions", "changed", "failed", "reason"):
            assert foretold["machines"][name][key] == result[key], (name, key)
    assert foretold["machines"]["n1"]["actions"] == ["commission", "deploy", "tag:gpu"]
    assert foretold["machines"]["n1"]["status_name"] == "New"
    assert foretold["diff"] == real["diff"]
    assert real["diff"]["before"]["n4"]["status"] == "Failed deployment"
    assert real["diff"]["after"]["n4"] == {
        "status": "Deployed",
        "osystem": "ubuntu",
        "distro_series": "noble",
        "owner": "admin",
        "locked": False,
        "pool": "default",
        "zone": "default",
        "description": "",
        "tags": ["gpu"],
    }
    assert set(real["diff"]["before"]) == {"n1", "n2", "n4"}


def test_a_machine_that_maas_did_not_tag_failed(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", **DEPLOYED))
    maas.tags.add("gpu")
    ignored = text(200, '{"added": 1, "removed": 0}')
    maas.before = lambda method, what: ignored if what.endswith("update_nodes") else None
    result = run(maas_machine, maas, machines=names("n1"), tags=["gpu"])
    assert result["failed_machines"] == ["n1"]
    assert result["machines"]["n1"]["actions"] == [] and "gpu" in result["machines"]["n1"]["reason"]


def test_a_series_with_its_system_is_understood(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1"), Box("b", "n2", **DEPLOYED))
    result = run(maas_machine, maas, machines=names("n1", "n2"), distro_series="ubuntu/noble")
    assert result["failed_machines"] == []
    assert maas.writes == ["machines/a/?op=deploy"]


def test_release_respects_what_is_in_service(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", **DEPLOYED, tags=["in_service"]), Box("b", "n2", **DEPLOYED))
    result = run(maas_machine, maas, machines=names("n1", "n2"), state="released")
    assert result["failed_machines"] == ["n1"]
    assert maas.writes == ["machines/b/?op=release"]


@pytest.mark.parametrize("check", [True, False])
def test_a_wrong_key_fails_the_module_with_remedy_and_without_secret(run: Run, check: bool) -> None:
    maas = FakeMaas()
    secret = "Authorization Error: 'Invalid signature. Expected signature base string: &right-secret'"
    maas.before = lambda method, what: text(401, secret)
    result = run(maas_machine, maas, machines=names("n1"), check=check)
    assert result["failed"] is True
    assert "secret) is wrong" in result["msg"]
    assert result["failure"]["kind"] == "Unauthorized" and result["failure"]["status"] == 401
    assert "right-secret" not in json.dumps(result)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"api_key": None}, "Set api_key or api_key_file, or MAAS_API_KEY."),
        ({"api_key": "not-a-key"}, "three parts"),
        ({"api_key": None, "api_key_file": "/no/such/key"}, "api_key_file: /no/such/key cannot be read"),
        ({"url": "maas"}, "Write it as http://HOST:5240/MAAS."),
        ({"url": None}, "url"),
        ({"machines": [{"name": "n1"}, {"name": "n1"}]}, "given more than once: n1"),
        ({"poll_interval": 0}, "poll_interval: 0 is too small"),
        ({"concurrency": 0}, "concurrency: 0 is too small"),
    ],
)
def test_bad_options_are_named_before_anything_is_sent(run: Run, options: dict[str, Any], part: str) -> None:
    maas = FakeMaas(Box("a", "n1"))
    result = run(maas_machine, maas, **({"machines": names("n1")} | options))
    assert result["failed"] is True and part in result["msg"]
    assert "not-a-key" not in json.dumps(result)
    assert maas.requests == []


def test_where_the_key_comes_from(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maas = FakeMaas(Box("a", "n1"))
    file = tmp_path / "key"
    file.write_text("file:x:y\n")

    def consumer(**options: Any) -> str:
        maas.authorizations.clear()
        run(maas_machine_info, maas, **options)
        return maas.authorizations[0].partition('consumer_key="')[2].partition('"')[0]

    monkeypatch.setenv("MAAS_API_KEY", "environment:x:y")
    assert consumer(api_key="option:x:y", api_key_file=str(file)) == "option"
    assert consumer(api_key=None, api_key_file=str(file)) == "file"
    assert consumer(api_key=None) == "environment"


def test_progress_is_written_where_asked(run: Run, tmp_path: Path) -> None:
    maas = FakeMaas(Box("a", "n1", Status.NEW))
    file = tmp_path / "progress"
    run(maas_machine, maas, machines=names("n1"), progress_file=str(file))
    lines = file.read_text().splitlines()
    assert [line.partition(" waiting for ")[2].partition(";")[0] for line in lines] == [
        "1 New",
        "1 Commissioning",
        "1 Ready",
        "1 Deploying",
        "nothing",
    ]


def test_a_reader_that_is_gone_is_noticed() -> None:
    read, write = os.pipe()
    assert ansible_module.somebody_reads(write)
    os.close(read)
    assert not ansible_module.somebody_reads(write)
    os.close(write)
    with Path(os.devnull).open("w") as file:
        assert ansible_module.somebody_reads(file.fileno())


def test_the_module_keeps_its_parameters_out_of_the_system_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr("syslog.syslog", lambda *args: logged.append(str(args)))
    run(maas_machine, FakeMaas(Box("a", "n1")), machines=[{"name": "n1", "user_data": "line\nhidden\n"}])
    assert not any("hidden" in line for line in logged)


def test_info_lists_what_passes_the_filters_and_whose_key_it_is(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", **DEPLOYED, serial="S1"), Box("b", "n2"), user="ops", administrator=False)
    result = run(maas_machine_info, maas, filters={"hostname": ["n1"]})
    assert result["changed"] is False
    assert result["region"] == {"version": "3.7.3", "user": "ops", "administrator": False}
    assert [machine["hostname"] for machine in result["machines"]] == ["n1"]
    assert result["machines"][0]["serial"] == "S1"


def test_info_tells_with_which_account_maas_switches_and_no_password(run: Run) -> None:
    log_in = {"power_user": "root", "power_pass": "bmc-Passw0rd"}
    maas = FakeMaas(Box("a", "n1", power_parameters=log_in), Box("b", "n2"))
    result = run(maas_machine_info, maas, power_users=True)
    assert result["power_users"] == {"a": "root", "b": ""} and "bmc-Passw0rd" not in json.dumps(result)
    assert "power_users" not in run(maas_machine_info, maas)
    assert maas.counts["machines/?op=power_parameters"] == 1


def test_info_says_what_is_wrong_with_a_filter(run: Run) -> None:
    maas = FakeMaas()
    refused = text(400, '{"nosuch": ["No such constraint."]}')
    maas.before = lambda method, what: refused if what == "machines/" else None
    result = run(maas_machine_info, maas, filters={"nosuch": "x"})
    assert result["failed"] is True and "nosuch: No such constraint." in result["msg"]


def test_a_tag_is_given_once_to_those_who_lack_it(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1", tags=["other"]), Box("b", "n2", tags=["gpu"]), Box("c", "n3"))
    options = {"name": "gpu", "machines_present": names("n1", "n2", "n3", "n4")}
    foretold = run(maas_tag, maas, check=True, diff=True, **options)
    assert maas.writes == []
    real = run(maas_tag, maas, diff=True, **options)
    assert foretold == real
    assert real["diff"] == {
        "before": {"n1": ["other"], "n3": []},
        "after": {"n1": ["gpu", "other"], "n3": ["gpu"]},
    }
    assert maas.writes == ["tags/gpu/?op=update_nodes"]
    assert real["failed_machines"] == ["n4"]
    again = run(maas_tag, maas, **options)
    assert again["changed"] is False
    assert len(maas.writes) == 1


def test_a_tag_is_created_where_it_is_wanted_and_taken_away(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1"), Box("b", "n2"))
    assert run(maas_tag, maas, name="new", machines_absent=names("n1"))["changed"] is False
    assert maas.writes == []
    run(maas_tag, maas, name="new", machines_present=names("n1"))
    assert maas.writes == ["tags/", "tags/new/?op=update_nodes"]
    result = run(maas_tag, maas, name="new", machines_present=names("n2"), machines_absent=names("n1"))
    assert result["machines"]["n1"]["actions"] == ["untag:new"]
    assert result["machines"]["n2"]["actions"] == ["tag:new"]
    assert (maas.boxes["a"].tags, maas.boxes["b"].tags) == ([], ["new"])
    assert maas.writes[2:] == ["tags/new/?op=update_nodes"], "one request for both"


def test_a_host_cannot_be_tagged_and_untagged_at_once(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1"))
    result = run(maas_tag, maas, name="new", machines_present=names("n1"), machines_absent=names("n1"))
    assert (
        result["failed"] is True and "machines_present and machines_absent: given more than once: n1" in result["msg"]
    )
    assert maas.requests == []


def test_a_tag_that_maas_did_not_give_is_a_failure(run: Run) -> None:
    """MAAS answers 200 with a count also where it did nothing."""
    maas = FakeMaas(Box("a", "n1"))
    maas.tags.add("gpu")
    ignored = text(200, '{"added": 1, "removed": 0}')
    maas.before = lambda method, what: ignored if what.endswith("update_nodes") else None
    result = run(maas_tag, maas, name="gpu", machines_present=names("n1"))
    assert result["failed_machines"] == ["n1"]
    assert result["changed"] is False
    assert "gpu" in result["machines"]["n1"]["reason"]


def test_a_tag_made_by_somebody_quicker_will_do(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1"))

    def quicker(method: str, what: str) -> Any:
        if (method, what) == ("POST", "tags/"):
            maas.tags.add("gpu")
            return text(400, '{"name": ["Tag with this Name already exists."]}')
        return None

    maas.before = quicker
    assert run(maas_tag, maas, name="gpu", machines_present=names("n1"))["failed_machines"] == []


def test_a_bad_tag_name_is_maass_to_judge(run: Run) -> None:
    maas = FakeMaas(Box("a", "n1"))
    bad = text(400, '{"name": ["Enter a valid value."]}')
    maas.before = lambda method, what: bad if (method, what) == ("POST", "tags/") else None
    result = run(maas_tag, maas, name="b.a.d", machines_present=names("n1"))
    assert result["failed"] is True and "name: Enter a valid value." in result["msg"]
