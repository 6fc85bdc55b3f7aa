# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BIOS attributes: what a node class wants, against what is set, what waits for a restart, what the registry allows.

Pure. A refusal names the key of the node class and the remedy; while there is one, nothing is set.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SUFFIX = re.compile(r"_[0-9A-Fa-f]{4}$")  # of the board and BIOS version, as Supermicro appends it


@dataclass(frozen=True)
class Refusal:
    """A value of the node class that cannot be set; `key` is its place there."""

    key: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}. {self.remedy}"


@dataclass(frozen=True)
class Plan:
    """What is to be done, by the BMC's own attribute names.

    `set` is to be sent; `waiting` was sent before and needs only the restart; `same` is as wanted.
    """

    set: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, Any] = field(default_factory=dict)
    same: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()

    @property
    def due(self) -> dict[str, Any]:
        """Attributes that have another value until the machine has been restarted."""
        return {**self.waiting, **self.set}


@dataclass(frozen=True)
class Registry:
    """An attribute registry: its entries by name, and its rules."""

    entries: Mapping[str, Mapping[str, Any]]
    dependencies: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Registry:
        held = body.get("RegistryEntries")
        held = held if isinstance(held, Mapping) else {}
        entries = [each for each in held.get("Attributes") or () if isinstance(each, Mapping)]
        rules = [each for each in held.get("Dependencies") or () if isinstance(each, Mapping)]
        return cls({str(each.get("AttributeName")): each for each in entries}, rules)


def plan(
    wanted: Mapping[str, Any],
    current: Mapping[str, Any],
    pending: Mapping[str, Any],
    registry: Registry,
    key: str = "bios.attributes",
) -> Plan:
    """Compare. `pending` are the attributes that wait for a restart; `registry` may be empty where none is told."""
    refusals: list[Refusal] = []
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for given, value in wanted.items():
        place = f"{key}.{given}"
        name, refusal = _resolve(given, current, registry, place)
        if refusal is None and name in values:
            refusal = Refusal(place, f"is the attribute {name}, as {places[name]} is", "Keep one of the two.")
        if refusal is None:
            value, refusal = _value(value, registry.entries.get(name, {}), current.get(name), place)
        if refusal is None:
            values[name], places[name] = value, place
        else:
            refusals.append(refusal)
    after = {**current, **pending}
    due = {name: value for name, value in values.items() if after.get(name) != value}
    waiting = {name: value for name, value in values.items() if name not in due and current.get(name) != value}
    for name in due:
        refusals += _read_only(name, registry, {**after, **values}, places[name], key)
    return Plan(
        set=due,
        waiting=waiting,
        same={name: value for name, value in values.items() if name not in due and name not in waiting},
        before={name: current.get(name) for name in (*waiting, *due)},
        refusals=tuple(refusals),
    )


def _resolve(given: str, current: Mapping[str, Any], registry: Registry, place: str) -> tuple[str, Refusal | None]:
    """The BMC's name for the attribute that the class calls `given`."""
    known = {*current, *registry.entries}
    if given in known:
        return given, None
    alike = sorted(name for name in known if _SUFFIX.sub("", name) == given)
    alike = alike or sorted(
        name for name, entry in registry.entries.items() if entry.get("DisplayName") == given and name in known
    )
    if len(alike) == 1:
        return alike[0], None
    if alike:
        reason = f"is the name of several attributes of this BIOS: {', '.join(alike)}"
        return "", Refusal(place, reason, "Write the one that is meant.")
    near = difflib.get_close_matches(given, sorted(known), 3, 0.6)
    remedy = f"Did you mean {', '.join(near)}?" if near else "Look into the attribute registry of this model."
    return "", Refusal(place, "this BIOS has no such attribute", f"{remedy} Names differ by vendor and BIOS version.")


def _value(value: Any, entry: Mapping[str, Any], current: Any, place: str) -> tuple[Any, Refusal | None]:
    """`value` as the BMC writes it, or why it cannot be set."""
    kind = entry.get("Type") or {bool: "Boolean", int: "Integer", str: "String"}.get(type(current), "")
    check = {
        "Enumeration": _enumeration,
        "Integer": _integer,
        "String": _string,
        "Boolean": _boolean,
        "Password": _password,
    }.get(str(kind))
    return check(value, entry, place) if check else (value, None)


def _enumeration(value: Any, entry: Mapping[str, Any], place: str) -> tuple[Any, Refusal | None]:
    choices = [each for each in entry.get("Value") or () if isinstance(each, Mapping)]
    names = [str(each.get("ValueName")) for each in choices]
    # 1 for "1" is what YAML makes of it; True for On or Enabled is not to be guessed at.
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    if text in names:
        return text, None
    shown = [str(each.get("ValueName")) for each in choices if each.get("ValueDisplayName") == text]
    if text is not None and len(shown) == 1:
        return shown[0], None
    remedy = f"Choose one of {', '.join(names)}."
    if isinstance(value, bool):
        remedy = f"YAML reads on, off, yes and no as truth values: put it in quotes. {remedy}"
    return None, Refusal(place, f"{value!r} is none of its values", remedy)


