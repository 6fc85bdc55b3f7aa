# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's InfiniBand fabric: ibsim, a real OpenSM, and what each machine sees of it.

`labdir` is the lab's state directory with `machines.json` in it. Ports are named as a person would:
`node02/mlx5_3` for an HCA, `leaf-01/33` for a switch port. Every function that changes something
returns when OpenSM has swept the fabric again and every machine's sysfs tree shows the result.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab import files
from lab.fabric import links
from lab.fabric.links import COUNTERS, FabricState
from lab.fabric.simulator import PORT, SUBNET_UP_SECONDS, FabricError, Simulator, missing_tools, server_address
from lab.fabric.sysfs import Tree
from lab.fabric.topology import SM_HOST, End, Hca, Topology, small

__all__ = [
    "FabricError",
    "cable_remove",
    "cable_restore",
    "cable_swap",
    "degrade",
    "hca_down",
    "hca_up",
    "missing_tools",
    "refresh",
    "restore",
    "set_counter",
    "start",
    "stop",
]

_ONE_LANE, _EVERY_LANE = 1, 3  # PortInfo:LinkWidthEnabled: 1X alone; 1X or 4X


def start(labdir: Path | str, machines: Mapping[str, Any]) -> None:
    """Starts the fabric of `machines` (the content of machines.json) and writes every machine's view of it.

    Does nothing but a refresh where the fabric runs already. Raises FabricError.
    """
    lab = _Lab(Path(labdir), machines)
    with lab.simulator.lock():
        if not lab.simulator.running():
            lab.simulator.start(lab.topology, machines)
            try:
                lab.simulator.wait_for_sweep()
            except FabricError:
                lab.simulator.stop()
                raise
        for name in lab.nodes():
            lab.write_environment(name)
        lab.refresh()


def stop(labdir: Path | str) -> None:
    """Ends the fabric; the machines keep the sysfs trees that were last written. Fine when nothing runs."""
    simulator = Simulator(Path(labdir))
    with simulator.lock():
        simulator.stop()


def refresh(labdir: Path | str) -> None:
    """Reads the fabric and writes every machine's sysfs tree from what was read."""
    lab = _Lab(Path(labdir))
    with lab.simulator.lock():
        lab.refresh()


def hca_down(labdir: Path | str, node: str, index: int) -> None:
    """Takes the link of HCA `index` of `node` down; link_downed counts one more."""
    cable_remove(labdir, f"{node}/mlx5_{index}")


def hca_up(labdir: Path | str, node: str, index: int) -> None:
    """Brings it up again, at its full width."""
    lab = _Lab(Path(labdir))
    with lab.changing():
        lab.connect((lab.hca(node, index).name, 1))
        lab.set_width(lab.hca(node, index), _EVERY_LANE)


def degrade(labdir: Path | str, node: str, index: int) -> None:
    """Lets the link of HCA `index` of `node` run on one lane of its four, until hca_up or restore."""
    lab = _Lab(Path(labdir))
    with lab.changing():
        lab.set_width(lab.hca(node, index), _ONE_LANE)


def cable_remove(labdir: Path | str, port: str) -> None:
    """Pulls the cable out of `port`; nothing happens where there is none."""
    lab = _Lab(Path(labdir))
    end = lab.end(port)
    with lab.changing():
        lab.disconnect(end)


def cable_restore(labdir: Path | str, port: str) -> None:
    """Makes the cable of `port` go where the wiring wants it, whatever is plugged in there now."""
    lab = _Lab(Path(labdir))
    end = lab.end(port)
    with lab.changing():
        lab.connect(end)


def cable_swap(labdir: Path | str, port: str, other: str) -> None:
    """Exchanges the far ends of the two cables plugged into `port` and `other`."""
    lab = _Lab(Path(labdir))
    ends = lab.end(port), lab.end(other)
    with lab.changing():
        peers = []
        for end in ends:
            link = lab.now.links.get(end)
            if link is None:
                raise FabricError(f"no live cable in {_text(end)}: restore it before it is swapped")
            peers.append(link.peer)
        for end in ends:
            lab.disconnect(end)
        lab.link(ends[0], peers[1])
        lab.link(ends[1], peers[0])


def restore(labdir: Path | str, *nodes: str) -> None:
    """Undoes every fault of `nodes`: cables where they belong, full width, error counters at zero."""
    lab = _Lab(Path(labdir))
    with lab.changing():
        for hca in (hca for node in nodes for hca in lab.topology.hcas_of(node)):
            link = lab.now.links.get((hca.name, 1))
            lab.connect((hca.name, 1))
            if link is None or link.width < 4:
                lab.set_width(hca, _EVERY_LANE)
            lab.set_counters(hca, {name: 0 for name in lab.now.counters.get(hca.name, {}) if name in COUNTERS})


def set_counter(labdir: Path | str, node: str, index: int, counter: str, value: int) -> None:
    """Sets an error counter (a name of `links.COUNTERS`) of HCA `index` of `node`."""
    if counter not in COUNTERS:
        raise FabricError(f"no counter {counter!r}: one of {', '.join(COUNTERS)}")
    lab = _Lab(Path(labdir))
    with lab.changing():
        lab.set_counters(lab.hca(node, index), {counter: value})


