# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules for what is not a machine: each changes once, foretells the truth, and survives a bad MAAS."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Response
from ansible_collections.firstlight.cluster.plugins.modules import (
    maas_boot_source,
    maas_config,
    maas_event_info,
    maas_network,
    maas_pool,
    maas_script,
    maas_script_result_info,
    maas_ssh_key,
    maas_tag,
    maas_zone,
)
from fake_maas import Box, FakeMaas, broken, text

Run = Callable[..., dict[str, Any]]
KEY_A = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIaaaaaaaaaaaaaaaaaaaaaaa ops@example.org"
KEY_B = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIbbbbbbbbbbbbbbbbbbbbbbb old"
FABRICS = [
    {
        "name": "provisioning",
        "vlans": [
            {
                "vid": 0,
                "mtu": 9000,
                "dhcp": True,
                "primary_rack": "maas01",
                "space": "boot",
                "subnets": [
                    {
                        "cidr": "10.20.0.0/16",
                        "name": "prov",
                        "gateway_ip": "10.20.0.1",
                        "dns_servers": ["10.0.0.53", "10.0.0.54"],
                        "ranges": [
                            {"type": "dynamic", "start_ip": "10.20.250.1", "end_ip": "10.20.255.254", "comment": "pxe"},
                            {"type": "reserved", "start_ip": "10.20.0.1", "end_ip": "10.20.0.255"},
                        ],
                    }
                ],
            },
            {"vid": 30, "name": "storage", "subnets": [{"cidr": "10.30.0.0/16", "managed": False}]},
        ],
    }
]
SOURCE = {
    "source_url": "http://images.example.org/stable/",
    "keyring_filename": "/usr/share/keyrings/k.gpg",
    "selections": [{"release": "noble"}],
}
CASES: list[tuple[str, ModuleType, dict[str, Any], list[str]]] = [
    ("pool", maas_pool, {"name": "gpu", "description": "nodes"}, ["create:pool:gpu"]),
    ("zone", maas_zone, {"name": "row-a"}, ["create:zone:row-a"]),
    (
        "config",
        maas_config,
        {
            "settings": {
                "ntp_servers": ["10.0.0.1", "10.0.0.2"],
                "http_proxy": "http://u:pw123@proxy:3128",
                "maas_name": "vm",
            }
        },
        ["update:setting:ntp_servers", "update:setting:http_proxy"],
    ),
    ("ssh keys", maas_ssh_key, {"keys": [KEY_A, f"  {KEY_A} again"]}, [f"create:ssh_key:ops@example.org …{'a' * 12}"]),
    (
        "script",
        maas_script,
        {"name": "gpus", "content": "#!/bin/sh\nnvidia-smi\n", "timeout": 300, "hardware_type": "gpu", "tags": ["gpu"]},
        ["create:script:gpus"],
    ),
    ("tag", maas_tag, {"name": "gpu", "create": True, "kernel_opts": "iommu=pt"}, ["create:tag:gpu"]),
    (
        "network",
        maas_network,
        {"fabrics": FABRICS},
        [
            "create:fabric:provisioning",
            "create:space:boot",
            "update:vlan:provisioning/0",
            "create:subnet:10.20.0.0/16",
            "create:range:10.20.250.1-10.20.255.254",
            "create:range:10.20.0.1-10.20.0.255",
            "create:vlan:provisioning/30",
            "create:subnet:10.30.0.0/16",
            "update:dhcp:provisioning/0",
        ],
    ),
    (
        "boot source",
        maas_boot_source,
        SOURCE,
        ["create:source:http://images.example.org/stable/", "create:selection:ubuntu/noble"],
    ),
]


def region() -> FakeMaas:
    maas = FakeMaas(Box("a", "n1"))
    maas.site.importing = [
        {"id": 1, "type": "Synced", "name": "ubuntu/noble", "architecture": "amd64/ga-24.04"},
    ]
    return maas


@pytest.mark.parametrize(("name", "module", "options", "actions"), CASES, ids=[case[0] for case in CASES])
def test_it_changes_once_and_foretells_it(
    run: Run, name: str, module: ModuleType, options: dict[str, Any], actions: list[str]
) -> None:
    maas = region()
    foretold = run(module, maas, check=True, diff=True, **options)
    assert maas.writes == []
    real = run(module, maas, diff=True, **options)
    assert real["changed"] is True and real["actions"] == actions
    for key in ("changed", "actions", "diff"):
        assert foretold[key] == real[key]
    assert "pw123" not in str(real)
    maas.requests.clear()
    again = run(module, maas, diff=True, **options)
    assert again["changed"] is False and again["actions"] == []
    assert again["diff"] == {"before": {}, "after": {}}
    assert maas.writes == []


