# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a node whatever happens to it on the way; documented in plugins/modules/node_health.py."""

from __future__ import annotations

import contextlib
import json
import signal
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ..module_utils.agent.results import Now, Stale, in_place_of_a_pass
from ..module_utils.catalog.checks import expected_checks, finding
from ..module_utils.catalog.health.agent import CHECKS as AGENT_CHECKS
from ..module_utils.findings import Finding, Verdict, worst
from ..module_utils.judge.agent import fingerprint
from ..module_utils.judge.node import asked_of, health_of
from ..module_utils.lifecycle.ledger_options import readings_to_dict
from ..module_utils.lifecycle.parts import parts_of
from ..module_utils.lifecycle.run import RunDirectory

_SPEC = {
    "node_class": {"type": "dict", "required": True},
    "nvml_path": {"type": "list", "elements": "path", "default": []},
    "deadline": {"type": "float", "default": 20},
    "timeout": {"type": "float", "default": 120},
    "history_path": {"type": "path", "default": "/var/lib/firstlight/health/counters.json"},
    "phase": {"type": "str", "default": "validate"},
    "source": {"type": "str", "choices": ["node", "agent"], "default": "node"},
    "max_age": {"type": "float", "default": 4500},
    "kernel_log_templates": {"type": "bool", "default": False},
}
_MESSAGE_LIMIT = 600


class _OutOfTime(BaseException):
    """The node took too long. No Exception: connections retry after those."""


class ActionModule(ActionBase):
    """Reads the node with node_observation and judges here; turns every way to fail into findings.

    Judges need nothing of the node but what was read. Here they are loaded once for all nodes; there each run would
    carry and compile them, and send back a finding for everything that is well.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, arguments = self.validate_argument_spec(argument_spec=_SPEC)
        node_class: dict[str, t.Any] = arguments["node_class"]
        if not isinstance(node_class.get("hardware"), dict):
            raise AnsibleActionFail(
                f"node_health: node_class: {node_class.get('name')!r} has no hardware. "
                "Remedy: give the content of a node class file; preflight.yml checks those of the inventory."
            )
        read_anew = ""
        if arguments["source"] == "agent":
            try:
                findings, observation = self._of_agent(arguments, variables), None
            except Stale as reason:
                read_anew = _shorten(str(reason))
                self._display.v(f"node_health: {variables['inventory_hostname']} is read anew: {read_anew}")
        if arguments["source"] == "node" or read_anew:
            findings, observation = self._judge(arguments, variables)
        notable = [item.to_dict() for item in findings if item.verdict is not Verdict.PASS]
        result: dict[str, t.Any] = {
            "changed": False,
            "verdict": worst(item.verdict for item in findings).value,
            "passed": len(findings) - len(notable),
            "findings": notable,
            "read_anew": read_anew,
            "parts": readings_to_dict(parts_of(observation or {}, node_class["hardware"].get("gpus"))),
        }
        try:
            run = RunDirectory.current()
        except RuntimeError:
            return {**result, "findings": [item.to_dict() for item in findings], "observation": observation}
        run.record(variables["inventory_hostname"], arguments["phase"], "node_health", findings, observation)
        return result

    def _judge(
        self, arguments: dict[str, t.Any], variables: dict[str, t.Any]
    ) -> tuple[list[Finding], dict[str, t.Any] | None]:
        """All findings about the node, and the observation if one came back."""
        node_class: dict[str, t.Any] = arguments["node_class"]
        expected = expected_checks(node_class)
        timeout: float = arguments["timeout"]
        asked = asked_of(node_class)
        options = {
            **asked,
            "kernel_log_templates": asked["kernel_log_templates"] or arguments["kernel_log_templates"],
            "nvml_path": arguments["nvml_path"],
            "deadline": arguments["deadline"],
            "history_path": arguments["history_path"],
        }
        try:
            with _alarm(timeout):
                returned = self._execute_module(
                    module_name="firstlight.cluster.node_observation", module_args=options, task_vars=variables
                )
        except _OutOfTime:
            return _not_reached(f"the node did not return its health within {timeout:g} s"), None
        except AnsibleConnectionFailure as error:
            return _not_reached(str(error)), None
        except Exception as error:  # a broken probe is unknown, never an error of the play
            return _crashed(expected, f"{type(error).__name__}: {error}"), None
        if returned.get("unreachable"):
            return _not_reached(str(returned.get("msg") or "unreachable")), None
        try:
            observation = dict(json.loads(returned["observation"]))
        except (KeyError, TypeError, ValueError):
            return _crashed(expected, _complaint(returned)), None
        return health_of(observation, node_class), observation

    def _of_agent(self, arguments: dict[str, t.Any], variables: dict[str, t.Any]) -> list[Finding]:
        """What the node's agent found last. Raises Stale where that is not as good as a reading of now."""
        node_class: dict[str, t.Any] = arguments["node_class"]
        expected = expected_checks(node_class)
        # Of itself the agent does not judge whether it runs.
        of_agent = [check.id for check in AGENT_CHECKS if check.id in expected]
        try:
            with _alarm(arguments["timeout"]):
                returned = self._execute_module(module_name="firstlight.cluster.node_agent_info", task_vars=variables)
            content = json.loads(returned["content"])
            observation = content["observation"]
            host = observation["readers"]["host"]["data"]
            now = Now(str(host["boot_id"]), float(host["uptime_seconds"]))
            others = [check for check in expected if check not in of_agent]
            found = in_place_of_a_pass(content["passes"], now, fingerprint(node_class), others, arguments["max_age"])
        except Stale:
            raise
        except (_OutOfTime, Exception) as error:  # whatever it is, the node itself is asked then
            raise Stale(f"{type(error).__name__}: {error}") from error
        return found + health_of(observation, node_class, of_agent)


def _not_reached(reason: str) -> list[Finding]:
    """Of a node that was not reached nothing else is known, and nothing else is claimed."""
    return [finding("host.reachable", "host", Verdict.UNKNOWN, f"not reached: {_shorten(reason)}")]


def _crashed(expected: list[str], reason: str) -> list[Finding]:
    """The node answered, its health module did not: it is reachable, and otherwise unknown."""
    summary = f"the health module failed on the node: {_shorten(reason)}"
    return [
        finding(check, "host", Verdict.PASS, "the node answers")
        if check == "host.reachable"
        else finding(check, "host", Verdict.UNKNOWN, summary)
        for check in expected
    ]


def _complaint(returned: dict[str, t.Any]) -> str:
    """What a failed module left behind: its message, and what its Python printed last."""
    parts = [str(returned[key]) for key in ("msg", "module_stderr", "module_stdout") if returned.get(key)]
    return ": ".join(parts) or "it returned nothing"


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MESSAGE_LIMIT else f"{flat[:_MESSAGE_LIMIT]}…"


@contextlib.contextmanager
def _alarm(seconds: float) -> t.Iterator[None]:
    """Raise _OutOfTime after `seconds`. The task's own `timeout`, if that comes first, stays in force."""

    def ring(_number: int, _frame: t.Any) -> t.NoReturn:
        raise _OutOfTime

    remaining, _interval = signal.getitimer(signal.ITIMER_REAL)
    if remaining and remaining <= seconds:
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        left, _interval = signal.getitimer(signal.ITIMER_REAL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if remaining:
            # What the task's own timer has left, at least a moment: zero would switch it off.
            signal.setitimer(signal.ITIMER_REAL, max(remaining - (seconds - left), 0.001))
