# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role doca_ofed on a node."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

# Of the OFED in each release.
OFED = {"3.1.0-091000": "25.07-0.9.7", "3.2.1-044000": "25.10-1.7.1", "3.3.0-088000": "26.01-1.0.0"}
# To which release a test goes from that of the class.
NEXT = {"3.1.0-091000": "3.2.1-044000", "3.2.1-044000": "3.3.0-088000"}
# Names of the HCAs and their slots, by rail, and what is above one of them and the GPU beside it.
SLOTS = ["1a", "3c", "4d", "5e", "9c", "bc", "cc", "dc"]
HCAS = {f"mlx5_{rail}": f"0000:{bus}:00.0" for rail, bus in enumerate(SLOTS)}
GPU, GPU_PORT, HCA_PORT, ROOT_PORT = "0000:18:00.0", "0000:f0:00.0", "0000:f0:01.0", "0000:00:01.0"
UNIT = "firstlight-pci-settings"
REQUESTS = "/run/firstlight/reboot"
WITHOUT = [*PACKAGE_MANAGERS, "file /usr/", "file /var/lib/dkms"]


@pytest.fixture
def version(scenario: Scenario) -> str:
    """Of the class."""
    return scenario.software["doca_ofed"]


@pytest.fixture
def other(version: str) -> str:
    return NEXT[version]


def modules(version: str) -> str:
    """25.07-0.9.7 -> 25.07.OFED.25.07.0.9.7.1, the version of the kernel modules."""
    year, _, build = OFED[version].partition("-")
    return f"{year}.OFED.{year}.{build}.1"


def setpci(machine: Machine, address: str, register: str) -> int:
    return int(machine.run("setpci -s %s %s", address, register), 16)


def max_read_request(machine: Machine, address: str) -> str:
    """As lspci shows it."""
    found = re.search(r"MaxReadReq (\d+) bytes", machine.run("lspci -vv -s %s", address))
    return found[1] if found else "none"


def test_the_package_is_of_the_version_and_held(machine: Machine, scenario: Scenario, version: str) -> None:
    assert machine.run("dpkg-query --show --showformat='${Version}' doca-ofed") == version
    assert machine.run("apt-mark showhold").split() == ["doca-ofed"]
    assert machine.run("ofed_info -s") == f"OFED-internal-{OFED[version]}:"
    sources = machine.read("/etc/apt/sources.list.d/firstlight-doca.sources")
    place = f"{version.partition('-')[0]}/{scenario.lab['release']['system']}/x86_64"
    assert f"{scenario.lab['upstream']['doca']}/{place}" in sources
    assert "BEGIN PGP PUBLIC KEY BLOCK" in sources


def test_the_driver_is_loaded_and_is_at_the_next_start(machine: Machine, version: str) -> None:
    assert machine.host.service("openibd").is_running and machine.host.service("openibd").is_enabled
    assert "HCA driver loaded" in machine.run("/etc/init.d/openibd status")
    kernel = machine.run("uname -r")
    assert machine.run(f"cat /lib/modules/{kernel}/updates/dkms/mlx5_core.ko") == modules(version)


def test_no_subnet_manager_has_ever_run(machine: Machine) -> None:
    """Its package enables and starts it, and the role has the package installed."""
    assert machine.host.package("opensm").is_installed
    assert not machine.host.file("/var/log/opensm.log").exists
    for name in ("opensmd", "opensm"):
        assert machine.host.service(name).is_masked
        assert machine.host.run("systemctl start %s", name).rc != 0


def test_firmware_is_nobodys_side_effect(machine: Machine) -> None:
    assert not machine.host.package("mlnx-fw-updater").is_installed
    assert set(machine.run("cat /sys/class/infiniband/*/fw_ver").split()) == {"28.39.1002"}
    assert "28.39.1002" in machine.run("mlxfwmanager --query")


