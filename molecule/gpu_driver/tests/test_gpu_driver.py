# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role gpu_driver on a node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

VERSION = "570.172.08"
OTHER = "575.57.08"
PACKAGES = ["nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-persistenced", "nvidia-fabricmanager-570"]
DCGM = [
    "datacenter-gpu-manager-4-core",
    "datacenter-gpu-manager-4-cuda12",
    "datacenter-gpu-manager-4-proprietary",
    "datacenter-gpu-manager-4-proprietary-cuda12",
]
DCGM_VERSION, OTHER_DCGM = "4.2.3", "4.4.1"
# Not asked for by the role, and the pin has to keep them in step.
DEPENDENCIES = ["libcuda1", "libnvidia-ml1", "nvidia-kernel-support"]
SERVICES = ["nvidia-persistenced", "nvidia-fabricmanager", "nvidia-dcgm", "firstlight-gpu-modes"]
REQUESTS = "/run/firstlight/reboot"
FILES = ("/etc/modprobe.d/firstlight-nvidia.conf", "/etc/modules-load.d/firstlight-nvidia.conf")
VENV = "/opt/firstlight/venv"
WITHOUT = [*PACKAGE_MANAGERS, "file /usr/", f"file {VENV}", "file /root/.cache"]


def versions(machine: Machine, names: list[str]) -> dict[str, str]:
    shown = machine.run(f"dpkg-query --show --showformat='${{Package}} ${{Version}}\\n' {' '.join(names)}")
    return dict(line.split() for line in shown.splitlines())


def test_packages_are_of_the_version_held_and_pinned(machine: Machine) -> None:
    assert versions(machine, [*PACKAGES, *DEPENDENCIES]) == dict.fromkeys([*PACKAGES, *DEPENDENCIES], f"{VERSION}-1")
    assert versions(machine, DCGM) == dict.fromkeys(DCGM, f"1:{DCGM_VERSION}-1")
    assert machine.run("apt-mark showhold").split() == sorted(PACKAGES + DCGM)
    # The repository has a newer one, and apt would take it.
    assert OTHER in machine.run("apt-cache madison libcuda1")
    for name in ("libcuda1", "nvidia-driver-cuda"):
        assert f"Candidate: {VERSION}-1" in machine.run("apt-cache policy %s", name)
    assert "nvidia" not in machine.run("apt-get --simulate --ignore-hold dist-upgrade")


def test_packages_come_from_the_vendors_signed_repository(machine: Machine, scenario: Scenario) -> None:
    sources = machine.read("/etc/apt/sources.list.d/firstlight-nvidia.sources")
    assert scenario.lab["upstream"]["nvidia"] in sources and "BEGIN PGP PUBLIC KEY BLOCK" in sources


def test_services_run_and_start_with_the_machine(machine: Machine) -> None:
    for name in SERVICES:
        assert machine.host.service(name).is_running and machine.host.service(name).is_enabled, name
    assert machine.run("nv-fabricmanager --version").endswith(VERSION)
    assert machine.run("nv-hostengine --version").endswith(DCGM_VERSION)


def test_gpus_can_be_used(machine: Machine) -> None:
    """Fabric trained and persistence on, as their services make it."""
    shown = machine.run("nvidia-smi --query-gpu=driver_version,persistence_mode,fabric.state --format=csv,noheader")
    assert shown.splitlines() == [f"{VERSION}, Enabled, Completed"] * 8


def test_nvml_counts_the_gpus_through_the_bindings(machine: Machine) -> None:
    program = "import pynvml as n; n.nvmlInit(); print(n.nvmlDeviceGetCount(), n.nvmlSystemGetDriverVersion())"
    assert machine.run(f"{VENV}/bin/python -c %s", program) == f"8 {VERSION}"
    assert machine.run(f"{VENV}/bin/pip --disable-pip-version-check list").split()[4:6] == ["nvidia-ml-py", "13.615.71"]


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(
        "apt-mark unhold nvidia-persistenced"
        " && apt-get -qq install --yes --allow-change-held-packages nvidia-kernel-support=575.57.08-1"
        "    nvidia-kernel-open-dkms- nvidia-driver-cuda- > /dev/null 2>&1"
        f" && rm -r {VENV}/lib/python3*/site-packages/nvidia_ml_py*"
        " && sed -i s/1001/1/ /etc/apt/preferences.d/firstlight-gpu-driver"
        " && systemctl disable --quiet --now nvidia-fabricmanager && systemctl stop nvidia-dcgm"
    )
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before, without=WITHOUT) == set()
    assert after.touched_since(drifted, without=WITHOUT) == {
        "file /etc/apt/preferences.d/firstlight-gpu-driver",
        "file /etc/systemd/system/multi-user.target.wants/nvidia-fabricmanager.service",
        "package nvidia-driver-cuda",
        "package nvidia-kernel-open-dkms",
        "package nvidia-kernel-support",
        "package nvidia-persistenced",
        "unit nvidia-dcgm.service",
        "unit nvidia-fabricmanager.service",
    }
    test_nvml_counts_the_gpus_through_the_bindings(machine)
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.mark.long
def test_half_an_environment_is_built_anew(machine: Machine, scenario: Scenario) -> None:
    """What a controller that was killed may leave."""
    machine.run(f"rm -r {VENV}/lib/python3*/site-packages/pip")
    drifted = machine.state()

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert machine.state().touched_since(drifted, without=WITHOUT) == set()
    test_nvml_counts_the_gpus_through_the_bindings(machine)


