# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions: any text is read without an error, order is that of the numbers, and who follows the remedies is done."""

from __future__ import annotations

import re

from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility import table
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility.judge import conflicts
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility.releases import RELEASES, deployed
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility.versions import numbers, reaches
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.properties.junk import JSON, TEXTS

PARTS = st.lists(st.integers(0, 999), min_size=1, max_size=4)
ENDS = st.sampled_from(["", "-60-generic", "+deb13-amd64", "-1~ubuntu", "."])
KEYS = ("kernel", "gpu_driver", "fabric_manager", "dcgm", "doca_ofed", "cuda", "nccl", "container_toolkit", "docker")
MODELS = st.sampled_from(["", "NVIDIA X", *(f"NVIDIA {each.models[0]}-80GB" for each in table.GENERATIONS)])
SYSTEMS = st.sampled_from(["", "Debian 99", *RELEASES.values()])


def written(parts: list[int]) -> str:
    return ".".join(map(str, parts))


@given(PARTS, ENDS)
def test_a_version_is_read_back(parts: list[int], end: str) -> None:
    assert numbers(written(parts) + end) == tuple(parts)


@given(TEXTS, TEXTS)
def test_any_text_is_compared(one: str, other: str) -> None:
    assert reaches(one, one) and (reaches(one, other) or reaches(other, one))


@given(PARTS, PARTS, PARTS)
def test_order_is_that_of_the_numbers(low: list[int], middle: list[int], high: list[int]) -> None:
    size = min(map(len, (low, middle, high)))
    small, between, large = sorted(parts[:size] for parts in (low, middle, high))
    assert reaches(written(large), written(between)) and reaches(written(large), written(small))
    assert reaches(written(small), written(large)) is (small == large)


@given(PARTS, PARTS)
def test_what_is_cut_short_stands_for_all_that_begin_so(parts: list[int], more: list[int]) -> None:
    assert reaches(written(parts), written(parts + more))
    assert reaches(written(parts + more), written(parts))


MATRIX = st.dictionaries(st.sampled_from(KEYS), st.builds(written, PARTS))


@given(st.dictionaries(st.sampled_from(KEYS), JSON | TEXTS) | MATRIX, MODELS | TEXTS, SYSTEMS | TEXTS)
def test_any_matrix_is_judged_and_a_conflict_names_a_key_that_is_there(
    matrix: dict[str, object], model: str, system: str
) -> None:
    for conflict in conflicts(matrix, model, system):
        assert matrix[conflict.key] and conflict.message and conflict.remedy
        assert str(matrix[conflict.key]) in conflict.message


@given(MATRIX, MODELS, SYSTEMS)
def test_who_follows_the_remedies_comes_to_an_end(matrix: dict[str, str], model: str, system: str) -> None:
    for _round in KEYS:
        for conflict in conflicts(matrix, model, system):
            asked = re.match(r"take (?:\w+ )?([\d.]+) or later", conflict.remedy)
            if asked and not reaches(matrix[conflict.key], asked[1]):
                matrix[conflict.key] = asked[1]
    assert [str(each) for each in conflicts(matrix, model, system) if "or later" in each.remedy] == []


@given(TEXTS, TEXTS, TEXTS)
def test_any_name_of_an_image_is_taken(osystem: str, series: str, suite: str) -> None:
    assert isinstance(deployed(osystem, series, suite), str)
