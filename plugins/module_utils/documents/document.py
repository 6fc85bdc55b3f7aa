# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML files read strictly: a key that is there twice is an error, and every key knows its line.

For the controller only. Ansible's own reader takes the last of two equal keys and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .problems import KeyPath, Problem, key_of, shown

try:
    import yaml
except ImportError:
    # A node never runs this; the controller is told what it lacks when it comes to it.
    YAML_MISSING = True
else:
    YAML_MISSING = False

_STANDARD_TAG = "tag:yaml.org,2002:"
_MERGE_TAG = f"{_STANDARD_TAG}merge"
# The largest roster (100,000 hosts) has fewer.
_MOST_VALUES = 2_000_000
_TOO_DEEP = "is nested too deeply"
_FLATTEN = "take out the brackets or the indentation that no other line needs"


@dataclass
class Document:
    """What a file holds, and the line of every key and list item in it."""

    file: str
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it; 0 for an empty file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def problem(self, path: KeyPath, message: str, remedy: str) -> Problem:
        return Problem(self.file, key_of(path), message, remedy, self.line(path))

    def problem_at(self, key: str, message: str, remedy: str) -> Problem:
        """As `problem`, of a key as `key_of` writes it."""
        line = next((line for path, line in self.lines.items() if key_of(path) == key), 0)
        return Problem(self.file, key, message, remedy, line)


def read(path: Path) -> tuple[Document | None, list[Problem]]:
    """The document, or None when it cannot be read at all, and everything that is wrong with its form."""
    file = shown(path)
    if YAML_MISSING:
        return None, [Problem(file, "", "cannot be read without PyYAML", "run `make setup`, or install PyYAML")]
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, [Problem(file, "", "does not exist", "create it, or name the right inventory")]
    except UnicodeDecodeError as error:
        return None, [Problem(file, "", f"is not UTF-8 (byte {error.start})", "save it as UTF-8")]
    except OSError as error:
        return None, [Problem(file, "", f"cannot be read: {error.strerror}", "give this user the right to read it")]
    return parse(text, file)


def parse(text: str, file: str) -> tuple[Document | None, list[Problem]]:
    """As `read`, of a text that was read already."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        what = " ".join(filter(None, (error.context, error.problem)))
        return None, [Problem(file, "", f"is no valid YAML: {what}", "correct the line, or the one before it", line)]
    except yaml.YAMLError as error:
        return None, [Problem(file, "", f"is no valid YAML: {error}", "take out the characters that YAML forbids")]
    except RecursionError:
        return None, [Problem(file, "", _TOO_DEEP, _FLATTEN)]
    reader = _Reader(file)
    if root is not None:
        reader.document.lines[()] = root.start_mark.line + 1
        try:
            reader.document.data = reader.value(root, ())
        except RecursionError:
            return None, [Problem(file, "", _TOO_DEEP, _FLATTEN)]
        except _TooLarge:
            return None, [Problem(file, "", f"has more than {_MOST_VALUES} values", "use fewer aliases (*)")]
    return reader.document, reader.problems


class _TooLarge(Exception):
    """Aliases of aliases make a short file endless."""


class _Reader:
    """Turns nodes into values and remembers their lines."""

    def __init__(self, file: str) -> None:
        self.document = Document(file)
        self.problems: list[Problem] = []
        self._scalars = yaml.SafeLoader("")
        self._open: list[Any] = []
        self._values = 0

    def value(self, node: Any, path: KeyPath) -> Any:
        if any(node is each for each in self._open):
            self.problems.append(
                self.document.problem(path, "contains itself", "take out the alias (*) that leads back")
            )
            return None
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _TooLarge
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, path)
            return self._scalar(node, path)
        finally:
            self._open.pop()

    def _mapping(self, node: Any, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                merged = {**self._merged(value_node, path), **merged}
                continue
            key = self._key(key_node, path, line)
            if key in first_line:
                message = f"is there twice, in line {first_line[key]} and in line {line}"
                remedy = "keep one of the two; only the last one would count"
                self.problems.append(Problem(self.document.file, key_of((*path, key)), message, remedy, line))
            first_line.setdefault(key, line)
            self.document.lines[(*path, key)] = line
            result[key] = self.value(value_node, (*path, key))
        return {**merged, **result}

    def _merged(self, node: Any, path: KeyPath) -> dict[str, Any]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for each in reversed(nodes):
            value = self.value(each, path)
            if isinstance(value, dict):
                merged |= value
            else:
                self.problems.append(
                    self.document.problem(path, "merges (<<) what is no mapping", "merge mappings only")
                )
        return merged

    def _sequence(self, node: Any, path: KeyPath) -> list[Any]:
        result = []
        for position, each in enumerate(node.value):
            self.document.lines[(*path, position)] = each.start_mark.line + 1
            result.append(self.value(each, (*path, position)))
        return result

    def _key(self, node: Any, path: KeyPath, line: int) -> str:
        key = self._scalar(node, path) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(key, str):
            return key
        text = node.value if isinstance(node, yaml.ScalarNode) else "?"
        message = f"the key {text} is no text"
        self.problems.append(Problem(self.document.file, key_of(path), message, f'write it in quotes: "{text}"', line))
        return str(text)

    def _scalar(self, node: Any, path: KeyPath) -> Any:
        if not node.tag.startswith(_STANDARD_TAG):
            # Ansible's own tags (!vault, !unsafe) mark text.
            return node.value
        try:
            return self._scalars.construct_object(node)
        # With a tag of its own (!!bool x) a text comes to a constructor that was not made for it.
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError) as error:
            message = f"{node.value!r} cannot be read: {error}"
            self.problems.append(self.document.problem(path, message, "write it in quotes if it is text"))
            return node.value
