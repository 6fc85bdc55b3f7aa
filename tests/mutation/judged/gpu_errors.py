# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken judges of the area gpu_errors."""

from __future__ import annotations

from tests.mutation.mutant import Mutant
from tests.mutation.reasons import HEALTH, Judged

XIDS = "plugins/module_utils/catalog/xid.py"
XID_TABLE = ("tests/unit/health/test_health_catalog.py", "-k", "xid")
NVLINK_XID = ("tests/unit/health/test_health_nvlink_xid.py",)
XID_JUDGE = "plugins/module_utils/judge/xid.py"
XID_TESTS = ("tests/unit/health/test_health_xid.py",)

JUDGED: Judged = {
    "gpu.recovery_action": ("fail warn unknown", HEALTH),
    "gpu.reset_required": ("fail unknown", HEALTH),
    "gpu.ecc.mode": ("fail warn unknown", HEALTH),
    "gpu.ecc.uncorrected": ("fail unknown", HEALTH),
    "gpu.ecc.aggregate": ("warn unknown", HEALTH),
    "gpu.ecc.corrected_rate": ("warn unknown", HEALTH),
    "gpu.ecc.sram": ("fail warn unknown", HEALTH),
    "gpu.ecc.sram_threshold": ("fail unknown", HEALTH),
    "gpu.row_remap.pending": ("fail unknown", HEALTH),
    "gpu.row_remap.failure": ("fail unknown", HEALTH),
    "gpu.row_remap.spare": ("fail warn unknown", HEALTH),
    "gpu.xid": ("fail warn unknown", HEALTH),
    "gpu.pcie.replay_rate": ("fail warn unknown", HEALTH),
    "gpu.page_retirement": ("fail unknown", HEALTH),
    "gpu.xid.repeated": ("fail warn unknown", HEALTH),
}

# Judges of an XID by more than its number.
REASONS = [
    Mutant(
        "xid 144-150: fatal",
        XIDS,
        "an error of NVLink 5 that the driver calls fatal only warns",
        "if code in NVLINK_5 and is_nonfatal(text):",
        "if code in NVLINK_5:",
        XID_TABLE,
    ),
    Mutant(
        "xid 144-150: fatal, then nonfatal",
        "plugins/module_utils/observe/kernel_log.py",
        "a nonfatal line takes the place of a fatal one before it",
        "nonfatal = _NONFATAL.search(part) is not None",
        "nonfatal = False",
        ("tests/unit/health/test_health_kernel_log.py",),
    ),
    Mutant(
        "xid 154: unknown action",
        XIDS,
        "a recovery action that is not known leaves the node allocatable",
        'get(int(action[1], 16), "recovery")',
        'get(int(action[1], 16), "info")',
        XID_TABLE,
    ),
    Mutant(
        "xid 154: no action",
        XIDS,
        "a recovery action that cannot be read leaves the node allocatable",
        'if action else "recovery"',
        'if action else "info"',
        XID_TABLE,
    ),
    Mutant(
        "xid 74: strange bits",
        "plugins/module_utils/catalog/nvlink_xid.py",
        "a bit that nobody knows is excused by a harmless one beside it",
        "if strange or not found:",
        "if not found:",
        NVLINK_XID,
    ),
    Mutant(
        "xid 74: burst",
        XID_JUDGE,
        "the lines of one burst are taken for many times",
        "return 1 if burst else",
        "return 1 if False else",
        NVLINK_XID,
    ),
    Mutant(
        "xid 144-150: fatal, harmless status",
        "plugins/module_utils/catalog/nvlink_xid.py",
        "a fatal error of NVLink 5 is excused by its status",
        "    if not nonfatal:\n",
        "    if False:\n",
        NVLINK_XID,
    ),
    Mutant(
        "xid: the application's",
        "plugins/module_utils/judge/xid_repeats.py",
        "a GPU answers for an application that is wrong on all GPUs",
        "and 2 * others < len(gpus) - 1",
        "",
        HEALTH,
    ),
    Mutant(
        "xid: old",
        XID_JUDGE,
        "an old XID only warns, be there a reset or not",
        "if resets.seen_since(raw, code, places.component_at(device)):",
        "if True:",
        XID_TESTS,
    ),
    Mutant(
        "xid: reset before",
        XID_JUDGE,
        "a reset before the XID is taken for its cure",
        "isinstance(sign, int) and sign > last",
        "isinstance(sign, int)",
        XID_TESTS,
    ),
    Mutant(
        "xid: cure shown",
        XID_JUDGE,
        "a check that does not pass shows a cure",
        "if each.verdict is Verdict.PASS}",
        "}",
        XID_TESTS,
    ),
]