class Storm:
    """Lets a share of the requests fail, in every way there is, before or after they were carried out."""

    def __init__(self, seed: int, share: float = 0.2) -> None:
        self.random = random.Random(seed)
        self.share = share

    def __call__(self, method: str, what: str) -> Response | Exception | None:
        if self.random.random() >= self.share / 2:
            return None
        kinds: list[Response | Exception] = [
            text(500, "boom"),
            text(502, "bad gateway"),
            text(503, "busy"),
            broken(sent=True),
            Response(200, {"content-type": "application/json"}, b'[{"id": 1, "na'),
        ]
        return self.random.choice(kinds)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("name", "module", "options", "actions"), CASES, ids=[case[0] for case in CASES])
def test_a_fifth_of_the_requests_may_fail_and_nothing_is_made_twice(
    run: Run, name: str, module: ModuleType, options: dict[str, Any], actions: list[str], seed: int
) -> None:
    maas = region()
    maas.before, maas.after = Storm(seed), Storm(seed + 1000)
    result = run(module, maas, **options)
    assert not result.get("failed"), result
    site = maas.site
    for things in (
        [pool["name"] for pool in site.pools.values()],
        [fabric["name"] for fabric in site.fabrics],
        [(vlan["fabric"], vlan["vid"]) for fabric in site.fabrics for vlan in fabric["vlans"]],
        site.spaces,
        [(one["start_ip"], one["type"]) for one in site.ranges],
        [key["key"] for key in site.keys],
        [source["url"] for source in site.sources],
        [(one["os"], one["release"]) for chosen in site.selections.values() for one in chosen],
    ):
        assert len(things) == len(set(things)), things
    assert [len(script["history"]) for script in site.scripts.values()] in ([], [1])
    maas.before = maas.after = lambda method, what: None
    maas.requests.clear()
    assert run(module, maas, **options)["changed"] is False


def test_a_tags_kernel_options_are_changed(run: Run) -> None:
    maas = region()
    run(maas_tag, maas, name="gpu", create=True, kernel_opts="a")
    result = run(maas_tag, maas, name="gpu", create=True, kernel_opts="b", diff=True)
    assert result["actions"] == ["update:tag:gpu"] and maas.tag_fields["gpu"]["kernel_opts"] == "b"
    assert result["diff"]["after"] == {"tag": {"gpu": {"kernel_opts": "b"}}}


def test_a_description_is_changed_and_only_where_it_is_given(run: Run) -> None:
    maas = region()
    run(maas_pool, maas, name="gpu", description="old")
    assert run(maas_pool, maas, name="gpu")["changed"] is False
    result = run(maas_pool, maas, name="gpu", description="new", diff=True)
    assert result["diff"] == {
        "before": {"pool": {"gpu": {"description": "old"}}},
        "after": {"pool": {"gpu": {"description": "new"}}},
    }
    assert run(maas_pool, maas, name="gpu", state="absent")["actions"] == ["delete:pool:gpu"]
    assert run(maas_pool, maas, name="gpu", state="absent")["changed"] is False


@pytest.mark.parametrize("check", [True, False])
def test_a_zone_with_machines_is_not_deleted(run: Run, check: bool) -> None:
    maas = region()
    run(maas_zone, maas, name="row-a")
    maas.boxes["a"].zone = "row-a"
    maas.requests.clear()
    result = run(maas_zone, maas, name="row-a", state="absent", check=check)
    assert result["failed"] is True and "1 machine(s) are in it. Move them" in result["msg"]
    assert maas.writes == []


def test_a_setting_that_maas_does_not_have_is_named(run: Run) -> None:
    result = run(maas_config, region(), settings={"nosuch": 1}, check=True)
    assert result["failed"] is True and "nosuch is not a valid config setting" in result["msg"]


def test_a_value_that_maas_takes_and_does_not_keep_is_an_error(run: Run) -> None:
    maas = region()
    maas.before = lambda method, what: text(200, "OK") if method == "POST" else None
    result = run(maas_config, maas, settings={"ntp_servers": "10.0.0.1"})
    assert result["failed"] is True
    assert "accepted to update:setting:ntp_servers, but shows value='ntp.ubuntu.com'" in result["msg"]
    assert len(maas.writes) == 1


def test_what_somebody_else_made_meanwhile_will_do(run: Run) -> None:
    maas = region()

    def quicker(method: str, what: str) -> Any:
        if method == "POST" and len(maas.site.pools) == 1:
            maas.site.pools[7] = {"id": 7, "name": "gpu", "description": "nodes"}
        return None

    maas.before = quicker
    assert not run(maas_pool, maas, name="gpu", description="nodes").get("failed")
    assert [pool["name"] for pool in maas.site.pools.values()] == ["default", "gpu"]


