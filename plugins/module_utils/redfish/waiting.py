# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded waits: for a task of a BMC, and for a machine's power."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .client import Answer, Client, Resource
from .errors import (
    Conflict,
    InvalidResponse,
    NotFound,
    RedfishError,
    ServerError,
    TimedOut,
    Unavailable,
    Unreachable,
    messages_of,
)

RUNNING = ("New", "Starting", "Running", "Suspended", "Stopping", "Service", "Cancelling")
FAILED = ("Exception", "Killed", "Cancelled", "Interrupted")
_RESTARTS = ("ForceRestart", "GracefulRestart", "PowerCycle", "FullPowerCycle")


@dataclass(frozen=True)
class Task:
    """A task as it was last read. `state` is Redfish's, or `Gone` where the BMC no longer knows it."""

    path: str
    state: str
    percent: int | None
    text: str

    @property
    def failed(self) -> bool:
        return self.state in FAILED

    def __str__(self) -> str:
        percent = f", {self.percent} %" if self.percent is not None else ""
        return f"{self.state}{percent}{f' ({self.text})' if self.text else ''}"


def task_path(answer: Answer) -> str:
    """Where the task of an accepted request is: by the Location header, or in the body; empty where it is not told."""
    if answer.location:
        return answer.location
    kind = str(answer.body.get("@odata.type") or "")
    told = answer.body.get("@odata.id")
    return str(told) if "Task" in kind and told else ""


def read_task(path: str, body: Mapping[str, Any]) -> Task:
    """A task by its resource."""
    percent = body.get("PercentComplete")
    messages = [message.text for message in messages_of(body)]
    return Task(
        path,
        str(body.get("TaskState") or "Running"),
        percent if isinstance(percent, int) and not isinstance(percent, bool) else None,
        " ".join(messages[-2:]),
    )


def wait_for_task(
    client: Client, path: str, timeout: float, poll: float = 5.0, progress: Callable[[Task], None] = lambda task: None
) -> Task:
    """Poll until the task is done, failed, or waits for a restart of the machine (`Pending`).

    A BMC that is away meanwhile, because it updates itself, is waited for. Raises TimedOut with the state last seen.
    """
    deadline = client.clock() + timeout
    last: Task | None = None
    trouble = ""
    while True:
        try:
            seen = read_task(path, client.get(path).body)
        except NotFound:
            # A BMC that restarted forgets its tasks: what became of it is read from what it was to change.
            return Task(path, "Gone", None, "")
        except (Unreachable, Unavailable, ServerError, InvalidResponse) as error:
            if isinstance(error, Unreachable) and error.permanent:
                raise
            trouble = str(error)
        else:
            trouble = ""
            if seen != last:
                progress(seen)
            last = seen
            if seen.state not in RUNNING:
                return seen
        if client.clock() >= deadline:
            state = f"it was {last}" if last else "its state was never read"
            raise TimedOut(
                f"BMC {client.name}: the task {path} did not end within {timeout:g} s; {state}. {trouble}".strip(),
                path=path,
                remedy="Look at the BMC's own list of jobs; the BMC goes on with it.",
            )
        client.sleep(poll)


def allowed_resets(system: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Path of the reset action, and the kinds it takes (none told: empty). Raises InvalidResponse without one."""
    actions = system.get("Actions")
    action = actions.get("#ComputerSystem.Reset") if isinstance(actions, Mapping) else None
    target = action.get("target") if isinstance(action, Mapping) else None
    if not isinstance(action, Mapping) or not isinstance(target, str):
        raise InvalidResponse(f"The system {system.get('Id')} cannot be switched on and off.")
    kinds = action.get("ResetType@Redfish.AllowableValues")
    return target, tuple(str(kind) for kind in kinds) if isinstance(kinds, list) else ()


def reset(client: Client, system: str, kind: str) -> None:
    """Order a reset; `On` where it is on and `ForceOff` where it is off are as good as done."""
    target, kinds = allowed_resets(client.get(system).body)
    if kinds and kind not in kinds:
        raise RedfishError(f"BMC {client.name} takes no reset of kind {kind}, only {', '.join(kinds)}.")
    try:
        client.post(target, {"ResetType": kind})
    except Conflict:
        if client.get(system).body.get("PowerState") != {"On": "On", "ForceOff": "Off"}.get(kind):
            raise


def wait_for_power(client: Client, system: str, state: str, timeout: float, poll: float = 2.0) -> Resource:
    """The system once its PowerState is `state`; raises TimedOut."""
    deadline = client.clock() + timeout
    seen: Any = None
    while True:
        try:
            resource = client.get(system)
            seen = resource.body.get("PowerState")
            if seen == state:
                return resource
        except (Unreachable, Unavailable, ServerError) as error:
            seen = f"not told: {error}"
        if client.clock() >= deadline:
            raise TimedOut(
                f"BMC {client.name}: the power did not become {state} within {timeout:g} s; it is {seen}.",
                path=system,
                remedy="Look at the machine's console and power supplies.",
            )
        client.sleep(poll)


def restart(client: Client, system: str, timeout: float) -> bool:
    """Start the machine anew, so that it goes through its self-test; whether it was on before.

    One that was off is switched on: who calls switches it off again when done.
    """
    body = client.get(system).body
    if body.get("PowerState") != "On":
        reset(client, system, "On")
        wait_for_power(client, system, "On", timeout)
        return False
    _target, kinds = allowed_resets(body)
    kind = next((each for each in _RESTARTS if each in kinds), "")
    if kind or not kinds:
        reset(client, system, kind or "ForceRestart")
        return True
    reset(client, system, "ForceOff")
    wait_for_power(client, system, "Off", timeout)
    reset(client, system, "On")
    return True
