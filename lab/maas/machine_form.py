# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms that create and update a machine, with their error texts."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.maas import images
from lab.maas.forms import Fields, string_bool, values_of
from lab.maas.hardware import new_interface
from lab.maas.transitions import Status
from lab.maas.wire import NO_CHOICE, Errors, Refusal, invalid, taken

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_REQUIRED = "This field is required."

_MAC = re.compile(r"^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$", re.IGNORECASE)
_PREFIX = "power_parameters_"
_ADJECTIVES = [
    "able",
    "brave",
    "calm",
    "daring",
    "eager",
    "fair",
    "gentle",
    "happy",
    "keen",
    "loving",
    "merry",
    "noble",
    "proud",
    "quick",
    "sunny",
    "wise",
]
_ANIMALS = [
    "badger",
    "crane",
    "deer",
    "eagle",
    "finch",
    "goose",
    "heron",
    "ibex",
    "jay",
    "kite",
    "lynx",
    "moth",
    "newt",
    "otter",
    "puffin",
    "quail",
    "turkey",
    "wren",
]


@dataclass(frozen=True)
class PowerType:
    """A power driver's parameters: name -> (label, default); a default of None makes it required."""

    parameters: dict[str, tuple[str, Any]]


POWER_TYPES = {
    "manual": PowerType({}),
    "ipmi": PowerType(
        {
            "power_driver": ("Power driver", "LAN_2_0"),
            "power_boot_type": ("Power boot type", "auto"),
            "power_address": ("IP address", None),
            "power_user": ("Power user", ""),
            "power_pass": ("Power password", ""),
            "k_g": ("K_g BMC key", ""),
            "cipher_suite_id": ("Cipher Suite ID", "3"),
            "privilege_level": ("Privilege Level", "OPERATOR"),
            "workaround_flags": ("Workaround Flags", ["opensesspriv"]),
            "mac_address": ("Power MAC", ""),
            "power_off_mode": ("Power off mode", "hard"),
        }
    ),
    "redfish": PowerType(
        {
            "power_address": ("Redfish address", None),
            "power_user": ("Redfish user", None),
            "power_pass": ("Redfish password", None),
            "node_id": ("Node ID", ""),
        }
    ),
    "webhook": PowerType(
        {
            "power_on_uri": ("URI to power on the node", None),
            "power_off_uri": ("URI to power off the node", None),
            "power_query_uri": ("URI to query the nodes power status", None),
            "power_on_regex": ("Regex to confirm the node is on", r"status.*\:.*running"),
            "power_off_regex": ("Regex to confirm the node is off", r"status.*\:.*stopped"),
            "power_user": ("Power user", ""),
            "power_pass": ("Power password", ""),
            "power_token": ("Power token, will be used in place of power_user and power_pass", ""),
            "power_verify_ssl": ("Verify SSL connections with system CA certificates", "n"),
        }
    ),
}


def flag(data: Any, name: str, default: bool) -> bool:
    """A StringBool parameter."""
    given = data.get(name)
    if given is None:
        return default
    value = string_bool(given)
    if value is None:
        raise Refusal(400, f"Invalid {name}: Value should be 'true' or 'false'")
    return value


def _hostname(region: Region, given: str, machine: Record | None, errors: Errors) -> str:
    name, dot, domain = given.partition(".")
    if len(given) > 255:
        errors.add("hostname", "Hostname is too long.  Maximum allowed is 255 characters.")
        errors.add("hostname", f"Ensure this value has at most 255 characters (it has {len(given)}).")
    elif dot and domain != "maas":
        errors.add("hostname", "Nonexistant domain.")
    elif "_" in name:
        errors.add("hostname", f"Host label cannot contain underscore: {name!r}.")
    elif not re.fullmatch(r"[A-Za-z0-9-]+", name):
        errors.add("hostname", f"Label contains disallowed characters: {name!r}.")
    elif name.startswith("-") or name.endswith("-"):
        errors.add("hostname", f"Label cannot start or end with hyphen: {name!r}.")
    elif any(m["hostname"] == name for m in region.store.data["machines"] if m is not machine):
        errors.add("hostname", "Node with this Hostname already exists.")
    return name