def test_every_hca_has_the_name_of_its_slot(machine: Machine) -> None:
    """Udev does not run in a node of the lab; what it would be told agrees with what the node has."""
    rules = machine.read("/etc/udev/rules.d/60-rdma-persistent-naming.rules")
    told = re.findall(r'KERNELS=="([^"]+)", PROGRAM="rdma_rename %k NAME_FIXED (\w+)"', rules)
    shown = {
        name: machine.run(f"sed -n s/PCI_SLOT_NAME=//p /sys/class/infiniband/{name}/device/uevent") for name in HCAS
    }
    assert {name: address for address, name in told} == shown == HCAS


def test_hcas_read_as_much_at_once_as_they_can(machine: Machine) -> None:
    assert {max_read_request(machine, address) for address in HCAS.values()} == {"4096"}
    # What else the register says stays, and other devices have theirs.
    assert setpci(machine, HCAS["mlx5_0"], "CAP_EXP+8.w") == 0x5930
    assert max_read_request(machine, GPU) == "512"


def test_nothing_between_gpu_and_hca_is_redirected(machine: Machine) -> None:
    for address in (GPU_PORT, HCA_PORT, ROOT_PORT):
        assert setpci(machine, address, "ECAP_ACS+6.w") == 0
    assert "ACSCtl:" in (shown := machine.run("lspci -vv"))
    assert "ReqRedir+" not in "".join(line for line in shown.splitlines() if "ACSCtl:" in line)


def test_it_is_set_before_docker_starts(machine: Machine) -> None:
    assert machine.host.service(UNIT).is_running and machine.host.service(UNIT).is_enabled
    assert "docker.service" in machine.run("systemctl show --property=Before --value %s", UNIT).split()


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(
        "apt-mark unhold doca-ofed"
        " && apt-get -qq remove --yes --allow-change-held-packages mlnx-ofed-kernel-dkms > /dev/null 2>&1"
        " && sed -i s/mlx5_0/mlx5_9/ /etc/udev/rules.d/60-rdma-persistent-naming.rules"
    )
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before, without=WITHOUT) == set()
    assert after.touched_since(drifted, without=WITHOUT) == {
        "file /etc/udev/rules.d/60-rdma-persistent-naming.rules",
        "package doca-ofed",
        "package mlnx-ofed-kernel-dkms",
    }
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


def test_a_subnet_manager_that_somebody_started_is_stopped_and_kept_out(machine: Machine, scenario: Scenario) -> None:
    """Where no package is changed: who changes one keeps its subnet manager out beforehand."""
    before = machine.state()
    machine.run("rm /etc/systemd/system/opensmd.service && systemctl daemon-reload && systemctl start opensmd")
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    machine.run("rm /var/log/opensm.log")
    assert after.differences(before, without=WITHOUT) == set()
    touched = {"file /etc/systemd/system/opensmd.service", "unit opensmd.service"}
    assert after.touched_since(drifted, without=WITHOUT) == touched


@pytest.mark.long
def test_a_register_that_somebody_changed_is_set_again(machine: Machine, scenario: Scenario) -> None:
    machine.run("setpci -s %s CAP_EXP+8.w=2000:7000", HCAS["mlx5_3"])
    machine.run("setpci -s %s ECAP_ACS+6.w=001d", HCA_PORT)
    before = machine.state()

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert [change.split(" : ")[-1] for change in run.changes] == ["pci | Set those that differ"]
    assert machine.state().touched_since(before) == {f"unit {UNIT}.service"}
    test_hcas_read_as_much_at_once_as_they_can(machine)
    test_nothing_between_gpu_and_hca_is_redirected(machine)


