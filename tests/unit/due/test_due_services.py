# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services, users and kernel settings are due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.due import kernel, services, users
from ansible_collections.firstlight.cluster.plugins.module_utils.due.services import Due, Unit, due, stamp_of

RUNS = Unit(present=True, enabled=True, running=True, declined=False)
STOPPED = Unit(present=True, enabled=True, running=False, declined=False)
DISABLED = Unit(present=True, enabled=False, running=True, declined=False)
DECLINED = Unit(present=True, enabled=True, running=False, declined=True)
ABSENT = services.unit_of("none", {})
OTHER = "was last started with another configuration"


@pytest.mark.parametrize(
    ("wanted", "unit", "stamp", "applied", "why", "state"),
    [
        ({}, RUNS, "", "", [], ""),
        ({}, RUNS, "s", "s", [], ""),
        ({}, RUNS, "s", "", [OTHER], "restarted"),
        ({}, RUNS, "s", "t", [OTHER], "restarted"),
        ({"action": "reloaded"}, RUNS, "s", "t", [OTHER], "reloaded"),
        ({}, STOPPED, "s", "s", ["is not running"], "started"),
        ({}, STOPPED, "s", "t", ["is not running", OTHER], "restarted"),
        ({}, DISABLED, "s", "s", ["is not enabled"], ""),
        ({}, ABSENT, "s", "", ["is not installed", "is not running", OTHER], "restarted"),
        # What its own conditions keep from running is left alone, and has its configuration for the next start.
        ({}, DECLINED, "s", "s", [], ""),
        ({}, DECLINED, "s", "t", [OTHER], ""),
        ({"state": "stopped"}, RUNS, "", "", ["is enabled", "is running"], "stopped"),
        ({"state": "stopped"}, STOPPED, "", "", ["is enabled"], "stopped"),
        ({"state": "stopped"}, ABSENT, "", "", [], ""),
        ({"action": "reexecuted"}, ABSENT, "s", "t", [OTHER], "reexecuted"),
        ({"action": "reexecuted"}, ABSENT, "s", "s", [], ""),
    ],
)
def test_what_is_due(wanted: dict[str, Any], unit: Unit, stamp: str, applied: str, why: list[str], state: str) -> None:
    found = due(wanted, unit, stamp, applied)
    assert (found.why, found.state) == (why, state)


def test_a_file_with_another_content_is_reason_enough() -> None:
    """Whoever changed it by hand may have restarted the service, and its stamp is still that of the wanted one."""
    found = due({}, RUNS, "s", "s", ["/etc/d.conf"])

    assert found.why == ["reads /etc/d.conf, which has another content"]
    assert (found.state, found.stamp) == ("restarted", "s")


@pytest.mark.parametrize(
    ("unit", "applied", "why"),
    [
        (RUNS, "s", []),
        (RUNS, "t", [OTHER]),
        (STOPPED, "s", []),
        (Unit(present=True, enabled=False, running=False, declined=False), "t", ["is not enabled", OTHER]),
    ],
)
def test_what_waits_for_a_restart_of_the_machine_is_enabled_and_left_as_it_is(
    unit: Unit, applied: str, why: list[str]
) -> None:
    found = due({}, unit, "s", applied, waits=True)

    assert (found.why, found.state, found.stamp) == (why, "", "s")


def test_a_service_to_be_stopped_leaves_no_stamp() -> None:
    assert due({"state": "stopped"}, RUNS, "s", "t") == Due(["is enabled", "is running"], "stopped", "", True)


def test_stamps_tell_configurations_apart() -> None:
    assert stamp_of([], []) == ""
    stamps = [stamp_of(["a"], []), stamp_of(["a", "b"], []), stamp_of([], ["a"]), stamp_of(["ab"], [])]
    assert len(set(stamps)) == 4
    assert stamp_of(["a"], []) == stamps[0]


SHOWN = """Id=chrony.service
Names=chronyd.service chrony.service
LoadState=loaded
ActiveState=inactive
UnitFileState=enabled
ConditionResult=no
ConditionTimestampMonotonic=4711

Id=systemd-journald.service
Names=systemd-journald.service
LoadState=loaded
ActiveState=active
UnitFileState=static
ConditionResult=yes
ConditionTimestampMonotonic=12

Id=apt-daily.timer
Names=apt-daily.timer
LoadState=loaded
ActiveState=activating
UnitFileState=enabled-runtime
ConditionResult=no
ConditionTimestampMonotonic=0

Id=none.service
Names=none.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
ConditionResult=no
ConditionTimestampMonotonic=0
"""


def test_units_as_systemd_shows_them() -> None:
    units = services.parse_show(SHOWN)
    assert services.unit_of("chrony", units) == services.unit_of("chronyd", units) == DECLINED
    assert services.unit_of("systemd-journald", units) == RUNS
    # Enabled until the next start is not what was asked for; a condition that was never tried declined nothing.
    assert services.unit_of("apt-daily.timer", units) == Unit(True, enabled=False, running=True, declined=False)
    assert services.unit_of("none", units) == ABSENT


