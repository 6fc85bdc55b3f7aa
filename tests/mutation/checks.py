# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every check of the catalogue a broken judge.

All judges, on nodes and on the controller, make their findings by `finding` of the catalogue. There a verdict of one
check is made a pass: `fail`, `warn` and `unknown` apart, as far as the check has them. Besides, judges by their own
means: a reason that is swallowed, a check that is forgotten.
"""

from __future__ import annotations

from .mutant import Mutant

CATALOGUE = "plugins/module_utils/catalog/checks.py"
_PLACE = "    entry = CHECKS[check]\n"
HEALTH = ("tests/unit/health/test_health_checks.py",)
MODULE = ("tests/unit/health/test_health_module.py", "tests/unit/health/test_health_judge.py")
FABRIC = ("tests/unit/fabric/test_compare.py",)
FABRIC_ACTION = ("tests/unit/run/test_strangers.py",)
COLLECTIVE = ("tests/unit/collective",)
BOOT = ("tests/unit/redfish/test_triage.py",)
BMC = ("tests/unit/run/test_bmc.py", "-k", "event_log")
GATE = ("tests/unit/run/test_gate.py",)
PHASES = ("tests/unit/run/test_phases.py",)
ENROLMENT = ("tests/unit/run/test_enrolment.py",)
SOFTWARE = ("tests/unit/software/test_matrix.py",)
LOCKS = ("tests/unit/lifecycle/test_run_lock.py", "-k", "leaves_out")
QUARANTINE = ("tests/unit/lifecycle/test_quarantine.py", "-k", "given_back or scheduler")
REPAIR = ("tests/unit/lifecycle/test_reprovision.py", "-k")
STRANGERS = ("tests/unit/run/test_strangers.py",)

# Check -> verdicts that its judge has besides pass, and the tests of that judge.
JUDGED: dict[str, tuple[str, tuple[str, ...]]] = {
    "host.reachable": ("unknown", MODULE),
    "gpu.count": ("fail warn unknown", HEALTH),
    "gpu.model": ("fail unknown", HEALTH),
    "gpu.driver.version": ("fail", HEALTH),
    "gpu.ecc.uncorrected": ("fail unknown", HEALTH),
    "gpu.row_remap.pending": ("fail unknown", HEALTH),
    "gpu.temperature": ("fail warn unknown", HEALTH),
    "gpu.nvlink.active": ("fail unknown", HEALTH),
    "gpu.fabric_manager": ("fail unknown", HEALTH),
    "gpu.xid": ("fail warn unknown", HEALTH),
    "hca.count": ("fail warn unknown", HEALTH),
    "hca.state": ("fail unknown", HEALTH),
    "hca.rate": ("fail warn unknown", HEALTH),
    "hca.link_downed": ("fail warn unknown", HEALTH),
    "hca.firmware": ("fail warn unknown", HEALTH),
    "disk.free": ("fail warn unknown", HEALTH),
    "systemd.failed": ("fail warn unknown", HEALTH),
    "docker.daemon": ("fail unknown", HEALTH),
    "clock.offset": ("fail warn unknown", HEALTH),
    "host.memory": ("fail warn unknown", HEALTH),
    "phase.task": ("fail", PHASES),
    "phase.complete": ("unknown", GATE),
    "lifecycle.quarantined": ("fail", PHASES),
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
    "fabric.discovery": ("unknown", FABRIC_ACTION),
    "fabric.split": ("fail", FABRIC),
    "fabric.link.missing": ("fail unknown", FABRIC),
    "fabric.link.extra": ("fail warn", FABRIC),
    "fabric.link.swapped": ("fail warn", FABRIC),
    "fabric.port.down": ("fail unknown", FABRIC),
    "bmc.event_log": ("warn", BOOT),
    "bmc.answers": ("warn", BMC),
    "boot.script": ("fail", BOOT),
    "boot.bmc_unreachable": ("fail", BOOT),
    "boot.bmc_certificate": ("fail", BOOT),
    "boot.bmc_login": ("fail", BOOT),
    "boot.no_power": ("fail", BOOT),
    "boot.post": ("fail", BOOT),
    "boot.no_link": ("fail", BOOT),
    "boot.order": ("fail", BOOT),
    "boot.no_lease": ("fail", BOOT),
    "boot.no_disk": ("fail", BOOT),
    "boot.disk_changed": ("fail", BOOT),
    "boot.clock": ("fail", BOOT),
    "boot.certificate": ("fail", BOOT),
    "boot.no_ssh": ("fail", BOOT),
    "boot.unexplained": ("unknown", BOOT),
    "collective.intra": ("fail unknown", COLLECTIVE),
    "collective.inter": ("fail warn unknown", COLLECTIVE),
    "collective.pair": ("fail warn unknown", COLLECTIVE),
}

# Made by the run directory itself, where a file cannot be read.
UNREADABLE = Mutant(
    "check gate.missing: unknown",
    "plugins/module_utils/lifecycle/run.py",
    "an unreadable file of findings passes",
    "verdict=Verdict.UNKNOWN,",
    "verdict=Verdict.PASS,",
    ("tests/unit/run/test_run_directory.py",),
)

XIDS = "plugins/module_utils/catalog/xid.py"
XID_TABLE = ("tests/unit/health/test_health_catalog.py", "-k", "xid")

XID_JUDGE = "plugins/module_utils/judge/xid.py"
XID_TESTS = ("tests/unit/health/test_health_xid.py",)

# Judges of an XID by more than its number.
XID = [
    Mutant(
        "xid 144-150: fatal",
        XIDS,
        "an error of NVLink 5 that the driver calls fatal only warns",
        "if code in NVLINK_5 and _NONFATAL.search(text):",
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

CLOCK = ("tests/unit/health/test_health_readers.py", "-k", "clock")
HOLDERS = ("tests/unit/health/test_health_holders.py",)


def _reason(name: str, file: str, what: str, old: str, new: str, tests: tuple[str, ...] = HEALTH) -> Mutant:
    return Mutant(f"reason {name}", f"plugins/module_utils/{file}", what, old, new, tests)


# What a verdict rests on, where another reason for the same verdict of the same check would hide that it is gone.
REASONS = [
    _reason(
        "clock: age",
        "observe/clock.py",
        "a clock that was left alone for days passes by its last offset",
        'round(time.time() - read["reference_time"], 3)',
        "0.0",
        CLOCK,
    ),
    _reason(
        "clock: own",
        "observe/clock.py",
        "chrony's own clock passes for a source",
        '"00000000", "7F7F0101")',
        '"00000000")',
        CLOCK,
    ),
    _reason(
        "hca: link layer",
        "judge/hca.py",
        "an Ethernet port passes",
        "if isinstance(layer, str) and layer != _LINK_LAYER:",
        "if False:",
    ),
    _reason(
        "hca: physical state",
        "judge/hca.py",
        "a link that has not trained passes",
        'if text(physical) == "LinkUp" else',
        "if text(physical) else",
    ),
    _reason(
        "gpu: fabric state",
        "judge/gpu.py",
        "GPUs that tell no fabric state are passed over",
        '.get("fabric_state") is False',
        '.get("fabric_state") is not True',
    ),
    _reason(
        "gpu: version mismatch",
        "judge/gpu.py",
        "a library that is not the driver's is only unknown",
        '.get("code") != _VERSION_MISMATCH',
        '.get("code") != 0',
    ),
    _reason(
        "busy: hanging driver",
        "observe/holders.py",
        "a driver that hangs counts as idle",
        'if asked["status"] == "timeout":',
        "if False:",
        HOLDERS,
    ),
    _reason(
        "busy: hidden files",
        "observe/holders.py",
        "a process whose files cannot be read counts as one without",
        "if unread and (hcas or not answered):",
        "if False:",
        HOLDERS,
    ),
    _reason(
        "disk: multipath",
        "observe/hardware.py",
        "a disk with multipath has no slot",
        'or _address_of_controllers(path / "device")',
        'or ""',
        ("tests/unit/lifecycle/test_hardware.py",),
    ),
]

MUTANTS = [
    *(
        Mutant(
            f"check {check}: {verdict}",
            CATALOGUE,
            f"{verdict} becomes pass",
            _PLACE,
            f'{_PLACE}    if check == "{check}" and verdict is Verdict.{verdict.upper()}:\n'
            "        verdict = Verdict.PASS\n",
            tests,
        )
        for check, (verdicts, tests) in JUDGED.items()
        for verdict in verdicts.split()
    ),
    UNREADABLE,
    *XID,
    *REASONS,
]
