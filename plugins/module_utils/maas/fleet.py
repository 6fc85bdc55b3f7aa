# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring many machines to a goal at once: plan, act, poll the whole fleet with one request, until all are settled.

Machines fail one by one, each with its reason; only what concerns MAAS as a whole (bad key, no answer) is raised.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from .client import Client, Fields
from .errors import (
    Abandoned,
    BadRequest,
    Conflict,
    Forbidden,
    InvalidResponse,
    MaasError,
    NotFound,
    ServerError,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from .machines import Machine, Status
from .matching import Problem, Wanted
from .planning import Goal, Step, next_step, shows_effect
from .requests import latest_events, read_machines
from .scripts import newest_commissioning, not_passed, read_all, read_runs
from .transitions import Action, State


@dataclass(frozen=True)
class Deployment:
    """What is sent with a deployment. `user_data` is cloud-init's, as text, by host name; it may hold secrets."""

    osystem: str = ""
    distro_series: str = ""
    hwe_kernel: str = ""
    user_data: Mapping[str, str] = field(default_factory=dict, repr=False)

    def secrets(self) -> set[str]:
        """What must not be shown should MAAS repeat what it was sent: the user data as they are sent."""
        return {_encoded(data) for data in self.user_data.values()}

    def form(self, name: str) -> Fields:
        """The form fields for one host."""
        series = f"{self.osystem}/{self.distro_series}" if self.osystem and self.distro_series else self.distro_series
        data = self.user_data.get(name)
        return {
            "distro_series": series or None,
            "hwe_kernel": self.hwe_kernel or None,
            "user_data": _encoded(data) if data else None,
        }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ERASE: Mapping[str, Fields] = {
    "none": {},
    "zero": {"erase": True},
    "quick": {"erase": True, "quick_erase": True},
    "secure": {"erase": True, "secure_erase": True},
}


@dataclass(frozen=True)
class Particulars:
    """What is sent with other requests: how disks are erased (a key of ERASE), a remark, and scripts by name or tag."""

    erase: str = "none"
    comment: str = ""
    commissioning_scripts: Sequence[str] = ()
    testing_scripts: Sequence[str] = ()

    def form(self, action: Action) -> Fields:
        """The form fields for one action."""
        if action is Action.COMMISSION:
            return {
                "commissioning_scripts": ",".join(self.commissioning_scripts) or None,
                "testing_scripts": ",".join(self.testing_scripts) or None,
            }
        remark: Fields = {"comment": self.comment or None} if action in _REMARKED else {}
        return {**remark, **ERASE[self.erase]} if action is Action.RELEASE else remark


# Of these a second one does nothing that the first did not.
_REPEATABLE = frozenset({Action.SET_BOOT_DISK, Action.SET_STORAGE_LAYOUT})
_REMARKED = frozenset({Action.RELEASE, Action.MARK_BROKEN, Action.MARK_FIXED, Action.LOCK, Action.UNLOCK})


@dataclass(frozen=True)
class Pace:
    """Seconds: how often to poll, when to stop waiting for machines, how long MAAS itself may be away.

    `settle` is how long an unchanged status after an accepted or doubtful request counts as "not yet".
    """

    poll: float = 15.0
    timeout: float = 3600.0
    patience: float = 180.0
    settle: float = 60.0
    tries: int = 5  # of a request that MAAS failed to carry out
    concurrency: int = 4  # writing requests at once; a deployment takes MAAS about a second


@dataclass
class Outcome:
    """What became of one host. `before` and `machine` are the machine first and last seen."""

    name: str
    before: Machine
    machine: Machine
    actions: list[Action] = field(default_factory=list)
    failed: bool = False
    reason: str = ""
    remedy: str = ""
    event: str = ""

    def fail(self, problem: Problem) -> None:
        """Settle this host as failed."""
        self.failed, self.reason, self.remedy = True, problem.reason, problem.remedy


@dataclass(frozen=True)
class Progress:
    """Where the fleet stands: how many machines by MAAS's name of their status, how many settled, seconds elapsed."""

    statuses: Mapping[str, int]
    settled: int
    failed: int
    total: int
    elapsed: float
    timeout: float

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.statuses.items()))
        return (
            f"{self.settled} of {self.total} settled ({self.failed} failed), waiting for {counts or 'nothing'};"
            f" {self.elapsed:.0f} s of {self.timeout:.0f} s"
        )


@dataclass
class _Tracked:
    host: Wanted
    machine: Machine
    outcome: Outcome
    asked: Action | None = None  # the last writing request, until its effect shows
    asked_of: Machine | None = None  # the machine as it was at that time
    settles_at: float = 0.0  # until then an unchanged status means "not yet"
    doubt: MaasError | None = None  # set where it is not known whether that request was carried out
    failures: int = 0
    last_run: int = 0  # the newest commissioning before ours, which is no proof


