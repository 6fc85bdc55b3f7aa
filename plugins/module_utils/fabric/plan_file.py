# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a site's cable plan on the controller (PyYAML and jsonschema), with errors that say what to correct."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from .plan import Plan, PlanError, expand

SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "cable_plan.schema.json"
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "object": "a mapping",
    "string": "a text",
}


class PlanFileError(ValueError):
    """A cable plan file that cannot be used; the message names the file, the key and the remedy."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, where YAML's usual readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def load(path: Path) -> Plan:
    """The plan in `path`. Raises PlanFileError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise PlanFileError(f"{path}: cannot be read ({error.strerror}). Name the site's cable plan.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanFileError(f"{path}: not YAML ({' '.join(str(error).split())}). Correct the line it names.") from error
    problems = sorted(_validator().iter_errors(content), key=lambda error: [str(part) for part in error.absolute_path])
    if problems:
        raise PlanFileError("\n".join(f"{path}: {_explain(problem)}" for problem in problems))
    try:
        return expand(content)
    except PlanError as error:
        raise PlanFileError(f"{path}: {error}") from error


def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _explain(error: ValidationError) -> str:
    """One line: key, what is wrong with it, what to write instead."""
    key, keyword = _key(error), error.validator
    value: Any = error.validator_value
    properties: dict[str, Any] = cast(Any, error.schema).get("properties", {})
    if keyword == "required":
        missing = next(name for name in value if name not in cast(Any, error.instance))
        return f"{_join(key, missing)}: missing. Add it; {_meaning(properties.get(missing, {}))}"
    if keyword == "anyOf":
        return "generators: the plan describes no cable. Add generators, links or both."
    if keyword == "additionalProperties":
        unknown = next(name for name in cast(Any, error.instance) if name not in properties)
        return f"{_join(key, unknown)}: unknown key. Remove it or use one of {', '.join(sorted(properties))}."
    if keyword == "type":
        wanted = _TYPES.get(str(value), str(value))
        return f"{key}: {error.instance!r} is not {wanted}. Write {wanted}."
    if keyword in ("const", "enum"):
        values = [value] if keyword == "const" else value
        return f"{key}: {error.instance!r} is not known. Write {' or '.join(str(known) for known in values)}."
    if keyword == "dependentRequired":
        return f"{key}: {error.message}. Add the missing tier."
    return f"{key}: {error.message}. Correct the value."


def _key(error: ValidationError) -> str:
    key = ""
    for part in error.absolute_path:
        key = f"{key}[{part}]" if isinstance(part, int) else _join(key, str(part))
    return key or "the file"


def _join(key: str, name: str) -> str:
    return name if key in ("", "the file") else f"{key}.{name}"


def _meaning(described: Mapping[str, Any]) -> str:
    if "const" in described:
        return f"it is {described['const']}."
    return str(described.get("description", "see the schema cable_plan.schema.json."))
