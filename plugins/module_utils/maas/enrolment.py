# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that MAAS does not know yet, and what is written on those that it does: power, pool, zone, description.

Many at once; each host succeeds or fails for itself. After anything doubtful MAAS is read again before anything more
is sent, so that a lost answer never makes a second machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .client import Client, Value
from .errors import InvalidResponse, MaasError, ServerError, Unauthorized, Unavailable, Unreachable
from .machines import Machine, Status
from .matching import Matching, Problem, Wanted
from .reconcile import Write, differing
from .requests import find, power_parameters

_TRIES = 8  # a creation and an update, each of which may fail a few times; NICs are added one after the other besides
# MAAS lets interfaces be added to these only.
_OPEN = (Status.NEW, Status.READY, Status.FAILED_TESTING, Status.ALLOCATED, Status.BROKEN)
_HIDDEN = "(not shown)"


@dataclass(frozen=True)
class Spec:
    """What is wanted of one machine; None leaves a field alone. Power parameters are by MAAS's names, secrets too."""

    architecture: str = "amd64/generic"
    mac_addresses: Sequence[str] = ()
    power_type: str | None = None
    power_parameters: Mapping[str, Value] = field(default_factory=dict, repr=False)
    pool: str | None = None
    zone: str | None = None
    description: str | None = None
    adds_interfaces: bool = False  # those of `mac_addresses` that a machine lacks

    @property
    def enrols(self) -> bool:
        """True where there is enough to create the machine from."""
        return self.power_type is not None

    def secrets(self) -> set[str]:
        """The values that must never be shown. Address and user are none, and hiding them would garble every result."""
        return {str(value) for name, value in self.power_parameters.items() if value and _is_secret(name)}

    def creation(self, name: str) -> dict[str, Value | Sequence[Value]]:
        """The form that creates the machine. It is not commissioned at once: that is a step of its own."""
        return {
            "hostname": name,
            "architecture": self.architecture,
            "mac_addresses": list(self.mac_addresses),
            "power_type": self.power_type,
            **self._power(),
            "description": self.description,
            "commission": False,
        }

    def _power(self) -> dict[str, Value]:
        return {f"power_parameters_{name}": value for name, value in self.power_parameters.items()}

    def lacking(self, machine: Machine) -> list[str]:
        """The MAC addresses to add to a machine of MAAS, which otherwise would not know it by its new NIC."""
        if not self.adds_interfaces or machine.status not in _OPEN:
            return []
        return [mac.lower() for mac in self.mac_addresses if mac.lower() not in machine.mac_addresses]

    def update(self, host: Wanted, machine: Machine, parameters: Mapping[str, Any]) -> dict[str, Value]:
        """The fields of a machine that differ; with any of power all of it, since MAAS checks it as a whole."""
        now = {name: getattr(machine, name) for name in ("pool", "zone", "description")}
        changes = differing({"pool": self.pool, "zone": self.zone, "description": self.description}, now)
        if self.enrols and _named_by_maas(host, machine):
            changes["hostname"] = host.name
        known = {name: _text(value) for name, value in parameters.items()}
        other = any(_text(value) != known.get(name, "") for name, value in self.power_parameters.items())
        if self.power_type is not None and (self.power_type != machine.power_type or other):
            changes |= {"power_type": self.power_type, **self._power()}
        return changes


def _named_by_maas(host: Wanted, machine: Machine) -> bool:
    """True of a machine that enlisted itself: only its MAC addresses tell whose it is, and its name is made up.

    Without its own name nobody would find it again who does not ask its BMC for the addresses.
    """
    known = host.system_id == machine.system_id or (host.serial and host.serial == machine.serial)
    named = host.name.lower() in (machine.hostname.lower(), machine.fqdn.lower())
    return machine.status == Status.NEW and not known and not named


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Enrolment:
    """Where the hosts stand; `matching.problems` has those that failed. `actions` and `diff` are by name."""

    matching: Matching
    actions: Mapping[str, Sequence[str]]
    diff: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


