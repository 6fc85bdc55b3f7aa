# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab`: bring the lab up, take it down, look at it, break its machines and mend them."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from lab import faults, inventory, machines, packages, pki, release, seed
from lab import status as lab_status
from lab.bmc.power import State
from lab.clear import clear, exclusive, leftovers
from lab.engine import Engine
from lab.errors import LabError
from lab.fabric import FabricError
from lab.fault_kinds import KINDS
from lab.image.build import BuildError
from lab.site import Lab
from lab.up import up
from lab.vm import machine as vm


class _Stopped(BaseException):
    """SIGINT or SIGTERM."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused or failed (the message says what to do), 130 stopped by a signal."""
    chosen = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        return int(chosen.run(Lab.from_environment(), chosen) or 0)
    except (LabError, BuildError, FabricError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"lab: {error.filename} is root's, as all of a lab is: run it with sudo", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _Stopped:
        print("lab: stopped", file=sys.stderr)
        return 130


def _stop(number: int, frame: FrameType | None) -> None:
    # Once is enough; what ends the command must not be interrupted in its turn.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise _Stopped


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("packages", help="install the host's packages that a lab needs")
    command.add_argument("lists", nargs="*", type=Path, metavar="FILE", help="a file that names further packages")
    command.set_defaults(run=_packages)
    command = commands.add_parser(
        "up",
        help="make the lab; its nodes stay powered off, known to MAAS",
        epilog=f"{release.VARIABLE} names what its machines run: {' or '.join(release.RELEASES)}; unset, the first.",
    )
    command.add_argument("--bare", action="store_true", help="leave MAAS without them: provision enrols them")
    command.set_defaults(run=_up)
    command = commands.add_parser("down", help="take everything of the lab away")
    command.set_defaults(run=_down)

    command = commands.add_parser("status", help="machines, their power and faults, and the lab's processes")
    command.add_argument("--json", action="store_true", help="as lab/status.schema.json describes it")
    command.set_defaults(run=_status)

    command = commands.add_parser(
        "fault", help="put a fault into a node or into the lab's MAAS (`maas`), or --list the kinds"
    )
    command.add_argument("node", nargs="?", metavar="NODE")
    command.add_argument("kind", nargs="?", metavar="KIND")
    command.add_argument("--list", action="store_true", help="show every kind of fault")
    command.add_argument("--json", action="store_true", help="with --list: as JSON")
    kinds = [*faults.kinds(), *faults.region_kinds()]
    for name in sorted({name for kind in kinds for name in kind["parameters"]}):
        takers = ", ".join(kind["kind"] for kind in kinds if name in kind["parameters"])
        command.add_argument(f"--{name}", type=int, metavar="N", help=f"for {takers}")
    command.set_defaults(run=_fault)

    command = commands.add_parser("heal", help="take every fault out of a node or out of the lab's MAAS (`maas`)")
    command.add_argument("node", metavar="NODE")
    command.set_defaults(run=_heal)

    command = commands.add_parser("swap", help="exchange a GPU of a node for another part, which has no fault")
    command.add_argument("node", metavar="NODE")
    command.add_argument("--gpu", type=int, required=True, metavar="N", help="which one")
    command.set_defaults(run=_swap)

    command = commands.add_parser("vm", help=f"the virtual machine {vm.NAME} of a lab that is up")
    command.add_argument("action", choices=["up", "down"], help="have it run; take it and its disks away")
    command.set_defaults(run=_vm)

    command = commands.add_parser("ssh", help="log in to a machine, or run a command there")
    command.add_argument("node", metavar="NODE")
    command.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD")
    command.set_defaults(run=_ssh)

    command = commands.add_parser(
        "logs", help="show the log of a part or the console of a machine; without one, list them"
    )
    command.add_argument("part", nargs="?", metavar="PART")
    command.set_defaults(run=_logs)
    return parser


def _packages(lab: Lab, chosen: argparse.Namespace) -> None:
    added = packages.install(*chosen.lists)
    print(f"host packages: {'installed ' + ', '.join(added) if added else 'all there'}")


def _up(lab: Lab, chosen: argparse.Namespace) -> None:
    try:
        up(lab, lambda text: print(f"lab {lab.name}: {text}", flush=True), bare=chosen.bare)
    except (_Stopped, LabError, BuildError, FabricError):
        if not lab.description.exists():
            left = leftovers(lab)
            if left:
                shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
                print(f"lab: left behind: {shown}; `python -m lab down` clears it, `up` would too", file=sys.stderr)
        raise
    print(f"lab {lab.name}: up; {lab.description} says where everything is")
    if (own := inventory.place(lab)).is_dir():
        print(f"lab {lab.name}: its inventory is its own: `ansible-playbook --inventory {own} site.yml`")


def _down(lab: Lab, chosen: argparse.Namespace) -> None:
    if os.geteuid() != 0:
        raise LabError("`python -m lab down` needs root, as `python -m lab up` did: run it with sudo")
    with exclusive(lab):
        clear(lab)
    print(f"lab {lab.name}: down, nothing is left of it")


def _status(lab: Lab, chosen: argparse.Namespace) -> None:
    status = lab_status.read(lab)
    print(json.dumps(status, indent=1) if chosen.json else lab_status.table(status))


def _fault(lab: Lab, chosen: argparse.Namespace) -> None:
    if chosen.list:
        if chosen.json:
            print(json.dumps(faults.kinds(), indent=1))
        else:
            for kind in faults.kinds():
                takes = " ".join(f"[--{name} {default}]" for name, default in kind["parameters"].items())
                print(f"{kind['kind'] + ' ' + takes:<28} {kind['check']:<22} {kind['summary']}")
            print("\nof the lab's MAAS (`lab fault maas KIND`):")
            for kind in faults.region_kinds():
                takes = " ".join(f"[--{name} {default}]" for name, default in kind["parameters"].items())
                print(f"{kind['kind']:<16} {kind['summary']} {takes}".rstrip())
        return
    if not chosen.node or not chosen.kind:
        raise LabError(
            f"which node, and which fault of {', '.join(KINDS)}? (`lab fault NODE KIND`, `lab fault --list`)"
        )
    names = {name for kind in (*faults.kinds(), *faults.region_kinds()) for name in kind["parameters"]}
    given = {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}
    used = faults.inject(lab, chosen.node, chosen.kind, given)
    values = "".join(f" {name}={value}" for name, value in used.items())
    print(f"{chosen.node}: {chosen.kind}{values}; `python -m lab heal {chosen.node}` takes it out again")


def _heal(lab: Lab, chosen: argparse.Namespace) -> None:
    healed = faults.heal(lab, chosen.node)
    print(f"{chosen.node}: healed of {', '.join(healed)}" if healed else f"{chosen.node}: had no fault")


def _swap(lab: Lab, chosen: argparse.Namespace) -> None:
    before, after = faults.swap_gpu(lab, chosen.node, chosen.gpu)
    print(f"{chosen.node}: GPU {chosen.gpu} with serial number {before} was exchanged for {after}")


def _vm(lab: Lab, chosen: argparse.Namespace) -> None:
    if os.geteuid() != 0:
        raise LabError(f"`python -m lab vm {chosen.action}` needs root, as `python -m lab up` did: run it with sudo")
    if chosen.action == "up":
        vm.up(lab, lambda text: print(f"lab {lab.name}: {text}", flush=True))
        print(f"lab {lab.name}: {vm.NAME} is up; {vm.description_file(lab)} says what it has")
    else:
        vm.down(lab)
        print(f"lab {lab.name}: {vm.NAME} is gone")


def _ssh(lab: Lab, chosen: argparse.Namespace) -> None:
    address = _address(lab, chosen.node)
    keys = pki.SshKeys(lab.directory)
    options = {
        "IdentityFile": keys.private_key_file,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": keys.known_hosts_file,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": chosen.node,
        "ConnectTimeout": 10,
        "LogLevel": "ERROR",
    }
    settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    destination = f"{seed.LOGIN_USER}@{address}"
    command = chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command
    sys.stdout.flush()
    os.execvp("ssh", ["ssh", "-F", "/dev/null", *settings, destination, *command])


def _address(lab: Lab, name: str) -> str:
    """Of a machine that can be logged in to."""
    virtual = vm.describe(lab)
    if name == vm.NAME and virtual:
        return str(virtual["address"])
    machine = machines.load(lab.directory).machine(name)
    stage = State.read(lab.directory / "bmc" / f"{machine.name}.json").stage
    if stage != "running":
        raise LabError(f"{machine.name} runs no system now (it is {stage}); `python -m lab status` shows all machines")
    return machine.address


def _logs(lab: Lab, chosen: argparse.Namespace) -> None:
    directory = lab.directory / "log"
    names = sorted(path.name for path in directory.glob("*")) if directory.is_dir() else []
    if not names:
        raise LabError(f"no logs in {directory}: there is no lab {lab.name!r}; `python -m lab up` makes one")
    site = machines.load(lab.directory)
    if chosen.part is None:
        print("\n".join([*names, *(f"{name} (console)" for name in site.machines)]))
    elif chosen.part in site.machines:
        print(Engine(lab).console(chosen.part), end="")
    else:
        wanted = next((name for name in (chosen.part, f"{chosen.part}.log") if name in names), None)
        if wanted is None:
            raise LabError(f"no log {chosen.part!r}; there are: {', '.join([*names, *site.machines])}")
        print((directory / wanted).read_text(errors="replace"), end="")


if __name__ == "__main__":
    sys.exit(main())
