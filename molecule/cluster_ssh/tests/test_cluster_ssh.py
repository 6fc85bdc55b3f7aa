# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role cluster_ssh on a head node, which keeps the key, and two nodes."""

from __future__ import annotations

import itertools

import pytest
from shared.machine import Machine
from shared.scenario import Scenario

HOME = "/home/cluster"
IMPOSTOR = "Port 2222\nHostKey /run/impostor/key\nPidFile /run/impostor/pid\nUsePAM yes\n"
FILES = {"id_ed25519": 0o600, "authorized_keys": 0o600, "known_hosts": 0o644, "config": 0o644}


def as_user(command: str) -> str:
    return f"runuser --login cluster --command '{command}'"


def test_the_user_is_the_same_everywhere_and_has_no_password(machines: dict[str, Machine]) -> None:
    for machine in machines.values():
        user = machine.host.user("cluster")
        assert (user.uid, user.home, user.shell) == (1999, HOME, "/bin/bash")
        assert str(user.password).startswith(("!", "*"))
        directory = machine.host.file(f"{HOME}/.ssh")
        assert (directory.user, directory.group, directory.mode) == ("cluster", "cluster", 0o700)
        for name, mode in FILES.items():
            file = machine.host.file(f"{HOME}/.ssh/{name}")
            assert (file.user, file.group, file.mode) == ("cluster", "cluster", mode), name


def test_everybody_reaches_everybody_without_being_asked(machines: dict[str, Machine]) -> None:
    for here, there in itertools.product(machines, repeat=2):
        assert machines[here].run(as_user(f"ssh {there} hostname; whoami")).split() == [there, "cluster"]


def test_one_key_for_the_cluster_and_only_that_is_let_in(machines: dict[str, Machine]) -> None:
    keys = {machine.run(as_user("ssh-keygen -y -f .ssh/id_ed25519")).rsplit(" ", 1)[0] for machine in machines.values()}
    assert len(keys) == 1
    for machine in machines.values():
        assert machine.read(f"{HOME}/.ssh/authorized_keys").startswith(keys.copy().pop())
        assert len(machine.read(f"{HOME}/.ssh/authorized_keys").splitlines()) == 1
    assert machines["head01"].run(f"ls {HOME}/.ssh").split() == sorted(FILES)


def test_a_host_that_the_authority_does_not_vouch_for_is_refused(machines: dict[str, Machine]) -> None:
    """An impostor: the same machine and user, a host key of its own making."""
    impostor = machines["node02"]
    impostor.run("mkdir /run/impostor && ssh-keygen -q -t ed25519 -N '' -f /run/impostor/key")
    impostor.write("/run/impostor/config", IMPOSTOR)
    impostor.run("/usr/sbin/sshd -f /run/impostor/config")
    try:
        refused = machines["node01"].host.run(as_user("ssh -p 2222 node02 true || exit 7"))
        assert refused.rc == 7 and "Host key verification failed" in refused.stderr
        # Nothing but the key was in the way.
        unchecked = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        machines["node01"].run(as_user(f"ssh {unchecked} -p 2222 node02 true"))
    finally:
        impostor.run("kill $(cat /run/impostor/pid) && rm -r /run/impostor")


def test_drift_is_repaired_and_nothing_else_is_touched(machines: dict[str, Machine], scenario: Scenario) -> None:
    before = {name: machine.state() for name, machine in machines.items()}
    machines["node01"].run(
        f"echo ssh-ed25519 AAAA intruder >> {HOME}/.ssh/authorized_keys"
        f" && rm {HOME}/.ssh/known_hosts"
        " && usermod --shell /bin/sh cluster"
    )
    machines["node02"].run(
        f"ssh-keygen -q -t ed25519 -N '' -f {HOME}/.ssh/other && mv {HOME}/.ssh/other {HOME}/.ssh/id_ed25519"
        f" && rm {HOME}/.ssh/other.pub"
        f" && chmod 755 {HOME}/.ssh && sed -i s/BatchMode/#/ {HOME}/.ssh/config"
    )
    drifted = {name: machine.state() for name, machine in machines.items()}

    run = scenario.converge()

    after = {name: machine.state() for name, machine in machines.items()}
    assert run.returncode == 0, run.tail
    # usermod keeps a copy of the file before the last change.
    for name in machines:
        assert after[name].differences(before[name], without=["file /etc/passwd-"]) == set()
    touched = {name: after[name].touched_since(drifted[name], without=["file /etc/passwd-"]) for name in machines}
    assert touched == {
        "head01": set(),
        "node01": {f"file {HOME}/.ssh/authorized_keys", f"file {HOME}/.ssh/known_hosts", "file /etc/passwd"},
        "node02": {f"file {HOME}/.ssh", f"file {HOME}/.ssh/config", f"file {HOME}/.ssh/id_ed25519"},
    }
    again = scenario.converge()
    assert (again.returncode, again.changes) == (0, []), again.tail


@pytest.mark.parametrize(
    "authorities",
    [
        [],
        pytest.param(["/etc/ssh/host_ca.pub"], marks=pytest.mark.long),
        pytest.param(["-----BEGIN OPENSSH PRIVATE KEY-----"], marks=pytest.mark.long),
    ],
)
def test_what_is_no_key_of_an_authority_is_refused(
    machines: dict[str, Machine], scenario: Scenario, authorities: list[str]
) -> None:
    before = {name: machine.state() for name, machine in machines.items()}

    run = scenario.converge(variables={"cluster_ssh_host_authorities": authorities})

    assert run.returncode != 0
    assert "cluster_ssh_host_authorities takes public keys" in run.messages, run.tail
    assert "Correct the inventory" in run.messages
    for name, machine in machines.items():
        assert machine.state().touched_since(before[name]) == set()