@pytest.mark.long
def test_the_order_of_writes_is_stored_and_waits_for_a_reset(machine: Machine, scenario: Scenario) -> None:
    wanted = {"doca_ofed_pci_write_ordering": "force_relax"}

    run = scenario.converge(variables=wanted)

    assert run.returncode == 0, run.tail
    assert [change.split(" : ")[-1] for change in run.changes] == [
        "write_ordering | Store it in those that differ",
        "ask_reboot | Make room for the request",
        "ask_reboot | Say why a restart is due",
    ]
    shown = machine.run("mlxconfig -d %s -e query PCI_WR_ORDERING", HCAS["mlx5_5"])
    assert re.search(r"PCI_WR_ORDERING +per_mkey\(0\) +per_mkey\(0\) +force_relax\(1\)", shown)
    asked = machine.read("/run/firstlight/reboot/doca_ofed_write_ordering")
    assert asked == f"PCI_WR_ORDERING=force_relax is stored in {', '.join(HCAS.values())}\n"
    again = scenario.converge(variables=wanted)
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.fixture
def holder(machine: Machine) -> Iterator[str]:
    """A process that has an HCA open: its id. The lab has no device files, so there is a plain one."""
    machine.run("mkdir -p /dev/infiniband && touch /dev/infiniband/uverbs0")
    machine.run(
        "systemd-run --quiet --unit=holder --property=StandardInput=file:/dev/infiniband/uverbs0 sleep infinity"
    )
    yield machine.run("systemctl show --property=MainPID --value holder")
    machine.run("systemctl stop holder && rm -r /dev/infiniband")


def test_the_driver_is_not_changed_under_who_uses_it(
    machine: Machine, scenario: Scenario, holder: str, other: str
) -> None:
    before = machine.state()

    run = scenario.converge(variables={"doca_ofed_version": other})

    assert run.returncode != 0
    assert f"needs a change of DOCA-OFED ({other})" in run.messages, run.tail
    assert f"held, or jobs run, by process {holder} (sleep) with /dev/infiniband/uverbs0" in run.messages
    assert "Drain the node" in run.messages
    assert machine.state().touched_since(before) == set()
    # Where nothing is to be changed, nobody is disturbed.
    unchanged = scenario.converge()
    assert (unchanged.returncode, unchanged.changes) == (0, []), unchanged.tail


@pytest.fixture
def loaded(machine: Machine) -> Iterator[None]:
    """The driver is loaded, so that a change asks for a restart; nobody has asked for one yet."""
    machine.run("rm -rf %s && mount -t tmpfs modules /sys/module && mkdir /sys/module/mlx5_core", REQUESTS)
    yield
    machine.run("umount /sys/module && rm -rf %s", REQUESTS)


def repository(scenario: Scenario, folder: str) -> dict[str, object]:
    key = "{{ lookup('ansible.builtin.file', lab.upstream.doca_key_file) }}"
    return {"name": "doca", "uris": [scenario.lab["upstream"]["doca"] + folder], "suites": ["./"], "signed_by": key}


