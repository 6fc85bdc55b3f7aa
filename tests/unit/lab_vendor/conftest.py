# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's software, compiled once, and a machine directory to feed it from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vendor_machine import DRIVER, Machine

from lab.vendor.packages import compile_dcgm, compile_driver, compile_nccl


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Libraries and programs by name."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    out = tmp_path_factory.mktemp("vendor")
    return {
        **compile_driver(DRIVER, out),
        "libnccl.so.2": compile_nccl("2.27.7", "12.9", out),
        "nv-hostengine": compile_dcgm("4.2.3", out),
    }


@pytest.fixture
def machine(tmp_path: Path, built: dict[str, Path]) -> Machine:
    return Machine(tmp_path, built)


@pytest.fixture
def value(machine: Machine) -> Callable[..., Any]:
    """What an expression gives; the test fails if it raised."""

    def ask(expression: str, index: int | None = 0) -> Any:
        answer = machine.ask(expression, index)
        assert "value" in answer, answer
        return answer["value"]

    return ask
