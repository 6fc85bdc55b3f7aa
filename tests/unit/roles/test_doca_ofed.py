# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role doca_ofed makes of its variables."""

from __future__ import annotations

import configparser
from collections.abc import Callable
from typing import Any

import pytest
from role_files import ROLES, load

from tests.unit.conftest import ROOT

VERSION = "3.1.0-091000"
HCAS = {"doca_ofed_hca_names": ["rail0", "rail1"], "doca_ofed_hca_pci_addresses": ["0000:18:00.0", "0000:40:00.0"]}
GPUS = {"doca_ofed_gpu_pci_addresses": ["0000:1b:00.0", "0000:43:00.0"]}


def test_only_packages_of_that_release_may_become_older(
    evaluate: Callable[..., Any], render: Callable[..., str]
) -> None:
    uris = ["http://head01:8080/doca/3.1.0/ubuntu24.04/x86_64/", "http://head01/doca/", "file:/srv/doca"]
    pins = evaluate("doca_ofed", "__doca_ofed_pins", doca_ofed_repository={"uris": uris})
    assert [pin["origin"] for pin in pins] == ["head01"]
    assert {"doca-*", "mlnx-*", "mft*", "ofed-scripts"} <= set(pins[0]["packages"])
    assert not {"*", "dkms", "linux-*", "nvidia-*"} & set(pins[0]["packages"])
    text = render("common", "preferences.j2", common_packages_pins=[{"packages": ["a", "b-*"], "origin": "head01"}])
    assert 'Package: a b-*\nPin: origin "head01"\nPin-Priority: 1001\n' in text


def test_the_version_is_exact_and_nothing_else_is_pinned_to_it(evaluate: Callable[..., Any]) -> None:
    wanted = evaluate("doca_ofed", "__doca_ofed_wanted", doca_ofed_version=VERSION)
    assert [(one["name"], one.get("version"), one.get("hold")) for one in wanted] == [
        ("doca-ofed", VERSION, True),
        ("pciutils", None, None),
    ]


def test_names_follow_the_slots(render: Callable[..., str]) -> None:
    rules = [line for line in render("doca_ofed", "names.rules.j2", **HCAS).splitlines() if not line.startswith("#")]
    assert rules == [
        f'ACTION=="add", SUBSYSTEM=="infiniband", KERNELS=="{address}", PROGRAM="rdma_rename %k NAME_FIXED {name}"'
        for name, address in (("rail0", "0000:18:00.0"), ("rail1", "0000:40:00.0"))
    ]


def settings(evaluate: Callable[..., Any], **variables: Any) -> list[str]:
    return list(evaluate("doca_ofed", "__doca_ofed_settings", **variables))


def test_settings_name_every_device(evaluate: Callable[..., Any], render: Callable[..., str]) -> None:
    wanted = [
        *("--read-request", "4096", "--hca=0000:18:00.0", "--hca=0000:40:00.0"),
        *("--acs-off=0000:18:00.0", "--acs-off=0000:40:00.0", "--acs-off=0000:1b:00.0", "--acs-off=0000:43:00.0"),
    ]
    assert settings(evaluate, **HCAS, **GPUS) == wanted
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(render("doca_ofed", "pci-settings.service.j2", **HCAS, **GPUS))
    assert unit["Service"]["ExecStart"].endswith(f"pci_settings.py set {' '.join(wanted)}")
    assert (unit["Unit"]["After"], unit["Unit"]["Before"]) == ("openibd.service", "docker.service")


def test_each_setting_can_be_left_alone(evaluate: Callable[..., Any]) -> None:
    assert settings(evaluate, **HCAS, doca_ofed_pci_acs_off=False)[:2] == ["--read-request", "4096"]
    assert not [word for word in settings(evaluate, **HCAS, doca_ofed_pci_acs_off=False) if "acs" in word]
    assert settings(evaluate, **HCAS, doca_ofed_pci_max_read_request=0) == [
        "--acs-off=0000:18:00.0",
        "--acs-off=0000:40:00.0",
    ]
    nothing = {"doca_ofed_pci_max_read_request": 0, "doca_ofed_pci_acs_off": False}
    for variables in ({**HCAS, **nothing}, GPUS):
        assert evaluate("doca_ofed", "__doca_ofed_has_settings", **variables) is False
        names = [one["name"] for one in evaluate("doca_ofed", "__doca_ofed_services", **variables)]
        assert names == ["opensmd", "opensm", "openibd"]


def test_a_subnet_manager_is_stopped_and_the_driver_never_restarted(evaluate: Callable[..., Any]) -> None:
    services = evaluate("doca_ofed", "__doca_ofed_services", doca_ofed_version=VERSION)
    assert services == [
        {"name": "opensmd", "state": "stopped"},
        {"name": "opensm", "state": "stopped"},
        {"name": "openibd"},
    ]


