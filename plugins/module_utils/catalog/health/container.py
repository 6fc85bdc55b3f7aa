# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of what containers run by."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "docker.daemon",
        "The Docker daemon answers in the pinned version",
        ("docker",),
        "software",
        "Read `journalctl -u docker`, start docker.service; run configure.yml with --tags container_runtime.",
        "validate",
        source="The answers of `/run/docker.sock` to /_ping and /version (`docker version`)",
        fails="The daemon does not answer, or is not of the release software.docker.",
    ),
    Check(
        "docker.storage_driver",
        "Docker keeps images by the class's storage driver",
        ("docker",),
        "software",
        "See in `journalctl -u docker` why it took another one, as a rule for the file system of its folder.",
        "validate",
        source="The answer of `/run/docker.sock` to /info (`docker info`: Storage Driver)",
        fails="Docker has another storage driver than system.docker.storage_driver.",
        needs=("system.docker.storage_driver",),
    ),
    Check(
        "docker.cgroup",
        "Docker runs on the class's version of control groups",
        ("docker",),
        "software",
        "See `systemd.unified_cgroup_hierarchy` on the kernel's command line, or deploy the class's image.",
        "validate",
        source="The answer of `/run/docker.sock` to /info (`docker info`: Cgroup Version)",
        fails="Control groups are of another version than system.docker.cgroup_version.",
        needs=("system.docker.cgroup_version",),
    ),
    Check(
        "docker.data_root",
        "Docker keeps images and containers where the class says",
        ("docker",),
        "software",
        "Run configure.yml with --tags storage,container_runtime; left elsewhere they fill the disk of the system.",
        "validate",
        source="The answer of `/run/docker.sock` to /info (`docker info`: Docker Root Dir)",
        fails="The folder of Docker is another one than storage.docker_data_root.",
        needs=("storage.docker_data_root",),
    ),
    Check(
        "docker.gpu",
        "Docker has the runtime that brings GPUs into containers",
        ("docker",),
        "software",
        "Run configure.yml with --tags container_runtime; container_runtime_nvidia_toolkit must be true.",
        "validate",
        source="The answer of `/run/docker.sock` to /info (`docker info`: Runtimes)",
        fails="Docker has no runtime nvidia, though the class has software.container_toolkit.",
        needs=("hardware.gpus.count", "software.container_toolkit"),
    ),
)

THRESHOLDS: Thresholds = {}
