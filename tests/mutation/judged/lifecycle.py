# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of runs and of where nodes are in their life."""

from __future__ import annotations

from tests.mutation.reasons import Judged, reason

GATE = ("tests/unit/run/test_gate.py",)
POLICY = ("tests/unit/lifecycle/test_policy.py",)
PHASES = ("tests/unit/run/test_phases.py",)
ENROLMENT = ("tests/unit/run/test_enrolment.py",)
SOFTWARE = ("tests/unit/software/test_matrix.py",)
LOCKS = ("tests/unit/lifecycle/test_run_lock.py", "-k", "leaves_out")
MAINTENANCE = ("tests/unit/lifecycle/test_remediate.py", "-k", "maintenance")
QUARANTINE = ("tests/unit/lifecycle/test_quarantine.py", "-k", "given_back or scheduler")
REPAIR = ("tests/unit/lifecycle/test_reprovision.py", "-k")
PARTS = ("tests/unit/lifecycle/test_part_findings.py",)
STRANGERS = ("tests/unit/run/test_strangers.py",)

JUDGED: Judged = {
    "lifecycle.part.swapped": ("warn", PARTS),
    "lifecycle.part.moved": ("warn", PARTS),
    "lifecycle.part.missing": ("warn", PARTS),
    "policy.waiver": ("warn", POLICY),
    "phase.task": ("fail", PHASES),
    "phase.complete": ("fail unknown", (*GATE, "tests/unit/run/test_arrival.py")),
    "lifecycle.quarantined": ("fail", PHASES),
    "lifecycle.maintenance": ("waived", MAINTENANCE),
    "lifecycle.reboot_due": ("warn", PHASES),
    "lifecycle.upgrade_due": ("warn", PHASES),
    "software.drift": ("fail warn unknown", SOFTWARE),
    "lifecycle.held": ("fail", LOCKS),
    "lifecycle.released": ("unknown", QUARANTINE),
    "lifecycle.drained": ("fail", QUARANTINE),
    "lifecycle.undrained": ("warn", QUARANTINE),
    "repair.evidence": ("warn", (*REPAIR, "released_all_the_same")),
    "repair.release": ("fail warn", (*REPAIR, "still_bad or fails_its_commissioning")),
    "repair.identity": ("fail", (*REPAIR, "cannot_be_read")),
    "repair.commission": ("fail", (*REPAIR, "fails_its_commissioning")),
    "repair.parts": ("warn", (*REPAIR, "exchange_is_told")),
    "provision.enrol": ("fail", ENROLMENT),
    "provision.deploy": ("fail", PHASES),
    "roster.unknown_machine": ("warn", STRANGERS),
}
_HISTORY = "lifecycle/ledger_history.py"
REASONS = [
    reason(
        "parts: unread",
        "lifecycle/part_findings.py",
        "parts that were not read pass as those of the proof",
        'if not changes["unread"]:',
        "if True:",
        PARTS,
    ),
    reason(
        "parts: read in part",
        _HISTORY,
        "a kind of parts that was read in part counts as read",
        "return reading is not None and reading.complete",
        "return reading is not None",
        PARTS,
    ),
    reason(
        "parts: kind not read",
        _HISTORY,
        "what an earlier reading found of a kind is told as if it were read now",
        'for key, part in had.items() if part["kind"] in readings}',
        "for key, part in had.items()}",
        PARTS,
    ),
    reason(
        "parts: first reading",
        _HISTORY,
        "parts are compared with those of the first reading, whatever was proved since",
        "(proof or reading)[0]",
        "(reading or proof)[0]",
        PARTS,
    ),
    reason(
        "parts: told twice",
        _HISTORY,
        "a part that was exchanged is missing, too",
        "old.keys() - new.keys() - replaced",
        "old.keys() - new.keys()",
        PARTS,
    ),
    reason(
        "parts: blamed for others",
        _HISTORY,
        "a part is told to have failed with what failed after another took its place",
        "kind = ? AND slot = ? AND serial != ? AND first_seen > ?), '9999')",
        "kind = ? AND slot = ? AND serial != ? AND first_seen > ? AND 0), '9999')",
        PARTS,
    ),
]