def enrol(
    client: Client,
    hosts: Sequence[Wanted],
    specs: Mapping[str, Spec],
    *,
    check: bool,
    user: str,
    concurrency: int = 4,
) -> Enrolment:
    """Create and update machines until a reading shows all as wanted; in check mode tell what would be done.

    A machine that is locked, or another user's, is not written to: its host fails.
    """
    client.conceal(secret for spec in specs.values() for secret in spec.secrets())
    actions: dict[str, list[str]] = {}
    shown: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
    failed: dict[str, Problem] = {}
    errors: dict[str, MaasError] = {}
    tries = _TRIES + max((len(spec.mac_addresses) for spec in specs.values() if spec.adds_interfaces), default=0)
    for attempt in range(1, tries + 1):
        matching = find(client, hosts)
        todo = _plan(client, hosts, specs, matching, user, failed)
        for name in list(todo):
            if name in errors and (attempt == tries or _final(errors[name])):
                error = errors[name]
                failed[name] = Problem(
                    f"MAAS refused it: {error.args[0]}", error.remedy or "Correct it, and run again."
                )
                del todo[name]
        for name, (_write, verbs, before, after) in todo.items():
            if name not in shown:
                actions.setdefault(name, []).extend(verbs)
                shown[name] = (before, after)
        if check or not todo:
            break
        with ThreadPoolExecutor(max_workers=concurrency) as pool:
            sent = {name: pool.submit(_send, client, item[0]) for name, item in todo.items()}
            answers = {name: future.result() for name, future in sent.items()}
        errors = {name: answer for name, answer in answers.items() if answer is not None}
    else:
        for name in todo:
            failed[name] = Problem(
                "MAAS took what was sent, but does not show it.", "Look at the machine in MAAS, and run again."
            )
    for name in failed:
        actions.pop(name, None)
        shown.pop(name, None)
    found = {name: machine for name, machine in matching.found.items() if name not in failed}
    return Enrolment(Matching(found, {**matching.problems, **failed}, matching.unknown), actions, shown)


def _final(error: MaasError) -> bool:
    return not isinstance(error, ServerError | Unavailable | Unreachable | InvalidResponse)


def _is_secret(name: str) -> bool:
    return any(sign in name for sign in ("pass", "token", "secret", "key", "k_g"))


def _send(client: Client, write: Write) -> MaasError | None:
    try:
        write.send(client)
    except Unauthorized:
        raise
    except MaasError as error:
        return error
    return None


_Todo = tuple[Write, Sequence[str], Mapping[str, Any], Mapping[str, Any]]


def _plan(
    client: Client,
    hosts: Sequence[Wanted],
    specs: Mapping[str, Spec],
    matching: Matching,
    user: str,
    failed: dict[str, Problem],
) -> dict[str, _Todo]:
    """What is to be sent for each host that is not as wanted."""
    todo: dict[str, _Todo] = {}
    powered = [
        machine.system_id for name, machine in matching.found.items() if specs[name].enrols and name not in failed
    ]
    parameters = power_parameters(client, powered) if powered else {}
    for host in hosts:
        spec, machine = specs[host.name], matching.found.get(host.name)
        if host.name in failed:
            continue
        if machine is None:
            if spec.enrols and matching.problems[host.name].missing:
                write = Write("POST", "machines/", spec.creation(host.name))
                after = {"mac_addresses": list(spec.mac_addresses), **_shown(spec.creation(host.name))}
                todo[host.name] = (write, ["enrol"], {}, after)
            continue
        changes = spec.update(host, machine, parameters.get(machine.system_id, {}))
        lacking = spec.lacking(machine)
        if not changes and not lacking:
            continue
        if machine.locked or (machine.owner and machine.owner != user):
            whose = "is locked in MAAS" if machine.locked else f"belongs to {machine.owner} in MAAS"
            failed[host.name] = Problem(
                f"Its {', '.join(sorted(_shown(changes)) or ['NICs'])} cannot be set: it {whose}.",
                "Unlock or release it there if it may be changed, and run again.",
            )
            continue
        before = {name: getattr(machine, name, _HIDDEN) for name in changes if not name.startswith("power_param")}
        after = _shown(changes)
        verbs = ["update"] if changes else []
        write = Write("PUT", f"machines/{machine.system_id}/", changes)
        if lacking:
            verbs.append("add_interface")
            before["mac_addresses"], after["mac_addresses"] = (), lacking
        if not changes:
            write = Write(
                "POST", f"nodes/{machine.system_id}/interfaces/", {"mac_address": lacking[0]}, "create_physical"
            )
        todo[host.name] = (write, verbs, before, after)
    return todo


def _shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields for eyes: no power parameters, since some are passwords."""
    kept = {name: value for name, value in fields.items() if not name.startswith("power_parameters_")}
    kept.pop("commission", None)
    if len(kept) + ("commission" in fields) < len(fields):
        kept["power_parameters"] = _HIDDEN
    return {name: value for name, value in kept.items() if value is not None}
