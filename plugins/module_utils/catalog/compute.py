# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The active checks of GPUs: what they compute and copy, and how fast, while they are under load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "compute.exact",
        "Every GPU computes and copies right, to the bit",
        (),
        "vendor",
        "Take the GPU out of service and have it replaced: no counter tells of such errors, and a reset does not mend "
        "them. Where nobody can tell who is wrong, test the node again with more GPUs.",
        "validate",
        source="gpu_stress: results of matrix products, sums, integers and copies, beside those of the CPU, a second "
        "try and the node's other GPUs",
        fails="A value is wrong, two tries differ, the result is not that of most GPUs of the node, a copied byte has "
        "changed, or the GPU hangs or dies at its work. It is unknown where no majority tells who is wrong, and of a "
        "GPU that could not be opened.",
    ),
    Check(
        "compute.tflops",
        "Every GPU multiplies matrices as fast as the class demands",
        (),
        "vendor",
        "Compare clocks, power and temperature of the GPU with those of its neighbours; power-cycle the node, then "
        "have the GPU replaced.",
        "validate",
        source="gpu_stress: TFLOP/s of a large matrix product in each number format",
        fails="A format is slower than its floor in compute_tflops. It is unknown for a format that the array library "
        "does not have.",
    ),
    Check(
        "compute.hbm",
        "Every GPU's memory is as fast as the class demands",
        (),
        "vendor",
        "Look for remapped rows and corrected errors of the GPU; reset it, then have it replaced.",
        "validate",
        source="gpu_stress: GB/s of reading and writing the GPU's own memory",
        fails="It is slower than compute_hbm_gbps. Without that key it passes with what it has measured.",
    ),
    Check(
        "compute.h2d",
        "Every GPU gets data from the host as fast as the class demands",
        (),
        "datacentre",
        "Look at width and generation of the GPU's PCIe link and of the switches above it; reseat the board or its "
        "riser.",
        "validate",
        source="gpu_stress: GB/s from pinned memory of the host to the GPU, one GPU at a time",
        fails="It is slower than compute_h2d_gbps. Without that key it passes with what it has measured.",
    ),
    Check(
        "compute.d2h",
        "Every GPU sends data to the host as fast as the class demands",
        (),
        "datacentre",
        "Look at width and generation of the GPU's PCIe link and of the switches above it; reseat the board or its "
        "riser.",
        "validate",
        source="gpu_stress: GB/s from the GPU to pinned memory of the host, one GPU at a time",
        fails="It is slower than compute_d2h_gbps. Without that key it passes with what it has measured.",
    ),
    Check(
        "compute.p2p",
        "Every GPU sends data to every other as fast as the class demands",
        (),
        "vendor",
        "Look at NVLinks and fabric manager. Where all pairs of one GPU are slow it is that GPU; where single pairs "
        "are, the NVSwitch between them.",
        "validate",
        source="gpu_stress: GB/s from the GPU to each other one of the node, one pair at a time",
        fails="A copy to one of them is slower than compute_p2p_gbps. It is unknown where no other GPU could be "
        "tested.",
    ),
    Check(
        "compute.soak",
        "Every GPU keeps its speed under load, without heat, throttling or errors",
        (),
        "datacentre",
        "Look at air flow, fans and power supplies where clocks are held down or temperatures high; a GPU that counts "
        "errors under load is a case for the vendor.",
        "validate",
        source="gpu_stress: TFLOP/s from the beginning to the end of the soak; NVML: `nvmlDeviceGetTemperature`, "
        "`nvmlDeviceGetCurrentClocksThrottleReasons`, `nvmlDeviceGetTotalEccErrors` and "
        "`nvmlDeviceGetNvLinkErrorCounter` meanwhile",
        fails="The speed drops by compute_soak_drop_percent.fail, the GPU reaches gpu_temperature_c.fail, its hardware "
        "holds the clocks down (slowdown, thermal slowdown, power brake) or it counts an uncorrected error. It warns "
        "from compute_soak_drop_percent.warn and gpu_temperature_c.warn on, where the driver holds the clocks down for "
        "heat, and of corrected and NVLink errors.",
    ),
    Check(
        "compute.fleet",
        "Every GPU computes as fast as those of its fleet, and the same",
        (),
        "vendor",
        "Compare the GPU with one that is as the others: clocks, power limit, PCIe link, firmware. One that computes "
        "something else than the fleet is to be replaced.",
        "validate",
        source="gpu_stress: results and figures of all GPUs of the run that have the same class, model and array "
        "library",
        fails="A result is not that of most of them. It warns of a figure that is compute_outlier_percent and six "
        "sigmas below their median, and where there are fewer than four of them.",
    ),
)

THRESHOLDS: Thresholds = {
    # A board at its power limit settles some percent below its first seconds; one that is too hot loses half. Ours.
    "compute_soak_drop_percent": {"warn": 10, "fail": 20},
    # Azure's sheet for H100 warns of a matrix product 3.5 percent below what it expects, and fails at 7. This warns.
    "compute_outlier_percent": 5,
}


def expected_compute(node_class: Mapping[str, Any]) -> list[str]:
    """The `compute.*` ids that a node of `node_class` must report when its GPUs are tested, in catalogue order.

    None where the class does not say what its GPUs compute with; no copies between GPUs where there is one.
    """
    count = ((node_class.get("hardware") or {}).get("gpus") or {}).get("count") or 0
    if not node_class.get("compute") or not count:
        return []
    return [check.id for check in CHECKS if count > 1 or check.id != "compute.p2p"]
