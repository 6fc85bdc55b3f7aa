# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Junk for parsers: anything at all, and valid inputs that something has been at."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

# A case that judges a whole node takes as long as many of a parser.
of_whole_nodes = settings(max_examples=max(60, settings.default.max_examples // 20))

# What trips parsers: digits that int() refuses, numbers that are none, numbers without end, brackets without end.
NASTY = (
    "",
    "\0",
    "²",
    "٣",
    "-1",
    "0x",
    "1_0",
    "1e999",
    "nan",
    "inf",
    "-inf",
    "NaN",
    "Infinity",
    "9" * 5000,
    "[" * 400,
    "{" * 400,
    " " * 3000,
    "\n",
    "\r",
    "\x0b",
    "\u2028",
    "\ufeff",
    "\ud7ff",
    "'",
    '"',
    "\\",
    "%s",
    "{0.__class__}",
    "../..",
    "true",
    "null",
    "~",
    "!!bool x",
    "!!timestamp x",
    "!!int x",
    "2020-99-99",
    "*a",
    "&a",
    "<<: 1",
)

TEXTS = st.one_of(st.text(max_size=80), st.sampled_from(NASTY))
BYTES = st.one_of(st.binary(max_size=80), TEXTS.map(lambda text: text.encode()))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from([2**64, -1, 0, 10**400, float("inf"), float("nan")]),
    TEXTS,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


def mutated(*valid: str) -> st.SearchStrategy[str]:
    """One of the `valid` texts after up to four changes: cut off, cut out, written twice, overwritten, reordered."""
    return st.sampled_from(valid).flatmap(_mutated)


@st.composite
def _mutated(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 4))):
        first, last = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        change = draw(st.sampled_from(("end", "start", "cut", "twice", "put", "over", "lines")))
        if change == "end":
            text = text[:last]
        elif change == "start":
            text = text[first:]
        elif change == "cut":
            text = text[:first] + text[last:]
        elif change == "twice":
            text = text[:last] + text[first:]
        elif change == "put":
            text = text[:first] + draw(TEXTS) + text[first:]
        elif change == "over":
            length = draw(st.integers(0, 8))
            text = text[:first] + draw(TEXTS) + text[first + length :]
        else:
            text = "\n".join(draw(st.permutations(text.split("\n")[:30])))
    return text


def mutated_bytes(*valid: str) -> st.SearchStrategy[bytes]:
    """As `mutated`, and bytes that are no text."""
    return st.tuples(mutated(*valid), BYTES, st.integers(0, 10**6)).map(_with_bytes)


def _with_bytes(parts: tuple[str, bytes, int]) -> bytes:
    text, junk, place = parts
    data = text.encode("utf-8", errors="surrogatepass")
    place %= len(data) + 1
    return data[:place] + junk + data[place:] if place % 2 else data
