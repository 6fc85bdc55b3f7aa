# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The BIOS behind a BMC: read what is set and what waits, send changes, restart once, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .bios import Plan, Registry, differing
from .client import ROOT, Client, link
from .errors import (
    InvalidResponse,
    NotFound,
    ServerError,
    TimedOut,
    Unavailable,
    Unreachable,
    messages_of,
)
from .identity import Service
from .waiting import reset, restart, task_path, wait_for_power

_APPLY = {"@Redfish.SettingsApplyTime": {"ApplyTime": "OnReset"}}


@dataclass(frozen=True)
class BiosState:
    """What was read. `settings` takes changes; it is `path` itself where the BMC has no settings object."""

    path: str
    settings: str
    current: Mapping[str, Any]
    pending: Mapping[str, Any]
    registry: Registry
    apply_time: bool


def read_bios(client: Client, service: Service) -> BiosState:
    """Read all of it; raises NotFound where the BMC does not offer the BIOS."""
    path = link(service.system.body, "Bios")
    if not path:
        raise NotFound(
            f"BMC {client.name} does not offer BIOS attributes.",
            remedy="Look whether this model needs a licence or newer BMC firmware for them; else set them by hand.",
        )
    body = client.get(path).body
    current = _attributes(client, path, body)
    settings = link(body, "@Redfish.Settings", "SettingsObject") or path
    pending: Mapping[str, Any] = {}
    if settings != path:
        # Some tell in the settings only what waits, others all attributes as they will be.
        told = _attributes(client, settings, client.get(settings).body)
        pending = {name: value for name, value in told.items() if name in current and current[name] != value}
    held = body.get("@Redfish.Settings")
    times = held.get("SupportedApplyTimes") if isinstance(held, Mapping) else None
    registry = _registry(client, service, str(body.get("AttributeRegistry") or ""))
    return BiosState(path, settings, current, pending, registry, isinstance(times, list) and "OnReset" in times)


def _attributes(client: Client, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = body.get("Attributes")
    if not isinstance(attributes, dict):
        raise InvalidResponse(f"BMC {client.name}: {path} has no Attributes.", path=path)
    return attributes


def _registry(client: Client, service: Service, name: str) -> Registry:
    """The registry `name`; an empty one where the BMC does not have it, and judges values only by itself."""
    listed = link(service.root.body, "Registries") or f"{ROOT}Registries"
    try:
        for path in client.members(listed) if name else ():
            if name.partition(".")[0] not in path:
                continue
            for location in client.get(path).body.get("Location") or ():
                uri = location.get("Uri") if isinstance(location, Mapping) else None
                if isinstance(uri, str) and str(location.get("Language", "en")).startswith("en"):
                    return Registry.read(client.get(uri).body)
    except NotFound:
        pass
    return Registry({})


def send(client: Client, state: BiosState, plan: Plan) -> str:
    """Send what is due; the path of the task that waits for the restart, empty where none is told."""
    body: dict[str, Any] = {"Attributes": plan.set}
    if state.apply_time:
        body.update(_APPLY)  # without it Dell keeps the values and makes no job of them
    return task_path(client.patch(state.settings, body))


def restart_and_read_back(
    client: Client, service: Service, wanted: Mapping[str, Any], timeout: float, poll: float = 10.0
) -> None:
    """Restart the machine once and wait until the BIOS has `wanted`; a machine that was off is switched off again.

    Raises TimedOut that names the attributes which did not change, with the BMC's own messages about them.
    """
    system = service.system.path
    was_on = restart(client, system, timeout)
    try:
        _wait_until_set(client, service, wanted, timeout, poll)
    finally:
        if not was_on:
            reset(client, system, "ForceOff")
            wait_for_power(client, system, "Off", timeout)


def _wait_until_set(client: Client, service: Service, wanted: Mapping[str, Any], timeout: float, poll: float) -> None:
    path = link(service.system.body, "Bios")
    deadline = client.clock() + timeout
    seen = "the BMC did not answer"
    while True:
        try:
            body = client.get(path).body
            left = differing(wanted, _attributes(client, path, body))
            if not left:
                return
            held = body.get("@Redfish.Settings")
            told = " ".join(message.text for message in messages_of(held))
            values = ", ".join(f"{name} is {value!r}" for name, value in sorted(left.items()))
            seen = f"{values}. {told}".strip()
        except (Unreachable, Unavailable, ServerError, NotFound) as error:
            seen = str(error)
        if client.clock() >= deadline:
            raise TimedOut(
                f"BMC {client.name}: BIOS attributes did not change within {timeout:g} s of the restart: {seen}",
                path=path,
                remedy="Look at the console (stuck in self-test?) and at the BMC's list of jobs.",
            )
        client.sleep(poll)
