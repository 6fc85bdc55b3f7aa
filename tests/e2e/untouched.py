# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook in check mode: with which options it is run, and what must be the same before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.e2e.planted import LEDGER
from tests.e2e.session import ROOT, LabSession, PlaybookRun

HEAD = "head01"
# What a running system writes by itself, and where Ansible puts what it removes again.
MOVING = r"-path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /lab -o -path '*/.ansible*'"
LOGS = r"-path /var/log -o -path /var/lib/systemd -o -path /var/lib/chrony -o -path /var/lib/sudo"
# Of the node's own agent, which goes on every minute beside whatever is tried.
AGENT = "-path /var/lib/firstlight/health -o -path /var/cache/firstlight-health"
OWN = rf"-path /var/tmp -o -path '*/.ssh' -o {AGENT} -o -name 'firstlight*.prom*'"
# Would the scheduler be told, a file would be left on the head node.
HOOK = json.dumps({name: ["touch", "/etc/told-the-scheduler"] for name in ("drain_command", "undrain_command")})


@dataclass(frozen=True)
class Case:
    """A playbook as it is tried. `asks`: MAAS must be asked something, or the run would prove little.

    `in_gate`: tried in the gate by itself. The others are parts of those, and tried alone by `make test-all`.
    """

    arguments: tuple[str, ...] = ()
    status: int = 0
    says: str = ""
    asks: bool = True
    in_gate: bool = False


# Every playbook of playbooks/ by its name: tests/unit/run/test_check_mode_table.py sees to that. Options are such that
# without --check much would be done: to nodes in service, and to a MAAS that lacks the image.
CASES: dict[str, Case] = {
    "admit": Case(status=2, says="Remedy: run site.yml"),
    "begin": Case(),
    # Alone it has no hosts; provision.yml says whose.
    "bmc": Case(),
    "bmc_acknowledge": Case(("--limit", "node02"), in_gate=True),
    "bmc_password": Case(("--limit", "node02", "-e", "bmc_new_password=Tried-1n-check-mode"), in_gate=True),
    "configure": Case(says="phase configure"),
    "drift": Case(says="phase drift", in_gate=True),
    "fabric": Case(says="phase fabric"),
    "firmware": Case(
        (
            *("-e", "firmware_nodes=node02", "-e", "firmware_in_service=true", "-e", HOOK),
            *("-e", json.dumps({"bmc_bios_attributes": {"SysProfile": "PerfOptimized"}})),
        ),
        says="phase bmc",
        in_gate=True,
    ),
    "health": Case(says="phase health", in_gate=True),
    "images": Case(
        ("-e", "maas_distro_series=never-built"), says="would build never-built (there is none yet)", in_gate=True
    ),
    "learn_kernel_log": Case(says="kinds of lines", asks=False, in_gate=True),
    "learn_node_class": Case(
        (
            *("-e", "learn_node_class_name=tried", "-e", "learn_node_class_golden=node02"),
            *("-e", "learn_node_class_template=lab-h100"),
        ),
        says="hardware.gpus.count",
        asks=False,
        in_gate=True,
    ),
    "preflight": Case(),
    "provision": Case(says="phase provision"),
    "quarantine": Case(
        ("--limit", "node02", "-e", "quarantine_reason=tried", "-e", HOOK), says="phase quarantine", in_gate=True
    ),
    "release": Case(
        ("--limit", "node02", "-e", "release_reason=tried"), status=2, says="not quarantined", in_gate=True
    ),
    "remediate": Case(
        # Nothing is open on a healthy cluster; test_15_remediate.py tries it where something is.
        ("-e", "remediate_apply=true", "-e", "remediate_in_service=true", "-e", HOOK),
        says="phase plan",
        in_gate=True,
    ),
    "reprovision": Case(
        ("-e", "repaired=node02,node03", "-e", "reprovision_in_service=true", "-e", HOOK), says="phase free"
    ),
    "services": Case(says="phase services"),
    "site": Case(says="phase admit"),
    "upgrade": Case(
        # Nothing is due on a cluster that has its class's versions; test_13_upgrade.py tries it where something is.
        ("--limit", "gpu_nodes", "-e", "upgrade_in_service=true", "-e", HOOK),
        says="4 of 4 nodes are as their class says",
        in_gate=True,
    ),
    # Alone it has no nodes; upgrade.yml says whose turn it is.
    "upgrade_batch": Case(),
    "validate": Case(says="phase validate"),
}

# What the lab has no machine for, and the test that tries it in check mode with stand-ins.
ELSEWHERE = {"maas": "tests/unit/maas/test_maas_server_role.py"}


def files(lab: LabSession, host: str) -> list[str]:
    """Kind, path, size and time of change of everything on a host that only a person or a role changes."""
    find = (
        f"find / \\( {MOVING} -o {LOGS} -o {OWN} \\) -prune -o -type d -printf 'd %p\\n' -o -printf '%y %p %s %T@\\n'"
    )
    return lab.ssh(host, f"sudo {find} | sort").splitlines()


def services(lab: LabSession, host: str) -> str:
    return lab.ssh(host, "systemctl list-units --all --plain --no-legend --type=service | awk '{print $1, $3, $4}'")


def files_of_the_clone() -> list[str]:
    skipped = {"artifacts", ".lab", ".git", "__pycache__", ".pytest_cache"}
    # Below .lab are the disks of whole machines: not even looked through.
    tops = [path for path in ROOT.iterdir() if path.name not in skipped and not path.is_symlink()]
    return [
        f"{path} {path.stat().st_mtime}"
        for path in sorted(member for top in tops for member in (top, *top.rglob("*")))
        if path.is_file() and not path.is_symlink() and not skipped & set(path.relative_to(ROOT).parts)
    ]


def written(lab: LabSession) -> int:
    """How many writing requests the simulators were sent so far."""
    return len(lab.requests("maas", writing=True)) + len(lab.requests("bmc", writing=True))


def state(lab: LabSession, *hosts: str) -> dict[str, Any]:
    """What a run in check mode must leave as it was, in the lab and here."""
    return {
        "writing requests": written(lab),
        "machines": lab.status()["machines"],
        "ledger": lab.ssh(HEAD, LEDGER, check=False).splitlines(),
        "clone": files_of_the_clone(),
        **{f"files of {host}": files(lab, host) for host in hosts},
        **{f"services of {host}": services(lab, host) for host in hosts},
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is no longer as it was; of lists, the lines that went and came."""
    found: dict[str, Any] = {}
    for name, was in before.items():
        now = after[name]
        if was != now:
            lines = isinstance(was, list)
            found[name] = sorted(set(was) ^ set(now)) if lines else {"before": was, "after": now}
    return found


def try_playbook(lab: LabSession, name: str, *hosts: str) -> tuple[PlaybookRun, dict[str, Any]]:
    """Run a playbook in check mode; the run, and what it changed in spite of that."""
    before, asked = state(lab, *hosts), len(lab.requests("maas", writing=False))
    run = lab.playbook(f"playbooks/{name}.yml", *CASES[name].arguments, "--check", "--diff")
    changed = differences(before, state(lab, *hosts))
    if CASES[name].asks and len(lab.requests("maas", writing=False)) == asked:
        changed["MAAS"] = "was not even asked"
    return run, changed