def modes(machine: Machine) -> list[list[str]]:
    """Of each GPU: ECC in force and to come, MIG, persistence mode, watts."""
    fields = "ecc.mode.current,ecc.mode.pending,mig.mode.current,persistence_mode,power.limit"
    shown = machine.run(f"nvidia-smi --query-gpu={fields} --format=csv,noheader,nounits")
    return [line.split(", ") for line in shown.splitlines()]


AS_WANTED = ["Enabled", "Enabled", "Disabled", "Enabled", "700.00"]


def set_gpu(machine: Machine, index: int, **values: int) -> None:
    """Change a GPU as only its hardware could."""
    changes = ";".join(f"s/^{key} .*/{key} {value}/" for key, value in values.items())
    machine.run(f"sed -i '/^gpu {index}$/,/^gpu {index + 1}$/{{{changes}}}' /lab/gpus.state")


@pytest.fixture
def as_delivered(machine: Machine) -> Iterator[None]:
    """What a test makes of the GPUs is taken back, as is what was asked for."""
    machine.run("cp /lab/gpus.state /var/tmp/gpus.state")
    yield
    machine.run(f"cat /var/tmp/gpus.state > /lab/gpus.state && rm -rf /var/tmp/gpus.state {REQUESTS}")


@pytest.mark.long
@pytest.mark.usefixtures("as_delivered")
def test_modes_that_differ_are_set_and_ecc_asks_for_a_restart(machine: Machine, scenario: Scenario) -> None:
    set_gpu(machine, 3, ecc_mode=0, ecc_pending=0)
    machine.run("nvidia-smi --power-limit=500 --id=2")
    before = modes(machine)

    would = scenario.converge("--check", "--diff")

    assert modes(machine) == before
    assert [change.split(" : ")[-1] for change in would.changes] == [
        "modes | Put the GPUs into their modes",
        "ask_reboot | Make room for the request",
        "ask_reboot | Say that it would be asked for",
    ]

    run = scenario.converge(variables={"gpu_driver_power_limit": 650})

    assert run.returncode == 0, run.tail
    wanted = [*AS_WANTED[:-1], "650.00"]
    assert modes(machine) == [["Disabled", *wanted[1:]] if index == 3 else wanted for index in range(8)]
    assert machine.read(f"{REQUESTS}/gpu_modes") == "ECC is to be enabled on GPU 3\n"
    assert "--power-limit=650" in machine.run("systemctl cat firstlight-gpu-modes")
    again = scenario.converge(variables={"gpu_driver_power_limit": 650})
    assert (again.returncode, again.changes) == (0, []), again.tail
    # As the start of a machine does.
    machine.run("nvidia-smi --power-limit=700 && systemctl restart firstlight-gpu-modes")
    assert {gpu[-1] for gpu in modes(machine)} == {"650.00"}
    # A limit that is not asked for any more is lifted.
    lifted = scenario.converge()
    assert lifted.returncode == 0, lifted.tail
    assert {gpu[-1] for gpu in modes(machine)} == {"700.00"}


@pytest.fixture
def holder(machine: Machine) -> Iterator[str]:
    """A process that has a GPU open: its id. The lab has no device files, so there is a plain one."""
    machine.run("touch /dev/nvidia0")
    machine.run("systemd-run --quiet --unit=holder --property=StandardInput=file:/dev/nvidia0 sleep infinity")
    yield machine.run("systemctl show --property=MainPID --value holder")
    machine.run("systemctl stop holder; rm /dev/nvidia0")


@pytest.mark.long
@pytest.mark.usefixtures("as_delivered")
def test_mig_is_not_switched_under_who_uses_a_gpu(machine: Machine, scenario: Scenario, holder: str) -> None:
    set_gpu(machine, 1, mig_mode=1)

    run = scenario.converge(variables={"gpu_driver_power_limit": 0})

    assert run.returncode != 0
    assert "MIG of GPU 1 (0000:2a:00.0) is to be set to disabled" in run.messages, run.tail
    assert f"held by process {holder} (sleep) with /dev/nvidia0" in run.messages
    assert modes(machine)[1][2] == "Enabled"
    machine.run("systemctl stop holder")
    assert scenario.converge().returncode == 0
    assert [gpu[2] for gpu in modes(machine)] == ["Disabled"] * 8
    assert not machine.host.file(f"{REQUESTS}/gpu_modes").exists