@pytest.mark.long
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (
            "/{other}/debian11/x86_64",
            ["there is no repository at http://", "/{other}/debian11/x86_64/. Nothing was changed"],
        ),
        (
            "/{number}/{system}/x86_64",
            [") is of release {number}, but DOCA-OFED is to be {other}", "a repository of its own"],
        ),
    ],
)
def test_a_repository_that_is_none_for_the_version_is_refused_before_anything_is_changed(
    machine: Machine,
    scenario: Scenario,
    loaded: None,
    version: str,
    other: str,
    folder: str,
    words: list[str],
) -> None:
    number, wanted = (each.partition("-")[0] for each in (version, other))
    names = {"number": number, "other": wanted, "system": scenario.lab["release"]["system"]}
    given = repository(scenario, folder.format(**names))
    before = machine.state()

    run = scenario.converge(variables={"doca_ofed_version": other, "doca_ofed_repository": given})

    assert run.returncode != 0
    assert [word for word in words if word.format(**names) not in run.messages] == [], run.tail
    assert run.changes == []
    assert machine.state().touched_since(before) == set()
    assert not machine.host.file(f"{REQUESTS}/doca_ofed").exists


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"doca_ofed_version": "{number}-999999"},
            ["doca-ofed {number}-999999 is not in http://", "which offers {version}", "Correct the version"],
        ),
        pytest.param(
            {"doca_ofed_hca_pci_addresses": ["0000:1a:00.0"]},
            ["doca_ofed_hca_pci_addresses has 1 addresses for 8 HCAs", "equally long"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"doca_ofed_repository": {"name": "doca"}},
            ["doca_ofed_repository lacks signed_by, suites, uris"],
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_cannot_be_is_refused(
    machine: Machine,
    scenario: Scenario,
    loaded: None,
    version: str,
    variables: dict[str, object],
    words: list[str],
) -> None:
    names = {"number": version.partition("-")[0], "version": version}
    if "doca_ofed_version" in variables:
        variables = {"doca_ofed_version": str(variables["doca_ofed_version"]).format(**names)}
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert [word for word in words if word.format(**names) not in run.messages] == [], run.tail
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()
    # What was not changed waits for no restart.
    assert not machine.host.file(f"{REQUESTS}/doca_ofed").exists


@pytest.mark.long
def test_a_slot_without_an_hca_is_named(machine: Machine, scenario: Scenario) -> None:
    wrong = [*list(HCAS.values())[:-1], "0000:ee:00.0"]

    run = scenario.converge(variables={"doca_ofed_hca_pci_addresses": wrong})

    assert run.returncode != 0
    assert "PCI settings cannot be read" in run.messages, run.tail
    assert "0000:ee:00.0: no such device on the PCI bus; correct its address in the node class" in run.messages
    assert scenario.converge().returncode == 0


@pytest.mark.long
def test_modules_that_do_not_build_for_the_kernel_are_told_and_the_way_back_is_open(
    machine: Machine, scenario: Scenario, version: str, other: str
) -> None:
    machine.run(f"echo 'mlnx-ofed-kernel/{modules(other)}/*' > /lab/dkms.fails")
    try:
        failed = scenario.converge(variables={"doca_ofed_version": other})

        assert failed.returncode != 0
        assert f"the kernel modules of DOCA-OFED {other} do not build for the running kernel" in failed.messages
        assert f"Bad return status for module build on kernel: {machine.run('uname -r')}" in failed.messages
        assert "choose another release in the node class (software.kernel, software.doca_ofed)" in failed.messages

        back = scenario.converge()

        assert back.returncode == 0, back.tail
        test_the_driver_is_loaded_and_is_at_the_next_start(machine, version)
        assert machine.run("dpkg --audit") == ""
        assert machine.run("apt-mark showhold").split() == ["doca-ofed"]
    finally:
        machine.run("rm /lab/dkms.fails")


@pytest.mark.long
def test_another_release_comes_from_its_own_repository_and_back(
    machine: Machine, scenario: Scenario, version: str, other: str
) -> None:
    run = scenario.converge(variables={"doca_ofed_version": other})

    assert run.returncode == 0, run.tail
    assert machine.run("ofed_info -s") == f"OFED-internal-{OFED[other]}:"
    assert machine.run("apt-mark showhold").split() == ["doca-ofed"]
    assert not machine.host.file("/var/log/opensm.log").exists

    back = scenario.converge()

    assert back.returncode == 0, back.tail
    assert machine.run("dpkg-query --show --showformat='${Version}' mlnx-ofed-kernel-dkms") == (f"{modules(version)}-1")


@pytest.mark.long
def test_without_a_version_nothing_is_done(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"doca_ofed_version": ""})

    assert (run.returncode, run.changes) == (0, []), run.tail
    assert machine.state().touched_since(before) == set()


# -- firmware of the HCAs

FACTORY, FIRMWARE, PSID = "28.39.1002", "28.46.1006", "MT_0000000838"
IMAGE, FAILS = "/root/firmware.bin", "/lab/flint.fails"


def wants(image_uri: str, psid: str = PSID) -> dict[str, object]:
    """Variables by which all HCAs are to have an image, which is for boards of `psid`."""
    sha256 = hashlib.sha256(f"psid {psid}\nversion {FIRMWARE}\n".encode()).hexdigest()
    images = [{"psid": PSID, "image_uri": image_uri, "sha256": sha256}]
    return {"doca_ofed_firmware": FIRMWARE, "doca_ofed_firmware_images": images}


