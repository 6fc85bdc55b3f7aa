# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that an observation shows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..gpu_slots import slot_addresses, slots_of
from .ledger_model import Part, Reading

# What firmware says where nobody wrote a number, in lower case.
NO_SERIAL = frozenset(
    {
        "",
        "0",
        "none",
        "n/a",
        "na",
        "unknown",
        "not specified",
        "not available",
        "default string",
        "system serial number",
    }
    | {"to be filled by o.e.m.", "chassis serial number", "123456789"}
)


def parts_of(observation: Mapping[str, Any], gpus: Mapping[str, Any] | None = None) -> dict[str, Reading]:
    """Parts by kind (`system`, `gpu`, `hca`, `disk`) from what `observe.node` read.

    `gpus` is the class's `hardware.gpus`, if it has GPUs. A kind whose source gave nothing is left out: nothing is
    known of it, which is not to say that it is empty. A kind of which one part could not be identified is not complete.
    """
    readers = observation.get("readers")
    found: dict[str, Reading] = {}
    nvml = _data(readers, "nvml")
    if isinstance(nvml.get("gpus"), list):
        found["gpu"] = _reading(_gpus(nvml["gpus"], gpus or {}))
    devices = _data(readers, "infiniband").get("devices")
    if isinstance(devices, Mapping):
        found["hca"] = _reading(_hca(str(name), device) for name, device in devices.items())
    hardware = _data(readers, "hardware")
    if isinstance(hardware.get("system"), Mapping):
        found["system"] = _reading([_system(hardware["system"])])
    if isinstance(hardware.get("disks"), list):
        found["disk"] = _reading(_disk(entry) for entry in hardware["disks"])
    return found


def _data(readers: Any, name: str) -> Mapping[str, Any]:
    """What a reader gave, also beside an error, or nothing."""
    reader = readers.get(name) if isinstance(readers, Mapping) else None
    data = reader.get("data") if isinstance(reader, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(value: Any) -> str:
    """A serial number, or nothing where it is only a placeholder."""
    text = _text(value)
    return "" if text.lower() in NO_SERIAL or not text.strip("0 .-") else text


def _gpus(entries: Sequence[Any], gpus: Mapping[str, Any]) -> list[Part]:
    """Each with the name that judges give it."""
    read = [entry if isinstance(entry, Mapping) else {} for entry in entries]
    count = gpus.get("count")
    slots = slots_of(read, count if isinstance(count, int) else 0, slot_addresses(gpus)) or range(len(read))
    return [_gpu(entry, f"gpu:{slot}") for entry, slot in zip(read, slots, strict=True)]


def _gpu(entry: Mapping[str, Any], component: str) -> Part:
    pci = _text(entry.get("pci"))
    return Part(
        slot=pci or component,
        component=component,
        serial=_number(entry.get("serial")),
        uid=_number(entry.get("uuid")),
        model=_text(entry.get("model")),
        firmware=_text(entry.get("vbios")),
    )


def _hca(name: str, device: Any) -> Part | None:
    if not isinstance(device, Mapping):
        return None
    return Part(
        slot=name,
        component=f"hca:{name}",
        uid=_guid(device.get("node_guid")),
        model=_text(device.get("board_id")),
        firmware=_text(device.get("firmware")),
    )


def _guid(value: Any) -> str:
    """All zeros are what a device says that has none."""
    text = _text(value)
    return text if text.strip("0:x") else ""


def _system(entry: Mapping[str, Any]) -> Part:
    return Part(
        slot="system",
        component="host",
        serial=_number(entry.get("serial")),
        model=_text(entry.get("model")),
        firmware=_text(entry.get("bios")),
    )


def _disk(entry: Any) -> Part | None:
    if not isinstance(entry, Mapping) or not _text(entry.get("slot")):
        return None
    return Part(
        slot=_text(entry["slot"]),
        component=f"disk:{_text(entry.get('name'))}",
        serial=_number(entry.get("serial")),
        uid=_text(entry.get("wwid")),
        model=_text(entry.get("model")),
        firmware=_text(entry.get("firmware")),
    )


def _reading(parts: Iterable[Part | None]) -> Reading:
    """Those that can be told apart: a number that several have tells nothing (a board with two GPUs has one)."""
    given = list(parts)
    known = [part for part in given if part is not None]
    serials = Counter(part.serial for part in known)
    uids = Counter(part.uid for part in known)
    told = [
        Part(
            part.slot,
            part.component,
            part.serial if serials[part.serial] == 1 else "",
            part.uid if uids[part.uid] == 1 else "",
            part.model,
            part.firmware,
        )
        for part in known
    ]
    identified = [part for part in told if part.serial or part.uid]
    return Reading(identified, complete=len(identified) == len(given))