def test_what_maas_refuses_is_the_modules_error(run: Run) -> None:
    maas = region()
    refusal = text(400, '{"name": ["Enter a valid value."]}')
    maas.before = lambda method, what: refusal if method == "POST" else None
    result = run(maas_pool, maas, name="b@d")
    assert result["failed"] is True and "name: Enter a valid value." in result["msg"]
    assert len(maas.writes) == 1


def test_a_maas_that_stays_broken_is_given_up(run: Run) -> None:
    maas = region()
    maas.before = lambda method, what: text(500, "boom") if method == "POST" else None
    result = run(maas_pool, maas, name="gpu")
    assert result["failed"] is True and result["failure"]["kind"] == "ServerError"
    assert len(maas.writes) == 4


def test_keys_go_where_they_are_not_wanted(run: Run) -> None:
    maas = region()
    maas.site.keys = [{"id": 1, "key": KEY_A}, {"id": 2, "key": KEY_B}]
    assert run(maas_ssh_key, maas, keys=[KEY_A])["changed"] is False
    assert run(maas_ssh_key, maas, keys=[KEY_A], exclusive=True)["actions"] == [f"delete:ssh_key:old …{'b' * 12}"]
    assert run(maas_ssh_key, maas, keys=[KEY_A], state="absent")["changed"] is True
    assert maas.site.keys == []
    result = run(maas_ssh_key, maas, keys=["not a key"])
    assert result["failed"] is True and "is not an ssh public key" in result["msg"]


def test_a_script_gets_a_new_version_only_when_its_text_differs(run: Run, tmp_path: Path) -> None:
    maas = region()
    file = tmp_path / "s.sh"
    file.write_text("#!/bin/sh\necho 1\n")
    run(maas_script, maas, name="s", src=str(file), type="testing")
    file.write_text("#!/bin/sh\necho 2\n")
    result = run(maas_script, maas, name="s", src=str(file), comment="v2", timeout=60, diff=True)
    assert result["diff"]["before"]["script"]["s"] == {"content": "#!/bin/sh\necho 1\n", "timeout": "0:00:00"}
    assert [version["comment"] for version in maas.site.scripts["s"]["history"]] == ["v2", None]
    assert run(maas_script, maas, name="s", src=str(file), timeout=60)["changed"] is False
    assert run(maas_script, maas, name="s", state="absent")["actions"] == ["delete:script:s"]
    assert run(maas_script, maas, name="s", content="echo")["msg"].startswith("content: the script does not begin")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda vlan: vlan["subnets"][0].update(gateway_ip="10.21.0.1"), "gateway_ip 10.21.0.1 is not in 10.20.0.0/16"),
        (lambda vlan: vlan["subnets"][0].update(cidr="10.20.0.1/16"), "Write it as 10.20.0.0/24"),
        (lambda vlan: vlan["subnets"].append({"cidr": "10.20.5.0/24"}), "overlaps with 10.20.0.0/16"),
        (lambda vlan: vlan.pop("primary_rack"), "dhcp needs primary_rack"),
        (lambda vlan: vlan.update(primary_rack="nosuch"), "MAAS has no rack controller nosuch (it has: maas01)"),
        (lambda vlan: vlan["subnets"][0].update(ranges=[]), "dhcp needs a dynamic range"),
        (lambda vlan: vlan["subnets"][0]["ranges"][0].update(end_ip="x"), "end_ip 'x'"),
    ],
)
def test_networks_that_cannot_be_are_named_before_anything_is_written(
    run: Run, change: Callable[[dict[str, Any]], Any], part: str
) -> None:
    fabrics = copy.deepcopy(FABRICS)
    change(fabrics[0]["vlans"][0])  # type: ignore[index]
    maas = region()
    result = run(maas_network, maas, fabrics=fabrics)
    assert result["failed"] is True and part in result["msg"]
    assert maas.writes == []


def test_a_subnet_that_maas_found_elsewhere_is_moved(run: Run) -> None:
    """Commissioning makes MAAS invent a fabric for each network that it sees."""
    maas = region()
    invented = maas.site.new_fabric("fabric-0")
    plain = {"name": "10.20.0.0/16", "gateway_ip": None, "dns_servers": []}
    maas.site.subnets.append({**plain, "cidr": "10.20.0.0/16", "vlan": invented["vlans"][0], "id": 9})
    wanted = [{"name": "provisioning", "vlans": [{"vid": 0, "subnets": [{"cidr": "10.20.0.0/16"}]}]}]
    result = run(maas_network, maas, fabrics=wanted, diff=True)
    assert result["diff"]["before"]["subnet"] == {"10.20.0.0/16": {"vlan": "fabric-0/0"}}
    assert result["diff"]["after"]["subnet"] == {"10.20.0.0/16": {"vlan": "provisioning/0"}}
    assert maas.site.subnets[0]["vlan"]["fabric"] == "provisioning"


