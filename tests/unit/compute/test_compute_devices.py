# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of PyTorch, which the tests do not have: by its names, of a stand-in over NumPy.

It shows that the programs run on it and what they set, not that PyTorch does what its documentation says.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.devices import DEVICES, Torch
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.kernels import EXACT_BITS, FORMATS
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.worker import Load, burn, copies

TYPES = {"float16": np.float16, "float32": np.float32, "float64": np.float64, "int64": np.int64, "uint8": np.uint8}


class Tensor:
    """An array with the methods and operators of PyTorch's that are used; bfloat16 is kept in float32."""

    def __init__(self, values: Any, dtype: str) -> None:
        self.values, self.dtype = values, dtype

    def to(self, device: str, dtype: str) -> Tensor:
        assert device == "cuda:0"
        return Tensor(self.values.astype(TYPES.get(dtype, np.float32)), dtype)

    def float(self) -> Tensor:
        return Tensor(self.values.astype(np.float32), "float32")

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        assert self.dtype != "bfloat16", "NumPy has no such type"
        return self.values

    def copy_(self, source: Tensor, non_blocking: bool) -> None:
        self.values[:] = source.values

    def __rsub__(self, other: int) -> Tensor:
        return Tensor(other - self.values, self.dtype)

    def __ne__(self, other: object) -> Any:
        assert isinstance(other, Tensor)
        return Tensor(self.values != other.values, "bool")

    def __mul__(self, other: Any) -> Tensor:
        return Tensor(self.values * getattr(other, "values", other), self.dtype)

    def __mod__(self, other: int) -> Tensor:
        return Tensor(self.values % other, self.dtype)

    def __add__(self, other: Any) -> Tensor:
        return Tensor(self.values + getattr(other, "values", other), self.dtype)

    def __truediv__(self, other: Tensor) -> Tensor:
        return Tensor(self.values / other.values, self.dtype)


class FakeTorch:
    __version__ = "2.9.1+cu128"
    bfloat16 = "bfloat16"
    float16, float32, float64, int64, uint8 = TYPES

    def __init__(self) -> None:
        self.precisions: list[str] = []
        self.made: list[dict[str, Any]] = []
        self.set_float32_matmul_precision = self.precisions.append
        self.backends = SimpleNamespace(cuda=SimpleNamespace(matmul=SimpleNamespace()))
        self.cuda = SimpleNamespace(
            device_count=lambda: 2,
            set_device=lambda number: None,
            get_device_name=lambda number: "NVIDIA H100 80GB HBM3",
            synchronize=lambda number: None,
            mem_get_info=lambda: (20_000, 80 << 30),
        )
        for name in ("exp", "sin", "tanh", "sqrt"):
            setattr(self, name, self._function(getattr(np, name)))

    @staticmethod
    def _function(run: Any) -> Any:
        return lambda tensor: Tensor(run(tensor.values), tensor.dtype)

    @staticmethod
    def from_numpy(values: Any) -> Tensor:
        return Tensor(values, str(values.dtype))

    def empty(self, count: int, **options: Any) -> Tensor:
        self.made.append(options)
        return Tensor(np.zeros(count, np.uint8), "uint8")

    @staticmethod
    def matmul(left: Tensor, right: Tensor) -> Tensor:
        return Tensor(np.matmul(left.values, right.values), left.dtype)

    @staticmethod
    def sum(tensor: Tensor, axis: int) -> Tensor:
        return Tensor(tensor.values.sum(axis=axis), tensor.dtype)


class Quiet:
    """A watch of a GPU that is well."""

    def sample(self) -> dict[str, Any]:
        return {"temperature_c": 50, "sm_mhz": 1980, "power_w": 650.0, "reasons": 4}

    def counters(self) -> dict[str, Any]:
        return {"ecc_uncorrected": 0, "ecc_corrected": 0, "nvlink": 0}


LOAD = Load(size=16, buffer_bytes=1001, soak_seconds=0, round_seconds=0.001)


@pytest.fixture
def torch() -> FakeTorch:
    return FakeTorch()


def test_everything_is_computed_in_every_format(torch: FakeTorch) -> None:
    steps: list[str] = []
    device = Torch(torch, np)
    watch: Any = Quiet()
    told = burn(device, np, LOAD, watch, steps.append)
    assert told["library"] == f"torch 2.9.1+cu128, numpy {np.__version__}"
    assert set(told["tflops"]) == set(FORMATS) == set(EXACT_BITS) - {"int64"}
    assert {f"matmul {format_}" for format_ in FORMATS} < set(told["exact"])
    assert told["exact"].pop("memory") == {"rounds": 2}
    assert all(each == {"rounds": 3} for each in [*told["exact"].values(), *told["exact_hot"].values()])
    assert told["soak"]["reasons"] == 4 and "soak, matmul bf16" in steps


def test_sums_are_not_cut_and_tf32_is_a_choice(torch: FakeTorch) -> None:
    device = Torch(torch, np)
    matmul = torch.backends.cuda.matmul
    assert matmul.allow_fp16_reduced_precision_reduction is False
    assert matmul.allow_bf16_reduced_precision_reduction is False
    for format_ in ("tf32", "fp32", "bf16"):
        device.use(format_)
    assert torch.precisions == ["high", "highest", "highest"]


def test_copies_use_pinned_memory_and_every_peer(torch: FakeTorch) -> None:
    steps: list[str] = []
    told = copies(Torch(torch, np), np, LOAD, ["GPU-b"], steps.append)
    assert set(told["p2p_gbps"]) == {"GPU-b"} and told["wrong"] == {}
    assert [made for made in torch.made if "pin_memory" in made] == [{"dtype": "uint8", "pin_memory": True}] * 2
    assert {made["device"] for made in torch.made if "device" in made} == {"cuda:0", "cuda:1"}
    assert steps == ["copy from the host", "copy to the host", "copy to GPU-b"]


def test_bytes_that_change_on_the_way_are_counted(torch: FakeTorch, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Torch(torch, np)

    def corrupt(source: Tensor, target: Tensor) -> None:
        target.values[:] = source.values
        target.values[[7, 99]] ^= 0x10

    monkeypatch.setattr(device, "copy", corrupt)
    assert copies(device, np, LOAD, ["GPU-b"], lambda step: None)["wrong"] == {"GPU-b": 2}


def test_the_class_may_choose_what_there_is() -> None:
    assert set(DEVICES) == {"cupy", "torch"}
