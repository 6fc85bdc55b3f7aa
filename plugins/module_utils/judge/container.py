# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of what containers run by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, flag, items, need, text, unread

_UNIT = "unit:docker.service"
# Role container_runtime brings it with the toolkit, also where containers name GPUs by CDI.
_GPU_RUNTIME = "nvidia"


def docker_daemon(observation: Observation, node_class: NodeClass) -> list[Finding]:
    read = data_of(observation, "docker")
    wanted = (node_class.get("software") or {}).get("docker")
    if not flag(read.get("answers")):
        reason = str(read.get("reason") or "it does not answer")
        return [_docker(Verdict.FAIL, f"Docker does not answer: {reason}", reason, wanted)]
    version = text(read.get("version"))
    # 20.10 stands for 20.10.24, not for 20.100.
    if wanted and version != str(wanted) and not version.startswith(f"{wanted}."):
        return [_docker(Verdict.FAIL, f"Docker is {version}, the class pins {wanted}", version, wanted)]
    return [_docker(Verdict.PASS, f"Docker {version} answers", version, wanted)]


def _docker(verdict: Verdict, summary: str, observed: Any, expected: Any) -> Finding:
    return finding("docker.daemon", _UNIT, verdict, summary, observed=observed, expected=expected)


def _info(observation: Observation) -> Mapping[str, Any]:
    read = data_of(observation, "docker")
    if not flag(read.get("answers")):
        raise Unjudgeable(f"docker: {read.get('reason') or 'it does not answer'}")
    info = read.get("info")
    if unread(info) or not isinstance(info, dict):
        raise Unjudgeable(f"docker: {unread(info) or 'told nothing of itself'}")
    return info


def _same(check: str, observation: Observation, what: str, key: str, wanted: str) -> list[Finding]:
    found = text(_info(observation).get(key))
    verdict = Verdict.PASS if found == wanted else Verdict.FAIL
    summary = f"Docker's {what} is {found}" + ("" if verdict is Verdict.PASS else f", the class has {wanted}")
    return [finding(check, _UNIT, verdict, summary, observed=found, expected=wanted)]


def docker_storage_driver(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = str(need(node_class, "system.docker.storage_driver"))
    return _same("docker.storage_driver", observation, "storage driver", "storage_driver", wanted)


def docker_cgroup(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = str(need(node_class, "system.docker.cgroup_version"))
    return _same("docker.cgroup", observation, "version of control groups", "cgroup_version", wanted)


def docker_data_root(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = str(need(node_class, "storage.docker_data_root"))
    return _same("docker.data_root", observation, "folder", "data_root", wanted)


def docker_gpu(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    runtimes = [text(runtime) for runtime in items(_info(observation).get("runtimes"))]
    verdict = Verdict.PASS if _GPU_RUNTIME in runtimes else Verdict.FAIL
    summary = f"Docker has {'the' if verdict is Verdict.PASS else 'no'} runtime {_GPU_RUNTIME}"
    return [finding("docker.gpu", _UNIT, verdict, summary, observed=runtimes, expected=_GPU_RUNTIME)]


JUDGES: Mapping[str, Judge] = {
    "docker.daemon": docker_daemon,
    "docker.storage_driver": docker_storage_driver,
    "docker.cgroup": docker_cgroup,
    "docker.data_root": docker_data_root,
    "docker.gpu": docker_gpu,
}