def test_ip_over_infiniband(render: Callable[..., str]) -> None:
    item = {"interface": "ib0", "addresses": ["10.30.0.21/22", "fd00::21/64"], "mode": "connected", "mtu": 65520}
    facts = {"distribution": "Debian", "distribution_version": "12.11"}
    text = render("doca_ofed", "ipoib.network.j2", item=item, ansible_facts=facts)
    assert text.split("\n", 1)[1] == (
        "[Match]\nName=ib0\nType=infiniband\n\n[Link]\nMTUBytes=65520\n\n[Network]\nAddress=10.30.0.21/22\n"
        "Address=fd00::21/64\n\n[IPoIB]\nMode=connected\n"
    )
    assert "[Link]" not in render("doca_ofed", "ipoib.network.j2", item={**item, "mtu": 0}, ansible_facts=facts)
    bare = render(
        "doca_ofed", "ipoib.network.j2", item={"interface": "ib0", "addresses": ["10.30.0.21/22"]}, ansible_facts=facts
    )
    assert bare.endswith("[IPoIB]\nMode=datagram\n") and "[Link]" not in bare


@pytest.mark.parametrize(
    ("distribution", "version", "known"),
    [
        ("Ubuntu", "22.04", False),
        ("Ubuntu", "24.04", True),
        ("Debian", "12.11", True),
        ("Debian", "13.1", True),
    ],
)
def test_a_mode_of_ipoib_that_systemd_would_pass_over_is_refused(
    evaluate: Callable[..., Any], render: Callable[..., str], distribution: str, version: str, known: bool
) -> None:
    facts = {"distribution": distribution, "distribution_version": version}
    item = {"interface": "ib0", "addresses": ["10.30.0.21/22"], "mode": "connected", "mtu": 0}
    text = render("doca_ofed", "ipoib.network.j2", item=item, ansible_facts=facts)
    assert ("[IPoIB]\nMode=connected\n" in text) is known
    assert text.endswith("Mode=connected\n" if known else "Address=10.30.0.21/22\n")
    (refuse,) = load(ROLES / "doca_ofed" / "tasks" / "refuse.yml")
    repository = {"name": "d", "uris": [], "suites": [], "signed_by": "k"}
    for mode, refused in (("connected", not known), ("datagram", False)):
        told = evaluate(
            "doca_ofed",
            refuse["vars"]["__doca_ofed_wrong"].strip().removeprefix("{{").removesuffix("}}"),
            ansible_facts=facts,
            doca_ofed_ipoib=[{**item, "mode": mode}],
            doca_ofed_repository=repository,
            __lacking=[],
        )
        assert [words for one in told for words in ("ib0", "systemd 249", "mode datagram") if words in one] == [
            "ib0",
            "systemd 249",
            "mode datagram",
        ] * refused


@pytest.mark.parametrize(
    ("uri", "others"),
    [
        ("https://linux.mellanox.com/public/repo/doca/3.1.0/ubuntu24.04/x86_64/", []),
        ("https://linux.mellanox.com/public/repo/doca/3.2.1/ubuntu24.04/x86_64/", ["3.2.1"]),
        ("http://head01/doca/2.9/debian12.5/x86_64", ["2.9"]),
        # Names of the site's own say nothing of a release.
        ("http://head01/2026.11.1/doca/latest-3.1-LTS/debian12.5/x86_64/", []),
    ],
)
def test_a_repository_of_another_release_is_known_by_its_folder(
    evaluate: Callable[..., Any], uri: str, others: list[str]
) -> None:
    given = {"doca_ofed_version": VERSION, "doca_ofed_repository": {"uris": [uri]}}
    assert evaluate("doca_ofed", "__doca_ofed_other_releases", **given) == others


def test_a_repository_is_looked_for_where_apt_does(evaluate: Callable[..., Any]) -> None:
    repository = {"uris": ["http://head01/doca/3.1.0/", "file:/srv/doca"], "suites": ["./", "sub/", "bookworm"]}
    places = evaluate("doca_ofed", "__doca_ofed_suites", doca_ofed_repository=repository)
    base = "http://head01/doca/3.1.0/"
    assert places == [base, f"{base}sub/", f"{base}dists/bookworm/"]
    bare = {"uris": ["http://head01/doca"], "suites": ["./"]}
    assert evaluate("doca_ofed", "__doca_ofed_suites", doca_ofed_repository=bare) == ["http://head01/doca/"]


def test_the_request_for_a_restart_is_taken_back_by_what_was_there_before(evaluate: Callable[..., Any]) -> None:
    request, _status = evaluate("doca_ofed", "__doca_ofed_witnesses")
    asked = load(ROLES / "common" / "tasks" / "ask_reboot.yml")[1]["ansible.builtin.copy"]["dest"]
    [named] = [task["vars"]["common_reboot_name"] for task in tasks("restart.yml") if "vars" in task]
    assert request == asked.replace("{{ common_reboot_name }}", named)
    order = [task["name"].partition("| ")[2] for task in tasks("before_change.yml")]
    assert order.index("Remember what there is") < order.index("Ask for a restart where the driver is loaded")
    # All that refuses comes before the request.
    assert [name.split()[0] for name in order[:3]] == ["Refuse", "Refuse", "Remember"]


