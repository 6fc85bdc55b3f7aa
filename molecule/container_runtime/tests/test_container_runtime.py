# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role container_runtime on a node, with the site's registry on the head node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

DAEMON = "/etc/docker/daemon.json"
SPECIFICATION = "/etc/cdi/nvidia.yaml"
IDENTITIES = "nvidia-smi --query-gpu=uuid --format=csv,noheader"
TRUST = "/etc/docker/certs.d/head01:5000/ca.crt"
# dockerd starts by trying programs of other architectures: where they crash, the first one's memory stays in /.
# The role notes with which configuration it started a service.
WITHOUT = [*PACKAGE_MANAGERS, "file /usr/", "file /core", "file /var/lib/firstlight/"]


def docker_info(machine: Machine) -> dict[str, Any]:
    return dict(json.loads(machine.run("docker info --format '{{json .}}'")))


@pytest.fixture(scope="module")
def image(machine: Machine) -> str:
    """An image of the node's own shell and of what nvidia-smi is linked with, but for the driver."""
    machine.run(
        "tar --create --dereference --file - /bin/sh"
        " $(ldd /usr/bin/nvidia-smi | grep --invert-match nvidia | grep --only-matching '/[^ ]*')"
        " 2> /dev/null | docker import - head01:5000/molecule/shell:1"
    )
    return "head01:5000/molecule/shell:1"


def test_packages(machine: Machine, scenario: Scenario) -> None:
    assert machine.host.package("docker.io").version.startswith(f"{scenario.software['docker']}.")
    assert machine.host.package("nvidia-container-toolkit").version == "1.17.8-1"
    assert {"docker.io", "nvidia-container-toolkit"} <= set(machine.run("apt-mark showhold").split())
    # What the toolkit brings along is kept in step.
    assert "1.17.8-1 1001" in machine.run("apt-cache policy nvidia-container-toolkit-base")
    assert "1.17.8-1 1001" in machine.run("apt-cache policy libnvidia-container-tools")


def test_the_daemon_runs_as_it_was_configured(machine: Machine, scenario: Scenario) -> None:
    assert machine.host.service("docker").is_running and machine.host.service("docker").is_enabled
    info = docker_info(machine)
    assert info["DockerRootDir"] == "/var/lib/docker/elsewhere"
    assert info["LoggingDriver"] == "json-file"
    assert info["Runtimes"]["nvidia"]["path"] == "nvidia-container-runtime"
    assert info["RegistryConfig"]["Mirrors"] == ["https://head01:5000/"]


