# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role base_os on a head node."""

from __future__ import annotations

import json

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

PACKAGES = ["ca-certificates", "chrony", "ethtool", "jq", "lsof", "numactl", "pciutils", "rsync", "tzdata"]
SYSCTL = {"vm.swappiness": "1", "vm.max_map_count": "1048576", "kernel.panic_on_oops": "1"}
# What dpkg writes anew of jq, where hostnamectl keeps a second copy of the name, and copies of what usermod found.
PASSED_OVER = [*PACKAGE_MANAGERS, "file /usr/", "file /etc/machine-info", "file /etc/group-", "file /etc/gshadow-"]
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
GOVERNOR = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
VALUES = {THP: "never", GOVERNOR: "performance", PAGES: "16", "/proc/sys/kernel/numa_balancing": "0"}
TIMERS = ["apt-daily.timer", "apt-daily-upgrade.timer"]


def test_names_and_neighbours(machine: Machine, scenario: Scenario) -> None:
    assert machine.run("hostname") == "head01"
    assert machine.read("/etc/hostname").strip() == "head01"
    for name, address in scenario.addresses.items():
        assert machine.run("getent hosts %s", name).split()[0] == address
    assert machine.read("/etc/hosts").startswith("# BEGIN hosts of the cluster")


def test_packages_come_from_the_sites_sources_alone(machine: Machine, scenario: Scenario) -> None:
    sources = {line.split()[1] for line in machine.run("apt-cache policy").splitlines() if "http" in line}
    assert sources == {scenario.lab["upstream"]["debian"]}
    # One file of the distribution's own, wherever its release has that.
    aside = machine.run("find /etc/apt -name '*.disabled'")
    assert aside in ("/etc/apt/sources.list.disabled", "/etc/apt/sources.list.d/debian.sources.disabled")
    assert not machine.host.file(aside.removesuffix(".disabled")).exists
    assert machine.run("apt-get update 2>&1 | grep -E '^(W|E|Ign)' || true") == ""
    assert [name for name in PACKAGES if not machine.host.package(name).is_installed] == []


def test_apt_does_nothing_by_itself(machine: Machine) -> None:
    settings = machine.run("apt-config dump APT::Periodic")
    for name in ("Enable", "Update-Package-Lists", "Unattended-Upgrade"):
        assert f'APT::Periodic::{name} "0";' in settings
    assert machine.run("systemctl list-timers --no-legend 'apt-daily*'") == ""


def test_the_sites_authority_is_trusted(machine: Machine, scenario: Scenario) -> None:
    """The BMCs' certificates are of the site's authority; no option says so here."""
    bmc = scenario.site["machines"]["head01"]["bmc"]["address"]
    assert "RedfishVersion" in json.loads(machine.run("curl --silent --show-error https://%s/redfish/v1", bmc))


def test_kernel_settings(machine: Machine) -> None:
    kept = machine.run("grep -v '^#' /etc/sysctl.d/90-firstlight.conf").split()
    assert dict(line.split("=") for line in kept) == SYSCTL
    assert {name: machine.run("sysctl -n %s", name) for name in SYSCTL} == SYSCTL


def test_limits_are_in_force(machine: Machine) -> None:
    """Of new sessions and of services. A container's root can lower limits only, so sessions start from a high one."""
    high = "systemd-run --wait --pipe --quiet --property=LimitNOFILE=1024"
    assert machine.run(f"{high} su - debian -c 'ulimit -n'") == "1000"
    assert machine.run(f"{high} su - root -c 'ulimit -n'") == "999"
    assert machine.run("systemd-run --wait --pipe --quiet sh -c 'ulimit -n'") == "1002"
    assert "DefaultLimitNOFILE=1002" in machine.read("/etc/systemd/system.conf.d/90-firstlight.conf")


def test_time(machine: Machine, scenario: Scenario) -> None:
    assert machine.run("date +%Z") in ("CET", "CEST")
    assert machine.read("/etc/timezone") == "Europe/Berlin\n"
    assert machine.host.service("chrony").is_running and machine.host.service("chrony").is_enabled
    sources = [line.split()[1] for line in machine.run("chronyc -n sources").splitlines() if line.startswith("^")]
    assert sources == scenario.lab["ntp_servers"]


def test_the_journal_is_kept_and_reads_its_settings(machine: Machine) -> None:
    for level in ("info", "debug"):
        machine.run(f"logger --tag molecule --priority user.{level} a-message-of-level-{level}")
    machine.run("journalctl --sync")
    assert machine.run("journalctl --identifier=molecule --output=cat") == "a-message-of-level-info"
    assert machine.run("ls -d /var/log/journal/*/system.journal")


def test_users_log_in_with_their_keys(machine: Machine) -> None:
    assert machine.log_in("ada", "id -un && sudo --non-interactive id -un") == "ada\nroot\n"
    with pytest.raises(RuntimeError, match="Permission denied"):
        machine.log_in("ci", "id -un")
    assert machine.run("id -nG ada").split() == ["ada", "adm"]
    assert machine.run("getent passwd ci").split(":")[2:] == ["2000", "2000", "", "/srv/ci", "/bin/bash"]
    for user in ("ada", "ci"):
        assert machine.run("passwd --status %s", user).split()[1] == "L"


def test_values_of_the_kernel_are_set_now_and_at_every_start(machine: Machine) -> None:
    assert {path: machine.read(path).strip() for path in VALUES if machine.host.file(path).exists} == VALUES
    machine.run("echo always > %s && echo schedutil > %s && systemctl start firstlight-kernel-values", THP, GOVERNOR)
    assert {path: machine.read(path).strip() for path in VALUES} == VALUES
    machine.run("systemctl stop firstlight-kernel-values && systemctl daemon-reload")
    assert "firstlight-kernel-values.service" in machine.run("systemctl show --property=Wants multi-user.target")


