# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of GPUs under load."""

from __future__ import annotations

from tests.mutation.reasons import Judged, reason

COMPUTE = ("tests/unit/compute/test_compute_judge.py",)

JUDGED: Judged = {
    "compute.exact": ("fail unknown", COMPUTE),
    "compute.tflops": ("fail unknown", COMPUTE),
    "compute.hbm": ("fail unknown", COMPUTE),
    "compute.h2d": ("fail unknown", COMPUTE),
    "compute.d2h": ("fail unknown", COMPUTE),
    "compute.p2p": ("fail unknown", COMPUTE),
    "compute.soak": ("fail warn unknown", COMPUTE),
    "compute.fleet": ("fail warn unknown", COMPUTE),
}

# What a verdict rests on, where another reason for it would hide that this one is gone.
REASONS = [
    reason(
        "compute: result on the host",
        "compute/worker.py",
        "wrong values are found and not told",
        'if off["wrong"]:',
        "if False:",
        ("tests/unit/compute/test_compute_measure.py", "-k", "wrong_bits"),
    ),
    reason(
        "compute: memory",
        "compute/memory.py",
        "memory that changed passes",
        'if found["wrong"]:',
        "if False:",
        ("tests/unit/compute/test_compute_memory.py",),
    ),
    reason(
        "compute: two results",
        "compute/judge.py",
        "a GPU that does not agree with itself passes",
        "if len(digests) > 1:",
        "if False:",
        COMPUTE,
    ),
    reason(
        "compute: majority",
        "compute/compare.py",
        "half of the GPUs are a majority",
        "if votes * 2 <= len(results):",
        "if votes * 2 < len(results):",
        ("tests/unit/compute/test_compute_compare.py",),
    ),
    reason(
        "compute: crash",
        "compute/judge.py",
        "a GPU that fails at a kernel is only unknown",
        "if step == OPENING else",
        "if step else",
        COMPUTE,
    ),
    reason(
        "compute: throttled",
        "compute/judge.py",
        "a brake of the power supply is seen and not told",
        ', 0x80: "power brake"}',
        "}",
        COMPUTE,
    ),
]
