# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge one node: its observation against its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..catalog.checks import expected_checks, finding
from ..findings import Finding, Verdict
from . import gpu, hca, host, xid
from .view import Unjudgeable

Judge = Callable[[Mapping[str, Any], Mapping[str, Any]], list[Finding]]

JUDGES: Mapping[str, Judge] = MappingProxyType(
    {
        "host.reachable": host.host_reachable,
        "gpu.count": gpu.gpu_count,
        "gpu.model": gpu.gpu_model,
        "gpu.driver.version": gpu.gpu_driver_version,
        "gpu.ecc.uncorrected": gpu.gpu_ecc_uncorrected,
        "gpu.row_remap.pending": gpu.gpu_row_remap_pending,
        "gpu.temperature": gpu.gpu_temperature,
        "gpu.nvlink.active": gpu.gpu_nvlink_active,
        "gpu.fabric_manager": gpu.gpu_fabric_manager,
        "gpu.xid": xid.gpu_xid,
        "hca.count": hca.hca_count,
        "hca.state": hca.hca_state,
        "hca.rate": hca.hca_rate,
        "hca.link_downed": hca.hca_link_downed,
        "hca.firmware": hca.hca_firmware,
        "disk.free": host.disk_free,
        "systemd.failed": host.systemd_failed,
        "docker.daemon": host.docker_daemon,
        "clock.offset": host.clock_offset,
        "host.memory": host.host_memory,
    }
)


def judge(
    observation: Mapping[str, Any], node_class: Mapping[str, Any], judges: Mapping[str, Judge] = JUDGES
) -> list[Finding]:
    """Findings of every check that the class expects; each has at least one.

    A check that finds nothing to judge by, finds nothing at all, or crashes is unknown, and costs no other
    check's result. Checks that the class does not have are not judged.
    """
    found: list[Finding] = []
    for check in expected_checks(node_class):
        try:
            results = judges[check](observation, node_class) or [_unknown(check, "judged nothing")]
        except Unjudgeable as reason:
            results = [_unknown(check, str(reason), reason.evidence)]
        except Exception as error:  # a judge's defect must not hide the other checks
            results = [_unknown(check, f"its judge failed: {type(error).__name__}: {error}")]
        found.extend(results)
    return found


def _unknown(check: str, summary: str, evidence: Mapping[str, Any] | None = None) -> Finding:
    return finding(check, "host", Verdict.UNKNOWN, summary, evidence=evidence)
