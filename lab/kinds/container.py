# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of what containers run by."""

from __future__ import annotations

from lab.kinds.model import Kind, Target, Values


def _stop_docker(target: Target, values: Values) -> None:
    script = "systemctl mask docker.service docker.socket && systemctl stop docker.service docker.socket"
    target.engine.execute(target.machine.name, ["sh", "-c", script])


def _start_docker(target: Target, values: Values) -> None:
    # A disk that was written anew in the meantime has no docker to start.
    script = (
        "systemctl unmask docker.service docker.socket && "
        "if systemctl cat docker.service > /dev/null 2>&1; then systemctl start docker.socket docker.service; fi"
    )
    target.engine.execute(target.machine.name, ["sh", "-c", script])


KINDS: tuple[Kind, ...] = (
    Kind(
        "dockerd-dead",
        "docker.daemon",
        "dockerd is stopped and cannot be started",
        _stop_docker,
        _start_docker,
        needs_system=True,
    ),
)
