# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Departures from a schema, in words: each names its place and says what to do."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.schema import DIRECTORY, faults, load
from hypothesis import given
from hypothesis import strategies as st

LIMITS: dict[str, Any] = {
    "type": "object",
    "required": ["warn"],
    "properties": {"warn": {"type": "number", "description": "From here on a warning."}},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "a thing",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "description": "The name.", "pattern": "^[a-z]*$"},
        "word": {"type": "string", "description": "A word.", "minLength": 1},
        "count": {"type": "integer", "description": "How many.", "minimum": 1, "maximum": 9},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "description": "A share."},
        "kind": {"enum": ["planned", "racked"], "description": "Its state."},
        "one": {"const": 1},
        "devices": {
            "type": "array",
            "uniqueItems": True,
            "minItems": 1,
            "description": "The devices.",
            "items": {"type": "string"},
        },
        "limits": {"$ref": "#/$defs/limits", "description": "Both limits."},
        "either": {
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            "properties": {"a": {"description": "An a."}},
        },
        "names": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}},
        "deep": {
            "type": "object",
            "if": {"required": ["x"]},
            "then": {"required": ["y"]},
            "properties": {"y": {"description": "The y."}},
        },
    },
    "$defs": {"limits": LIMITS},
}


@pytest.mark.parametrize(
    ("value", "path", "message", "remedy"),
    [
        ({}, ("name",), "is missing", "The name."),
        ({"nme": "a"}, ("name",), "is it what is written as 'nme'?", "The name."),
        ({"name": "a", "cuont": 1}, ("cuont",), "unknown key (did you mean 'count'?)", "known here: name, word, count"),
        ({"name": 5}, ("name",), "is 5, must be text", "The name."),
        ({"name": "a", "count": "3"}, ("count",), 'is "3", must be a whole number', "How many."),
        ({"name": "a", "count": None}, ("count",), "is empty, must be a whole number", "How many."),
        ({"name": "a", "count": {}}, ("count",), "is a mapping", "How many."),
        ({"name": "a", "count": 0}, ("count",), "is 0, must be at least 1", "How many."),
        ({"name": "a", "count": 10}, ("count",), "must be at most 9", "How many."),
        ({"name": "a", "ratio": 0}, ("ratio",), "must be more than 0", "A share."),
        ({"name": "a", "ratio": 1}, ("ratio",), "must be less than 1", "A share."),
        ({"name": "A"}, ("name",), "'A' does not have the form ^[a-z]*$", "The name."),
        ({"name": "a", "word": ""}, ("word",), "is empty", "A word."),
        (
            {"name": "a", "kind": "plannd"},
            ("kind",),
            'must be "planned" or "racked" (did you mean \'planned\'?)',
            "Its",
        ),
        ({"name": "a", "one": 2}, ("one",), "is 2, must be 1", ""),
        ({"name": "a", "devices": ["x", "x"]}, ("devices",), 'names "x" more than once', "The devices."),
        ({"name": "a", "devices": []}, ("devices",), "is empty", "The devices."),
        ({"name": "a", "devices": ["x", 1]}, ("devices", 1), "is 1, must be text", "The devices."),
        ({"name": "a", "limits": {}}, ("limits", "warn"), "is missing", "From here on a warning."),
        ({"name": "a", "either": {}}, ("either",), "has neither 'a' nor 'b'", "An a."),
        ({"name": "a", "names": {"A": 1}}, ("names", "A"), "the name 'A' does not have the form", "rename"),
        ({"name": "a", "deep": {"x": 1}}, ("deep", "y"), "is missing", "The y."),
        ([], (), "is a list, must be a mapping", "a thing"),
    ],
)
def test_words(value: Any, path: tuple[str | int, ...], message: str, remedy: str) -> None:
    matching = [fault for fault in faults(value, SCHEMA) if fault.path == path]
    assert len(matching) == 1, faults(value, SCHEMA)
    assert message in matching[0].message
    assert remedy in matching[0].remedy


def test_a_sound_value_has_no_fault() -> None:
    assert faults({"name": "a", "count": 3, "devices": ["x"], "limits": {"warn": 1}}, SCHEMA) == []


def test_all_faults_are_told() -> None:
    assert len(faults({"count": 0, "kind": 3, "x": 1, "y": 2}, SCHEMA)) == 5


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | st.sampled_from(["a", "", "A", "planned"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SCHEMA["properties"], "warn", "a", "x", "A"]), inner, max_size=5)
    ),
    max_leaves=15,
)


@given(anything)
def test_there_are_faults_exactly_when_the_schema_is_violated(value: Any) -> None:
    valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(value)
    found = faults(value, SCHEMA)
    assert (found == []) is valid
    assert all(fault.message and fault.remedy for fault in found)


@pytest.mark.parametrize("name", sorted(path.name.removesuffix(".schema.json") for path in DIRECTORY.glob("*.json")))
def test_the_collections_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(load(name))