def test_only_kernel_settings_that_differ_are_due() -> None:
    live = {
        "vm.swappiness": "60\n",
        "net.ipv4.tcp_rmem": "4096\t131072\t6291456\n",
        "kernel.core_pattern": "|/x %p =y\n",
    }
    wanted = {"vm.swappiness": 1, "net.ipv4.tcp_rmem": "4096 131072 6291456", "kernel.core_pattern": "|/x %p =y"}
    assert kernel.settings_due(wanted, live) == (["vm.swappiness"], [])
    assert kernel.settings_due({"vm.swappyness": 1}, live) == ([], ["vm.swappyness"])


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("vm.swappiness", "vm/swappiness"),
        ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
    ],
)
def test_places_of_kernel_settings(key: str, path: str) -> None:
    assert kernel.path_of(key) == path


def test_kernel_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "vm").mkdir()
    (tmp_path / "vm" / "swappiness").write_text("60\n")
    (tmp_path / "kernel" / "stable_secret").mkdir(parents=True)
    keys = ["vm.swappiness", "vm.none", "kernel.stable_secret"]
    assert kernel.read_settings(keys, str(tmp_path)) == {"vm.swappiness": "60\n"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("always [madvise] never\n", "madvise"),
        ("performance\n", "performance"),
        ("[none] mq-deadline\n", "none"),
        ("", ""),
    ],
)
def test_the_value_of_a_file_of_the_kernel(text: str, value: str) -> None:
    assert kernel.selected(text) == value


def test_files_of_the_kernel(tmp_path: Path) -> None:
    for number, value in enumerate(("performance", "schedutil", "schedutil")):
        policy = tmp_path / f"cpufreq/policy{number}"
        policy.mkdir(parents=True)
        (policy / "scaling_governor").write_text(f"{value}\n")
    (tmp_path / "thp").write_text("always [madvise] never\n")
    wanted = {"/cpufreq/policy*/scaling_governor": "performance", "/thp": "madvise", "/numa": 0}
    found = kernel.read_files(wanted, str(tmp_path))
    assert found["/numa"] == {}
    first = tmp_path / "cpufreq/policy1/scaling_governor"
    assert kernel.files_due(wanted, found) == {
        "/cpufreq/policy*/scaling_governor": f"2 of 3 differ: {first} is schedutil, wanted is performance"
    }
    assert kernel.files_due({"/thp": "never"}, kernel.read_files(["/thp"], str(tmp_path))) == {
        "/thp": f"{tmp_path / 'thp'} is madvise, wanted is never"
    }


def test_a_file_that_nobody_can_read_differs() -> None:
    assert kernel.files_due({"/p": 1}, {"/p": {"/p": ""}}) == {"/p": "/p is not readable, wanted is 1"}


PASSWD = "root:x:0:0:root:/root:/bin/bash\ncluster:x:1001:1001::/home/cluster:/bin/bash\nbroken line\n"


@pytest.mark.parametrize(
    ("wanted", "shadow", "why"),
    [
        ({"uid": 1001, "home": "/home/cluster", "shell": "/bin/bash"}, "cluster:!:1::::::", []),
        ({}, "cluster:!$y$hash:1::::::", []),
        ({"uid": None}, "cluster:!:1::::::", []),
        ({"uid": 7}, "cluster:!:1::::::", ["has uid 1001, wanted is 7"]),
        (
            {"home": "/h", "shell": "/bin/sh"},
            "cluster:*:1::::::",
            ["has home /home/cluster, wanted is /h", "has shell /bin/bash, wanted is /bin/sh", "is not locked"],
        ),
        ({}, "cluster:$y$hash:1::::::", ["is not locked"]),
        ({}, "", ["is not locked"]),
    ],
)
def test_users(wanted: dict[str, Any], shadow: str, why: list[str]) -> None:
    found = users.names_with_due([{"name": "cluster", **wanted}], users.parse_accounts(PASSWD, shadow))
    assert found == ({"cluster": why} if why else {})


def test_a_user_that_is_missing_is_due() -> None:
    assert users.names_with_due([{"name": "mpi"}], users.parse_accounts(PASSWD, "")) == {"mpi": ["is missing"]}


def test_a_user_is_in_the_groups_that_are_wanted() -> None:
    accounts = users.parse_accounts(PASSWD, "cluster:!:1::::::", "docker:x:999:mpi,cluster\nvideo:x:44:\nbroken\n")
    wanted = {"name": "cluster", "groups": ["docker", "video"]}
    assert users.names_with_due([wanted], accounts) == {"cluster": ["is not in video"]}
    assert users.names_with_due([{**wanted, "groups": ["docker"]}], accounts) == {}
