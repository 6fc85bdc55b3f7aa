# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anything is deployed: check mode tells what would be done and touches nothing."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import NODES
from tests.e2e.session import ROOT, LabSession

# What a running system writes by itself, and where Ansible puts what it removes again.
MOVING = r"-path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /lab -o -path '*/.ansible*'"
LOGS = r"-path /var/log -o -path /var/lib/systemd -o -path /var/lib/chrony -o -path /var/lib/sudo"
OWN = r"-path /var/tmp -o -path '*/.ssh'"


def files_of_the_head(lab: LabSession) -> list[str]:
    """Kind, path, size and time of change of everything that only a person or a role changes."""
    find = (
        f"find / \\( {MOVING} -o {LOGS} -o {OWN} \\) -prune -o -type d -printf 'd %p\\n' -o -printf '%y %p %s %T@\\n'"
    )
    return lab.ssh("head01", f"sudo {find} | sort").splitlines()


def files_of_the_clone() -> dict[str, float]:
    skipped = {"artifacts", ".lab", ".git", "__pycache__", ".pytest_cache"}
    return {
        str(path): path.stat().st_mtime
        for path in ROOT.rglob("*")
        if path.is_file() and not path.is_symlink() and not skipped & set(path.relative_to(ROOT).parts)
    }


def test_check_mode_defers_four_nodes_and_touches_nothing(lab: LabSession, artifacts: Path) -> None:
    machines = lab.status()["machines"]
    # The head answers before its first boot has come to its end, which writes files too.
    lab.ssh("head01", "cloud-init status --wait || true")
    head, clone = files_of_the_head(lab), files_of_the_clone()
    services = lab.ssh(
        "head01", "systemctl list-units --all --plain --no-legend --type=service | awk '{print $1, $3, $4}'"
    )
    written = len(lab.requests("maas", writing=True)) + len(lab.requests("bmc", writing=True))

    run = lab.playbook("site.yml", "--check", "--diff")

    assert run.returncode == 0, run.output[-6000:]
    assert {state: count for state, count in run.report["summary"].items() if count} == {"total": 4, "deferred": 4}
    assert [run.state(node) for node in NODES] == ["deferred"] * 4
    assert len(lab.requests("maas", writing=True)) + len(lab.requests("bmc", writing=True)) == written
    assert lab.status()["machines"] == machines
    assert set(files_of_the_head(lab)) ^ set(head) == set()
    assert files_of_the_clone() == clone
    assert services == lab.ssh(
        "head01", "systemctl list-units --all --plain --no-legend --type=service | awk '{print $1, $3, $4}'"
    )


def test_check_mode_looked(lab: LabSession) -> None:
    """The check above would hold of a run that did nothing at all."""
    assert lab.requests("maas", writing=False, method="GET")