def _made_up_name(region: Region) -> str:
    used = {machine["hostname"] for machine in region.store.data["machines"]}
    free = [f"{adjective}-{animal}" for adjective in _ADJECTIVES for animal in _ANIMALS]
    free = [name for name in free if name not in used] or [f"{free[0]}-{len(used)}"]
    return random.choice(free)


def _architecture(region: Region, given: str, errors: Errors) -> str:
    full = given if "/" in given else f"{given}/generic"
    usable = images.architectures(region)
    if full not in usable:
        choices = ", ".join(repr(one) for one in usable) or "''"
        errors.add("architecture", f"{full!r} is not a valid architecture.  It should be one of: {choices}.")
    return full


def _macs(region: Region, given: Iterable[Any], errors: Errors) -> list[str]:
    good = []
    for value in (str(one) for one in given):
        if "," in value:
            raise AttributeError("'ValidationError' object has no attribute 'message'")
        if not _MAC.match(value):
            errors.add("mac_addresses", f"'{value}' is not a valid MAC address.")
            continue
        mac = value.lower().replace("-", ":")
        holder = next(
            (m for m in region.store.data["machines"] if any(i["mac_address"] == mac for i in m["interfaces"])), None
        )
        if holder:
            errors.add("mac_addresses", f"MAC address {mac} already in use on {holder['hostname']}.")
            continue
        good.append(mac)
    return good


def _given_parameters(data: Any) -> dict[str, Any]:
    whole = data.get("power_parameters")
    if whole:
        try:
            parameters = dict(whole) if isinstance(whole, dict) else json.loads(whole)
        except ValueError as error:
            raise invalid({"power_parameters": ["Failed to parse JSON power_parameters"]}) from error
        return dict(parameters)
    pairs = data.lists() if isinstance(data, Fields) else [(key, [value]) for key, value in data.items()]
    flat = {key.removeprefix(_PREFIX): values[-1] for key, values in pairs if key.startswith(_PREFIX)}
    flat.pop("skip_check", None)
    return flat


def _power(data: Any, kind: str, before: dict[str, Any], errors: Errors) -> dict[str, Any]:
    known = POWER_TYPES[kind].parameters
    given = _given_parameters(data)
    skip = string_bool(data.get(f"{_PREFIX}skip_check", False))
    if not given and not before and any(default is None for _, default in known.values()):
        errors.add("power_parameters", _REQUIRED)
        return before
    unknown = sorted(set(given) - set(known))
    if unknown and not skip:
        errors.add("power_parameters", f"Unknown parameter(s): {', '.join(unknown)}.")
        return before
    parameters = {**{name: default for name, (_, default) in known.items()}, **before, **given}
    for name, (label, default) in known.items():
        if default is None and not parameters.get(name):
            if not skip:
                errors.add("power_parameters", f"{label}: {_REQUIRED}")
            parameters[name] = ""
    return parameters


def _check_bmc(region: Region, machine: Record) -> None:
    """A second BMC of the same type and address breaks a constraint of the database; sharing one BMC does not."""
    address = machine["power_parameters"].get("power_address")
    for other in region.store.data["machines"]:
        parameters = other["power_parameters"]
        same = other["power_type"] == machine["power_type"] and parameters.get("power_address") == address
        if address and same and other is not machine and parameters != machine["power_parameters"]:
            raise taken()


def _place(region: Region, data: Any, machine: Record, errors: Errors) -> None:
    for field, records in (("pool", region.store.data["pools"]), ("zone", region.store.data["zones"])):
        given = data.get(field)
        if given is None or given == "":
            continue
        found = next((one["id"] for one in records if str(given) in (one["name"], str(one["id"]))), None)
        if found is None:
            errors.add(field, NO_CHOICE)
        else:
            machine[field] = found
    domain = data.get("domain")
    if domain not in (None, "", "maas", "0"):
        errors.add("domain", f"Unable to find domain {domain}")


