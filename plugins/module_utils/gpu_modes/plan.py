# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modes of which GPUs are to be set, and which of them wait for a start of the machine. Plain data in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAMES = {"mig": "MIG", "persistence": "persistence mode", "power_limit": "power limit", "ecc": "ECC"}
MILLI = 1000
IN_USE, RESET_REQUIRED = 19, 16
_NOT_SUPPORTED = 3


@dataclass(frozen=True)
class Wanted:
    """What every GPU is to be in; None leaves a mode as it is. `power_limit` is in watts, 0 for the GPU's own."""

    mig: bool | None = None
    persistence: bool | None = None
    power_limit: int | None = None
    ecc: bool | None = None


@dataclass(frozen=True)
class Change:
    """One mode of one GPU. `value` and `before` as NVML has them: 0 or 1, of the power limit milliwatts."""

    index: int
    pci: str
    mode: str
    value: int
    before: int

    @property
    def gpu(self) -> str:
        """How the GPU is called."""
        return _gpu(self.index, self.pci)

    def shown(self, value: int) -> str:
        """One line that says that the GPU has `value`."""
        return f"{self.gpu}: {NAMES[self.mode]} {word(self.mode, value)}"


@dataclass
class Plan:
    """What is to be set, in order; what waits (mode to GPUs); what cannot be; what could not be read."""

    changes: list[Change] = field(default_factory=list)
    waiting: dict[str, list[int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def needs_idle(self) -> list[Change]:
        """Changes that only a GPU which nobody holds takes."""
        return [change for change in self.changes if change.mode == "mig"]

    def wait(self, mode: str, index: int) -> None:
        """A mode of a GPU is stored and not in force."""
        self.waiting.setdefault(mode, []).append(index)


def plan(wanted: Wanted, gpus: Iterable[Mapping[str, Any]]) -> Plan:
    """Compare what `read_modes` gave with what is wanted. A GPU that cannot be read costs its own modes only."""
    found = Plan()
    for gpu in gpus:
        if "error" in gpu:
            found.unread.append(f"GPU {gpu['index']}: {gpu['error']}")
            continue
        for mode in NAMES:
            want = getattr(wanted, mode)
            if want is not None:
                _plan_mode(found, gpu, mode, want)
    # A change of MIG resets the GPU, which forgets what was set before.
    found.changes.sort(key=lambda change: [*NAMES].index(change.mode))
    return found


def _plan_mode(found: Plan, gpu: Mapping[str, Any], mode: str, want: int) -> None:
    name, value = _gpu(gpu["index"], gpu["pci"]), gpu[mode]
    own = gpu["power_default"] if mode == "power_limit" and not want else None
    error = next((read for read in (value, own) if isinstance(read, dict)), None)
    if error is not None:
        if error.get("code") != _NOT_SUPPORTED:
            found.unread.append(f"{name}: {NAMES[mode]}: {error['error']}")
        elif want:
            found.problems.append(f"{name} has no {NAMES[mode]} to set")
        return
    if mode == "power_limit":
        limit, least, most = value
        wanted = want * MILLI if own is None else own
        if own is None and not least <= wanted <= most:
            found.problems.append(f"{name} takes a power limit of {least // MILLI} to {most // MILLI} W, not {want} W")
        elif limit != wanted:
            found.changes.append(Change(gpu["index"], gpu["pci"], mode, wanted, limit))
        return
    current, pending = value
    if pending != want:
        found.changes.append(Change(gpu["index"], gpu["pci"], mode, int(want), pending))
    # MIG may come into force as it is set: whether it does is told then.
    if current != want and (mode == "ecc" or pending == want):
        found.wait(mode, gpu["index"])


def judge(found: Plan, results: Sequence[Mapping[str, Any]]) -> None:
    """Add to the plan what setting its changes has shown; `results` are those of `set_modes`."""
    for change, result in zip(found.changes, results, strict=True):
        if "error" not in result:
            continue
        if change.mode == "mig" and result.get("stored"):
            found.wait(change.mode, change.index)
            continue
        found.problems.append(f"{change.gpu}: {NAMES[change.mode]} cannot be set: {result['error']}")


def waiting(found: Plan, wanted: Wanted) -> list[str]:
    """A sentence for each mode that comes into force with the next start of the machine."""
    sentences = []
    for mode, indices in sorted(found.waiting.items()):
        gpus = ", ".join(str(index) for index in sorted(indices))
        sentences.append(f"{NAMES[mode]} is to be {word(mode, getattr(wanted, mode))} on GPU {gpus}")
    return sentences


def word(mode: str, value: int) -> str:
    """A value as nvidia-smi calls it."""
    return f"{value / MILLI:g} W" if mode == "power_limit" else "enabled" if value else "disabled"


def _gpu(index: int, pci: str) -> str:
    return f"GPU {index} ({pci})"