def test_a_range_of_another_kind_is_not_touched(run: Run) -> None:
    maas = region()
    run(maas_network, maas, fabrics=FABRICS)
    maas.site.ranges[1]["type"] = "dynamic"
    result = run(maas_network, maas, fabrics=FABRICS)
    assert result["failed"] is True and "is dynamic in MAAS, wanted is reserved" in result["msg"]


def test_an_import_is_waited_for_and_bounded(run: Run, tmp_path: Path) -> None:
    maas = region()
    progress = tmp_path / "progress"
    result = run(maas_boot_source, maas, **SOURCE, progress_file=str(progress))
    assert result["imported"] == ["ubuntu/noble/amd64"]
    maas = region()
    maas.site.importing = [{"name": "other", "architecture": "amd64/x"}] * 10_000
    result = run(maas_boot_source, maas, **SOURCE, timeout=100, poll_interval=10, progress_file=str(progress))
    assert result["failed"] is True and "still importing after 100 s; lacking: ubuntu/noble/amd64" in result["msg"]
    assert "importing, lacking ubuntu/noble/amd64" in progress.read_text()


def test_an_import_that_brings_nothing_is_an_error(run: Run) -> None:
    maas = region()
    maas.site.importing = []
    result = run(maas_boot_source, maas, **SOURCE)
    assert result["failed"] is True and "ended the import without ubuntu/noble/amd64" in result["msg"]


def test_selections_are_changed_and_taken_away(run: Run) -> None:
    maas = region()
    run(maas_boot_source, maas, **SOURCE)
    more = [{"release": "noble", "arches": ["amd64", "arm64"]}]
    options = {**SOURCE, "import_images": False}
    result = run(maas_boot_source, maas, **{**options, "selections": more})
    assert result["actions"] == ["update:selection:ubuntu/noble"]
    jammy = [{"release": "jammy"}]
    result = run(maas_boot_source, maas, **{**options, "selections": jammy, "exclusive": True})
    assert result["actions"] == ["create:selection:ubuntu/jammy", "delete:selection:ubuntu/noble"]


def test_events_are_read_page_by_page(run: Run) -> None:
    maas = region()
    maas.site.events = [
        {"id": number, "node": "a", "hostname": "n1", "level": "INFO", "type": "T", "created": "Mon", "username": "u"}
        for number in range(2500, 0, -1)
    ]
    result = run(maas_event_info, maas, limit=2100)
    assert [event["id"] for event in result["events"]] == list(range(2500, 400, -1))
    assert len(maas.requests) == 3 and result["newest"] == 2500
    assert [event["id"] for event in run(maas_event_info, maas, after=2497)["events"]] == [2500, 2499, 2498]
    assert len(run(maas_event_info, maas, limit=5000)["events"]) == 2500
    assert run(maas_event_info, maas, limit=0)["failed"] is True


def test_results_tell_what_failed_and_what_is_unknown_has_not_passed(run: Run) -> None:
    def one(name: str, status: int, **more: Any) -> dict[str, Any]:
        return {"name": name, "status": status, "status_name": str(status), **more}

    maas = region()
    results = [one("ok", 2), one("bad", 3), one("waived", 3, suppressed=True), one("pending", 0)]
    results[0]["stdout"] = "aGVsbG8="
    maas.site.results["a"] = [
        {"id": 4, "kind": "commissioning", "type_name": "Commissioning", "status_name": "Passed", "results": []},
        {"id": 9, "kind": "testing", "type_name": "Testing", "status_name": "Failed", "results": results},
        {"id": 7, "kind": "testing", "type_name": "Testing", "status_name": "Passed", "results": []},
    ]
    runs = run(maas_script_result_info, maas, system_ids=["a"], output=True)["runs"]["a"]
    assert [(item["id"], item["type"]) for item in runs] == [(9, "testing"), (4, "commissioning")]
    assert runs[0]["failed"] == ["bad"]
    assert [item["passed"] for item in runs[0]["results"]] == [True, False, False, False]
    assert runs[0]["results"][0]["stdout"] == "hello"
    assert len(run(maas_script_result_info, maas, system_ids=["a"], type="testing", history=True)["runs"]["a"]) == 2