def _text(end: End) -> str:
    """`end` as a person names it."""
    node, _, device = end[0].partition(" ")
    return f"{node}/{device or end[1]}"


def _machines(labdir: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] | None = files.read_json(labdir / "machines.json")
    if content is None:
        raise FabricError(f"no lab in {labdir}: `python -m lab up` makes one")
    return content


class _Lab:
    """One lab's wiring, simulator and machine directories."""

    def __init__(self, labdir: Path, machines: Mapping[str, Any] | None = None) -> None:
        self.labdir = labdir.resolve()
        self.machines = machines if machines is not None else _machines(labdir)
        self.topology: Topology = small(self.machines["machines"])
        self.simulator = Simulator(labdir, server_address(self.machines))
        self.now = FabricState()

    def nodes(self) -> list[str]:
        return sorted({hca.node for hca in self.topology.hcas.values()} - {SM_HOST})

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Holds the lab's lock round a change, with the state before it in `now`; sweeps and refreshes after it."""
        with self.simulator.lock():
            self.now = self.read()
            yield
            self.simulator.resweep()
            self.refresh()

    # -- names --------------------------------------------------------------------------------

    def hca(self, node: str, index: int) -> Hca:
        try:
            return self.topology.hcas[f"{node} mlx5_{index}"]
        except KeyError:
            raise FabricError(f"{node} has no mlx5_{index} in the lab's fabric") from None

    def end(self, port: str) -> End:
        name, _, rest = port.partition("/")
        if f"{name} {rest}" in self.topology.hcas:
            return f"{name} {rest}", 1
        if name in self.topology.switches and rest.isdigit() and (name, int(rest)) in self.topology.peer:
            return name, int(rest)
        raise FabricError(f"no cabled port {port!r} in the lab's fabric: write node02/mlx5_3 or leaf-01/33")

    # -- reading and showing ------------------------------------------------------------------

    def read(self) -> FabricState:
        return links.read(self.simulator, self.topology)

    def refresh(self) -> None:
        state = self._settled()
        trees = {node: Tree(self.labdir / "machines" / node) for node in self.nodes()}
        for node, tree in trees.items():
            for hca in self.topology.hcas_of(node):
                if tree.shows_active(hca) and (hca.name, 1) not in state.links:
                    # ibsim does not count what real ports count: a link that was active and is gone.
                    counters = dict(state.counters.get(hca.name, {}))
                    counters["LinkDownedCounter"] = counters.get("LinkDownedCounter", 0) + 1
                    self.set_counters(hca, {"LinkDownedCounter": counters["LinkDownedCounter"]})
                    state.counters[hca.name] = counters
            tree.write(self.topology.hcas_of(node), state)

    def _settled(self) -> FabricState:
        end = time.monotonic() + SUBNET_UP_SECONDS
        state = self.read()
        while not state.settled():
            if time.monotonic() > end:
                raise FabricError(f"links are still not active after {SUBNET_UP_SECONDS:.0f} s: see opensm.log")
            self.simulator.resweep()
            state = self.read()
        return state

    def write_environment(self, node: str) -> None:
        names = ";".join(hca.name for hca in self.topology.hcas_of(node))
        directory = self.labdir / "machines" / node
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "fabric.lock").touch()
        files.write_text(
            directory / "fabric.env",
            f"IBSIM_SERVER_NAME={server_address(self.machines)}\n"
            f"IBSIM_SERVER_PORT={PORT}\n"
            f'SIM_HOST="{names.partition(";")[0]}"\n'
            f'SIM_HCAS="{names}"\n',
        )

    # -- changing (under the lock) ------------------------------------------------------------

    def disconnect(self, end: End) -> None:
        link = self.now.links.pop(end, None)
        if link is not None:
            self.now.links.pop(link.peer, None)
            self.simulator.tell(f"Unlink {_port(end)}")

    def connect(self, end: End) -> None:
        wanted = self.topology.peer[end]
        link = self.now.links.get(end)
        if link is not None and link.peer == wanted:
            return
        in_the_way = self.now.links.get(wanted)
        self.disconnect(end)
        self.disconnect(wanted)
        self.link(end, wanted)
        if link is not None and in_the_way is not None and self.topology.peer.get(in_the_way.peer) == link.peer:
            self.link(in_the_way.peer, link.peer)  # the two cables had been exchanged

    def link(self, end: End, peer: End) -> None:
        self.simulator.tell(f"Link {_port(end)} {_port(peer)}")

    def set_width(self, hca: Hca, width: int) -> None:
        """At both ends: OpenSM's next sweep would set the pair to the wider of the two."""
        far = self.topology.peer[hca.name, 1][1]
        for route, port in (("0,1", far), ("0", 1)):
            self.simulator.diagnose(["ibportstate", "-D", route, str(port), "width", str(width)], at=hca.name)

    def set_counters(self, hca: Hca, values: Mapping[str, int]) -> None:
        port = _port((hca.name, 1))
        if values:
            self.simulator.tell(
                *(f"PerformanceSet {port} PortCounters.{name}={value}" for name, value in values.items())
            )


def _port(end: End) -> str:
    return f'"{end[0]}"[{end[1]}]'