def test_the_driver_is_not_changed_under_who_uses_it(machine: Machine, scenario: Scenario, holder: str) -> None:
    before = machine.state()

    run = scenario.converge(variables={"gpu_driver_version": OTHER, "gpu_driver_fabric_manager_version": OTHER})

    assert run.returncode != 0
    assert f"needs a change of the GPU driver ({OTHER})" in run.messages, run.tail
    assert f"held, or jobs run, by process {holder} (sleep)" in run.messages and "Drain the node" in run.messages
    assert machine.state().touched_since(before) == set()
    # Where nothing is to be changed, nobody is disturbed.
    unchanged = scenario.converge()
    assert (unchanged.returncode, unchanged.changes) == (0, []), unchanged.tail


@pytest.mark.long
def test_a_missing_hold_is_put_back_under_who_uses_the_driver(
    machine: Machine, scenario: Scenario, holder: str
) -> None:
    before = machine.state()
    machine.run("apt-mark unhold nvidia-persistenced")
    drifted = machine.state()

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert machine.state().differences(before, without=WITHOUT) == set()
    assert machine.state().touched_since(drifted, without=WITHOUT) == {"package nvidia-persistenced"}


NOUVEAU = "/etc/modprobe.d/firstlight-nouveau.conf"


@pytest.fixture
def nouveau(machine: Machine) -> Iterator[None]:
    """The kernel's own driver, loaded, an initramfs from before, and what renews that, in place of a machine's own."""
    machine.run(
        "mount -t tmpfs modules /sys/module && mkdir /sys/module/nouveau && echo live > /sys/module/nouveau/initstate"
        f" && mkdir -p /boot && touch -d '2 days ago' /boot/initrd.img-$(uname -r) && touch -d yesterday {NOUVEAU}"
        " && printf '#!/bin/sh\ntouch /boot/initrd.img-$(uname -r)\n' > /usr/local/sbin/update-initramfs"
        " && chmod +x /usr/local/sbin/update-initramfs"
    )
    yield
    machine.run(
        f"umount /sys/module && rm -rf {REQUESTS} /usr/local/sbin/update-initramfs /boot/initrd.img-$(uname -r)"
    )


@pytest.mark.usefixtures("nouveau")
def test_nouveau_that_is_loaded_asks_for_a_restart_and_starts_nothing(machine: Machine, scenario: Scenario) -> None:
    """As on a node that was just deployed: the services could not start, and nothing else would say why."""
    # The first run found no stamps either.
    machine.run("systemctl stop nvidia-fabricmanager && rm /var/lib/firstlight/applied/nvidia-fabricmanager")

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert machine.read(f"{REQUESTS}/gpu_driver") == "nouveau is loaded, and keeps the GPUs from the driver\n"
    assert not machine.host.service("nvidia-fabricmanager").is_running
    assert machine.run(f"find /boot -name 'initrd.img-*' -newer {NOUVEAU}")
    assert "blacklist nouveau" in machine.run("modprobe --showconfig").splitlines()
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail
    # As the start of the machine does.
    machine.run("rm -r /sys/module/nouveau && systemctl start nvidia-fabricmanager")
    assert scenario.converge().returncode == 0


@pytest.fixture
def loaded(machine: Machine) -> Iterator[None]:
    """Kernel modules of another driver, loaded. A container cannot load any, so these are files in their place."""
    machine.run(
        "mount -t tmpfs modules /sys/module && mkdir /sys/module/nvidia && echo 550.54.15 > /sys/module/nvidia/version"
    )
    yield
    machine.run(f"umount /sys/module && rm -rf {REQUESTS}")


@pytest.mark.long
@pytest.mark.usefixtures("loaded")
def test_another_driver_that_is_loaded_and_new_parameters_ask_for_a_restart(
    machine: Machine, scenario: Scenario
) -> None:
    # The fabric manager would be started anew, and would refuse the driver that is loaded.
    machine.run("rm /var/lib/firstlight/applied/nvidia-fabricmanager")
    before = machine.state()
    variables = {"gpu_driver_module_parameters": {"NVreg_EnableStreamMemOPs": 1}, "gpu_driver_peermem": "peermem"}

    run = scenario.converge(variables=variables)

    assert run.returncode == 0, run.tail
    assert machine.read(f"{REQUESTS}/gpu_driver") == f"the driver that is loaded is not {VERSION}\n"
    asked = "the modules were loaded before a change of {} and {}\n".format(*FILES)
    assert machine.read(f"{REQUESTS}/gpu_driver_modules") == asked
    assert "options nvidia NVreg_EnableStreamMemOPs=1" in machine.run("modprobe --showconfig").splitlines()
    assert machine.state().touched_since(before) == {
        *(f"file {path}" for path in FILES),
        "file /var/lib/firstlight/applied/nvidia-fabricmanager",
    }
    again = scenario.converge(variables=variables)
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.mark.long
def test_what_is_not_asked_for_any_more_goes(machine: Machine, scenario: Scenario) -> None:
    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert [change.split(" : ")[-1] for change in run.changes] == ["files | Remove what must not be there"]
    assert "NVreg_EnableStreamMemOPs" not in machine.run("modprobe --showconfig")
    assert not machine.host.file(REQUESTS).exists


