# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How judges look at an observation and at a node class: what is not there raises, it is never a default."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..catalog.thresholds import DEFAULTS
from ..findings import Finding
from ..gpu_slots import slot_addresses, slots_of, strange_addresses

Observation = Mapping[str, Any]
NodeClass = Mapping[str, Any]
Judge = Callable[[Observation, NodeClass], list[Finding]]
T = TypeVar("T")

# NVML codes by which a GPU itself, not the way to it, is what is broken: insufficient power, interrupt
# issue, corrupted infoROM, lost, reset required, not found.
BROKEN_GPU = frozenset({8, 11, 14, 15, 16, 28})


class Observed(dict[str, Any]):
    """An observation while it is judged by one class: what many judges derive of it is derived once."""

    def __init__(self, observation: Observation) -> None:
        super().__init__(observation)
        self.derived: dict[str, Any] = {}


def once(observation: Observation, name: str, derive: Callable[[], T]) -> T:
    """What `derive` returns, not to be changed. It is called once, where it does not raise, while a node is judged."""
    if not isinstance(observation, Observed):
        return derive()
    if name not in observation.derived:
        observation.derived[name] = derive()
    derived: T = observation.derived[name]
    return derived


class Unjudgeable(Exception):
    """There is nothing to judge by; says why. Becomes an `unknown` finding."""

    def __init__(self, reason: str, evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.evidence = dict(evidence or {})


def data_of(observation: Mapping[str, Any], reader: str) -> dict[str, Any]:
    """What `reader` read; raises Unjudgeable with its error.

    A reader that hung or crashed in one thing of many has data beside its error: of the others.
    """
    result = (observation.get("readers") or {}).get(reader)
    if not isinstance(result, dict):
        raise Unjudgeable(f"{reader}: was not read", {"reader": reader})
    if not isinstance(result.get("data"), dict):
        text = str(result.get("error") or "returned nothing")
        code = result.get("code")
        number = f" (code {code})" if code is not None else ""
        raise Unjudgeable(f"{reader}: {text}{number}", {"reader": reader, **result})
    data: dict[str, Any] = result["data"]
    return data


def unread(value: Any) -> str:
    """Why `value` stands for something that could not be read, or an empty text if it was read."""
    if value is None:
        return "was not read"
    if isinstance(value, dict) and "error" in value:
        code = value.get("code")
        return f"{value['error']} (code {code})" if code is not None else str(value["error"])
    return ""


def number(value: Any) -> float:
    """`value` if it is a number that was read; raises Unjudgeable."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value):
        return float(value)
    raise Unjudgeable(unread(value) or f"{value!r:.80} is not a number")


def text(value: Any) -> str:
    """`value` if it is a text that was read; raises Unjudgeable."""
    if isinstance(value, str) and value:
        return str(value)
    raise Unjudgeable(unread(value) or f"{value!r:.80} is not a text")


def flag(value: Any) -> bool:
    """`value` if it is a truth value that was read; raises Unjudgeable."""
    if isinstance(value, bool):
        return value
    raise Unjudgeable(unread(value) or f"{value!r:.80} is neither true nor false")


def items(value: Any) -> list[Any]:
    """`value` if it is a list that was read; raises Unjudgeable. An empty list is one, its absence is not."""
    if isinstance(value, list):
        return value
    raise Unjudgeable(unread(value) or f"{value!r:.80} is not a list")


def need(node_class: Mapping[str, Any], path: str) -> Any:
    """The value at the dotted `path` of a node class; raises Unjudgeable where it is absent."""
    value: Any = node_class
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        raise Unjudgeable(f"node class {node_class.get('name')!r} has no {path}")
    return value


def limit(node_class: Mapping[str, Any], name: str) -> float:
    """The threshold `name` (`memory_tolerance_percent`, `gpu_temperature_c.warn`), or its default."""
    key, _dot, part = name.partition(".")
    for source in (node_class.get("thresholds") or {}, DEFAULTS):
        value = source.get(key)
        if part and isinstance(value, dict):
            value = value.get(part)
        if value is not None:
            return number(value)
    raise Unjudgeable(f"node class {node_class.get('name')!r} has no thresholds.{name}, and there is no default")


@dataclass(frozen=True)
class Gpu:
    """One GPU that NVML lists: the slot it sits in (its number while all GPUs are there), and what was read."""

    slot: int
    read: Mapping[str, Any]

    @property
    def component(self) -> str:
        return f"gpu:{self.slot}"

    @property
    def pci(self) -> str:
        """Empty where it could not be read."""
        value = self.read.get("pci")
        return value if isinstance(value, str) else ""

    def value(self, key: str) -> Any:
        """What was read as `key`; of a GPU that could not be opened, that error."""
        return {k: self.read[k] for k in ("error", "code") if k in self.read} or self.read.get(key)

    @property
    def broken(self) -> str:
        """Why the GPU does not answer, empty if it does or if that is not known."""
        if self.read.get("status") == "timeout":
            return unread(self.read)
        for key in ("uuid", "model", "temperature_c"):
            value = self.value(key)
            if isinstance(value, dict) and value.get("code") in BROKEN_GPU:
                return unread(value)
        return ""


@dataclass(frozen=True)
class Gpus:
    """The GPUs that NVML lists. `missing`: slots without one, None if which slots is not known.

    `addresses` are the class's, by slot; `strange` those of GPUs that do not fit them. Then `addresses` is empty: a
    class that is wrong of one slot may be of another chassis, and names nothing.
    """

    listed: list[Gpu]
    missing: list[int] | None
    addresses: Sequence[str] = ()
    strange: Sequence[str] = ()

    def component_at(self, pci: str) -> str:
        """The component that sits at a PCI address: `gpu:3`, or the address where the slot is not known."""
        for gpu in self.listed:
            if gpu.pci == pci:
                return gpu.component
        if pci in self.addresses:
            return f"gpu:{self.addresses.index(pci)}"
        return f"pci:{pci}" if pci else "host"


def gpus_of(observation: Mapping[str, Any], node_class: Mapping[str, Any]) -> Gpus:
    """The GPUs of an observation, by slot; raises Unjudgeable where NVML was not read."""
    return once(observation, "gpus", lambda: _gpus_of(observation, node_class))


def _gpus_of(observation: Mapping[str, Any], node_class: Mapping[str, Any]) -> Gpus:
    hardware = need(node_class, "hardware.gpus")
    count = int(number(hardware.get("count")))
    addresses = slot_addresses(hardware)
    read = [
        gpu if isinstance(gpu, dict) else {"error": f"{gpu!r:.80} is no GPU"}
        for gpu in items(data_of(observation, "nvml").get("gpus"))
    ]
    strange = strange_addresses(read, addresses) if addresses else []
    if strange:
        addresses = []
    slots = slots_of(read, count, addresses)
    listed = [Gpu(index if slots is None else slots[index], gpu) for index, gpu in enumerate(read)]
    missing = sorted(set(range(count)) - set(slots)) if slots is not None and (slots or addresses) else None
    return Gpus(listed=listed, missing=missing, addresses=addresses, strange=strange)
