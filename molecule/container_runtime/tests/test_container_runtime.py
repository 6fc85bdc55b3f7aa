# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role container_runtime on a node, with the site's registry on the head node."""

from __future__ import annotations

import json
from typing import Any

import pytest
from shared.machine import PACKAGE_MANAGERS, Machine
from shared.scenario import Scenario

DAEMON = "/etc/docker/daemon.json"
TRUST = "/etc/docker/certs.d/head01:5000/ca.crt"
# dockerd starts by trying programs of other architectures: where they crash, the first one's memory stays in /.
# The role notes with which configuration it started a service.
WITHOUT = [*PACKAGE_MANAGERS, "file /usr/", "file /core", "file /var/lib/firstlight/"]


def docker_info(machine: Machine) -> dict[str, Any]:
    return dict(json.loads(machine.run("docker info --format '{{json .}}'")))


@pytest.fixture(scope="module")
def image(machine: Machine) -> str:
    """An image of the node's own shell and what it is linked with."""
    machine.run(
        "tar --create --dereference --file - /bin/sh $(ldd /bin/sh | grep --only-matching '/[^ ]*')"
        " 2> /dev/null | docker import - head01:5000/molecule/shell:1"
    )
    return "head01:5000/molecule/shell:1"


def test_packages(machine: Machine) -> None:
    assert machine.host.package("docker.io").version.startswith("20.10.")
    assert machine.host.package("nvidia-container-toolkit").version == "1.17.8-1"
    assert {"docker.io", "nvidia-container-toolkit"} <= set(machine.run("apt-mark showhold").split())


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
    settings = json.loads(machine.run("docker inspect --format '{{json .HostConfig.LogConfig}}' molecule"))
    assert settings == {"Type": "json-file", "Config": {"max-file": "5", "max-size": "100m"}}
    machine.run("docker rm molecule")


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


def test_a_version_that_no_repository_has_is_refused(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"container_runtime_version": "99.*"})

    assert run.returncode != 0
    assert "docker.io 99.* is not in " in run.messages and "which offers 20.10." in run.messages, run.tail
    assert "Correct the version in the node class" in run.messages
    assert machine.state().touched_since(before, without=PACKAGE_MANAGERS) == set()
