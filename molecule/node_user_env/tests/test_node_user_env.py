# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role node_user_env on a node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shared.machine import Machine
from shared.scenario import Scenario

PROFILE = "/etc/profile.d/90-firstlight.sh"
TOOLS = "/opt/firstlight/tools/bin"


@pytest.fixture
def tools(machine: Machine) -> Iterator[str]:
    """A folder of programs that is there."""
    machine.run(f"mkdir -p {TOOLS}")
    yield TOOLS
    machine.run("rm -r /opt/firstlight/tools")


def session(machine: Machine, command: str) -> str:
    """What a user's log-in shell prints."""
    return machine.run("su --login debian --command %s", command)


def test_sessions_begin_with_the_environment(machine: Machine) -> None:
    assert session(machine, "echo $OMP_NUM_THREADS") == "12"
    # To the letter, and to programs.
    assert session(machine, "env | grep ^FIRSTLIGHT_NOTE=") == 'FIRSTLIGHT_NOTE=it\'s "so" `id` \\'
    assert machine.host.file(PROFILE).mode == 0o644


def test_what_a_user_has_set_stays(machine: Machine) -> None:
    assert machine.run(f"OMP_NUM_THREADS=3 sh -c '. {PROFILE}; echo $OMP_NUM_THREADS'") == "3"
    assert machine.run(f"OMP_NUM_THREADS= sh -c '. {PROFILE}; echo $OMP_NUM_THREADS'") == ""


def test_folders_come_first_once_and_where_they_are_there(machine: Machine, tools: str) -> None:
    path = session(machine, f". {PROFILE}; echo $PATH").split(":")
    assert path[0] == tools and path.count(tools) == 1
    assert "/opt/firstlight/none/bin" not in path
    assert "/usr/bin" in path


def test_the_shell_of_a_script_that_minds_errors_reads_it(machine: Machine) -> None:
    assert machine.run(f"sh -euc '. {PROFILE}; echo well'") == "well"


def test_drift_is_repaired_and_nothing_else_is_touched(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()
    machine.run(f"echo export OMP_NUM_THREADS=96 >> {PROFILE} && chmod 600 {PROFILE}")
    drifted = machine.state()

    run = scenario.converge()

    after = machine.state()
    assert run.returncode == 0, run.tail
    assert after.differences(before) == set()
    assert after.touched_since(drifted) == {f"file {PROFILE}"}
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"node_user_env_environment": {"NCCL_DEBUG": "INFO"}},
            "NCCL_DEBUG is a setting of NCCL: write it into nccl_env",
        ),
        pytest.param(
            {"node_user_env_environment": {"A-B": 1}}, "A-B is no name that a shell takes", marks=pytest.mark.long
        ),
        pytest.param(
            {"node_user_env_environment": {"USE_IT": True}}, "USE_IT is no text and no number", marks=pytest.mark.long
        ),
        pytest.param({"node_user_env_paths": ["bin"]}, "bin is no absolute path", marks=pytest.mark.long),
    ],
)
def test_what_no_session_could_begin_with_is_refused(
    machine: Machine, scenario: Scenario, variables: dict[str, object], words: str
) -> None:
    before = machine.state()

    run = scenario.converge(variables=variables)

    assert run.returncode != 0
    assert words in run.messages, run.tail
    assert machine.state().touched_since(before) == set()


def test_a_session_with_too_low_limits_is_a_failure(machine: Machine, scenario: Scenario) -> None:
    before = machine.state()

    run = scenario.converge(variables={"node_user_env_limits": {"nofile": 1 << 40}})

    assert run.returncode != 0
    have = machine.run("runuser --user nobody -- sh -c 'ulimit -n'")
    assert f"a session of nobody has nofile {have}, wanted is {1 << 40}" in run.messages, run.tail
    assert "Correct base_os_limits" in run.messages
    assert machine.state().touched_since(before) == set()
