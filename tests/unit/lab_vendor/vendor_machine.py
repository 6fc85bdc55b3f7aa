# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated machine's GPUs, and programs that run on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.vendor import gpus
from lab.vendor.packages import DRIVERS

DRIVER = DRIVERS[0]

# Runs statements against the real bindings in a process of its own: NVML keeps state, and a call may hang.
_ASK = """
import ctypes, json, os, sys
import pynvml
pynvml.nvmlLib = ctypes.CDLL(os.environ["LIBRARY"])

def failures(handle, names):
    # None where a getter answered, else the code of its error.
    return [failure(getattr(pynvml, "nvmlDeviceGet" + name), handle) for name in names]

def failure(getter, handle):
    try:
        getter(handle)
    except pynvml.NVMLError as error:
        return error.value

try:
    if not os.environ.get("NO_INIT"):
        pynvml.nvmlInit()
    scope = {"n": pynvml, "h": None, "failures": failures}
    if os.environ.get("INDEX"):
        scope["h"] = pynvml.nvmlDeviceGetHandleByIndex(int(os.environ["INDEX"]))
    print(json.dumps({"value": eval(sys.argv[1], scope)}, default=str))
except pynvml.NVMLError as error:
    print(json.dumps({"error": error.value, "text": str(error)}))
"""


class Machine:
    """Eight GPUs without a fault; change `gpus` or `system`, then `write`."""

    def __init__(self, folder: Path, built: dict[str, Path]) -> None:
        self.folder = folder
        self.built = built
        self.gpus = gpus.healthy(8, "FL0000N01")
        self.system: dict[str, Any] = {"driver_loaded": DRIVER.version}
        (folder / "run").mkdir()
        self.write()

    def write(self) -> None:
        gpus.write(self.folder, self.gpus, self.system)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "LAB_GPUS_STATE": str(self.folder / gpus.FILE_NAME),
            "LAB_RUN_DIR": str(self.folder / "run"),
            "LIBRARY": str(self.built["libnvidia-ml.so.1"]),
            "LD_LIBRARY_PATH": f"{self.built['libcuda.so.1'].parent}:{self.built['libnccl.so.2'].parent}",
        }

    def run(self, *command: str | Path, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
            timeout=timeout,
        )

    def ask(self, expression: str, index: int | None = 0, init: bool = True, timeout: float = 30) -> dict[str, Any]:
        """{"value"} or {"error", "text"} of an expression over `n` (pynvml), `h` (the handle of GPU `index`)
        and `failures(h, names)` (the error codes of getters, None where they answer)."""
        env = {**self.environment, "INDEX": "" if index is None else str(index), "NO_INIT": "" if init else "1"}
        command = [sys.executable, "-c", _ASK, expression]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=timeout)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
