# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts that a node class holds, as one node shows them, and the class that follows. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .learn_parts import Parts, amount, at, parts_of

_MIB, _GIB = 1024**2, 1024**3
_SOCKETS, _MODULES_GIB = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64), (4, 8, 16, 24, 32, 48, 64, 96, 128, 256)
# What the kernel keeps for itself, in percent; as much as thresholds.memory_tolerance_percent by default.
_KERNEL_KEEPS = 3
# NVML's codes of what a GPU or the driver's library does not have; and its state of a GPU without a fabric.
_NOT_THERE, _NO_FABRIC = (3, 13), 0
# Words of the kernel's command line that are one machine's, or only what its boot loader adds.
_OF_ONE_MACHINE = re.compile(
    r"(BOOT_IMAGE|BOOTIF|initrd|root|rootflags|resume|resume_offset|ip|hostname|ds|cloud-config-url|overlayroot_cfgdisk"
    r"|rd\.(luks|lvm|md)\.[a-z]+|systemd\.(hostname|machine_id))=.*|ro|rw|quiet|splash|---|.*[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-.*"
)
# Interfaces that software makes, and IPoIB, which is the fabric's.
_NO_ETHERNET = re.compile(r"(docker|br-|virbr|cni|flannel|cali|vxlan|tun|tap|vnet|lxc|ib|podman|dummy).*")
# The leading parts that a class pins: of 20.10.24+dfsg1 it is 20.10, as the last part is not a number.
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+(?=\.|$))*(?=\.|$)")

# Takes what the parts of a node show, at least one value, for what the node shows.
Pick = Callable[[Sequence[Any]], Any]


def most(values: Sequence[Any]) -> Any:
    """What most of them are: a part that differs is then found by its check, and does not make the class."""
    counted = Counter(values)
    return max(counted, key=lambda value: (counted[value], str(value)))


def each(values: Sequence[Any]) -> Any:
    """What they are if they agree, else a text of all: `96.00.99.00.01 (7), 96.00.99.00.05 (1)`."""
    counted = Counter(values)
    return values[0] if len(counted) == 1 else ", ".join(f"{value} ({counted[value]})" for value in sorted(counted))


@dataclass
class Facts:
    """By dotted key of a node class what a node shows, and of what is not known why, in the order of the schema."""

    values: dict[str, Any] = field(default_factory=dict)
    not_learned: dict[str, str] = field(default_factory=dict)
    pick: Pick = most

    def put(self, key: str, value: Any, why: str = "was not read") -> None:
        """Take `value`, or note that there is none."""
        if value is None:
            self.not_learned[key] = why
        else:
            self.values[key] = value

    def of_parts(self, key: str, values: Iterable[Any], why: str = "was not read") -> None:
        """Take what the parts show; None for one that does not tell: by a class that names it, that one is unknown."""
        read = list(values)
        self.put(key, self.pick(read) if read and None not in read else None, why)

    def nested(self) -> dict[str, Any]:
        """The values as a class has them."""
        result: dict[str, Any] = {}
        for key, value in self.values.items():
            *steps, last = key.split(".")
            place = result
            for step in steps:
                place = place.setdefault(step, {})
            place[last] = value
        return result


def facts_of(observation: Mapping[str, Any], mounts: Sequence[str] = (), pick: Pick = most) -> Facts:
    """What `observation` of node_observation tells of the keys of a class."""
    facts, parts = Facts(pick=pick), parts_of(observation)
    _of_gpus(facts, observation, parts)
    _of_hcas(facts, parts)
    _of_bus(facts, parts)
    _of_host(facts, observation, mounts)
    _of_software(facts, observation)
    _of_system(facts, observation)
    return facts


