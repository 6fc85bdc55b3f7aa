# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs as the array libraries show them: what differs between CuPy and PyTorch, and nothing else.

Kernels need only what both have by the same names (`namespace`). What is here no array standard knows: formats, pinned
memory, copies between GPUs, and waiting. GPU 0 is the one that is tested, its peers follow: `CUDA_VISIBLE_DEVICES` is
set before the library is loaded.
"""

from __future__ import annotations

import glob
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from ..observe.source import SourceMissing


class Device(Protocol):
    """One GPU and the library that computes on it."""

    library: str
    model: str
    namespace: Any
    formats: Sequence[str]

    def put(self, values: Any, format_: str) -> Any:
        """Values of a NumPy array as an array on the GPU."""

    def get(self, array: Any) -> Any:
        """An array of the GPU as a NumPy array; what NumPy has no format for is widened, which keeps every value."""

    def use(self, format_: str) -> None:
        """Let matrix products of 32 bits be made as `tf32` or as `fp32`."""

    def free(self) -> int:
        """Bytes of memory that nobody uses."""

    def wait(self) -> None:
        """Until everything is done that was begun on any of the GPUs."""

    def pinned(self, count: int) -> Any:
        """`count` bytes of pinned memory of the host, as a NumPy array."""

    def empty(self, count: int, device: int = 0) -> Any:
        """`count` bytes on a GPU, of any content."""

    def upload(self, host: Any, array: Any) -> None:
        """Begin to copy pinned memory to a GPU."""

    def download(self, array: Any, host: Any) -> None:
        """Begin to copy from a GPU to pinned memory."""

    def copy(self, source: Any, target: Any) -> None:
        """Begin to copy bytes from one GPU's memory to another's, or within one."""


def open_device(library: str, path: Sequence[str], uuids: Sequence[str]) -> Device:
    """The GPU `uuids[0]`, and behind it its peers. `path`: directories with the library, which may hold wildcards.

    Changes the environment and sys.path of this process: call it in a process of its own. Raises SourceMissing where
    the library cannot be loaded, and what the library raises where it cannot use the GPU.
    """
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    # The processes of all GPUs begin at once: each with a thread for every processor would stand in each other's way.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(uuids)
    sys.path[:0] = [place for pattern in path for place in sorted(glob.glob(pattern))]  # noqa: PTH207
    importlib.invalidate_caches()
    try:
        numpy = importlib.import_module("numpy")
        loaded = importlib.import_module(library)
    except ImportError as error:
        places = ", ".join(path) or "Python's own directories"
        raise SourceMissing(f"{library} cannot be loaded from {places}: {error}") from error
    device: Device = DEVICES[library](loaded, numpy)
    return device


class Cupy:
    """CuPy has neither bfloat16 nor, within one process, a choice of TF32."""

    formats = ("fp16", "fp32", "fp64")

    def __init__(self, cupy: Any, numpy: Any) -> None:
        self.namespace = cupy
        self._numpy = numpy
        self._types = {"fp16": numpy.float16, "fp32": numpy.float32, "fp64": numpy.float64, "int64": numpy.int64}
        self._count = int(cupy.cuda.runtime.getDeviceCount())
        cupy.cuda.Device(0).use()
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
        self.model = name.decode() if isinstance(name, bytes) else str(name)
        self.library = f"cupy {cupy.__version__}, numpy {numpy.__version__}"

    def put(self, values: Any, format_: str) -> Any:
        return self.namespace.asarray(values.astype(self._types[format_]))

    def get(self, array: Any) -> Any:
        return self.namespace.asnumpy(array)

    def use(self, format_: str) -> None:
        """There is nothing to choose."""

    def free(self) -> int:
        return int(self.namespace.cuda.runtime.memGetInfo()[0])

    def wait(self) -> None:
        for number in range(self._count):
            self.namespace.cuda.Device(number).synchronize()

    def pinned(self, count: int) -> Any:
        memory = self.namespace.cuda.alloc_pinned_memory(count)
        return self._numpy.frombuffer(memory, self._numpy.uint8, count)

    def empty(self, count: int, device: int = 0) -> Any:
        with self.namespace.cuda.Device(device):
            return self.namespace.empty(count, self._numpy.uint8)

    def upload(self, host: Any, array: Any) -> None:
        array.set(host)

    def download(self, array: Any, host: Any) -> None:
        array.get(out=host)

    def copy(self, source: Any, target: Any) -> None:
        target.data.copy_from_device(source.data, int(source.nbytes))


class Torch:
    """PyTorch, which brings the libraries of CUDA with it."""

    formats = ("bf16", "fp16", "tf32", "fp32", "fp64")

    def __init__(self, torch: Any, numpy: Any) -> None:
        self.namespace = torch
        self._types = {
            "bf16": torch.bfloat16,
            "fp16": torch.float16,
            "tf32": torch.float32,
            "fp32": torch.float32,
            "fp64": torch.float64,
            "int64": torch.int64,
        }
        self._count = int(torch.cuda.device_count())
        torch.cuda.set_device(0)
        # A sum that is cut in the middle would not be the one right answer.
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        self.model = str(torch.cuda.get_device_name(0))
        self.library = f"torch {torch.__version__}, numpy {numpy.__version__}"

    def put(self, values: Any, format_: str) -> Any:
        return self.namespace.from_numpy(values).to(device="cuda:0", dtype=self._types[format_])

    def get(self, array: Any) -> Any:
        wide = array.float() if array.dtype == self.namespace.bfloat16 else array
        return wide.cpu().numpy()

    def use(self, format_: str) -> None:
        self.namespace.set_float32_matmul_precision("high" if format_ == "tf32" else "highest")

    def free(self) -> int:
        return int(self.namespace.cuda.mem_get_info()[0])

    def wait(self) -> None:
        for number in range(self._count):
            self.namespace.cuda.synchronize(number)

    def pinned(self, count: int) -> Any:
        return self.namespace.empty(count, dtype=self.namespace.uint8, pin_memory=True).numpy()

    def empty(self, count: int, device: int = 0) -> Any:
        return self.namespace.empty(count, dtype=self.namespace.uint8, device=f"cuda:{device}")

    def upload(self, host: Any, array: Any) -> None:
        array.copy_(self.namespace.from_numpy(host), non_blocking=True)

    def download(self, array: Any, host: Any) -> None:
        self.namespace.from_numpy(host).copy_(array, non_blocking=True)

    def copy(self, source: Any, target: Any) -> None:
        target.copy_(source, non_blocking=True)


DEVICES: dict[str, Any] = {"cupy": Cupy, "torch": Torch}
