# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab keeps its things, and how they are told from everything else on the host."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

MARKER_VARIABLE = "FIRSTLIGHT_LAB"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
_RESERVED = {"cache"}


@dataclass(frozen=True)
class Lab:
    """One lab: a name within a clone. Another name or another clone is another lab."""

    name: str
    clone: Path

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _RESERVED:
            raise LabError(
                f"LAB_NAME={self.name!r} is not usable: at most 20 of a-z, 0-9 and '-', "
                f"beginning with a letter, and not {', '.join(sorted(_RESERVED))!r}"
            )

    @classmethod
    def from_environment(cls) -> Lab:
        """The lab of this clone that `LAB_NAME` names (`lab` when it is unset)."""
        return cls(os.environ.get("LAB_NAME") or "lab", Path(__file__).resolve().parent.parent)

    @classmethod
    def at(cls, directory: Path) -> Lab:
        """The lab whose state directory is `directory` (CLONE/.lab/NAME)."""
        directory = directory.resolve()
        return cls(directory.name, directory.parent.parent)

    @property
    def directory(self) -> Path:
        """State of this lab; `lab down` removes it."""
        return self.clone / ".lab" / self.name

    @property
    def cache(self) -> Path:
        """What is expensive to make and the same for all labs of the clone; survives `lab down`."""
        return self.clone / ".lab" / "cache"

    @property
    def runtime(self) -> Path:
        """The one directory outside the clone: podman limits the length of the path of its run-time state."""
        return Path("/run") / f"firstlight-{self.tag}"

    @property
    def lock(self) -> Path:
        """Held by `lab up` and `lab down`; outside the state directory, which both remove."""
        return self.clone / ".lab" / f"{self.name}.lock"

    @property
    def marker(self) -> str:
        """Value of `FIRSTLIGHT_LAB` in the environment of every process of this lab."""
        return f"{self.clone}:{self.name}"

    @property
    def tag(self) -> str:
        """Six hex digits in the name of everything that the host names globally (links, cgroups)."""
        return hashlib.sha256(self.marker.encode()).hexdigest()[:6]

    @property
    def description(self) -> Path:
        """`lab.json`, written last: it exists if and only if the lab was once completely up."""
        return self.directory / "lab.json"

    def machine_directory(self, machine: str) -> Path:
        """The hardware of a machine, as files; `/lab` inside it."""
        return self.directory / "machines" / machine
