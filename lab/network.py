# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: a bridge on the host, a network namespace and a cable for each machine.

Nothing is routed or translated: machines reach one another, the BMCs and the lab's servers on the
host's address of the bridge, and nothing else.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.machines import Machine, Network, Site
from lab.site import Lab

POOL = ipaddress.IPv4Network("198.18.0.0/15")
# That of every cable and of the bridge, as the kernel makes them.
MTU = 1500
NETNS_DIRECTORY = Path("/run/netns")


def namespace(lab: Lab, machine: str) -> str:
    """Name of the network namespace of `machine`."""
    return f"firstlight-{lab.tag}-{machine}"


def port(lab: Lab, machine: Machine) -> str:
    """Name of the host's end of the cable of `machine`; a link name has at most 15 characters."""
    return f"fl{lab.tag}-{machine.address.rpartition('.')[2]}"


def plan(lab: Lab) -> Network:
    """A /24 that no link of the host uses; the same lab gets the same one as long as it stays free.

    :raises LabError: every one of them is in use.
    """
    taken = [
        ipaddress.IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
        for link in _show("address")
        for address in link["addr_info"]
        if address["family"] == "inet"
    ]
    subnets = list(POOL.subnets(new_prefix=24))
    first = int(lab.tag, 16) % len(subnets)
    for subnet in subnets[first:] + subnets[:first]:
        if not any(subnet.overlaps(other) for other in taken):
            return Network(str(subnet), str(subnet[1]), f"fl{lab.tag}")
    raise LabError(f"the host uses every network of {POOL}; remove labs that are not needed (`python -m lab down`)")


def create(lab: Lab, site: Site) -> None:
    """Bridge, BMC addresses, namespaces and cables of `site`."""
    network = site.network
    bits = network.prefix_length
    if not NETNS_DIRECTORY.is_mount():
        _mounted_file(lab).touch()
    _ip("link", "add", network.bridge, "type", "bridge")
    _mark(lab, network.bridge)
    _ip("address", "add", f"{network.gateway}/{bits}", "dev", network.bridge)
    for machine in site.machines.values():
        _ip("address", "add", f"{machine.bmc.address}/{bits}", "dev", network.bridge)
    _ip("link", "set", network.bridge, "up")
    for machine in site.machines.values():
        _cable(lab, network, machine)


def _cable(lab: Lab, network: Network, machine: Machine) -> None:
    inside, outside = namespace(lab, machine.name), port(lab, machine)
    _ip("netns", "add", inside)
    _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "address", machine.mac, "netns", inside)
    _mark(lab, outside)
    _ip("link", "set", outside, "master", network.bridge, "up")
    _ip("-n", inside, "link", "set", "lo", "up")
    _ip("-n", inside, "address", "add", f"{machine.address}/{network.prefix_length}", "dev", "eth0")
    _ip("-n", inside, "link", "set", "eth0", "up")
    _ip("-n", inside, "route", "add", "default", "via", network.gateway)


def tap(lab: Lab, number: int) -> str:
    """Name of the host's end of the cable of the virtual machine with the address `number`."""
    return f"fl{lab.tag}-{number}"


def add_tap(lab: Lab, network: Network, number: int) -> None:
    """A cable for a virtual machine, whose other end its emulator takes."""
    name = tap(lab, number)
    _ip("tuntap", "add", "dev", name, "mode", "tap")
    _mark(lab, name)
    _ip("link", "set", name, "master", network.bridge, "up")


def remove_tap(lab: Lab, number: int) -> None:
    """Take that cable away; nothing happens where there is none."""
    if tap(lab, number) in _links(lab):
        _ip("link", "delete", tap(lab, number))


def unplug(lab: Lab, machine: Machine) -> None:
    """Take the cable out of the switch."""
    _ip("link", "set", port(lab, machine), "down")


def plug(lab: Lab, machine: Machine) -> None:
    """Put the cable back; nothing changes where it was in."""
    _ip("link", "set", port(lab, machine), "up")


def slow_down(lab: Lab, machine: Machine, megabits: int) -> None:
    """Let the machine send at no more than `megabits` per second."""
    shape = ["root", "tbf", "rate", f"{megabits}mbit", "burst", "32k", "latency", "50ms"]
    _run(["ip", "netns", "exec", namespace(lab, machine.name), "tc", "qdisc", "replace", "dev", "eth0", *shape])


def full_speed(lab: Lab, machine: Machine) -> None:
    """Undo `slow_down`."""
    inside = ["ip", "netns", "exec", namespace(lab, machine.name), "tc", "qdisc"]
    if " tbf " in _run([*inside, "show", "dev", "eth0"]):
        _run([*inside, "delete", "dev", "eth0", "root"])


def set_mtu(lab: Lab, machine: Machine, mtu: int) -> None:
    """Of the machine's own end of the cable."""
    _ip("-n", namespace(lab, machine.name), "link", "set", "eth0", "mtu", str(mtu))


def leftovers(lab: Lab) -> list[str]:
    """Names of links and namespaces of this lab, as a person would look for them."""
    return [*_links(lab), *(f"netns {name}" for name in _namespaces(lab))]


def remove(lab: Lab) -> None:
    """Take away what `create` made, also when it was interrupted; absent things are no error."""
    for name in _namespaces(lab):
        _ip("netns", "delete", name)
    for name in _links(lab):
        # The end outside vanishes with a namespace, some time after `ip netns delete` has returned.
        subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)
    if _mounted_file(lab).exists() and NETNS_DIRECTORY.is_mount() and not any(NETNS_DIRECTORY.iterdir()):
        _run(["umount", str(NETNS_DIRECTORY)])
        NETNS_DIRECTORY.rmdir()


def _mounted_file(lab: Lab) -> Path:
    """Says that this lab's first `ip netns add` was the host's: it makes a mount of its directory."""
    return lab.directory / "mounted-netns"


def _mark(lab: Lab, link: str) -> None:
    _ip("link", "set", link, "alias", f"firstlight {lab.marker}")


def _links(lab: Lab) -> list[str]:
    """Links named and marked as this lab's, or named so and not yet marked (a killed `python -m lab up`)."""
    return [
        link["ifname"]
        for link in _show("link")
        if link["ifname"].partition("-")[0] == f"fl{lab.tag}"
        and link.get("ifalias", f"firstlight {lab.marker}") == f"firstlight {lab.marker}"
    ]


def _namespaces(lab: Lab) -> Iterable[str]:
    if not NETNS_DIRECTORY.is_dir():
        return []
    return sorted(path.name for path in NETNS_DIRECTORY.glob(f"firstlight-{lab.tag}-*"))


def _show(what: str) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(_run(["ip", "-json", "-details", what, "show"]) or "[]")
    return [entry for entry in shown if entry]


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: list[str]) -> str:
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        raise LabError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
    return result.stdout
