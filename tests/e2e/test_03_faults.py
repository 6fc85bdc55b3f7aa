# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of fault on node02: found, named, the others judged fit, and gone after heal."""

from __future__ import annotations

import pytest

from tests.e2e.session import LabSession

# kind, its parameters, check, component (a prefix), verdict
FAULTS = [
    ("gpu-missing", ["--gpu", "3"], "gpu.count", "gpu:3", "fail"),
    ("ecc-uncorrected", ["--gpu", "5"], "gpu.ecc.uncorrected", "gpu:5", "fail"),
    ("row-remap-pending", ["--gpu", "1"], "gpu.row_remap.pending", "gpu:1", "fail"),
    ("hca-down", ["--hca", "6"], "hca.state", "hca:mlx5_6", "fail"),
    ("xid-79", ["--gpu", "2"], "gpu.xid", "gpu:2", "fail"),
    ("disk-full", [], "disk.free", "mount:/data", "fail"),
    ("dockerd-dead", [], "docker.daemon", "", "fail"),
    ("unreachable", [], "host.reachable", "host", "unknown"),
]


def told(run_findings: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(item["check"], item["component"], item["verdict"]) for item in run_findings]


@pytest.mark.parametrize(("kind", "arguments", "check", "component", "verdict"), FAULTS, ids=[f[0] for f in FAULTS])
def test_health_names_the_fault_and_heal_ends_it(
    lab: LabSession, kind: str, arguments: list[str], check: str, component: str, verdict: str
) -> None:
    lab.lab("fault", "node02", kind, *arguments)
    try:
        run = lab.playbook("playbooks/health.yml")
    finally:
        lab.lab("heal", "node02")

    assert run.returncode == 0, run.output[-4000:]
    assert run.state("node02") == ("unreachable" if kind == "unreachable" else "set_aside")
    assert any(
        found == (check, named, verdict) and named.startswith(component)
        for found in told(run.findings("node02"))
        for named in [found[1]]
    ), told(run.findings("node02"))
    assert [run.state(node) for node in ("node01", "node03", "node04")] == ["admitted"] * 3

    healed = lab.playbook("playbooks/health.yml", "--limit", "node02")
    assert healed.state("node02") == "admitted", told(healed.findings("node02"))


def test_a_slow_link_is_found_by_the_nodes_together_and_named(lab: LabSession) -> None:
    lab.lab("fault", "node02", "slow-link")
    try:
        run = lab.playbook("playbooks/validate.yml")
    finally:
        lab.lab("heal", "node02")
    assert run.returncode == 0, run.output[-4000:]
    assert run.state("node02") == "set_aside"
    assert any(item["check"].startswith("collective.") for item in run.findings("node02")), told(run.findings("node02"))
    assert [run.state(node) for node in ("node01", "node03", "node04")] == ["admitted"] * 3, run.report["nodes"]


def test_site_admits_the_healed_node(lab: LabSession) -> None:
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.output[-8000:]
    assert run.state("node02") == "admitted", told(run.findings("node02"))