def test_containers_run_and_their_logs_are_bounded(machine: Machine, image: str) -> None:
    assert (
        machine.run(f"docker run --name molecule --network none {image} /bin/sh -c 'echo from inside'") == "from inside"
    )
    settings = json.loads(machine.run("docker inspect --format '{{json .HostConfig}}' molecule"))
    assert settings["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "5", "max-size": "100m"}}
    assert (settings["CgroupnsMode"], settings["ShmSize"]) == ("private", 16 << 30)
    machine.run("docker rm molecule")


def test_the_gpus_are_described_to_container_engines(machine: Machine) -> None:
    """By a unit that does it again at every start."""
    assert machine.host.service("firstlight-cdi").is_running and machine.host.service("firstlight-cdi").is_enabled
    identities = machine.run(IDENTITIES).split()
    assert len(identities) == 8
    specification = json.loads(machine.read(SPECIFICATION))
    assert specification["kind"] == "nvidia.com/gpu"
    assert {device["name"] for device in specification["devices"]} == {*map(str, range(8)), *identities, "all"}


def test_a_container_started_by_that_description_sees_the_eight_gpus(machine: Machine, image: str) -> None:
    """Docker 20.10 knows nothing of CDI, and need not: what the description has engines mount is mounted by hand."""
    mounts = json.loads(machine.read(SPECIFICATION))["containerEdits"]["mounts"]
    volumes = " ".join(f"--volume={mount['hostPath']}:{mount['containerPath']}:ro" for mount in mounts)
    seen = machine.run(f"docker run --rm --network none {volumes} {image} {IDENTITIES}")
    assert seen.split() == machine.run(IDENTITIES).split()


def test_a_container_with_all_gpus_sees_the_eight(machine: Machine, image: str) -> None:
    start = "docker run --rm --network none --runtime nvidia --env NVIDIA_VISIBLE_DEVICES=all"
    assert machine.run(f"{start} {image} {IDENTITIES}").split() == machine.run(IDENTITIES).split()


def started_since(machine: Machine, moment: str) -> list[str]:
    """Names of the containers that the role has started since."""
    command = f"docker events --since {moment} --until $(($(date +%s) + 1)) --filter event=start"
    names = machine.run(f"{command} --format '{{{{.Actor.Attributes.name}}}}'").split()
    return [name for name in names if name.startswith("firstlight")]


def test_a_container_proves_it_when_something_has_changed_and_never_else(machine: Machine, scenario: Scenario) -> None:
    moment = machine.run("date +%s")
    unchanged = scenario.converge()
    assert (unchanged.returncode, unchanged.changes) == (0, []), unchanged.tail
    assert started_since(machine, moment) == []

    machine.run("echo '# by hand' >> /etc/nvidia-container-runtime/config.toml")
    try:
        run = scenario.converge()
        assert (run.returncode, len(run.changes)) == (0, 1), run.tail
        assert started_since(machine, moment) == ["firstlight-gpu-smoke"]
        assert "firstlight" not in machine.run("docker ps --all && docker images")
    finally:
        machine.run("sed -i '/^# by hand/d' /etc/nvidia-container-runtime/config.toml")
        scenario.converge()


def test_a_container_that_sees_too_few_gpus_is_a_failure(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"container_runtime_gpus": 9})

    assert run.returncode != 0
    assert "a container with all GPUs sees 8 of 9 GPUs" in run.messages, run.tail
    assert machine.state().touched_since(before) == set()


