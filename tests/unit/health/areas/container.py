# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers run by: well, and not."""

from __future__ import annotations

from tests.unit.health.cases import c
from tests.unit.health.health_factory import RUNS, drop, put, unreadable

CLASS = {
    "software": {"docker": "20.10", "container_toolkit": "1.17.8"},
    "system": {"docker": {"storage_driver": "overlay2", "cgroup_version": 2}},
    "storage": {"docker_data_root": "/scratch/docker", "volumes": []},
}

HEALTHY = {
    "systemd": {"units": {"docker.service": RUNS}},
    "docker": {
        "answers": True,
        "reason": "",
        "version": "20.10.24",
        "api_version": "1.41",
        "info": {
            "storage_driver": "overlay2",
            "cgroup_version": "2",
            "data_root": "/scratch/docker",
            "runtimes": ["io.containerd.runc.v2", "nvidia", "runc"],
        },
    },
}

UNIT = "unit:docker.service"
NOT_JUDGED = {"reason", "api_version"}

CASES = [
    c("docker.daemon", "pass", "unit:docker.service", "20.10.24"),
    c(
        "docker.daemon",
        "fail",
        "unit:docker.service",
        "nobody listens",
        put("docker|answers", False),
        put("docker|reason", "nobody listens"),
    ),
    c("docker.daemon", "fail", "unit:docker.service", "26.1.5, the class pins 20.10", put("docker|version", "26.1.5")),
    c("docker.daemon", "fail", "unit:docker.service", "20.100.1", put("docker|version", "20.100.1")),
    c("docker.daemon", "unknown", "host", "Permission denied", unreadable("docker", "error", "Permission denied")),
    c("docker.storage_driver", "pass", UNIT, "is overlay2"),
    c("docker.storage_driver", "fail", UNIT, "is vfs, the class has", put("docker|info|storage_driver", "vfs")),
    c(
        "docker.storage_driver",
        "unknown",
        "host",
        "no Driver",
        put("docker|info|storage_driver", {"error": "no Driver"}),
    ),
    c("docker.cgroup", "pass", UNIT, "is 2"),
    c("docker.cgroup", "fail", UNIT, "is 1, the class has 2", put("docker|info|cgroup_version", "1")),
    c("docker.cgroup", "unknown", "host", "no answer", put("docker|info", {"error": "no answer"})),
    c("docker.data_root", "pass", UNIT, "is /scratch/docker"),
    c(
        "docker.data_root",
        "fail",
        UNIT,
        "is /var/lib/docker, the class",
        put("docker|info|data_root", "/var/lib/docker"),
    ),
    c("docker.data_root", "unknown", "host", "was not read", drop("docker|info")),
    c("docker.gpu", "pass", UNIT, "the runtime nvidia"),
    c("docker.gpu", "fail", UNIT, "no runtime nvidia", put("docker|info|runtimes", ["runc"])),
    c(
        "docker.gpu",
        "unknown",
        "host",
        "nobody listens",
        put("docker|answers", False),
        put("docker|reason", "nobody listens"),
    ),
]
