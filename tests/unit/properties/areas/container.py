# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker without fault, and what is found of another."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.unit.properties.defects import UNKNOWN, Defect, put, unit
from tests.unit.properties.machine import Machine

CLASS = {
    "software": {"container_toolkit": "1.17.8"},
    "system": {"docker": {"storage_driver": "overlay2", "cgroup_version": 2}},
    "storage": {"docker_data_root": "/scratch/docker"},
}


def healthy(random: Random, machine: Machine) -> None:
    machine.units["docker.service"] = "active"
    version = str(machine.node_class["software"].get("docker", "26.1"))
    version += random.choice((f".{random.randrange(30)}", f".{random.randrange(30)}+dfsg1"))
    system = machine.node_class.get("system", {}).get("docker", {})
    runtimes = {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}}
    info = {
        "ID": "a",
        "Driver": system.get("storage_driver", "overlay2"),
        "CgroupDriver": random.choice(("systemd", "cgroupfs")),
        "CgroupVersion": str(system.get("cgroup_version", random.choice((1, 2)))),
        "DockerRootDir": machine.node_class.get("storage", {}).get("docker_data_root", "/var/lib/docker"),
        "Runtimes": runtimes if "container_toolkit" in machine.node_class["software"] else {"runc": {}},
    }
    machine.docker = {
        "/info": json.dumps(info).encode(),
        "/_ping": b"OK",
        "/version": json.dumps({"Version": version, "ApiVersion": "1.41", "Os": "linux"}).encode(),
    }


def info(**changes: Any) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, _random: Random) -> None:
        machine.docker["/info"] = json.dumps({**json.loads(machine.docker["/info"]), **changes}).encode()

    return spoil


DEFECTS = [
    Defect("docker.storage_driver", "copies everything", info(Driver="vfs")),
    Defect("docker.storage_driver", "not told", info(Driver=None), UNKNOWN),
    Defect("docker.cgroup", "version 1", info(CgroupVersion="1")),
    Defect("docker.cgroup", "stopped", unit("docker.service", "inactive"), UNKNOWN),
    Defect("docker.data_root", "on the system's disk", info(DockerRootDir="/var/lib/docker")),
    Defect("docker.data_root", "not told", info(DockerRootDir=7), UNKNOWN),
    Defect("docker.gpu", "no runtime", info(Runtimes={"runc": {}})),
    Defect("docker.gpu", "not told", info(Runtimes=None), UNKNOWN),
    Defect("docker.daemon", "nobody listens", put(docker={})),
    Defect("docker.daemon", "stopped", unit("docker.service", "inactive")),
    Defect("docker.daemon", "not well", put(docker={"/_ping": b"starting", "/version": b'{"Version": "20.10.24"}'})),
    Defect("docker.daemon", "another version", put(docker={"/_ping": b"OK", "/version": b'{"Version": "26.1.5"}'})),
    Defect("docker.daemon", "no answer of Docker", put(docker={"/_ping": b"OK", "/version": b"<html>"}), UNKNOWN),
]
