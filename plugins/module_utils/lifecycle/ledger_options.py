# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module `ledger` as values of the ledger. Raises ValueError that names every bad entry at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from ..findings import Finding
from .ledger_file import DEFAULT_PATH
from .ledger_model import Action, Batch, Part, Reading, StateChange
from .states import State, Step

# The module's options, for itself and for the action plugin of its name.
ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "default": DEFAULT_PATH},
    "run": {"type": "str"},
    "phase": {"type": "str"},
    "playbook": {"type": "str", "default": ""},
    "operator": {"type": "str", "default": ""},
    "states": {"type": "dict", "default": {}},
    "findings": {"type": "dict", "default": {}},
    "passed": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": {
            "nodes": {"type": "list", "elements": "str", "required": True},
            "checks": {"type": "dict", "required": True},
        },
    },
    "actions": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "node": {"type": "str", "required": True},
            "action": {"type": "str", "required": True},
            "detail": {"type": "str", "default": ""},
        },
    },
    "parts": {"type": "dict", "default": {}},
    "lock": {"type": "list", "elements": "str", "default": []},
    "when_held": {"type": "str", "choices": ["fail", "skip"], "default": "fail"},
    "unlock": {"type": "list", "elements": "str", "default": []},
    "unlock_all": {"type": "bool", "default": False},
    "lock_seconds": {"type": "float", "default": 14400},
    "dead_runs": {"type": "list", "elements": "str", "default": []},
    "backup": {"type": "path"},
    "backup_keep": {"type": "int", "default": 30},
    "restore": {"type": "path"},
    "export": {"type": "path"},
    "export_format": {"type": "str", "choices": ["json", "csv"], "default": "json"},
}

_T = TypeVar("_T")
_STATE_KEYS = {"state", "reason", "step", "class", "serial", "until"}
_ACTION = re.compile(r"[a-z][a-z0-9_]*")
_PART_KEYS = ("slot", "component", "serial", "uid", "model", "firmware")
_SAYING = ("states", "findings", "passed", "actions", "parts")


def batch_of(params: Mapping[str, Any]) -> Batch:
    """The batch that the options describe. Raises ValueError that names every bad entry."""
    wrong: list[str] = []
    states = _read("states", params["states"], _state_change, wrong)
    findings = _read("findings", params["findings"], _findings, wrong)
    parts = _read("parts", params["parts"], _readings, wrong)
    if any(params[name] for name in _SAYING) and not params["phase"]:
        wrong.append(f"phase: is needed with {', '.join(_SAYING[:-1])} and {_SAYING[-1]}")
    if not params["run"] and any(params[name] for name in (*_SAYING, "lock", "unlock", "unlock_all")):
        wrong.append("run: is needed; only inside a playbook it is known by itself")
    wrong += [
        f"passed[{number}].checks.{check}: must be a list of components"
        for number, entry in enumerate(params["passed"])
        for check, components in entry["checks"].items()
        if not isinstance(components, list)
    ]
    wrong += [
        f"actions[{number}].action: {entry['action']!r} is no action (lower-case letters, digits and _)"
        for number, entry in enumerate(params["actions"])
        if not _ACTION.fullmatch(entry["action"])
    ]
    wrong += [
        f"{name}: must be greater than 0, not {params[name]}"
        for name in ("lock_seconds", "backup_keep")
        if params[name] <= 0
    ]
    if wrong:
        raise ValueError("; ".join(wrong))
    return Batch(
        run=params["run"],
        phase=params["phase"] or "",
        playbook=params["playbook"],
        operator=params["operator"],
        states=list(states.values()),
        findings=findings,
        passed=_by_node(params["passed"]),
        actions=[Action(entry["node"], entry["action"], entry["detail"]) for entry in params["actions"]],
        parts=parts,
    )


def _by_node(entries: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, list[str]]]:
    passed: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        for node in entry["nodes"]:
            passed.setdefault(node, {}).update(entry["checks"])
    return passed


def readings_to_dict(readings: Mapping[str, Reading]) -> dict[str, Any]:
    """What the option `parts` takes for one node; what is empty is left out."""
    return {
        kind: {
            "complete": reading.complete,
            "parts": [{key: getattr(part, key) for key in _PART_KEYS if getattr(part, key)} for part in reading.parts],
        }
        for kind, reading in readings.items()
    }


def _read(option: str, entries: Mapping[str, Any], reader: Callable[[str, Any], _T], wrong: list[str]) -> dict[str, _T]:
    """`reader` of every entry; what it cannot read is added to `wrong`."""

    def attempt(node: str) -> Iterator[tuple[str, _T]]:
        try:
            yield node, reader(node, entries[node])
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            wrong.append(f"{option}.{node}: {error}")

    return {node: value for name in sorted(entries) for node, value in attempt(name)}


def _findings(_node: str, entries: Any) -> list[Finding]:
    return [Finding.from_dict(entry) for entry in entries]


def _readings(_node: str, kinds: Any) -> dict[str, Reading]:
    return {str(kind): _reading(str(kind), entry) for kind, entry in kinds.items()}


def _reading(kind: str, entry: Any) -> Reading:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("parts"), list):
        raise ValueError(f"{kind}: must be a dictionary with `parts` and `complete`")
    parts = []
    for part in entry["parts"]:
        told = {key: str(part.get(key) or "") for key in _PART_KEYS}
        unknown = sorted(set(part) - set(_PART_KEYS))
        if unknown:
            raise ValueError(f"{kind}: unknown key {', '.join(unknown)} (known: {', '.join(_PART_KEYS)})")
        if not told["slot"] or not (told["serial"] or told["uid"]):
            raise ValueError(f"{kind}: every part needs `slot`, and `serial` or `uid`")
        parts.append(Part(**told))
    return Reading(parts, complete=entry.get("complete") is True)


def _state_change(node: str, wanted: Any) -> StateChange:
    entry = {"state": wanted} if isinstance(wanted, str) else wanted
    if not isinstance(entry, dict) or "state" not in entry:
        raise ValueError("must be the name of a state, or a dictionary with `state`")
    unknown = sorted(set(entry) - _STATE_KEYS)
    if unknown:
        raise ValueError(f"unknown key {', '.join(unknown)} (known: {', '.join(sorted(_STATE_KEYS))})")
    return StateChange(
        node=node,
        state=_member(State, entry["state"]),
        reason=str(entry.get("reason") or ""),
        step=_member(Step, entry.get("step") or Step.FORWARD.value),
        node_class=entry.get("class"),
        serial=entry.get("serial"),
        until=entry.get("until"),
    )


def _member(kind: Any, name: Any) -> Any:
    try:
        return kind(name)
    except ValueError:
        raise ValueError(f"{name!r} is none of {', '.join(each.value for each in kind)}") from None