def _numbers(data: Any, machine: Record, errors: Errors) -> None:
    for name in ("cpu_count", "memory", "swap_size"):
        given = data.get(name)
        if given in (None, ""):
            continue
        try:
            machine[name] = int(given)
        except ValueError:
            errors.add(name, "Enter a whole number.")


def blank(region: Region) -> Record:
    """A machine of which nothing is known; not yet in the database."""
    return {
        "system_id": region.store.new_system_id(),
        "hostname": "",
        "description": "",
        "architecture": "",
        "status": int(Status.NEW),
        "previous_status": int(Status.NEW),
        "owner": None,
        "owner_data": {},
        "agent_name": "",
        "locked": False,
        "pool": 0,
        "zone": 1,
        "tags": [],
        "power_type": "",
        "power_parameters": {},
        "power_state": "unknown",
        "osystem": "",
        "distro_series": "",
        "hwe_kernel": None,
        "min_hwe_kernel": "",
        "swap_size": None,
        "netboot": True,
        "error_description": "",
        "status_action": None,
        "status_message": None,
        "cpu_count": 0,
        "cpu_speed": 0,
        "memory": 0,
        "hardware_info": {},
        "commissioned": False,
        "is_dpu": False,
        "acquired": False,
        "interfaces": [],
        "disks": [],
        "boot_disk": None,
        "current_sets": {},
        "job": None,
    }


def create(region: Region, data: Any) -> Record:
    """A new machine out of a form, put into the database.

    Raises:
        Refusal: 400 with field errors; 409 for a BMC that belongs to another machine.
    """
    errors = Errors()
    machine = blank(region)
    architecture = data.get("architecture")
    if not architecture:
        errors.add("architecture", _REQUIRED)
    else:
        machine["architecture"] = _architecture(region, str(architecture), errors)
    kind = str(data.get("power_type") or "")
    given_macs = values_of(data, "mac_addresses")
    macs = _macs(region, given_macs, errors)
    if not given_macs and kind != "ipmi":
        errors.add("mac_addresses", _REQUIRED)
    if kind and kind not in POWER_TYPES:
        errors.add("power_type", f"Select a valid choice. {kind} is not one of the available choices.")
    elif kind == "manual" and not macs:
        errors.add("power_type", "Can't set power type to manual without network interfaces")
    elif kind:
        machine["power_parameters"] = _power(data, kind, {}, errors)
    hostname = data.get("hostname")
    machine["hostname"] = _hostname(region, str(hostname), None, errors) if hostname else _made_up_name(region)
    machine["power_type"] = kind
    _apply_common(region, data, machine, errors)
    errors.refuse()
    _check_bmc(region, machine)
    machine["interfaces"] = [new_interface(region, mac, f"eth{number}") for number, mac in enumerate(macs)]
    return region.store.add("machines", machine)


def update(region: Region, machine: Record, data: Any) -> None:
    """Change a machine by a form; keys that are not there keep their values.

    Raises:
        Refusal: 400 with field errors; 409 for a BMC that belongs to another machine.
    """
    errors = Errors()
    if data.get("hostname"):
        machine["hostname"] = _hostname(region, str(data.get("hostname")), machine, errors)
    if data.get("architecture"):
        machine["architecture"] = _architecture(region, str(data.get("architecture")), errors)
    kind = str(data.get("power_type") or machine["power_type"])
    if kind and kind not in POWER_TYPES:
        errors.add("power_type", f"Select a valid choice. {kind} is not one of the available choices.")
    elif kind:
        before = machine["power_parameters"] if kind == machine["power_type"] else {}
        machine["power_parameters"] = _power(data, kind, before, errors)
        machine["power_type"] = kind
    _apply_common(region, data, machine, errors)
    errors.refuse()
    _check_bmc(region, machine)


def _apply_common(region: Region, data: Any, machine: Record, errors: Errors) -> None:
    for name in ("description", "min_hwe_kernel"):
        if data.get(name) is not None:
            machine[name] = str(data.get(name))
    _numbers(data, machine, errors)
    _place(region, data, machine, errors)
