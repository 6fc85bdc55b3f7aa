# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine is behind a BMC: the resources that matter, found by links, and the machine's identity."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .boot import Option, option
from .client import ROOT, Client, Resource, link
from .errors import InvalidResponse, NotFound

_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
_ARCHITECTURES = {"ARM-A64": "arm64/generic", "ARM": "arm64/generic", "x86-64": "amd64/generic"}


@dataclass(frozen=True)
class Service:
    """The resources of a BMC: its root, the system with a power switch, that one's manager and chassis."""

    root: Resource
    system: Resource
    manager: Resource | None
    chassis: Resource | None


@dataclass(frozen=True)
class Nic:
    """A network interface; `mac` in lower case with colons, `link` is True, False, or None where not told."""

    id: str
    mac: str
    link: bool | None = None


@dataclass(frozen=True)
class Identity:
    """Who a machine is. Texts that its BMC does not tell are empty. `serial` is the one on the label."""

    system_id: str
    manufacturer: str
    model: str
    serial: str
    uuid: str
    bios_version: str
    bmc_version: str
    architecture: str
    power: str
    processors: int
    memory_gib: float
    nics: tuple[Nic, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "nics": [asdict(nic) for nic in self.nics]}


def discover(client: Client, serial: str = "") -> Service:
    """Find the system that can be switched on and off.

    Raises InvalidResponse where there is not exactly one, or where it is another machine than that with `serial`.
    """
    root = client.get(ROOT)
    systems = [client.get(path) for path in client.members(link(root.body, "Systems") or f"{ROOT}Systems")]
    switchable = [system for system in systems if _reset(system.body)]
    if len(switchable) != 1:
        ids = ", ".join(str(system.body.get("Id")) for system in switchable or systems) or "none"
        raise InvalidResponse(
            f"BMC {client.name} has {len(switchable)} systems with a power switch ({ids}).",
            remedy="Exactly one is wanted; look whether this is the node's own BMC.",
        )
    (system,) = switchable
    manager = link(system.body, "Links", "ManagedBy") or _first(client, link(root.body, "Managers"))
    chassis = link(system.body, "Links", "Chassis") or _first(client, link(root.body, "Chassis"))
    found = Service(root, system, client.get(manager) if manager else None, client.get(chassis) if chassis else None)
    refuse_another(f"BMC {client.name}", _serial(system.body, found.chassis.body if found.chassis else {}), serial)
    return found


def refuse_another(where: str, found: str, wanted: str) -> None:
    """Raise InvalidResponse where the machine with the serial `found` is not the wanted one; one not known is none."""
    if wanted and found and found.lower() != wanted.lower():
        raise InvalidResponse(
            f"{where}: the machine behind this BMC has the serial {found}, wanted is {wanted}.",
            remedy="Correct bmc_address or serial_number of the node in hosts.yml; two may be swapped.",
        )


def _first(client: Client, collection: str) -> str:
    return next(client.members(collection), "") if collection else ""


def _reset(system: Mapping[str, Any]) -> Mapping[str, Any] | None:
    actions = system.get("Actions")
    action = actions.get("#ComputerSystem.Reset") if isinstance(actions, Mapping) else None
    return action if isinstance(action, Mapping) else None


def read_identity(client: Client, service: Service) -> Identity:
    """The identity of the machine; what the BMC leaves out is empty."""
    adapters = link(service.chassis.body, "NetworkAdapters") if service.chassis else ""
    interfaces = _read_all(client, link(service.system.body, "EthernetInterfaces"))
    functions = [
        function
        for adapter in _read_all(client, adapters)
        for function in _read_all(client, link(adapter, "NetworkDeviceFunctions"))
    ]
    processors = _read_all(client, link(service.system.body, "Processors"))
    return identity(service, interfaces, functions, processors)


def _read_all(client: Client, collection: str) -> list[Mapping[str, Any]]:
    """The members of a collection; none where the BMC does not have it after all."""
    if not collection:
        return []
    try:
        return [client.get(path).body for path in client.members(collection)]
    except NotFound:
        return []


