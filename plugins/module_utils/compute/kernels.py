# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the GPUs compute: kernels with one right answer, and kernels whose answer equal GPUs agree on. Pure.

Exact kernels work on small integers. As long as every product and every partial sum is an integer that the format
holds, the result does not depend on the order in which a library adds, and a CPU knows it to the bit. Matrices of real
numbers have no such answer: cuBLAS promises the same bits for the same data on GPUs of one architecture with as many
SMs (its documentation, "Results reproducibility"), so equal GPUs are compared with each other instead.

`xp` is the namespace of an array library and `np` NumPy. Kernels use what CuPy, PyTorch and NumPy have by the same
names (`matmul`, `sum` with `axis`, `exp`, ...) and operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Bits of an integer that the format holds exactly, in what it adds up.
EXACT_BITS = {"bf16": 8, "fp16": 11, "tf32": 24, "fp32": 24, "fp64": 53, "int64": 63}
# The same of what it multiplies: TF32 cuts its inputs.
INPUT_BITS = {**EXACT_BITS, "tf32": 11}
# Floating-point formats in the order in which they are measured; the first that a library has is what soaks.
FORMATS = ("bf16", "fp16", "tf32", "fp32", "fp64")

# A Lehmer generator: its products stay below 2**47.
_FACTOR, _PRIME, _ROUNDS = 48271, 2147483647, 16


@dataclass(frozen=True)
class Exact:
    """A kernel with one right answer: `inner` terms of integers up to `magnitude` make each value of the result."""

    name: str
    operation: str
    format: str
    inner: int
    magnitude: int


EXACT = (
    Exact("matmul bf16", "matmul", "bf16", 256, 1),
    Exact("matmul fp16", "matmul", "fp16", 512, 2),
    Exact("matmul tf32", "matmul", "tf32", 1024, 127),
    Exact("matmul fp32", "matmul", "fp32", 1024, 127),
    Exact("matmul fp64", "matmul", "fp64", 1024, 2**21 - 1),
    Exact("sum fp32", "sum", "fp32", 8192, 2047),
    Exact("sum fp64", "sum", "fp64", 8192, 2**40 - 1),
    Exact("integer int64", "integer", "int64", 1024, _PRIME - 1),
)


def noise(np: Any, count: int, seed: int) -> Any:
    """`count` well-mixed unsigned 64-bit numbers, the same for ever and everywhere (SplitMix64)."""
    with np.errstate(over="ignore"):
        mixed = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def integers(np: Any, shape: Sequence[int], magnitude: int, seed: int) -> Any:
    """Integers from -`magnitude` to `magnitude`."""
    count = int(np.prod(shape))
    drawn = (noise(np, count, seed) >> np.uint64(1)).astype(np.int64)
    return (drawn % (2 * magnitude + 1) - magnitude).reshape(shape)


def reals(np: Any, shape: Sequence[int], seed: int) -> Any:
    """Numbers from -1 to 1, of 53 random bits."""
    count = int(np.prod(shape))
    return ((noise(np, count, seed) >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0).reshape(shape)


def exact_inputs(np: Any, kernel: Exact, size: int, seed: int) -> list[Any]:
    """What an exact kernel works on: integers, of which `size` times `size` results come, or `size` of a sum."""
    if kernel.operation == "matmul":
        return [
            integers(np, (size, kernel.inner), kernel.magnitude, seed),
            integers(np, (kernel.inner, size), kernel.magnitude, seed + 1),
        ]
    values = integers(np, (size, kernel.inner), kernel.magnitude, seed)
    return [abs(values) if kernel.operation == "integer" else values]


def run_exact(xp: Any, kernel: Exact, arrays: Sequence[Any]) -> Any:
    """The kernel on arrays of any library."""
    if kernel.operation == "matmul":
        return xp.matmul(*arrays)
    if kernel.operation == "sum":
        return xp.sum(arrays[0], axis=1)
    (values,) = arrays
    for _round in range(_ROUNDS):
        values = values * _FACTOR % _PRIME
    return values


def right_answer(np: Any, kernel: Exact, inputs: Sequence[Any]) -> Any:
    """What the kernel must give. A matrix product is made in float64, which holds each of these sums."""
    if kernel.operation == "matmul":
        return np.matmul(*(values.astype(np.float64) for values in inputs))
    return run_exact(np, kernel, inputs)


def difference(np: Any, found: Any, right: Any) -> dict[str, Any]:
    """How many values of `found` are not `right`, and the first of them: `wrong`, `place`, `found`, `right`."""
    if found.shape != right.shape:
        return {
            "wrong": int(right.size),
            "place": [],
            "found": f"shape {list(found.shape)}",
            "right": list(right.shape),
        }
    places = np.argwhere(found != right)
    if not len(places):
        return {"wrong": 0}
    place = tuple(int(step) for step in places[0])
    return {
        "wrong": len(places),
        "place": list(place),
        "found": repr(found[place].item()),
        "right": repr(right[place].item()),
    }


def transcendental(xp: Any, values: Any) -> Any:
    """The functions of the special function units and of the mathematical library, in one."""
    return xp.exp(values) * xp.sin(values * 8) + xp.tanh(values) / xp.sqrt(values * values + 1)


def squares(xp: Any, values: Any) -> Any:
    """A reduction of real numbers: its bits depend on the order of the additions."""
    return xp.sum(values * values, axis=1)