@pytest.mark.long
def test_a_description_of_other_gpus_is_written_anew(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(f'sed -i \'s/"7"/"8"/\' {SPECIFICATION}')

    run = scenario.converge()

    assert run.returncode == 0, run.tail
    assert machine.state().differences(before, without=WITHOUT) == set()
    test_the_gpus_are_described_to_container_engines(machine)


@pytest.fixture
def container(machine: Machine, image: str) -> Iterator[str]:
    """A container that runs for as long as nobody ends it, and waits for what nobody writes."""
    machine.run(f"docker run --detach --name job --network none {image} /bin/sh -c 'read line < /dev/ptmx'")
    yield "docker inspect --format '{{.State.Running}} {{.State.Pid}}' job"
    machine.run("docker rm --force job 2> /dev/null || true")


@pytest.mark.long
def test_containers_are_not_ended(machine: Machine, scenario: Scenario, container: str) -> None:
    """By a reload where that suffices, by live-restore where it does not, by a refusal where that is off."""
    assert docker_info(machine)["LiveRestoreEnabled"] is True
    whole, before = machine.read(DAEMON), machine.run(container)
    daemon = machine.run("pidof dockerd")
    try:
        mirrors = ["https://head01:5000", "https://head01:5001"]
        reloaded = scenario.converge(variables={"container_runtime_registry_mirrors": mirrors})
        assert reloaded.returncode == 0, reloaded.tail
        assert docker_info(machine)["RegistryConfig"]["Mirrors"] == [f"{mirror}/" for mirror in mirrors]
        assert (machine.run("pidof dockerd"), machine.run(container)) == (daemon, before)

        extra = {"data-root": "/var/lib/docker/elsewhere"}
        logs = {"log-opts": {"max-file": "6"}}
        restarted = scenario.converge(variables={"container_runtime_daemon_extra": {**extra, **logs}})
        assert restarted.returncode == 0, restarted.tail
        assert machine.run("pidof dockerd") != daemon and machine.run(container) == before

        off = {**extra, **logs, "live-restore": False}
        more = {"log-opts": {"max-file": "7"}}
        for settings, status in ((off | more, 2), (off, 0), (off | more, 2)):
            run = scenario.converge(variables={"container_runtime_daemon_extra": settings})
            assert run.returncode == status, run.tail
            refused = "that would end, as live-restore is not in force: job" in run.messages
            assert refused is (status == 2), run.tail
        assert machine.run(container) == before
    finally:
        machine.run("docker rm --force job")
        machine.write(DAEMON, whole)
        scenario.converge()


def test_the_sites_registry_is_trusted(machine: Machine, image: str) -> None:
    """Nothing but the role's own setting vouches for it."""
    assert machine.host.run("curl --silent https://head01:5000/v2/").rc == 60
    machine.run(f"docker push {image} && docker rmi {image} && docker pull {image}")
    machine.run(f"mv {TRUST} {TRUST}.aside")
    refused = machine.host.run(f"docker pull {image}")
    machine.run(f"mv {TRUST}.aside {TRUST}")
    assert refused.rc == 1 and "certificate signed by unknown authority" in refused.stderr


def test_drift_is_repaired_and_what_others_set_is_kept(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    settings = json.loads(machine.read(DAEMON))
    foreign = {"labels": ["rack=r1"]}
    machine.write(DAEMON, json.dumps({**settings, "log-opts": {"max-size": "1g", "tag": "x"}, **foreign}))
    machine.run(
        f"echo > {TRUST}"
        " && apt-mark unhold docker.io"
        " && apt-get -qq remove --yes --allow-change-held-packages nvidia-container-toolkit > /dev/null 2>&1"
        " && systemctl stop docker.socket docker && systemctl disable --quiet docker"
    )
    try:
        drifted = machine.state()

        run = scenario.converge()

        after = machine.state()
        assert run.returncode == 0, run.tail
        log = {"max-size": "100m", "max-file": "5", "tag": "x"}
        assert json.loads(machine.read(DAEMON)) == {**settings, "log-opts": log, **foreign}
        assert docker_info(machine)["Labels"] == ["rack=r1"]
        assert after.differences(before, without=WITHOUT) == {f"file {DAEMON}"}
        assert after.touched_since(drifted, without=WITHOUT) == {
            f"file {DAEMON}",
            f"file {TRUST}",
            "file /etc/systemd/system/multi-user.target.wants/docker.service",
            "package docker.io",
            "package nvidia-container-toolkit",
            "unit docker.service",
            "unit docker.socket",
        }
        again = scenario.converge()
        assert (again.returncode, again.changes) == (0, []), again.tail
    finally:
        machine.write(DAEMON, json.dumps(settings))
        scenario.converge()


@pytest.mark.long
def test_a_configuration_that_cannot_be_merged_is_refused(machine: Machine, scenario: Scenario) -> None:
    whole = machine.read(DAEMON)
    machine.write(DAEMON, '{"debug": true')
    try:
        before = machine.state()

        run = scenario.converge()

        assert run.returncode != 0
        assert f"{DAEMON} is not a JSON object" in run.messages, run.tail
        assert "Correct it or move it away" in run.messages
        assert machine.state().touched_since(before) == set()
        assert docker_info(machine)["LoggingDriver"] == "json-file"
    finally:
        machine.write(DAEMON, whole)


@pytest.mark.long
def test_a_version_that_no_repository_has_is_refused(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"container_runtime_version": "99.*"})

    assert run.returncode != 0
    assert "docker.io 99.* is not in " in run.messages, run.tail
    assert f"which offers {scenario.software['docker']}." in run.messages
    assert "Correct the version in the node class" in run.messages
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()