class Fleet:
    """One run for many machines. `run` may be called once."""

    def __init__(
        self,
        client: Client,
        goal: Goal,
        deployment: Deployment,
        *,
        pace: Pace,
        progress: Callable[[Progress], None],
        particulars: Particulars | None = None,
        still_wanted: Callable[[], bool] = lambda: True,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._goal = goal
        self._deployment = deployment
        self._particulars = particulars or Particulars()
        self._pace = pace
        self._progress = progress
        self._still_wanted = still_wanted
        self._sleep = sleep
        self._now = monotonic

    def run(self, hosts: Sequence[tuple[Wanted, Machine]]) -> dict[str, Outcome]:
        """Bring the hosts' machines to the goal; the machines must just have been read.

        Raises Unauthorized; Unreachable and its kin after `patience` seconds without a usable list; and Abandoned
        instead of sending anything when `still_wanted` says no.
        """
        start = self._now()
        tracked = [_Tracked(host, machine, Outcome(host.name, machine, machine)) for host, machine in hosts]
        pending = tracked
        while True:
            pending = self._advance(pending)
            elapsed = self._now() - start
            self._report(tracked, pending, elapsed)
            if not pending:
                break
            if elapsed >= self._pace.timeout:
                self._time_out(pending)
                break
            self._sleep(max(0.0, min(self._pace.poll, self._pace.timeout - elapsed)))
            self._check_wanted()
            self._poll(pending)
        self._read_scripts(tracked)
        self._explain(tracked)
        return {item.host.name: item.outcome for item in tracked}

    def _advance(self, pending: Sequence[_Tracked]) -> list[_Tracked]:
        """Plan every machine and send what is to be sent; returns those that are not settled."""
        waiting: list[_Tracked] = []
        acting: list[tuple[_Tracked, Step]] = []
        for item in pending:
            if item.outcome.failed or self._unsettled(item):
                waiting.append(item)
                continue
            step = next_step(item.machine, item.host, self._goal, item.outcome.actions)
            if step.action is Action.REFUSE:
                item.outcome.fail(Problem(step.reason, step.remedy))
            elif step.action is not Action.DONE:
                waiting.append(item)
                if step.action.writes:
                    acting.append((item, step))
        if acting:
            self._check_wanted()
            with ThreadPoolExecutor(max_workers=self._pace.concurrency) as pool:
                for answer in [pool.submit(self._act, item, step) for item, step in acting]:
                    answer.result()
        return [item for item in waiting if not item.outcome.failed]

    def _check_wanted(self) -> None:
        if not self._still_wanted():
            raise Abandoned("Whoever asked for this is gone.", remedy="Run again: machines under way are waited for.")

    def _unsettled(self, item: _Tracked) -> bool:
        """True while the effect of the last request may still be to come."""
        if item.asked is None or item.asked_of is None:
            return False
        if not shows_effect(item.asked, item.asked_of, item.machine):
            if self._now() < item.settles_at:
                return True
            if item.doubt is not None:
                # MAAS shows no trace of it: it was not carried out, and may be asked for again.
                item.outcome.actions.pop()
                self._count_failure(item, item.asked, item.doubt)
        item.asked, item.doubt = None, None
        return item.outcome.failed

    def _act(self, item: _Tracked, step: Step) -> None:
        action, path = step.action, f"machines/{item.machine.system_id}/"
        fields: Fields = self._particulars.form(action)
        if action is Action.DEPLOY:
            fields = self._deployment.form(item.host.name)
        elif action is Action.ALLOCATE:
            path, fields = "machines/", {"system_id": item.machine.system_id}
        elif action is Action.SET_BOOT_DISK:
            path = f"nodes/{item.machine.system_id}/blockdevices/{step.disk}/"
        elif action is Action.SET_STORAGE_LAYOUT:
            fields = {"storage_layout": "flat", "root_device": step.disk}
        try:
            if action is Action.COMMISSION and self._goal.state is State.RECOMMISSIONED:
                item.last_run = newest_commissioning(read_runs(self._client, item.machine.system_id))
            answer = self._client.post(path, action.value, fields, idempotent=action in _REPEATABLE)
            # It may be over before the next poll, which then shows the status that it had before.
            begun = action is Action.COMMISSION and Machine.from_json(answer).status != item.machine.status
        except Unauthorized:
            raise
        except (BadRequest, Forbidden, NotFound) as error:
            remedy = error.remedy or "Correct what MAAS complains about, and run again."
            item.outcome.fail(Problem(f"MAAS refused to {action.value} it: {error.args[0]}", remedy))
            return
        except Conflict as error:
            # Its state changed between our reading and this request; the next poll shows what it is now.
            self._count_failure(item, action, error)
            return
        except (ServerError, Unavailable, Unreachable, InvalidResponse) as error:
            item.doubt, begun = error, False
        item.outcome.actions.append(action)
        item.asked, item.asked_of = None if begun else action, item.machine
        item.settles_at = self._now() + (0.0 if _final(item.doubt) else self._pace.settle)

    def _count_failure(self, item: _Tracked, action: Action, error: MaasError) -> None:
        item.failures += 1
        if item.failures >= self._pace.tries:
            reason = f"MAAS could not {action.value} it in {item.failures} tries: {error.args[0]}"
            remedy = error.remedy or "Look at the machine, its BMC and MAAS's own health, and run again."
            item.outcome.fail(Problem(reason, remedy))

    def _poll(self, pending: Sequence[_Tracked]) -> None:
        """Read every pending machine anew. A MAAS that is away for a while is waited for."""
        ids = [item.machine.system_id for item in pending]
        since = self._now()
        while True:
            try:
                found = read_machines(self._client, ids)
                break
            except (Unreachable, ServerError, Unavailable, InvalidResponse) as error:
                if getattr(error, "permanent", False) or self._now() - since >= self._pace.patience:
                    raise
                self._sleep(self._pace.poll)
        for item in pending:
            machine = found.get(item.machine.system_id)
            if machine is None:
                item.outcome.fail(
                    Problem(
                        f"The machine {item.machine.system_id} was deleted from MAAS during this run.",
                        "Enlist it again, and run again.",
                    )
                )
            else:
                # The list does not tell by which BMC a machine is switched; that was asked once.
                item.machine = item.outcome.machine = replace(machine, bmc_address=item.machine.bmc_address)

    def _time_out(self, pending: Sequence[_Tracked]) -> None:
        for item in pending:
            machine = item.machine
            item.outcome.fail(
                Problem(
                    f"Still {machine.status_name} (power {machine.power_state or 'unknown'}) after"
                    f" {self._pace.timeout:.0f} s of waiting for it to be {self._goal.state.value}.",
                    "Look at its console; when the cause is found, run again: a machine under way is waited for.",
                )
            )

    def _read_scripts(self, tracked: Sequence[_Tracked]) -> None:
        """Name the scripts that did not pass on the machines commissioned here.

        One whose commissioning was aborted is Ready again if it was before, like one that passed. Raises what
        `read_all` does: without the results nothing is proved.
        """
        items = [item for item in tracked if Action.COMMISSION in item.outcome.actions and self._has_results(item)]
        found = read_all(self._client, [item.machine.system_id for item in items], self._pace.concurrency)
        for item in items:
            outcome, runs = item.outcome, found[item.machine.system_id]
            told = "" if isinstance(runs, MaasError) else ", ".join(not_passed(runs))
            if outcome.failed:
                outcome.reason = f"{outcome.reason.rstrip('.')}. Scripts: {told}." if told else outcome.reason
                continue
            if isinstance(runs, MaasError):
                told = f"the results cannot be read: {runs.args[0]}"
            elif newest_commissioning(runs) <= item.last_run:
                told = "MAAS has no results of it"
            if told:
                outcome.fail(
                    Problem(
                        f"It is Ready, but its commissioning did not pass: {told}.",
                        "Find out who or what stopped it in MAAS's event log, and run again.",
                    )
                )

    def _has_results(self, item: _Tracked) -> bool:
        if item.outcome.failed:
            return item.machine.status in (Status.FAILED_COMMISSIONING, Status.FAILED_TESTING)
        return self._goal.state is State.RECOMMISSIONED

    def _explain(self, tracked: Sequence[_Tracked]) -> None:
        """Give each failure MAAS's latest event; refusals speak for themselves, but the event does no harm."""
        failed = [item for item in tracked if item.outcome.failed]
        events = latest_events(self._client, [item.machine for item in failed]) if failed else {}
        for item in failed:
            item.outcome.event = events[item.machine.system_id]

    def _report(self, tracked: Sequence[_Tracked], pending: Sequence[_Tracked], elapsed: float) -> None:
        self._progress(
            Progress(
                statuses=Counter(item.machine.status_name for item in pending),
                settled=len(tracked) - len(pending),
                failed=sum(item.outcome.failed for item in tracked),
                total=len(tracked),
                elapsed=elapsed,
                timeout=self._pace.timeout,
            )
        )


def _final(doubt: MaasError | None) -> bool:
    """True where the next reading tells what became of a request: MAAS gave it up, or never got it."""
    return isinstance(doubt, ServerError | Unavailable) or (isinstance(doubt, Unreachable) and not doubt.sent)
