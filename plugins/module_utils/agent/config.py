# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent is told: the class that it judges by, where to find NVML, how to probe. Role node_agent writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..judge.agent import fingerprint
from ..observe.source import describe

SCHEMA = 2
# What the program and its processes are called.
PROGRAM = "firstlight-health"
PATH = Path("/etc/firstlight/health.json")
MAX_BYTES = 4 * 1024 * 1024
_REMEDY = "Remedy: run configure.yml with --tags node_agent."


class ConfigError(Exception):
    """The agent cannot judge; says why and what to do."""


@dataclass(frozen=True)
class Probe:
    """How GPUs are probed: directories of the array library, rows of the matrices, bytes of the copies, seconds apart.

    `idle_command` is what the site asks whether the node is idle, with arguments; nothing where nobody is asked.
    """

    library_path: Sequence[str]
    size: int
    buffer_bytes: int
    every: float
    idle_command: Sequence[str]


@dataclass(frozen=True)
class Config:
    """The class, its fingerprint, the directories of the Python module pynvml, and how GPUs are probed."""

    node_class: Mapping[str, Any]
    class_sha256: str
    nvml_path: Sequence[str]
    probe: Probe

    @property
    def judged(self) -> dict[str, Any]:
        """The class without what asks for this agent: whether that runs is for others to say."""
        system = {key: value for key, value in (self.node_class.get("system") or {}).items() if key != "health_agent"}
        return {**self.node_class, "system": system}


def render(node_class: Mapping[str, Any], nvml_path: Sequence[str], probe: Probe) -> str:
    """The text of the file; raises ConfigError for a class that nothing can be judged by."""
    fault = _fault(node_class)
    if fault:
        raise ConfigError(
            f"node class {node_class.get('name')!r}: {fault}. "
            "Remedy: give the content of a node class file; preflight.yml checks those of the inventory."
        )
    content = {
        "schema": SCHEMA,
        "class_sha256": fingerprint(node_class),
        "nvml_path": list(nvml_path),
        "probe": asdict(probe),
        "node_class": node_class,
    }
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def load(path: Path) -> Config:
    """What role node_agent wrote; raises ConfigError."""
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(MAX_BYTES))
        if content["schema"] != SCHEMA:
            raise ConfigError(f"{path} has schema {content['schema']!r:.40}, not {SCHEMA}. {_REMEDY}")
        node_class, known = content["node_class"], content["class_sha256"]
        paths, probe = [str(each) for each in content["nvml_path"]], Probe(**content["probe"])
    except OSError as error:
        raise ConfigError(f"cannot read the node class: {describe(error)}. {_REMEDY}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {describe(error)}. {_REMEDY}") from error
    fault = _fault(node_class)
    if fault:
        raise ConfigError(f"{path}: node_class {fault}. {_REMEDY}")
    if fingerprint(node_class) != known:
        raise ConfigError(f"{path} is damaged: class_sha256 is not that of its node_class. {_REMEDY}")
    return Config(node_class, known, paths, probe)


def _fault(node_class: Any) -> str:
    """Why nothing can be judged by a class, or an empty text."""
    if not isinstance(node_class, Mapping) or not isinstance(node_class.get("name"), str):
        return "has no name"
    if not isinstance(node_class.get("hardware"), Mapping):
        return "has no hardware"
    return ""