# -- firmware


def tasks(file: str) -> list[dict[str, Any]]:
    return list(load(ROLES / "doca_ofed" / "tasks" / file))


def test_the_class_says_which_firmware_and_the_role_gives_it_on(evaluate: Callable[..., Any]) -> None:
    given = load(ROOT / "playbooks" / "vars" / "node_class.yml")
    assert "hardware.hcas.firmware | default" in given["doca_ofed_firmware"]
    assert "hardware.hcas.firmware_images | default" in given["doca_ofed_firmware_images"]
    look = tasks("firmware.yml")[1]["block"][0]
    hcas = evaluate("doca_ofed", "__doca_ofed_hcas", **HCAS)
    assert hcas == [{"name": "rail0", "address": "0000:18:00.0"}, {"name": "rail1", "address": "0000:40:00.0"}]
    options = look["firstlight.cluster.hca_firmware"]
    assert (options["firmware"], options["images"]) == ("{{ doca_ofed_firmware }}", "{{ doca_ofed_firmware_images }}")
    # An image lies where the module looks for it.
    [fetch] = tasks("images.yml")[-1]["block"]
    assert fetch["ansible.builtin.get_url"]["dest"].startswith(options["directory"])
    assert fetch["ansible.builtin.get_url"]["checksum"] == "sha256:{{ item.sha256 | lower }}"


def test_firmware_is_looked_at_first_and_burned_only_where_it_is_due(evaluate: Callable[..., Any]) -> None:
    look, _told, fetch, burn = tasks("firmware.yml")[1]["block"]
    assert (look["check_mode"], look["changed_when"]) == (True, False)
    assert burn["firstlight.cluster.hca_firmware"] == look["firstlight.cluster.hca_firmware"]
    assert fetch["when"] == burn["when"] == "__doca_ofed_due and not doca_ofed_in_service | bool"
    assert tasks("images.yml")[0]["ansible.builtin.include_tasks"] == "busy.yml"
    # As the playbook knows it of the ledger, for the restart too.
    [configure] = [
        play for play in load(ROOT / "playbooks" / "configure.yml") if "vars" in play and "vars_files" in play
    ]
    assert configure["vars"]["doca_ofed_in_service"] == "{{ reboot_in_service }}"
    [last] = [task for task in tasks("configure.yml") if task["ansible.builtin.import_tasks"] == "firmware.yml"]
    assert last["when"] == ["doca_ofed_firmware_images | length > 0", "__doca_ofed_installed"]


@pytest.mark.parametrize(
    ("looked", "burned", "waits"),
    [
        ({"waiting": []}, None, []),
        ({"waiting": ["1 in HCA"]}, None, ["1 in HCA"]),
        ({"waiting": []}, {"waiting": ["1 in HCA"], "failed": True}, ["1 in HCA"]),
        ({"waiting": ["1 in HCA"]}, {"skipped": True}, ["1 in HCA"]),
        ({"msg": "the module crashed"}, None, []),
    ],
)
def test_a_restart_is_asked_for_also_where_another_burn_failed(
    evaluate: Callable[..., Any], looked: dict[str, Any], burned: dict[str, Any] | None, waits: list[str]
) -> None:
    block = tasks("firmware.yml")[1]
    known = {"__doca_ofed_firmware": looked} | ({"__doca_ofed_burned": burned} if burned else {})
    expression = block["vars"]["__doca_ofed_waiting"].strip("{} \n")
    assert evaluate("doca_ofed", expression, **known) == waits
    [ask] = block["always"]
    assert ask["when"] == "__doca_ofed_waiting | length > 0"
    assert ask["ansible.builtin.include_role"]["tasks_from"] == "ask_reboot"


def test_check_mode_does_not_ask_tools_that_are_to_come(evaluate: Callable[..., Any]) -> None:
    due = {"common_due": {"packages": [{"name": "doca-ofed"}]}}
    assert evaluate("doca_ofed", "__doca_ofed_untooled", ansible_check_mode=True, **due) is True
    assert evaluate("doca_ofed", "__doca_ofed_untooled", ansible_check_mode=False, **due) is False
    assert evaluate("doca_ofed", "__doca_ofed_untooled", ansible_check_mode=True, common_due={"packages": []}) is False


@pytest.mark.parametrize("file", ["pci.yml", "write_ordering.yml"])
def test_check_mode_tells_what_its_commands_would_change(file: str) -> None:
    """Ansible skips them there, and counts no change."""
    tasks = load(ROLES / "doca_ofed" / "tasks" / file)
    changes = [
        at for at, task in enumerate(tasks) if "ansible.builtin.command" in task and task["changed_when"] is True
    ]
    assert changes
    for at in changes:
        told, condition = tasks[at - 1], tasks[at]["when"]
        assert told["changed_when"] is True and told["ansible.builtin.debug"]["msg"].startswith("would ")
        assert "ansible_check_mode" in told["when"]
        # Of the same devices, by the same condition.
        assert condition in told["when"] or condition == told["loop"].strip("{} ") + " | length > 0"
