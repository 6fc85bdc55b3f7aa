# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's program: judge the node that it runs on, and show what was found."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..findings import Finding
from ..observe.agent import LEVELS, PROBE, RESULTS, read_pass
from ..observe.host import read_host
from ..observe.source import SourceError, attempt, describe
from . import config
from .results import Now, Pass, holding, locked, replace, write_pass

# Exit codes beside argparse's 2. A pass that was written is a success, whatever it says: systemd would count it as a
# failed unit, which is a finding of its own.
NOT_FIT, FAILED = 1, 3
# Seconds that each source may take, as with module node_health; a light pass is due again after a minute.
DEADLINE = {"light": 10.0, "full": 20.0}


def main(arguments: Sequence[str] | None = None, root: Path = Path("/")) -> int:
    """Returns the exit code. `root` is that of the node."""
    options = _parser().parse_args(arguments)
    try:
        known = config.load(options.config)
        return _run(options, known, root) if options.command == "run" else _show(options, known, root)
    except (config.ConfigError, SourceError, OSError, ValueError) as error:
        _complain(describe(error) if isinstance(error, OSError) else str(error))
        return FAILED


def _complain(text: str) -> None:
    sys.stderr.write(f"{config.PROGRAM}: {text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=config.PROGRAM,
        description="The health of this node, by the checks of the cluster.",
        epilog="Exit codes: 0 done, and for `show` the node is fit; 1 `show`: it is not; 3 it could not be done.",
    )
    parser.add_argument("--config", type=Path, default=config.PATH, help="the node class (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="judge now, and write results and metrics")
    run.add_argument(
        "--level",
        choices=sorted(LEVELS),
        required=True,
        help="light: what costs little; full: all; probe: GPUs, where idle and due",
    )
    run.add_argument("--now", action="store_true", help="probe although the last probe is young")
    run.add_argument("--metrics", type=Path, help="file for the textfile collector of node_exporter")
    show = commands.add_parser("show", help="print what the last passes found")
    show.add_argument("--all", action="store_true", help="also what is well")
    return parser


def _run(options: argparse.Namespace, known: config.Config, root: Path) -> int:
    started = time.monotonic()
    taken_at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    level = options.level
    findings = _probe(known, root, options.now) if level == PROBE else _judge(level, known, root)
    if findings is None:
        return 0
    now = _now(root)
    content = {
        "taken_at": taken_at,
        "boot_id": now.boot_id,
        "uptime": round(now.uptime - (time.monotonic() - started), 3),
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(sum(os.times()[:4]), 3),
        "class": str(known.node_class["name"]),
        "class_sha256": known.class_sha256,
        "findings": [each.to_dict() for each in findings],
    }
    folder = root / RESULTS
    with locked(folder):
        write_pass(folder, level, content)
        if options.metrics is not None:
            _write_metrics(options.metrics, _passes(folder, known, now), content)
    return 0


def _judge(level: str, known: config.Config, root: Path) -> list[Finding]:
    # Only here: who wants to see results should not wait for what reads and judges.
    from ..judge.node import asked_of, health_of
    from ..observe.node import LIGHT, Sources, observe
    from .levels import checks_of

    node_class = known.judged
    history = root / Sources.history.relative_to("/")
    sources = Sources(**asked_of(node_class), nvml_path=known.nvml_path, root=root, history=history)
    observation = observe(sources, DEADLINE[level], LIGHT if level == "light" else None)
    return health_of(observation, node_class, checks_of(level, node_class))


def _probe(known: config.Config, root: Path, at_once: bool) -> list[Finding] | None:
    """None, and why, where there is nothing to do now: the timer comes again."""
    from .levels import is_probed
    from .probe import NotIdle, probe

    last = next((each for each in _passes(root / RESULTS, known, _now(root)) if each.level == PROBE), None)
    if not is_probed(known.node_class):
        why = f"node class {known.node_class['name']!r} does not ask for it"
    elif last is not None and last.age < known.probe.every and not at_once:
        why = f"the last one was {last.age:.0f} s ago, and one is due every {known.probe.every:g} s"
    else:
        try:
            return probe(known, root / "proc")
        except NotIdle as reason:
            why = str(reason)
    sys.stdout.write(f"not probed: {why}\n")
    return None


def _write_metrics(path: Path, passes: Sequence[Pass], content: Mapping[str, Any]) -> None:
    from .metrics import exposition

    replace(path, exposition(passes, content["class"], content["class_sha256"], time.time()))


def _show(options: argparse.Namespace, known: config.Config, root: Path) -> int:
    from ..findings import worst
    from .results import merged
    from .show import table

    passes = _passes(root / RESULTS, known, _now(root))
    if not passes:
        _complain(
            "no pass of this boot and by this class. "
            "Remedy: systemctl start firstlight-health@full.service, or see its journal."
        )
        return FAILED
    sys.stdout.write(table(passes, every=options.all))
    return 0 if worst(each.verdict for _pass, each in merged(passes)).allocatable else NOT_FIT


def _passes(folder: Path, known: config.Config, now: Now) -> list[Pass]:
    """The passes that hold. One that is damaged does not; the next of its level replaces it."""
    read = {level: attempt(read_pass, folder, level) for level in LEVELS}
    whole = {level: each for level, each in read.items() if each is None or "error" not in each}
    return holding(whole, now, known.class_sha256)


def _now(root: Path) -> Now:
    host = read_host(root / "proc")
    if not isinstance(host["boot_id"], str) or not isinstance(host["uptime_seconds"], float):
        raise SourceError("it is not known which boot this is, and since when it runs")
    return Now(host["boot_id"], host["uptime_seconds"])