def stored(machine: Machine) -> list[str]:
    """What every HCA has for its next reset, by rail."""
    return [machine.run("flint -d %s query | sed -n 's/^FW Version: *//p'", address) for address in HCAS.values()]


def running(machine: Machine) -> set[str]:
    return set(machine.run("cat /sys/class/infiniband/*/fw_ver").split())


def boot_of(machine: Machine) -> str:
    """Which boot this is; empty where the machine does not answer."""
    try:
        return machine.read("/proc/sys/kernel/random/boot_id")
    except RuntimeError:
        return ""


def restart(machine: Machine) -> None:
    before, until = boot_of(machine), time.monotonic() + 60
    with contextlib.suppress(RuntimeError):
        machine.host.run("systemctl reboot")
    while boot_of(machine) in ("", before) and time.monotonic() < until:
        time.sleep(0.5)


@pytest.mark.long
def test_firmware_that_does_not_fit_is_not_burned(machine: Machine, scenario: Scenario) -> None:
    machine.run("rm -rf %s /run/firstlight/firmware", REQUESTS)
    before = machine.state()
    machine.write(IMAGE, "another")
    wanted = wants(f"file://{IMAGE}", "DEL0000000031")

    run = scenario.converge(variables=wanted)

    assert run.returncode != 0
    assert f"The firmware image file://{IMAGE} cannot be had as the node class describes it" in run.messages, run.tail

    machine.write(IMAGE, f"psid DEL0000000031\nversion {FIRMWARE}\n")
    run = scenario.converge(variables=wanted)

    assert run.returncode != 0
    assert f"file://{IMAGE} is for boards with PSID DEL0000000031, not MT_0000000838" in run.messages, run.tail
    assert "nothing was burned. Remedy: correct hardware.hcas.firmware_images" in run.messages
    assert set(stored(machine)) == {FACTORY}
    assert not machine.host.file(f"{REQUESTS}/doca_ofed_firmware").exists
    assert machine.state().touched_since(before, without=[f"file {IMAGE}"]) == set()


@pytest.mark.long
def test_firmware_is_burned_into_every_hca_but_one_that_fails_and_is_in_force_after_the_restart(
    machine: Machine, scenario: Scenario
) -> None:
    wanted = wants(f"{scenario.lab['upstream']['doca']}/firmware/fw-ConnectX7-{FIRMWARE}-{PSID}.bin")
    machine.write(FAILS, f"{HCAS['mlx5_5']} busy\n")

    run = scenario.converge(variables=wanted)

    assert run.returncode != 0
    failed = f"HCA mlx5_5 (rail 5, {HCAS['mlx5_5']}) was not brought from firmware {FACTORY} to {FIRMWARE}"
    assert f"{failed}: -E- Burning FS4 image failed: Can not obtain Flash semaphore (63)." in run.messages, run.tail
    assert run.messages.count("was not brought") == 1
    assert stored(machine) == [FACTORY if name == "mlx5_5" else FIRMWARE for name in HCAS]
    assert running(machine) == {FACTORY}
    asked = machine.read(f"{REQUESTS}/doca_ofed_firmware")
    assert asked.startswith(f"firmware waits in HCAs, {FIRMWARE} in HCA mlx5_0 (rail 0, 0000:1a:00.0); ")

    machine.run("rm %s", FAILS)
    mended = scenario.converge(variables=wanted)

    assert mended.returncode == 0, mended.tail
    assert "firmware | Burn it" in [change.split(" : ")[-1] for change in mended.changes]
    assert stored(machine) == [FIRMWARE] * len(HCAS)
    again = scenario.converge("--diff", variables=wanted)
    assert (again.returncode, again.changes) == (0, []), again.tail

    restart(machine)
    assert running(machine) == {FIRMWARE}
    after = scenario.converge(variables=wanted)
    assert (after.returncode, after.changes) == (0, []), after.tail
    assert not machine.host.file(f"{REQUESTS}/doca_ofed_firmware").exists
