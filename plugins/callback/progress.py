# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: aggregate
short_description: Open the run, show how far it is, write its report
description:
  - Opens a directory for the run's findings below the artifacts directory before any worker starts.
  - Shows, for every phase, how many nodes are done, set aside and left, and the time it took.
    On a terminal one line is kept up to date; elsewhere one plain line is printed at the end of a phase.
  - Shows what C(ansible.builtin.debug) tells, also where results that changed nothing are hidden.
  - Writes C(report.json), C(report.html) and C(report.txt) for people and C(junit.xml) for a CI, at the end of a run
    that judges nodes, whatever became of it, and points C(artifacts/latest) at them.
options:
  artifacts:
    description:
      - Directory that holds the runs. A relative one is relative to the directory of C(ansible.cfg).
    type: str
    default: artifacts
    env:
      - name: FIRSTLIGHT_ARTIFACTS
    ini:
      - section: callback_progress
        key: artifacts
  display_ok_hosts:
    description:
      - Whether Ansible itself shows results that changed nothing. Then what tasks tell is not shown once more.
    type: bool
    default: true
    env:
      - name: ANSIBLE_DISPLAY_OK_HOSTS
    ini:
      - section: defaults
        key: display_ok_hosts
requirements:
  - enabled as C(firstlight.cluster.progress) in C(callbacks_enabled)
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

import datetime
import os
import shutil
import sys
import threading
import time
import typing as t
from pathlib import Path

from ansible import constants as C
from ansible import context
from ansible.plugins.callback import CallbackBase

from ..module_utils.catalog.checks import finding
from ..module_utils.findings import Verdict
from ..module_utils.lifecycle.controller import LAST_PHASE, record_process
from ..module_utils.lifecycle.report import ADMITTED, UNJUDGED, build_report, passed_words
from ..module_utils.lifecycle.run import ENVIRONMENT, RunDirectory, replacing, write_json
from ..plugin_utils import report_junit, report_page, report_text

NODES = "gpu_nodes"
HEADS = "head_nodes"
LEFT_OUT = "left_out"
# Tasks that may take an hour without a result, and the file of the run to which they add a line when there is news.
LONG_ACTIONS = ("firstlight.cluster.maas_machine",)
PROGRESS = "progress.log"
# What a task says is news, though it changed nothing and ansible.cfg hides the results of such tasks.
TOLD_ACTIONS = ("ansible.builtin.debug",)
# Characters of a failed task's message that the report keeps; the log of the run has the rest.
MESSAGE_LIMIT = 4000
LEDGER_ACTIONS = ("firstlight.cluster.ledger", "ansible_collections.firstlight.cluster.plugins.action.ledger")
GATE_ACTIONS = ("firstlight.cluster.gate", "ansible_collections.firstlight.cluster.plugins.action.gate")