def identity(
    service: Service,
    interfaces: Iterable[Mapping[str, Any]],
    functions: Iterable[Mapping[str, Any]],
    processors: Iterable[Mapping[str, Any]],
) -> Identity:
    """The identity by what was read (pure). NICs are told by interfaces, by functions of adapters, or by both."""
    system = service.system.body
    chassis = service.chassis.body if service.chassis else {}
    sets = [str(each.get("InstructionSet") or "") for each in processors]
    return Identity(
        system_id=_text(system, "Id"),
        manufacturer=_text(system, "Manufacturer"),
        model=_text(system, "Model"),
        serial=_serial(system, chassis),
        uuid=_text(system, "UUID"),
        bios_version=_text(system, "BiosVersion"),
        bmc_version=_text(service.manager.body, "FirmwareVersion") if service.manager else "",
        architecture=next((_ARCHITECTURES[each] for each in sets if each in _ARCHITECTURES), "amd64/generic"),
        power=_text(system, "PowerState"),
        processors=_number(system, "ProcessorSummary", "Count"),
        memory_gib=_number(system, "MemorySummary", "TotalSystemMemoryGiB"),
        nics=_nics(interfaces, functions),
    )


def _serial(system: Mapping[str, Any], chassis: Mapping[str, Any]) -> str:
    # Dell's SerialNumber is that of the main board; the service tag on the label is the SKU.
    dell = _text(system, "Manufacturer").lower().startswith("dell")
    keys = ("SKU", "SerialNumber") if dell else ("SerialNumber",)
    for body in (system, chassis):
        for key in keys:
            if value := _text(body, key):
                return value
    return ""


def _nics(interfaces: Iterable[Mapping[str, Any]], functions: Iterable[Mapping[str, Any]]) -> tuple[Nic, ...]:
    found: dict[str, Nic] = {}
    for body in interfaces:
        linked = {"LinkUp": True, "LinkDown": False, "NoLink": False}.get(_text(body, "LinkStatus"))
        _add(found, Nic(_text(body, "Id"), _mac(body), linked))
    for body in functions:
        if _text(body, "NetDevFuncType") not in ("InfiniBand", "FibreChannel", "Disabled"):
            ethernet = body.get("Ethernet")
            _add(found, Nic(_text(body, "Id"), _mac(ethernet if isinstance(ethernet, Mapping) else {})))
    return tuple(found.values())


def _add(found: dict[str, Nic], nic: Nic) -> None:
    if nic.mac and nic.mac not in found:
        found[nic.mac] = nic


def _mac(body: Mapping[str, Any]) -> str:
    """The address burnt in, or the one in use; empty for none and for the placeholder of only zeros."""
    for key in ("PermanentMACAddress", "MACAddress"):
        mac = _text(body, key).lower().replace("-", ":")
        if _MAC.match(mac) and mac != "00:00:00:00:00:00":
            return mac
    return ""


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value.strip() if isinstance(value, str) else ""


def _number(body: Mapping[str, Any], key: str, member: str) -> Any:
    summary = body.get(key)
    value = summary.get(member) if isinstance(summary, Mapping) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def read_boot(client: Client, service: Service) -> tuple[list[str], list[Option]]:
    """The boot order as references, and the boot options; both empty where the BMC does not tell them."""
    boot = service.system.body.get("Boot")
    if not isinstance(boot, Mapping):
        return [], []
    order = boot.get("BootOrder")
    options = _read_all(client, link(boot, "BootOptions"))
    return [str(each) for each in order] if isinstance(order, list) else [], [option(each) for each in options]


def enrolment(name: str, found: Identity, address: str, user: str, expected_serial: str = "") -> dict[str, Any]:
    """What MAAS needs to know the machine: name, architecture, mac_addresses, power_type, power_parameters.

    The password, `power_pass` among the parameters, is not here: who enrols adds it.
    Raises InvalidResponse where the machine is not the expected one, or tells no MAC address.
    """
    refuse_another(name, found.serial, expected_serial)
    if not found.nics:
        raise InvalidResponse(
            f"{name}: the BMC tells no MAC address.",
            remedy="Switch the machine on once so that its BMC sees the NICs, or enrol it by network boot.",
        )
    return {
        "name": name,
        "architecture": found.architecture,
        "mac_addresses": [nic.mac for nic in found.nics],
        "power_type": "redfish",
        "power_parameters": {
            "power_address": address,
            "power_user": user,
            "node_id": found.system_id,
        },
    }
