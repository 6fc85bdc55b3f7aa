# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalogue says of a check."""

from __future__ import annotations

from dataclasses import dataclass

# Who can end a finding: hands on the machine, parts and their firmware, the fabric, the nodes' software, jobs.
OWNERS: tuple[str, ...] = ("datacentre", "vendor", "network", "software", "user")

# The shape of a node class's `thresholds`.
Thresholds = dict[str, "float | dict[str, float]"]


@dataclass(frozen=True)
class Check:
    """One check of the catalogue.

    `reads` are names of readers of `observe` (a reader per mount is `storage`); empty where no node is read.
    `phase` is the phase that judges it; node_health's are those of catalog/health.

    `source` says where what is judged comes from, as a person finds it by hand: a file of the kernel, a call of NVML
    with the command that shows the same, a resource of Redfish. `fails` says when the check fails, or, where it never
    does, when it warns, is waived or unknown. `severity` is the worst that a defect comes to,
    `fail` or `warn`; `unknown` where the check only tells that something could not be judged, `waived` where it only
    tells of what people decided. `needs` are dotted keys of the node class that must be there and true: without one of
    them a node of the class does not have what is judged, and is not expected to report the check. Nor is it where the
    class says `false` at one of the keys `unless`, of which silence means true.
    """

    id: str
    title: str
    reads: tuple[str, ...]
    owner: str
    remedy: str
    phase: str
    source: str
    fails: str
    severity: str = "fail"
    needs: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
