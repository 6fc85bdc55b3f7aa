# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strict reader: same values as PyYAML, lines of keys, and what PyYAML lets pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.document import parse, read
from hypothesis import given
from hypothesis import strategies as st

words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(words, values, max_size=5), st.booleans())
def test_reads_what_pyyaml_reads(data: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)
    document, problems = parse(text, "f.yml")
    assert problems == []
    assert document is not None
    assert document.data == yaml.safe_load(text) == data


@given(st.text(max_size=80))
def test_any_text_is_read_or_named(text: str) -> None:
    document, problems = parse(text, "f.yml")
    assert document is not None or problems


def test_lines() -> None:
    document, _ = parse("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n", "f.yml")
    assert document is not None
    assert [document.line(path) for path in (("a",), ("a", "b"), ("a", "c", 1), ("a", "c", 1, "d"))] == [1, 2, 5, 5]
    assert document.line(("a", "b", "nowhere")) == 2


def told(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "f.yml")[1]]


def test_a_key_that_is_there_twice() -> None:
    (line,) = told("a:\n  serial: 1\n  rack: r1\n  serial: 2\n")
    assert line.startswith("f.yml:4: a.serial: is there twice, in line 2 and in line 4. Remedy: ")


def test_every_key_that_is_there_twice() -> None:
    assert len(told("a: 1\na: 2\nb: {c: 1, c: 2}\nd:\n  - {e: 1, e: 2}\n")) == 3


def test_the_same_key_in_two_mappings_is_no_problem() -> None:
    assert told("a: {c: 1}\nb: {c: 1}\n") == []


def test_merge_keys_are_followed_and_own_keys_win() -> None:
    document, problems = parse("base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nhost: {<<: [*b, *m], x: 5}\n", "f.yml")
    assert problems == []
    assert document is not None
    assert document.data["host"] == {"x": 5, "y": 2, "z": 4}


def test_merging_what_is_no_mapping() -> None:
    assert "merges (<<)" in told("a: {<<: [1]}\n")[0]


def test_an_alias_that_leads_back() -> None:
    assert any("contains itself" in line for line in told("a: &a\n  b: *a\n"))


def test_tags_of_ansible_are_text() -> None:
    document, problems = parse("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\nb: !unsafe '{{ x }}'\n", "f.yml")
    assert problems == []
    assert document is not None
    assert document.data["b"] == "{{ x }}"
    assert document.data["a"].startswith("$ANSIBLE_VAULT")


@pytest.mark.parametrize("key", ["1", "on", "null", "[a, b]"])
def test_a_key_that_is_no_text(key: str) -> None:
    (line,) = told(f"a:\n  ? {key}\n  : x\n")
    assert "is no text" in line
    assert "f.yml:2" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "is no valid YAML"),
        ("a: 1\n---\nb: 2\n", "is no valid YAML"),
        ("a: *nowhere\n", "undefined alias"),
        ("a: \x00\n", "is no valid YAML"),
        ("a: 2026-13-45\n", "cannot be read"),
    ],
)
def test_what_is_no_yaml(text: str, words: str) -> None:
    assert any(words in line for line in told(text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"a: \xff\n")
    for name, words in (("absent", "does not exist"), ("latin", "is not UTF-8"), (".", "cannot be read")):
        document, problems = read(tmp_path / name)
        assert document is None
        assert words in str(problems[0])