@pytest.mark.long
def test_nvlsm_is_of_its_version_held_and_the_fabric_manager_waits_for_its_module(
    machine: Machine, scenario: Scenario
) -> None:
    """Without it the fabric manager of HGX B100, B200 and B300 does not start."""
    run = scenario.converge(variables={"gpu_driver_nvlsm_version": "2025.10.14"})

    assert run.returncode == 0, run.tail
    assert versions(machine, ["nvlsm"]) == {"nvlsm": "2025.10.14-1"}
    assert "nvlsm" in machine.run("apt-mark showhold").split()
    shown = machine.run("systemctl show --property=Wants,After --value nvidia-fabricmanager").splitlines()
    assert all("modprobe@ib_umad.service" in line for line in shown)
    assert machine.host.service("nvidia-fabricmanager").is_running
    again = scenario.converge(variables={"gpu_driver_nvlsm_version": "2025.10.14"})
    assert (again.returncode, again.changes) == (0, []), again.tail
    assert scenario.converge().returncode == 0
    assert "ib_umad" not in machine.run("systemctl show --property=Wants --value nvidia-fabricmanager")
    machine.run("apt-mark unhold nvlsm && apt-get -qq purge --yes nvlsm > /dev/null 2>&1")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"gpu_driver_fabric_manager_version": OTHER},
            [f"fabric_manager is {OTHER}, but gpu_driver is {VERSION}", "give both the same version"],
        ),
        pytest.param(
            {"gpu_driver_version": "570.999.99", "gpu_driver_fabric_manager_version": "570.999.99"},
            [
                "nvidia-driver-cuda 570.999.99 is not in http://",
                f"which offers {OTHER}-1, ",
                f", {VERSION}-1",
                "Correct the version",
            ],
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"gpu_driver_dcgm_version": "4.9.9"},
            [
                "datacenter-gpu-manager-4-core 4.9.9 is not in http://",
                f"which offers 1:{OTHER_DCGM}-1, 1:{DCGM_VERSION}-1",
            ],
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"gpu_driver_power_limit": 900},
            ["GPU 0 (0000:18:00.0) takes a power limit of 200 to 700 W, not 900 W", "Correct the modes"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            {
                "gpu_driver_version": OTHER,
                "gpu_driver_fabric_manager_version": OTHER,
                "gpu_driver_kernel": "6.1.0-1-amd64",
            },
            ["and 6.1.0-1-amd64 is pinned", "would be built for the wrong one", "Nothing was changed"],
            marks=pytest.mark.long,
        ),
    ],
    ids=["fabric_manager", "driver", "dcgm", "power_limit", "another_kernel"],
)
def test_what_cannot_be_is_refused(
    machine: Machine, scenario: Scenario, variables: dict[str, object], words: list[str]
) -> None:
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert [word for word in words if word not in run.messages] == [], run.tail
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()


@pytest.mark.long
def test_another_branch_takes_the_place_of_the_old_one(machine: Machine, scenario: Scenario) -> None:
    """Names of packages change with it, and holds with them."""
    versions_of_it = {"gpu_driver_version": OTHER, "gpu_driver_fabric_manager_version": OTHER}
    run = scenario.converge(variables={**versions_of_it, "gpu_driver_dcgm_version": OTHER_DCGM})

    assert run.returncode == 0, run.tail
    names = [*PACKAGES[:-1], "nvidia-fabricmanager-575"]
    assert versions(machine, [*names, *DEPENDENCIES]) == dict.fromkeys([*names, *DEPENDENCIES], f"{OTHER}-1")
    assert versions(machine, DCGM) == dict.fromkeys(DCGM, f"1:{OTHER_DCGM}-1")
    assert machine.run("apt-mark showhold").split() == sorted(names + DCGM)
    assert machine.run("readlink /proc/$(systemctl show --property=MainPID --value nvidia-dcgm)/exe").endswith("engine")
    assert (
        machine.run("nvidia-smi --query-gpu=driver_version,fabric.state --format=csv,noheader").splitlines()
        == [f"{OTHER}, Completed"] * 8
    )