def _of_gpus(facts: Facts, observation: Mapping[str, Any], parts: Parts) -> None:
    gpus = parts.gpus

    def of(*keys: str) -> list[Any]:
        return [at(gpu, *keys) for gpu in gpus]

    listed = at(observation, "readers", "pci", "data", "gpus")
    known = at(observation, "readers", "nvml", "data", "gpus") is not None or listed is not None
    count = max(len(gpus), len(listed or ()))
    facts.put("hardware.gpus.count", count if known else None)
    if not count:
        return
    facts.of_parts("hardware.gpus.model", of("model"))
    active = [[link is True for link in links] if isinstance(links, list) else [] for links in of("nvlinks")]
    links = [sum(states) for states in active]
    facts.of_parts("hardware.gpus.nvlinks", links)
    managed = at(observation, "readers", "systemd", "data", "units", "nvidia-fabricmanager.service", "load")
    fabric = managed == "loaded" and any(links)
    facts.put("hardware.gpus.fabric_manager", None if managed is None else fabric)
    if fabric and all(_without_fabric(gpu.get("fabric")) for gpu in gpus):
        facts.put("hardware.gpus.fabric_state", False)
    facts.of_parts("hardware.gpus.pcie.width", parts.widths(parts.gpu_devices))
    facts.of_parts("hardware.gpus.pcie.gts", *parts.speeds(parts.gpu_devices))
    facts.put("hardware.gpus.numa_nodes", *parts.numa_nodes())
    facts.of_parts("hardware.gpus.pci_device_id", of("pci_device"))
    facts.of_parts("hardware.gpus.vbios", of("vbios"))
    for key, name in (("memory_mib", "memory_bytes"), ("bar1_mib", "bar1_bytes")):
        facts.of_parts(f"hardware.gpus.{key}", [None if size is None else int(size) // _MIB for size in of(name)])
    for name in ("sm", "memory"):
        facts.of_parts(f"hardware.gpus.clocks_max_mhz.{name}", of("clocks_mhz", f"{name}_max"))
    facts.of_parts("hardware.gpus.power_limit_w", map(amount, of("power_limit_w")))
    if any(links):
        speeds = [at(gpu, "nvlink_mbps") or [] for gpu in gpus]
        ends = [end for of_gpu, up in zip(speeds, active, strict=True) for end in zip(of_gpu, up, strict=False)]
        facts.of_parts("hardware.gpus.nvlink_mbps", [speed for speed, is_up in ends if is_up])
    facts.put("hardware.gpus.pci_addresses", parts.gpu_addresses if len(parts.gpu_addresses) == count else None)


def _without_fabric(told: Any) -> bool:
    if not isinstance(told, Mapping):
        return False
    return told.get("code") in _NOT_THERE or told.get("state") == _NO_FABRIC


def _of_hcas(facts: Facts, parts: Parts) -> None:
    hcas = parts.hcas
    facts.put("hardware.hcas.devices", list(hcas))
    if not hcas:
        facts.put("hardware.hcas", None, "no RDMA device has a port of InfiniBand; with devices [] none is judged")
        return
    slots = [at(hca, "pci") for hca in hcas.values()]
    facts.put("hardware.hcas.pci_addresses", None if None in slots else slots)
    facts.of_parts("hardware.hcas.pcie.width", parts.widths(parts.hca_devices))
    facts.of_parts("hardware.hcas.pcie.gts", *parts.speeds(parts.hca_devices))
    controls = [at(device, "config", "control") for device in parts.hca_devices]
    reads = [None if control is None else 128 << (control >> 12 & 7) for control in controls]
    facts.of_parts("hardware.hcas.max_read_request", reads)
    ports = [port for hca in hcas.values() for port in (at(hca, "ports") or {}).values()]
    tables = [at(port, "pkeys") for port in ports]
    common = set.intersection(*(set(table or ()) for table in tables)) if tables else set()
    facts.put("hardware.hcas.pkeys", [f"{pkey:#06x}" for pkey in sorted(common, reverse=True)] or None)
    facts.put("hardware.hcas.beside_gpus", parts.beside())
    firmware, boards = ([at(hca, key) for hca in hcas.values()] for key in ("firmware", "board_id"))
    other_boards = len(set(boards)) > 1 and len(set(firmware)) > 1
    if other_boards and facts.pick is most:
        facts.put("hardware.hcas.firmware", None, "boards of several kinds run several versions")
    else:
        facts.of_parts("hardware.hcas.firmware", firmware)
    rates = [at(port, "rate_gbps") for port in ports if at(port, "state") == "ACTIVE"]
    facts.of_parts("hardware.hcas.rate_gbps", map(amount, rates), "no port is ACTIVE")


def _of_bus(facts: Facts, parts: Parts) -> None:
    if "hardware.gpus.pcie.width" not in facts.values:
        return
    facts.put("hardware.acs_off", parts.acs_off())
    facts.put("hardware.iommu_passthrough", parts.all_of(lambda device: _untranslated(at(device, "iommu"))))
    controls = parts.all_of(lambda device: _relaxed(at(device, "config", "control")))
    facts.put("hardware.relaxed_ordering", controls)


def _untranslated(kind: Any) -> bool | None:
    return None if kind is None else kind in ("off", "identity")


def _relaxed(control: Any) -> bool | None:
    return None if control is None else bool(control & 0x10)


def _of_host(facts: Facts, observation: Mapping[str, Any], mounts: Sequence[str]) -> None:
    def read(reader: str, *keys: str) -> Any:
        return at(observation, "readers", reader, "data", *keys)

    sockets, cores, threads = (read("cpu_memory", "processors", key) for key in ("sockets", "cores", "threads"))
    if sockets and cores and threads and not cores % sockets and not threads % cores:
        microcode = read("cpu_memory", "processors", "microcode")
        facts.put("hardware.cpu.model", read("cpu_memory", "processors", "model"))
        facts.put("hardware.cpu.sockets", sockets)
        facts.put("hardware.cpu.cores", cores // sockets)
        facts.put("hardware.cpu.threads", threads // cores)
        facts.of_parts("hardware.cpu.microcode", microcode or ())
    else:
        facts.put("hardware.cpu", None, f"sockets {sockets}, cores {cores}, threads {threads}: not the same everywhere")
    facts.put("hardware.numa_nodes", len(read("cpu_memory", "numa_nodes") or ()) or None)
    controllers = read("cpu_memory", "controllers")
    facts.put("hardware.edac", None if controllers is None else bool(controllers))
    memory = read("host", "memory_bytes")
    facts.put("hardware.memory_gib", None if memory is None else installed_gib(memory / _GIB))
    facts.put("hardware.nvme_disks", len(read("disks", "nvme") or ()) or None, "no NVMe disk was read")
    facts.put("hardware.nvme_health", bool(read("nvme", "disks")) or None, "no NVMe disk told its health (nvme-cli)")
    facts.put("hardware.mounts", list(mounts))
    interfaces = sorted((read("network", "interfaces") or {}).items())
    ethernet = [_ethernet(name, one) for name, one in interfaces if not _NO_ETHERNET.fullmatch(name)]
    facts.put("hardware.ethernet", [one for one in ethernet if one] or None, "no interface has a link and a speed")


def _ethernet(name: str, read: Any) -> dict[str, Any] | None:
    """One that has a link, and whose driver knows its speed."""
    linked = at(read, "state") == "up" or (at(read, "state") == "unknown" and at(read, "carrier") == 1)
    speed, mtu = at(read, "speed_mbps"), at(read, "mtu")
    if not linked or mtu is None or (speed or -1) <= 0:
        return None
    return {"name": name, "gbps": amount(speed / 1000), "mtu": mtu}


def installed_gib(seen: float) -> float:
    """Modules of one size that hold `seen` GiB and what a kernel keeps; where there are none, as of a VM, `seen`."""
    whole = [sockets * size for sockets in _SOCKETS for size in _MODULES_GIB]
    fitting = [size for size in whole if seen <= size <= seen / (1 - _KERNEL_KEEPS / 100)]
    return min(fitting, default=math.ceil(seen))


def _of_software(facts: Facts, observation: Mapping[str, Any]) -> None:
    def read(reader: str, key: str) -> Any:
        return at(observation, "readers", reader, "data", key)

    facts.put("software.kernel", read("host", "kernel"))
    if facts.values.get("hardware.gpus.count"):
        facts.put("software.gpu_driver", read("nvml", "driver_version"))
    if facts.values.get("hardware.gpus.fabric_manager"):
        facts.put("software.fabric_manager", read("fabric_manager", "version"))
    docker = _VERSION.match(str(read("docker", "version") or ""))
    facts.put("software.docker", docker[0] if docker else None)


def _of_system(facts: Facts, observation: Mapping[str, Any]) -> None:
    def read(reader: str, *keys: str) -> Any:
        return at(observation, "readers", reader, "data", *keys)

    facts.put("system.os", read("host", "os"))
    words = dict.fromkeys(str(read("host", "command_line") or "").split())
    settings = [word for word in words if not _OF_ONE_MACHINE.fullmatch(word)]
    facts.put("system.command_line", settings or None, "no word of it is a setting")
    for name in ("memlock", "nofile"):
        facts.put(f"system.limits.{name}", read("systemd", "limits", name))
    facts.put("system.docker.storage_driver", read("docker", "info", "storage_driver"))
    cgroup = read("docker", "info", "cgroup_version")
    facts.put("system.docker.cgroup_version", int(cgroup) if str(cgroup) in ("1", "2") else None)
    facts.put("system.transparent_hugepages", read("host", "transparent_hugepages"))
