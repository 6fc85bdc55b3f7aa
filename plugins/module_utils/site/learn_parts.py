# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs and HCAs of a node, which of them belong together, and how they stand on the PCI bus. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_INFINIBAND = "InfiniBand"
_LOWERED = "most run below their best: idle, or all of them slower than they should be"


def at(value: Any, *keys: str) -> Any:
    """What was read at `keys`; None where nothing was, or an error stands there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if isinstance(value, Mapping) and "error" in value else value


def amount(value: Any) -> Any:
    """A number as a person writes it: 400 for 400.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class Parts:
    """`gpus` in the order of their numbers, `hcas` by name in the order of the rails, `bus` by address."""

    gpus: Sequence[Mapping[str, Any]]
    hcas: Mapping[str, Mapping[str, Any]]
    bus: Mapping[str, Mapping[str, Any]]

    @property
    def gpu_addresses(self) -> list[str]:
        """Of those that tell one."""
        return [address for gpu in self.gpus if (address := at(gpu, "pci"))]

    @property
    def gpu_devices(self) -> list[Mapping[str, Any]]:
        return [device for device in self.bus.values() if at(device, "kind") == "gpu"]

    @property
    def hca_devices(self) -> list[Mapping[str, Any]]:
        return [self.bus.get(at(hca, "pci") or "", {}) for hca in self.hcas.values()]

    def widths(self, devices: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Lanes of each; a link that is down has none."""
        return [at(device, "width") or None for device in devices]

    def speeds(self, devices: Sequence[Mapping[str, Any]]) -> tuple[list[Any], str]:
        """GT/s of each, or nothing and why, where the class would hold less than the devices can do."""
        speeds = [amount(at(device, "speed_gts")) for device in devices]
        best = [amount(at(device, "max_speed_gts")) for device in devices]
        lowered = sum(low is None or low != high for low, high in zip(speeds, best, strict=True))
        return ([], _LOWERED) if 2 * lowered >= len(speeds) else (speeds, "was not read")

    def numa_nodes(self) -> tuple[list[int] | None, str]:
        """Those of the GPUs, if the HCA of each rail belongs to the same, as its check wants it."""
        of_gpus = [at(self.bus.get(at(gpu, "pci") or ""), "numa_node") for gpu in self.gpus]
        if not of_gpus or any(node is None or node < 0 for node in of_gpus):
            return None, "the firmware does not tell it of every GPU"
        of_hcas = [at(device, "numa_node") for device in self.hca_devices]
        if len(of_hcas) > len(of_gpus) or any(hca != gpu for hca, gpu in zip(of_hcas, of_gpus, strict=False)):
            return None, "the HCA of a rail belongs to another NUMA node than its GPU, or has none"
        return of_gpus, ""

    def beside(self) -> bool | None:
        """Whether GPU and HCA of every rail have a bridge in common; None where there are no two."""
        pairs = list(zip(self.gpus, self.hca_devices, strict=False))
        if not pairs or any(at(hca, "above") is None for _gpu, hca in pairs):
            return None
        return all(set(self._above(gpu)) & set(at(hca, "above")) for gpu, hca in pairs)

    def acs_off(self) -> bool | None:
        """Whether it is off at every bridge above a GPU or an HCA."""
        devices = [*self.gpu_devices, *self.hca_devices]
        above = [at(device, "above") for device in devices]
        if not devices or None in above:
            return None
        configs = [at(self.bus.get(bridge), "config") for bridges in above for bridge in bridges]
        return None if None in configs else not any(config.get("acs") for config in configs)

    def all_of(self, told: Callable[[Mapping[str, Any]], bool | None]) -> bool | None:
        """Whether it holds for every GPU and every HCA; None where one of them does not tell."""
        answers = [told(device) for device in (*self.gpu_devices, *self.hca_devices)]
        return None if not answers or None in answers else all(answers)

    def _above(self, gpu: Mapping[str, Any]) -> list[str]:
        return at(self.bus.get(at(gpu, "pci") or ""), "above") or []


def parts_of(observation: Mapping[str, Any]) -> Parts:
    """The parts that an observation of node_observation shows."""
    bus = at(observation, "readers", "pcie", "data", "devices") or {}
    gpus = [gpu for gpu in at(observation, "readers", "nvml", "data", "gpus") or () if isinstance(gpu, Mapping)]
    devices = at(observation, "readers", "infiniband", "data", "devices") or {}
    hcas = {name: hca for name, hca in devices.items() if _of_fabric(hca)}
    return Parts(gpus, _in_rails(gpus, hcas, bus), bus)


def _of_fabric(hca: Any) -> bool:
    ports = at(hca, "ports") or {}
    return any(at(port, "link_layer") == _INFINIBAND for port in ports.values())


def _in_rails(
    gpus: Sequence[Mapping[str, Any]], hcas: Mapping[str, Mapping[str, Any]], bus: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """To each GPU the HCA that is nearest below a common bridge, then those that are beside none.

    Of several that are as near, and where there is no bridge in common, the order is that of the slots.
    """
    left = sorted(hcas, key=lambda name: (at(hcas[name], "pci") or "~", _natural(name)))
    chains = {name: at(bus.get(at(hcas[name], "pci") or ""), "above") or [] for name in left}
    paired: dict[int, str] = {}
    for number, gpu in enumerate(gpus):
        above = set(at(bus.get(at(gpu, "pci") or ""), "above") or ())
        near = {name: sum(bridge in above for bridge in chains[name]) for name in left}
        best = max(left, key=lambda name: near[name], default=None)
        if best is not None and near[best]:
            paired[number] = best
            left.remove(best)
    order = [paired.get(number) or (left.pop(0) if left else None) for number in range(len(gpus))]
    return {name: hcas[name] for name in (*order, *left) if name}


def _natural(name: str) -> list[Any]:
    """mlx5_10 after mlx5_9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
