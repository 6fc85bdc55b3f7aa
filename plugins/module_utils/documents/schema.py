# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a value by a JSON schema, in words for the person who has to mend the file.

The remedy is made from the `description` that the schema gives the key, so a schema explains itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .document import Document, read
from .problems import KeyPath, Problem, did_you_mean

try:
    import jsonschema
except ImportError:
    # A node never runs this; the controller is told what it lacks when it comes to it.
    JSONSCHEMA_MISSING = True
else:
    JSONSCHEMA_MISSING = False

DIRECTORY = Path(__file__).parent.parent / "schemas"

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}
_LIMITS = {
    "minimum": "must be at least",
    "maximum": "must be at most",
    "exclusiveMinimum": "must be more than",
    "exclusiveMaximum": "must be less than",
    "multipleOf": "must be a multiple of",
}


@dataclass(frozen=True)
class Fault:
    """One place where a value departs from its schema."""

    path: KeyPath
    message: str
    remedy: str
    missing: bool = False


def load(name: str) -> dict[str, Any]:
    """The collection's schema NAME (`roster`, `node_class`, `cable_plan`)."""
    schema: dict[str, Any] = json.loads((DIRECTORY / f"{name}.schema.json").read_text(encoding="utf-8"))
    return schema


def read_checked(path: Path, schema_name: str) -> tuple[Document | None, list[Problem]]:
    """Read a YAML file strictly and judge it by a schema; all problems of both kinds."""
    document, problems = read(path)
    if document is None:
        return None, problems
    found = [
        document.problem(fault.path, fault.message, fault.remedy) for fault in faults(document.data, load(schema_name))
    ]
    return document, [*problems, *found]


def faults(value: Any, schema: Mapping[str, Any]) -> list[Fault]:
    """Every departure of `value` from `schema`, in the order of their paths."""
    if JSONSCHEMA_MISSING:
        return [Fault((), "cannot be checked without jsonschema", "run `make setup`, or install jsonschema")]
    errors = jsonschema.Draft202012Validator(schema).iter_errors(value)
    found = [fault for error in errors for fault in _translate(error, schema)]
    return sorted(dict.fromkeys(found), key=lambda fault: [str(step) for step in fault.path])


def _translate(error: Any, schema: Mapping[str, Any]) -> Iterator[Fault]:
    path: KeyPath = tuple(error.absolute_path)
    value, rule = error.instance, error.validator_value
    kind = error.validator
    advice = _advice(schema, path)
    if kind == "required":
        yield _missing(error, schema, path)
    elif kind == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        for key in [each for each in value if each not in known]:
            listed = f"; known here: {', '.join(known)}" if known else ""
            yield Fault(
                (*path, key), f"unknown key{did_you_mean(key, known)}", f"take it out, or correct its name{listed}"
            )
    elif kind == "anyOf" and all(set(option) == {"required"} for option in rule):
        keys = [key for option in rule for key in option["required"]]
        advices = "; ".join(f"{key}: {_description(schema, (*path, key)) or 'set it'}" for key in keys)
        yield Fault(path, f"has neither {' nor '.join(map(repr, keys))}", f"give one of them ({advices})", missing=True)
    elif kind == "type":
        names = " or ".join(_TYPES.get(each, each) for each in ([rule] if isinstance(rule, str) else rule))
        yield Fault(path, f"is {_say(value)}, must be {names}", advice)
    elif kind in ("enum", "const"):
        options = rule if kind == "enum" else [rule]
        near = (
            did_you_mean(value, [each for each in options if isinstance(each, str)]) if isinstance(value, str) else ""
        )
        yield Fault(
            path, f"is {_say(value)}, must be {' or '.join(json.dumps(each) for each in options)}{near}", advice
        )
    elif error.absolute_schema_path and "propertyNames" in error.absolute_schema_path:
        yield Fault((*path, str(value)), f"the name {value!r} does not have the form {rule}", "rename it")
    elif kind == "pattern":
        yield Fault(path, f"{value!r} does not have the form {rule}", advice)
    elif kind in _LIMITS:
        yield Fault(path, f"is {_say(value)}, {_LIMITS[kind]} {rule}", advice)
    elif kind == "minProperties" or (kind in ("minItems", "minLength") and not value):
        yield Fault(path, "is empty", advice)
    elif kind == "dependentRequired":
        for key in [each for part, needed in rule.items() if part in value for each in needed if each not in value]:
            yield Fault((*path, key), "is missing", f"add it: {_description(schema, (*path, key))}", missing=True)
    elif kind == "uniqueItems":
        twice = sorted({json.dumps(each, default=str) for each in value if value.count(each) > 1})
        yield Fault(path, f"names {', '.join(twice)} more than once", advice)
    else:
        yield Fault(path, str(error.message), advice)


def _missing(error: Any, schema: Mapping[str, Any], path: KeyPath) -> Fault:
    match = re.match(r"'(.*)' is a required property", error.message)
    key = match[1] if match else str(error.validator_value)
    properties = _subschema(schema, path).get("properties", {})
    near = did_you_mean(key, [each for each in error.instance if each not in properties]).replace(
        "did you mean", "is it what is written as"
    )
    description = _description(schema, (*path, key))
    return Fault((*path, key), f"is missing{near}", f"add it: {description}" if description else "add it", missing=True)


def _say(value: Any) -> str:
    """A value as a person wrote it, with its kind, cut when long."""
    if value is None:
        return "empty"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _advice(schema: Mapping[str, Any], path: KeyPath) -> str:
    description = _description(schema, path)
    return f"set it to what it stands for: {description}" if description else "correct it"


def _description(schema: Mapping[str, Any], path: KeyPath) -> str:
    return str(_subschema(schema, path).get("description", ""))


def _subschema(schema: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
    """The part of the schema that describes `path`; the nearest described part around a list's item."""
    here: Mapping[str, Any] = schema
    for step in path:
        here = _resolved(here, schema)
        inner = here.get("items") if isinstance(step, int) else here.get("properties", {}).get(step)
        if inner is None and not isinstance(step, int):
            inner = here.get("additionalProperties")
        if not isinstance(inner, Mapping):
            return {}
        here = {"description": here.get("description", ""), **inner} if isinstance(step, int) else inner
    return _resolved(here, schema)


def _resolved(here: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in here:
        return here
    target: Any = schema
    for step in str(here["$ref"]).removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **{key: value for key, value in here.items() if key != "$ref"}}