class Phase:
    """One phase of the run as it is seen from its plays."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.ended = self.started
        self.nodes_in: int | None = None
        self.nodes_out: int | None = None
        self.set_aside = 0
        self.failed = False
        self.task = ""
        self.done: set[str] = set()

    def outcome(self) -> tuple[int, int]:
        """How many nodes came into the phase and out of it. Where no gate counts, a failure lets none out."""
        nodes_in = self.nodes_in or 0
        if self.nodes_out is not None:
            return nodes_in, self.nodes_out
        return nodes_in, 0 if self.failed else nodes_in

    def to_dict(self) -> dict[str, t.Any]:
        nodes_in, nodes_out = self.outcome()
        return {
            "name": self.name,
            "seconds": round(self.ended - self.started, 3),
            "nodes_in": nodes_in,
            "nodes_out": nodes_out,
        }


class Failure(t.NamedTuple):
    """A task that failed on a host, or could not reach it."""

    phase: str
    task: str
    for_all: bool
    message: str


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "firstlight.cluster.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display: t.Any = None, options: t.Any = None) -> None:
        super().__init__(display=display, options=options)
        self._playbook = ""
        self._run: RunDirectory | None = None
        self._nodes: dict[str, dict[str, t.Any]] = {}
        self._heads: list[str] = []
        self._phases: list[Phase] = []
        self._failures: dict[str, Failure] = {}
        self._held: set[str] = set()
        self._terminal = sys.stdout.isatty()
        self._task_ended = threading.Event()

    # -- the run ---------------------------------------------------------------------------------

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        self._playbook = Path(playbook._file_name).stem
        base = Path(C.CONFIG_FILE).parent if C.CONFIG_FILE else Path.cwd()
        artifacts = base / Path(str(self.get_option("artifacts"))).expanduser()
        self._run = RunDirectory.create(artifacts, datetime.datetime.now(datetime.timezone.utc))
        # Workers are forked from here and find the run in their environment.
        os.environ[ENVIRONMENT] = str(self._run.path)
        named = [play.get_vars().get("firstlight_phase") for play in playbook.get_plays()]
        os.environ[LAST_PHASE] = str(next((name for name in reversed(named) if name), ""))

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        variables = play.get_variable_manager()
        inventory = variables._inventory
        name = str(play.get_vars().get("firstlight_phase") or "")
        if not name:
            return
        if not self._nodes:
            self._read_inventory(inventory, variables)
        self._leave_out(inventory)
        present = {host.name for host in inventory.get_hosts(play.hosts)}
        if not present:
            # Nobody takes part, such as in enrolling where MAAS knows every machine.
            return
        if not self._phases or self._phases[-1].name != name:
            self._close_phase()
            self._phases.append(Phase(name))
        hosts = present & set(self._nodes)
        phase = self._phases[-1]
        if phase.nodes_in is None and hosts:
            phase.nodes_in = len(hosts)
        phase.done = set()

    def _read_inventory(self, inventory: t.Any, variables: t.Any) -> None:
        groups = inventory.groups
        limited = {host.name for host in inventory.get_hosts(ignore_restrictions=True)}
        for host in groups[NODES].get_hosts() if NODES in groups else []:
            known = variables.get_vars(host=host, include_hostvars=False)
            if host.name not in limited or known.get("state") == "planned":
                continue
            self._nodes[host.name] = {
                "class": known.get("node_class"),
                "serial": known.get("serial_number"),
                "location": f"{known.get('rack', '')}/{known.get('unit', '')}",
            }
        self._heads = [host.name for host in groups[HEADS].get_hosts()] if HEADS in groups else []
        if self._run:
            write_json(self._run.path / "nodes.json", self._nodes)

    def _leave_out(self, inventory: t.Any) -> None:
        """Forget the nodes that the run chose not to be about, when it was told its nodes otherwise than by a limit."""
        group = inventory.groups.get(LEFT_OUT)
        strangers = self._nodes.keys() & {host.name for host in group.get_hosts()} if group else set()
        if strangers and self._run:
            self._nodes = {name: known for name, known in self._nodes.items() if name not in strangers}
            write_json(self._run.path / "nodes.json", self._nodes)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._task_ended.set()
        self._close_phase()
        if not self._run or not self._phases:
            return
        completed = not stats.failures and not stats.dark
        services = {head: {"state": _service_state(head, stats)} for head in self._heads}
        if completed and not self._run.gates():
            return
        checking = bool(context.CLIARGS.get("check"))
        report = build_report(
            self._run,
            self._playbook,
            self._nodes,
            services,
            [phase.to_dict() for phase in self._phases],
            completed,
            ended=datetime.datetime.now(datetime.timezone.utc),
            check_mode=checking,
            stopped_by=stopped_by(
                {host: self._failures[host] for host in (*stats.failures, *stats.dark) if host in self._failures}
            ),
        )
        path = self._run.path / "report.json"
        write_json(path, report)
        run = self._run
        page = self._write(run.path / "report.html", lambda: report_page.render(report))
        self._write(run.path / "report.txt", lambda: report_text.render(report))
        self._write(run.path / "junit.xml", lambda: report_junit.render(run, report))
        _point_at(self._run.path.parent / "latest", self._run.path.name)
        summary = report["summary"]
        labels = {ADMITTED: passed_words([phase.name for phase in self._phases])[1], UNJUDGED: "not judged"}
        told = ", ".join(
            f"{summary[key]} {labels.get(key, key.replace('_', ' '))}"
            for key in summary
            if key != "total" and summary[key]
        )
        mode = " (check mode: nothing was measured or written)" if checking else ""
        self._display.display(f"\n{self._playbook}: {told or 'no node'} of {summary['total']}{mode}")
        for line in reasons(report):
            self._display.display(f"  {line}")
        if self._held:
            self._display.display(
                f"  {_few(sorted(self._held))}: the run ended before it gave them back. From here any run may take "
                "them; from another controller when the lock expires."
            )
        self._display.display(f"Report: {path}")
        if page:
            self._display.display(f"Page: {page}")

    def _write(self, path: Path, render: t.Callable[[], str]) -> Path | None:
        """Write the report in another form. Whatever goes wrong with it costs this file and no more."""
        try:
            text = render()
            with replacing(path) as stream:
                stream.write(text)
        except Exception as error:
            self._display.warning(f"{path} could not be written, report.json has everything: {error!r}")
            return None
        return path

    # -- the phases ------------------------------------------------------------------------------

    def _close_phase(self) -> None:
        if not self._phases:
            return
        phase = self._phases[-1]
        phase.ended = time.monotonic()
        self._erase_line()
        nodes_in, done = phase.outcome()
        left = max(nodes_in - done - phase.set_aside, 0)
        told = f"{done} done, {phase.set_aside} set aside, {left} left, " if nodes_in else ""
        self._display.display(f"phase {phase.name}: {told}{phase.ended - phase.started:.0f} s")

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._task_ended.set()
        if self._run and task.action in LEDGER_ACTIONS and "lock" in task.args:
            # Before the first lock is taken: a run that is killed from here on must be known to be over.
            record_process(self._run, self._playbook)
        if not self._phases or not self._run:
            return
        self._phases[-1].task = task.get_name()
        self._phases[-1].done = set()
        if task.action in LONG_ACTIONS:
            self._task_ended = threading.Event()
            threading.Thread(
                target=self._follow, args=(self._run.path / PROGRESS, self._task_ended), daemon=True
            ).start()

    def _follow(self, path: Path, ended: threading.Event) -> None:
        """Show the lines that a long task adds to the run's progress file, until the task ends."""
        shown = path.stat().st_size if path.exists() else 0
        while not ended.wait(2.0):
            if not path.exists():
                continue
            with path.open("rb") as stream:
                stream.seek(shown)
                news = stream.read()
            whole = news[: news.rfind(b"\n") + 1]
            shown += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                self._display.display(f"  {line}")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._note(result)
        if result.task.action in LEDGER_ACTIONS and not result.task_fields["check_mode"]:
            self._held |= {lock["node"] for lock in result.result.get("locks") or ()}
            self._held -= set(result.result.get("unlocked") or ())
        if result.task.action in TOLD_ACTIONS and not self.get_option("display_ok_hosts"):
            self._tell(result)
        if result.task.action not in GATE_ACTIONS or not self._phases:
            return
        phase = self._phases[-1]
        passed, aside = result.result.get("passed"), result.result.get("set_aside")
        if isinstance(passed, list) and isinstance(aside, list):
            phase.nodes_out = len(passed)
            phase.set_aside += len(aside)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        if self._phases and not ignore_errors:
            self._phases[-1].failed = True
            self._keep_failure(result)
        self._note(result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._note(result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """A node that is lost in the middle of a phase missed a task: it must not pass the gate."""
        name = result.host.get_name()
        # What a node delegates fails elsewhere: the node itself may be well.
        if self._run and self._phases and name in self._nodes and not result.task.delegate_to:
            lost = finding(
                "host.reachable",
                "host",
                Verdict.UNKNOWN,
                f"not reachable at the task {result.task.get_name()!r}: {result.result.get('msg', '')}",
            )
            self._run.record(name, self._phases[-1].name, "unreachable", [lost])
        if self._phases:
            self._keep_failure(result)
        self._note(result)

    def _keep_failure(self, result: t.Any) -> None:
        """Remember what ended a host's run; whether it did, or a rescue went on, only the end of the run tells."""
        self._failures[result.host.get_name()] = Failure(
            self._phases[-1].name, result.task.get_name(), bool(result.task.run_once), message(result.result)
        )

    def _tell(self, result: t.Any) -> None:
        if "msg" in result.result and not result.is_changed():
            self._erase_line()
            who = "" if result.task.run_once else f"{result.host.get_name()}: "
            self._display.display(f"{who}{result.result['msg']}")

    def _note(self, result: t.Any) -> None:
        if not self._terminal or not self._phases:
            return
        phase = self._phases[-1]
        phase.done.add(result.host.get_name())
        width = shutil.get_terminal_size().columns - 1
        elapsed = time.monotonic() - phase.started
        line = f"{phase.name} {elapsed:4.0f} s  {len(phase.done)}/{phase.nodes_in or 1}  {phase.task}"
        sys.stdout.write(f"\r\x1b[K{line[:width]}")
        sys.stdout.flush()

    def _erase_line(self) -> None:
        if self._terminal:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()


def reasons(report: dict[str, t.Any]) -> list[str]:
    """Why nodes are not fit, one line for each reason with all the nodes that share it."""
    shared: dict[str, list[str]] = {}
    told = [(name, item) for name, node in sorted(report["nodes"].items()) for item in node["findings"]]
    for name, item in [*told, *(("site", item) for item in report["site"])]:
        if item["verdict"] in ("fail", "unknown"):
            reason = f"{item['verdict']} {item['check']} {item['component']}: {item['summary']}"
            shared.setdefault(reason, []).append(name)
    return [f"{_few(names)}: {reason}" for reason, names in shared.items()]


def message(result: t.Mapping[str, t.Any]) -> str:
    """What a failed task said: of a loop, what its failed items said."""
    items = [item for item in result.get("results") or () if isinstance(item, dict) and item.get("failed")]
    told = [str(item.get("msg") or "") for item in items or (result,)]
    told += [str(item.get("stderr") or "") for item in items or (result,)]
    text = "\n".join(dict.fromkeys(line for line in told if line)) or str(result.get("censored") or "no message")
    return text if len(text) <= MESSAGE_LIMIT else f"{text[:MESSAGE_LIMIT]} …"


def stopped_by(failures: t.Mapping[str, Failure]) -> list[dict[str, t.Any]]:
    """The failures that ended the run, each once with all hosts that share it, in the report's form."""
    shared: dict[Failure, list[str]] = {}
    for host, failure in failures.items():
        shared.setdefault(failure, []).append(host)
    return [
        {
            "phase": failure.phase,
            "task": failure.task,
            "hosts": [] if failure.for_all else sorted(hosts),
            "message": failure.message,
        }
        for failure, hosts in shared.items()
    ]


def _few(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _service_state(head: str, stats: t.Any) -> str:
    if head in stats.dark:
        return "unreachable"
    if head in stats.failures:
        return "failed"
    return "ok" if head in stats.processed else "not_run"


def _point_at(link: Path, target: str) -> None:
    """Switch a relative link in one step, so that `latest` always names a whole report."""
    temporary = link.with_name(f".{link.name}.{target}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
