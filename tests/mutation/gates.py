# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every gate a broken rule: who may pass, what the ledger is told, what the report says, when a run fails.

The first gate is preflight: of it the versions that do not go together, and the operating systems.
"""

from __future__ import annotations

from .engine import Mutant

GATE = ("tests/unit/run/test_gate.py",)
REPORT = ("tests/unit/run/test_report.py", "tests/unit/run/test_run_directory.py")
STATES = ("tests/unit/lifecycle/test_states.py",)
LEDGER = ("tests/unit/lifecycle/test_ledger.py",)
HEALTH = ("tests/unit/health/test_health_judge.py", "tests/unit/health/test_health_module.py")
# The site that is played costs half a minute: of its tests only the bring-up and what follows from it.
PLAYED = ("tests/unit/run/test_phases.py", "-k", "gate or ledger or report or through or few")
VERSIONS = ("tests/unit/site/test_compatibility.py",)
RELEASES = ("tests/unit/site/test_preflight_releases.py",)
FIRST_ERRORS = ("tests/unit/site/test_first_errors.py", "-k", "vendors")

_RULE = "plugins/module_utils/lifecycle/gate.py"
_FINDINGS = "plugins/module_utils/findings.py"
_REPORT = "plugins/module_utils/lifecycle/report.py"
_STATES = "plugins/module_utils/lifecycle/states.py"
_LEDGER = "plugins/module_utils/lifecycle/ledger.py"
_RUN = "plugins/module_utils/lifecycle/run.py"
_ACTION = "plugins/action/gate.py"
_JUDGE = "plugins/module_utils/judge/node.py"
_VERSIONS = "plugins/module_utils/compatibility/judge.py"
_PREFLIGHT = "plugins/action/preflight.py"

MUTANTS = [
    Mutant(
        "gate: absent is pass",
        _RULE,
        "an expected check that reported nothing passes",
        "missing = [_unreported(check) for check in absent]",
        "missing: list[Finding] = []",
        GATE,
    ),
    Mutant(
        "gate: unknown is pass",
        _FINDINGS,
        "what could not be read is allocatable",
        "(Verdict.PASS, Verdict.WAIVED, Verdict.WARN)",
        "(Verdict.PASS, Verdict.WAIVED, Verdict.WARN, Verdict.UNKNOWN)",
        GATE,
    ),
    Mutant(
        "gate: fail is pass",
        _FINDINGS,
        "a failure is allocatable",
        "(Verdict.PASS, Verdict.WAIVED, Verdict.WARN)",
        "(Verdict.PASS, Verdict.WAIVED, Verdict.WARN, Verdict.FAIL)",
        GATE,
    ),
    Mutant(
        "gate: warn is fail",
        _FINDINGS,
        "a warning keeps a node out",
        "(Verdict.PASS, Verdict.WAIVED, Verdict.WARN)",
        "(Verdict.PASS, Verdict.WAIVED)",
        GATE,
    ),
    Mutant(
        "gate: waived is fail",
        _FINDINGS,
        "what was waived keeps a node out",
        "(Verdict.PASS, Verdict.WAIVED, Verdict.WARN)",
        "(Verdict.PASS, Verdict.WARN)",
        GATE,
    ),
    Mutant(
        "gate: set aside comes back",
        _RULE,
        "a node that an earlier gate set aside passes a later one",
        "return not self.kept_out and all(",
        "return all(",
        GATE,
    ),
    Mutant(
        "gate: without proofs",
        _RULE,
        "a node that never saw an earlier gate passes",
        "if not aside and any(",
        "if False and any(",
        GATE,
    ),
    Mutant(
        "gate: lost excuses",
        _RULE,
        "every node counts as lost, so nothing is missing of it",
        "absent = [] if lost else missing_checks(expected, findings)",
        "absent: list[str] = []",
        GATE,
    ),
    Mutant(
        "gate: a task excuses all",
        _RULE,
        "a failed task excuses every check that is missing",
        'absent = [check for check in absent if check != "phase.complete"]',
        "absent = []",
        GATE,
    ),
    Mutant(
        "gate: worst is best",
        _FINDINGS,
        "of several verdicts the best counts",
        "return max(verdicts, key=_BADNESS.__getitem__",
        "return min(verdicts, key=_BADNESS.__getitem__",
        ("tests/unit/properties/test_lifecycle.py", "-k", "worst"),
    ),
    Mutant(
        "gate: nothing is pass",
        _FINDINGS,
        "nothing judged passes",
        "default=Verdict.UNKNOWN)",
        "default=Verdict.PASS)",
        ("tests/unit/properties/test_lifecycle.py", "-k", "worst"),
    ),
    Mutant(
        "judge: no reading is nothing",
        _JUDGE,
        "a check without a reading reports nothing",
        "results = [_unknown(check, str(reason), reason.evidence)]",
        "results = []",
        HEALTH,
    ),
    Mutant(
        "judge: a crash is nothing",
        _JUDGE,
        "a check whose judge crashes reports nothing",
        'results = [_unknown(check, f"its judge failed: {type(error).__name__}: {error}")]',
        "results = []",
        HEALTH,
    ),
    Mutant(
        "judge: nothing is nothing",
        _JUDGE,
        "a check that judges nothing reports nothing",
        ' or [_unknown(check, "judged nothing")]',
        "",
        HEALTH,
    ),
    Mutant(
        "gate action: all pass",
        _ACTION,
        "nobody is set aside",
        "passed=[name for name, judgement in judged.items() if judgement.passed]",
        "passed=list(judged)",
        PLAYED,
    ),
    Mutant(
        "gate action: none set aside",
        _ACTION,
        "who failed is not named",
        "set_aside=[name for name, judgement in judged.items() if not judgement.passed]",
        "set_aside=[]",
        PLAYED,
    ),
    Mutant(
        "gate action: wrong state",
        _ACTION,
        "the ledger hears that who was set aside is in service",
        'dict.fromkeys(gate.set_aside, "set_aside")',
        'dict.fromkeys(gate.set_aside, "in_service")',
        PLAYED,
    ),
    Mutant(
        "gate action: no state",
        _ACTION,
        "the ledger does not hear who came further",
        "(dict.fromkeys(gate.passed, state) if state else {})",
        "{}",
        PLAYED,
    ),
    Mutant(
        "gate action: earlier gates",
        _ACTION,
        "earlier gates are not asked",
        '[earlier.get(needed) for needed in arguments["gates"]]',
        "[]",
        PLAYED,
    ),
    Mutant(
        "gate action: alone",
        _ACTION,
        "a run without any earlier gate judges",
        'if arguments["gates"] and not earlier.keys() & set(arguments["gates"]) and left:',
        "if False:",
        ("tests/unit/run/test_phases.py", "-k", "admit_alone"),
    ),
    Mutant(
        "conclude: any number will do",
        "plugins/action/conclude.py",
        "min_healthy_fraction is not asked for",
        "if not total or fit / total < wanted:",
        "if not total:",
        ("tests/unit/run/test_phases.py", "-k", "few"),
    ),
    Mutant(
        "report: unfinished is admitted",
        _REPORT,
        "a run that stopped admits",
        '(completed or gates[-1]["final"])',
        "(True)",
        REPORT,
    ),
    Mutant(
        "report: set aside is admitted",
        _REPORT,
        "who was set aside is reported fit",
        'if any(node in gate["set_aside"] for gate in gates):',
        "if False:",
        REPORT,
    ),
    Mutant(
        "report: unreachable is fit",
        _REPORT,
        "a lost node is reported like any other",
        "return UNREACHABLE if lost else SET_ASIDE",
        "return SET_ASIDE",
        REPORT,
    ),
    Mutant(
        "report: an earlier gate admits",
        _REPORT,
        "the first gate admits",
        'if gates and node in gates[-1]["passed"]',
        'if gates and node in gates[0]["passed"]',
        REPORT,
    ),
    Mutant(
        "run: an unreadable gate passes",
        _RUN,
        "a gate that cannot be read stops the report",
        "return {phase: gate for phase, gate in read.items() if gate is not None}",
        "return read  # type: ignore",
        ("tests/unit/properties/test_lifecycle.py", "-k", "gate"),
    ),
    Mutant(
        "states: quarantine opens",
        _STATES,
        "a run takes a node out of quarantine",
        "    State.QUARANTINED: frozenset(),\n}\nBACKWARD",
        "    State.QUARANTINED: frozenset(WAY),\n}\nBACKWARD",
        STATES,
    ),
    Mutant(
        "ledger: another run's lock",
        _LEDGER,
        "a node that another run holds is moved",
        "if decision.moves and (lock := others.get(change.node)):",
        "if False:",
        LEDGER,
    ),
    Mutant(
        "ledger: locks are taken",
        _LEDGER,
        "a lock that another run holds is taken over",
        "if held:",
        "if False:",
        LEDGER,
    ),
    Mutant(
        "ledger: open findings close",
        _LEDGER,
        "a pass of anything closes a finding",
        "AND (p.at IS NULL OR p.at <= f.at)",
        "AND p.at IS NULL",
        LEDGER,
    ),
    Mutant(
        "versions: any fabric manager",
        _VERSIONS,
        "a fabric manager of another version passes",
        "and driver != manager:",
        "and False:",
        VERSIONS,
    ),
    Mutant(
        "versions: no floor",
        _VERSIONS,
        "versions below what the other needs pass",
        "if applying and not reaches(versions[other], applying[-1].least):",
        "if False:",
        VERSIONS,
    ),
    Mutant(
        "versions: oldest floor",
        _VERSIONS,
        "of several rules for a pair the oldest counts",
        "applying[-1].least):",
        "applying[0].least):",
        VERSIONS,
    ),
    Mutant(
        "versions: every floor",
        _VERSIONS,
        "rules count for versions that they do not speak of",
        "if all_reach(versions[key], floor.since)]",
        "]",
        VERSIONS,
    ),
    Mutant(
        "versions: any GPU",
        _VERSIONS,
        "GPUs ask for nothing",
        "if words.isdisjoint(generation.models):",
        "if True:",
        VERSIONS,
    ),
    Mutant(
        "versions: modules for all",
        _VERSIONS,
        "open kernel modules drive GPUs before Turing",
        "if driver and not generation.driver:",
        "if False:",
        VERSIONS,
    ),
    Mutant(
        "versions: CUDA without end",
        _VERSIONS,
        "a CUDA that knows the GPUs no longer passes",
        "if cuda and generation.dropped and all_reach",
        "if False and all_reach",
        VERSIONS,
    ),
    Mutant(
        "versions: half a version",
        "plugins/module_utils/compatibility/versions.py",
        "a version that is cut short, or none, is held to rules of later ones",
        "return bool(have) and have + (0,) * (len(wanted) - len(have)) >= wanted",
        "return reaches(version, floor)",
        VERSIONS,
    ),
    Mutant(
        "versions: any driver",
        _VERSIONS,
        "a driver that is too old for the GPUs passes",
        "elif driver and not reaches(driver, generation.driver):",
        "elif False:",
        VERSIONS,
    ),
    Mutant(
        "versions: any CUDA",
        _VERSIONS,
        "a CUDA that is too old for the GPUs passes",
        "if cuda and not reaches(cuda, generation.cuda):",
        "if False:",
        VERSIONS,
    ),
    Mutant(
        "versions: any kernel",
        _VERSIONS,
        "a kernel of another distribution passes",
        "if owner and release and not",
        "if False and not",
        VERSIONS,
    ),
    Mutant(
        "versions: any release",
        _VERSIONS,
        "DOCA-OFED without packages for the system passes",
        "if doca and row.name == told and not",
        "if False and not",
        VERSIONS,
    ),
    Mutant(
        "versions: kernel tells nothing",
        _VERSIONS,
        "the kernel does not tell the operating system",
        'told = release or (owner.release if owner else "")',
        "told = release",
        VERSIONS,
    ),
    Mutant(
        "versions: by their text",
        "plugins/module_utils/compatibility/versions.py",
        "versions are compared as text, so that 9 is after 10",
        "tuple(int(part) for part in",
        "tuple(part for part in",
        VERSIONS,
    ),
    Mutant(
        "versions: classes are not judged",
        "plugins/module_utils/site/node_class.py",
        "versions of node classes are not judged",
        ", *_conflicts(document, releases)]",
        "]",
        RELEASES,
    ),
    Mutant(
        "versions: whatever is deployed",
        "plugins/module_utils/site/validate.py",
        "node classes are not held to what is deployed",
        "load_all(of_class, places, of_class)",
        "load_all(of_class, places)",
        RELEASES,
    ),
    Mutant(
        "preflight: any release",
        _PREFLIGHT,
        "an operating system that the roles do not support passes",
        "sorted({*releases.values()} - {*supported}) if supported else ():",
        "():",
        RELEASES,
    ),
    Mutant(
        "preflight: own images are unknown",
        _PREFLIGHT,
        "the image that the site builds tells nothing",
        '_text(hostvars[builders[0]], "os_image_suite") if builders else ""',
        '""',
        RELEASES,
    ),
    Mutant(
        "preflight: releases unasked",
        "playbooks/preflight.yml",
        "preflight is not told which systems are supported",
        '        supported_releases: "{{ __common_supported_platforms }}"\n',
        "",
        FIRST_ERRORS,
    ),
]
