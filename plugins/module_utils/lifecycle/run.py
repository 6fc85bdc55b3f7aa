# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run directory: what one playbook run found, on the controller's disk.

    artifacts/<run>/nodes/<node>/<phase>.<source>.json         findings of one source in one phase
    artifacts/<run>/nodes/<node>/<phase>.<source>.observation.json   what was read, raw
    artifacts/<run>/site/<phase>.<source>.json                 findings about no node in particular
    artifacts/<run>/policy.json                                what the site makes of findings
    artifacts/<run>/gates/<phase>.json                         what the gate decided
    artifacts/<run>/report.json, report.html, report.txt, junit.xml  the outcome, for programs, people and a CI

Every writer replaces whole files, so a reader never meets half of one. Task workers are separate
processes; the directory is what they share, and it survives an interrupted run as evidence.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ..findings import SCHEMA_VERSION, Finding, Verdict
from .policy import apply

ENVIRONMENT = "FIRSTLIGHT_RUN_DIRECTORY"
_OBSERVATION = ".observation.json"
# The phase in which a node is read as it was before a repair: evidence, and no verdict on what it is by the end.
BEFORE = "before"


def new_run_id(now: datetime.datetime) -> str:
    """UTC time and six hexadecimal digits: sorts by time, unique when two start in one second."""
    return f"{now.astimezone(datetime.timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A stream whose text replaces `path` whole: a reader or a killed writer never leaves half a file in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yield stream
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Replace `path` whole."""
    with replacing(path) as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
        stream.write("\n")


@dataclass(frozen=True)
class Gate:
    """What a gate decided about the nodes that came to it, by name; final only once the run concludes with it."""

    phase: str
    passed: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA_VERSION,
            "phase": self.phase,
            "passed": sorted(self.passed),
            "set_aside": sorted(self.set_aside),
            "deferred": sorted(self.deferred),
            "final": False,
        }


@dataclass(frozen=True)
class Recorded:
    """A finding as a run holds it: its phase, and the files, relative to the run directory, that are its evidence.

    The first file is that of the finding; what was read for it follows where it was kept.
    """

    finding: Finding
    phase: str
    files: tuple[str, ...]


class RunDirectory:
    """The directory of one run; `current()` is that of the run which this process belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, artifacts: Path, now: datetime.datetime) -> RunDirectory:
        """The directory of a run that begins; it comes into being with the first file."""
        return cls(artifacts / new_run_id(now))

    @classmethod
    def current(cls) -> RunDirectory:
        """Raises RuntimeError where the callback that opens the run is not enabled."""
        path = os.environ.get(ENVIRONMENT)
        if not path:
            raise RuntimeError(
                "ansible.cfg: defaults.callbacks_enabled: firstlight.cluster.progress is not enabled, so this run has "
                "no directory for its findings. Remedy: add it there, or copy inventories/ansible.cfg."
            )
        return cls(Path(path))

    @property
    def run(self) -> str:
        return self.path.name

    @property
    def started(self) -> datetime.datetime:
        """When the run began, to the second, as its name tells."""
        told = datetime.datetime.strptime(self.run.split("-")[0], "%Y%m%dT%H%M%SZ")
        return told.replace(tzinfo=datetime.timezone.utc)

    def take_policy(self, policy: Mapping[str, Any]) -> None:
        """What the site makes of findings: of all that are stored from now on."""
        write_json(self.path / "policy.json", dict(policy))

    def policy(self) -> dict[str, Any]:
        """What the site makes of findings; nothing without a policy, or with one that cannot be read."""
        try:
            return dict(json.loads((self.path / "policy.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def record(
        self,
        node: str,
        phase: str,
        source: str,
        findings: Iterable[Finding],
        observation: Mapping[str, Any] | None = None,
    ) -> None:
        """Store what `source` (a check pass, a task, a comparison) found about `node` in `phase`."""
        taken = self._as_the_site_takes(node, findings)
        self._record(self.path / "nodes" / node, phase, source, taken, observation)

    def record_site(self, phase: str, source: str, findings: Iterable[Finding]) -> None:
        """Store findings that are about the site and no node in particular."""
        self._record(self.path / "site", phase, source, self._as_the_site_takes("", findings), None)

    def _as_the_site_takes(self, node: str, findings: Iterable[Finding]) -> list[Finding]:
        policy = self.policy()
        return apply(policy, node, list(findings), self.started.date()) if policy else list(findings)

    def findings(self, node: str, phase: str | None = None) -> list[Finding]:
        """All findings about `node`, of one phase or of all."""
        return [item.finding for item in self._recorded(self.path / "nodes" / node, phase)]

    def observation(self, node: str, phase: str, source: str) -> dict[str, Any]:
        """What `source` read of `node` in `phase`; empty where it read nothing, or its file cannot be read."""
        try:
            file = self.path / "nodes" / node / f"{phase}.{source}{_OBSERVATION}"
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def recorded(self, node: str) -> list[Recorded]:
        """All findings about `node`, each with its evidence."""
        return self._recorded(self.path / "nodes" / node, None)

    def recorded_site(self) -> list[Recorded]:
        """All findings about the site, each with its evidence."""
        return self._recorded(self.path / "site", None)

    def record_gate(self, gate: Gate) -> None:
        """Store a decision. A run may take its nodes in batches: what the gate decided of earlier ones stays."""
        decision = gate.to_dict()
        judged = {*gate.passed, *gate.set_aside, *gate.deferred}
        earlier = self.gates().get(gate.phase, {})
        for key in ("passed", "set_aside", "deferred"):
            decision[key] = sorted({*decision[key], *(set(earlier.get(key, ())) - judged)})
        write_json(self.path / "gates" / f"{gate.phase}.json", decision)

    def conclude(self, phase: str) -> dict[str, Any]:
        """Make the decision of `phase`'s gate final and return it. Raises KeyError where there is none."""
        gate = self.gates()[phase] | {"final": True}
        write_json(self.path / "gates" / f"{phase}.json", gate)
        return gate

    def gates(self) -> dict[str, dict[str, Any]]:
        """Decisions by phase; the order is that of the files' names.

        One that cannot be read is left out: nobody has passed that gate.
        """
        folder = self.path / "gates"
        files = sorted(folder.glob("*.json")) if folder.is_dir() else []
        read = {file.stem: _read_gate(file) for file in files}
        return {phase: gate for phase, gate in read.items() if gate is not None}

    def _record(
        self,
        folder: Path,
        phase: str,
        source: str,
        findings: Iterable[Finding],
        observation: Mapping[str, Any] | None,
    ) -> None:
        content = {"schema": SCHEMA_VERSION, "findings": [finding.to_dict() for finding in findings]}
        write_json(folder / f"{phase}.{source}.json", content)
        if observation is not None:
            write_json(folder / f"{phase}.{source}{_OBSERVATION}", dict(observation))

    def _recorded(self, folder: Path, phase: str | None) -> list[Recorded]:
        found: list[Recorded] = []
        for file in sorted(folder.glob(f"{phase or '*'}.*.json")) if folder.is_dir() else []:
            if file.name.startswith(".") or file.name.endswith(_OBSERVATION):
                continue
            read = file.with_name(file.name.removesuffix(".json") + _OBSERVATION)
            files = tuple(str(kept.relative_to(self.path)) for kept in (file, read) if kept.exists())
            told_in = file.name.split(".")[0]
            found.extend(Recorded(finding, told_in, files) for finding in _read_findings(file))
        return found


def _read_gate(file: Path) -> dict[str, Any] | None:
    """One decision as `Gate.to_dict` writes it, or None for anything else."""
    try:
        gate = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(gate, dict) or not isinstance(gate.get("final"), bool):
        return None
    lists = [gate.get(name) for name in ("passed", "set_aside", "deferred")]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        return None
    return gate


def _read_findings(file: Path) -> list[Finding]:
    """The findings of one file; a file that cannot be read is itself an unknown, not an absence."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return [Finding.from_dict(item) for item in content["findings"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [
            Finding(
                check="gate.missing",
                component="host",
                verdict=Verdict.UNKNOWN,
                summary=f"{file.name} in the run directory cannot be read: {error}",
                remedy="Run the phase again.",
                owner="software",
            )
        ]
