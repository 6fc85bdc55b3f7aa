# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: conclude
short_description: End a run that judges nodes
version_added: 0.1.0
description:
  - Makes the decision of the last gate final. To be run when ledger and tags are written, so that the report calls
    no node fit of which they do not know.
  - Fails when fewer nodes are fit than asked for.
  - Runs on the controller, once.
options:
  phase:
    description: Phase of the last gate.
    type: str
    required: true
  min_healthy_fraction:
    description: Share of the run's nodes that must be fit. Nodes that check mode deferred count as fit.
    type: float
    required: true
attributes:
  check_mode:
    support: full
    description: Writes below the artifacts directory only.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: End the run
  firstlight.cluster.conclude:
    phase: health
    min_healthy_fraction: 0.95
  run_once: true
"""

RETURN = r"""
total:
  description: Number of nodes that the run is about, those that earlier gates set aside among them.
  returned: always
  type: int
fit:
  description: Number of those that passed the last gate or were deferred.
  returned: always
  type: int
"""