def test_a_container_has_no_boot_menu_and_none_is_made(machine: Machine) -> None:
    assert not machine.host.file("/etc/default/grub.d/90-firstlight.cfg").exists


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    # The image masks them, as containers want it; a machine's are only turned off.
    machine.run("systemctl unmask %s %s && systemctl disable %s %s", *TIMERS, *TIMERS)
    before = machine.state()
    machine.run(
        "hostname other && echo other > /etc/hostname"
        " && sed -i '/node01/d' /etc/hosts && echo 127.0.1.1 head01 >> /etc/hosts"
        " && systemctl enable --now --quiet apt-daily.timer"
        " && dpkg --remove jq"
        # As a run leaves it that was killed while dpkg was at work.
        " && cd /tmp && apt-get -qq download lsof && dpkg --unpack lsof_*.deb && rm lsof_*.deb"
        " && sysctl -q -w vm.swappiness=60"
        f" && echo always > {THP} && echo 3 > {PAGES}"
        " && gpasswd --delete ada adm && echo ssh-ed25519 AAAA mallory >> /home/ada/.ssh/authorized_keys"
        " && sed -i s/999/99/ /etc/security/limits.d/90-firstlight.conf"
        " && echo '/dev/sdz1 none swap sw 0 0' >> /etc/fstab"
        " && rm /etc/systemd/system/swap.target"
        " && cp --remove-destination /usr/share/zoneinfo/Asia/Tokyo /etc/localtime"
        " && systemctl stop chrony"
    )
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before, without=PASSED_OVER) == {"file /etc/fstab"}
    assert machine.run("tail -n 1 /etc/fstab") == "# swap is off: /dev/sdz1 none swap sw 0 0"
    assert after.touched_since(drifted, without=PASSED_OVER) == {
        "file /etc/fstab",
        "file /etc/group",
        "file /etc/gshadow",
        "file /etc/hostname",
        "file /etc/hosts",
        "file /etc/localtime",
        "file /etc/security/limits.d/90-firstlight.conf",
        "file /etc/systemd/system/swap.target",
        "file /etc/systemd/system/timers.target.wants/apt-daily.timer",
        "file /home/ada/.ssh/authorized_keys",
        "package jq",
        "package lsof",
        "setting kernel.hostname",
        "setting vm.swappiness",
        "unit apt-daily.timer",
        "unit chrony.service",
    }
    assert {path: machine.read(path).strip() for path in VALUES} == VALUES
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.mark.long
def test_logs_are_bounded_where_there_is_logrotate(machine: Machine, scenario: Scenario) -> None:
    """The image has none: its configuration is a stand-in."""
    machine.write("/etc/logrotate.conf", "weekly\ninclude /etc/logrotate.d\n")
    try:
        run = scenario.converge()

        assert [change.split(" | ")[-1] for change in run.changes] == ["Bound the logs that logrotate keeps"], run.tail
        assert machine.read("/etc/logrotate.conf").splitlines()[1:4:2] == ["# BEGIN size of logs", "# END size of logs"]
        assert machine.read("/etc/logrotate.conf").splitlines()[2::2] == ["maxsize 1G", "include /etc/logrotate.d"]
    finally:
        machine.run("rm /etc/logrotate.conf")


def test_swap_in_use_is_turned_off(machine: Machine, scenario: Scenario) -> None:
    """A container has no swap: the list of what is in use, and the program that empties it, are stand-ins."""
    none = machine.read("/proc/swaps")
    machine.write("/usr/local/sbin/swapoff", f'#!/bin/sh\ntest "$*" = --all && printf "{none}" > /lab/swaps\n')
    machine.run("chmod 755 /usr/local/sbin/swapoff && echo '/dev/sdz1 partition 1048572 0 -2' >> /lab/swaps")
    before = machine.state()
    try:
        tried = scenario.converge("--check")
        assert tried.returncode == 0, tried.tail
        assert [change.split(" | ")[-1] for change in tried.changes] == ["Say that it would no longer be used"]

        run = scenario.converge()

        assert run.returncode == 0, run.tail
        assert machine.state().touched_since(before) == {"setting swap"}
        assert machine.read("/proc/swaps") == none
    finally:
        machine.run("rm /usr/local/sbin/swapoff && printf %%s %s > /lab/swaps", none)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"base_os_timezone": "Europe/Berlim"},
            ["/etc/localtime cannot become a link to /usr/share/zoneinfo/Europe/Berlim", "Correct the variable"],
        ),
        pytest.param(
            {"base_os_kernel": "6.1.0-1-amd64"},
            ["head01 has no boot menu of GRUB", "empty there"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"base_os_hugepages": [{"size_kb": 3, "count": 1}]},
            ["has no huge pages such as", "Correct size_kb"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"base_os_sysctl": {"vm.swappyness": 1}},
            ["has no vm.swappyness", "Correct base_os_sysctl"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"base_os_packages_extra": ["no-such-package"]},
            ["no-such-package is not in http://", "offers no version of it", "bring it into the repository"],
            marks=pytest.mark.long,
        ),
    ],
    ids=["timezone", "kernel", "huge_pages", "sysctl", "package"],
)
def test_what_cannot_be_is_refused(
    machine: Machine, scenario: Scenario, variables: dict[str, object], words: list[str]
) -> None:
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert [word for word in words if word not in run.messages] == [], run.tail
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()
