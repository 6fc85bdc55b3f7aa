# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels have the answer that they are said to have, on NumPy and in any order of additions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.compute import kernels

TYPES = {"fp16": np.float16, "fp32": np.float32, "fp64": np.float64, "int64": np.int64}
ON_NUMPY = [kernel for kernel in kernels.EXACT if kernel.format in TYPES]


@pytest.mark.parametrize("kernel", kernels.EXACT, ids=lambda kernel: kernel.name)
def test_every_sum_is_an_integer_that_the_format_holds(kernel: kernels.Exact) -> None:
    terms = kernel.magnitude**2 if kernel.operation == "matmul" else kernel.magnitude
    assert kernel.magnitude <= 2 ** kernels.INPUT_BITS[kernel.format]
    if kernel.operation == "integer":
        assert kernel.magnitude * kernels._FACTOR < 2 ** kernels.EXACT_BITS[kernel.format]
    else:
        assert kernel.inner * terms <= 2 ** kernels.EXACT_BITS[kernel.format]


@pytest.mark.parametrize("kernel", ON_NUMPY, ids=lambda kernel: kernel.name)
def test_numpy_gives_the_right_answer(kernel: kernels.Exact) -> None:
    inputs = kernels.exact_inputs(np, kernel, 24, 5)
    right = kernels.right_answer(np, kernel, inputs)
    found = kernels.run_exact(np, kernel, [values.astype(TYPES[kernel.format]) for values in inputs])
    assert found.dtype == TYPES[kernel.format]
    assert kernels.difference(np, found, right) == {"wrong": 0}
    assert len(np.unique(right)) > 20


@pytest.mark.parametrize(
    "kernel", [kernel for kernel in ON_NUMPY if kernel.operation == "matmul"], ids=lambda k: k.name
)
def test_a_matrix_product_is_that_of_whole_numbers(kernel: kernels.Exact) -> None:
    left, right = kernels.exact_inputs(np, kernel, 4, 9)
    by_hand = [[sum(int(a) * int(b) for a, b in zip(row, column, strict=True)) for column in right.T] for row in left]
    assert kernels.right_answer(np, kernel, [left, right]).tolist() == by_hand


def test_data_are_varied_and_the_same_for_ever() -> None:
    drawn = kernels.integers(np, (200, 200), 127, 1)
    assert (drawn.min(), drawn.max(), len(np.unique(drawn))) == (-127, 127, 255)
    assert abs(drawn.mean()) < 2
    assert not np.array_equal(drawn, kernels.integers(np, (200, 200), 127, 2))
    # SplitMix64's first number from the seed 0.
    assert int(kernels.noise(np, 1, 0)[0]) == 0xE220A8397B1DCDAF
    real = kernels.reals(np, (1000,), 3)
    assert -1 <= real.min() < -0.9 and 0.9 < real.max() < 1


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([[1.0, 2.0]], {"wrong": 0}),
        ([[1.0, 2.5]], {"wrong": 1, "place": [0, 1], "found": "2.5", "right": "2.0"}),
        ([[float("nan"), 3.0]], {"wrong": 2, "place": [0, 0], "found": "nan", "right": "1.0"}),
        ([[1.0]], {"wrong": 2, "place": [], "found": "shape [1, 1]", "right": [1, 2]}),
    ],
)
def test_a_difference_is_counted_and_shown(found: Any, told: dict[str, Any]) -> None:
    assert kernels.difference(np, np.array(found), np.array([[1.0, 2.0]])) == told


@pytest.mark.parametrize("bit", [0, 9, 13])
def test_one_bit_of_half_precision_is_seen(bit: int) -> None:
    kernel = next(kernel for kernel in ON_NUMPY if kernel.name == "matmul fp16")
    inputs = kernels.exact_inputs(np, kernel, 8, 5)
    found = kernels.run_exact(np, kernel, [values.astype(np.float16) for values in inputs])
    found.view(np.uint16)[3, 4] ^= 1 << bit
    told = kernels.difference(np, found, kernels.right_answer(np, kernel, inputs))
    assert (told["wrong"], told["place"]) == (1, [3, 4])


def test_functions_are_those_of_mathematics() -> None:
    values = np.array([0.25, -0.5])
    expected = np.exp(values) * np.sin(8 * values) + np.tanh(values) / np.sqrt(1 + values**2)
    assert np.allclose(kernels.transcendental(np, values), expected)
    assert kernels.squares(np, np.array([[1.0, 2.0], [3.0, 0.0]])).tolist() == [5.0, 9.0]