def _integer(value: Any, entry: Mapping[str, Any], place: str) -> tuple[Any, Refusal | None]:
    if isinstance(value, bool) or not isinstance(value, int):
        return None, Refusal(place, f"{value!r} is not an integer", "Write a number without quotes.")
    low, high, step = entry.get("LowerBound"), entry.get("UpperBound"), entry.get("ScalarIncrement") or 0
    if (low is not None and value < low) or (high is not None and value > high):
        return None, Refusal(place, f"{value} is out of bounds", f"Choose from {low} to {high}.")
    if step and (value - (low or 0)) % step:
        return None, Refusal(place, f"{value} is between two steps", f"Choose from {low} in steps of {step}.")
    return value, None


def _string(value: Any, entry: Mapping[str, Any], place: str) -> tuple[Any, Refusal | None]:
    if not isinstance(value, str):
        return None, Refusal(place, f"{value!r} is not a text", "Put it in quotes.")
    low, high = entry.get("MinLength") or 0, entry.get("MaxLength")
    if len(value) < low or (high is not None and len(value) > high):
        return None, Refusal(place, f"has {len(value)} characters", f"It must have {low} to {high}.")
    pattern = entry.get("ValueExpression")
    try:
        fits = not pattern or re.search(str(pattern), value) is not None
    except re.error:
        fits = True  # of another dialect: the BMC judges it
    return (value, None) if fits else (None, Refusal(place, f"{value!r} does not fit {pattern}", "Correct it."))


def _boolean(value: Any, _entry: Mapping[str, Any], place: str) -> tuple[Any, Refusal | None]:
    if isinstance(value, bool):
        return value, None
    return None, Refusal(place, f"{value!r} is neither true nor false", "Write true or false without quotes.")


def _password(_given: Any, _entry: Mapping[str, Any], place: str) -> tuple[Any, Refusal | None]:
    reason = "is a password, which cannot be read back and compared"
    return None, Refusal(place, reason, "Take it out of the class and set it at the BMC.")


def _read_only(name: str, registry: Registry, foreseen: Mapping[str, Any], place: str, key: str) -> Iterable[Refusal]:
    """Why the attribute cannot be changed, at most once: by itself, or by what others are set to."""
    entry = registry.entries.get(name, {})
    closed = bool(entry.get("ReadOnly"))
    cause = ""
    for rule in registry.dependencies:
        mapping = rule.get("Dependency")
        if rule.get("Type", "Map") != "Map" or not isinstance(mapping, Mapping):
            continue
        if mapping.get("MapToAttribute") != name or mapping.get("MapToProperty") not in ("ReadOnly", "GrayOut"):
            continue
        terms = [term for term in mapping.get("MapFrom") or () if isinstance(term, Mapping)]
        if terms and _holds(terms, foreseen):
            closed = bool(mapping.get("MapToValue"))
            cause = ", ".join(_told(term, foreseen) for term in terms)
    if closed and cause:
        others = " and ".join(f"{key}.{term.get('MapFromAttribute')}" for term in _terms_of(name, registry))
        yield Refusal(place, f"is read-only while {cause}", f"Set {others} in the class so that it can be changed.")
    elif closed:
        yield Refusal(place, "is read-only", "Take it out of the class.")


def _terms_of(name: str, registry: Registry) -> list[Mapping[str, Any]]:
    """The conditions of every rule about an attribute."""
    return [
        term
        for rule in registry.dependencies
        if isinstance(rule.get("Dependency"), Mapping) and rule["Dependency"].get("MapToAttribute") == name
        for term in rule["Dependency"].get("MapFrom") or ()
    ]


def _told(term: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    name = str(term.get("MapFromAttribute"))
    return f"{name} is {values.get(name)!r}"


def _holds(terms: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> bool:
    """Whether conditions hold, joined from left to right by their MapTerms."""
    result = _term(terms[0], values)
    for term in terms[1:]:
        holds = _term(term, values)
        result = (result or holds) if term.get("MapTerms") == "OR" else (result and holds)
    return result


def _term(term: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    if term.get("MapFromProperty") != "CurrentValue":
        return False
    is_, than = values.get(str(term.get("MapFromAttribute"))), term.get("MapFromValue")
    condition = term.get("MapFromCondition")
    if condition in ("EQU", "NEQ"):
        return bool((is_ == than) == (condition == "EQU"))
    if not isinstance(is_, (int, float)) or not isinstance(than, (int, float)):
        return False
    return bool({"GTR": is_ > than, "GEQ": is_ >= than, "LSS": is_ < than, "LEQ": is_ <= than}.get(str(condition)))


def differing(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was set, the attributes that have another value all the same, with the value they have."""
    return {name: current.get(name) for name, value in wanted.items() if current.get(name) != value}
