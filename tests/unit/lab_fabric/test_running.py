# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric for real: ibsim, OpenSM and the diagnostics in a namespace behind a bridge of this test's own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.compare import compare
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.netlist import parse
from ansible_collections.firstlight.cluster.plugins.module_utils.fabric.plan_file import load

import lab.fabric as fabric
from lab.fabric.simulator import FabricError, Simulator
from lab.fabric.topology import small
from lab.site import Lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
    pytest.mark.skipif(bool(fabric.missing_tools()), reason=f"not installed: {', '.join(fabric.missing_tools())}"),
]
TOOL = Path(fabric.__file__).with_name("node_tool")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def labdir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    clone = tmp_path_factory.mktemp("clone")
    directory = clone / ".lab" / "fabrictest"
    directory.mkdir(parents=True)
    tag = Lab.at(directory).tag
    bridge, node, network = f"flt{tag}", f"firstlight-test-{tag}", f"198.19.{int(tag[:2], 16)}"
    nodes = {f"node{i:02}": {"serial": f"FL0000N{i:02}", "hcas": 8} for i in range(1, 5)}
    machines = {
        "network": {"cidr": f"{network}.0/24", "gateway": f"{network}.1", "bridge": bridge},
        "machines": {"head01": {"serial": "FL0000H01", "hcas": 0}, **nodes},
    }
    (directory / "machines.json").write_text(json.dumps(machines))
    (directory / "node-namespace").write_text(node)
    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("link", "set", bridge, "up")
        ip("netns", "add", node)
        ip("link", "add", f"flu{tag}", "type", "veth", "peer", "name", "eth0", "netns", node)
        ip("link", "set", f"flu{tag}", "master", bridge, "up")
        ip("-n", node, "address", "add", f"{network}.21/24", "dev", "eth0")
        ip("-n", node, "link", "set", "eth0", "up")
        fabric.start(directory, machines)
        yield directory
    finally:
        fabric.stop(directory)
        for arguments in (["netns", "delete", node], ["link", "delete", bridge]):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip(*arguments)
    assert not Path("/run/netns", Simulator(directory).namespace).exists()
    assert not Path("/sys/class/net", Simulator(directory).interface).exists()


@pytest.fixture
def healed(labdir: Path) -> Iterator[None]:
    """For tests that break something: mends it afterwards."""
    yield
    fabric.restore(labdir, "node01", "node02", "node03")


def port(labdir: Path, node: str, index: int, *names: str) -> list[str]:
    directory = labdir / "machines" / node / "sysfs/class/infiniband" / f"mlx5_{index}" / "ports/1"
    return [(directory / name).read_text().strip() for name in names]


def on_node(labdir: Path, tmp_path: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a diagnostic the way a node does: through the wrapper, in the namespace of node01."""
    (tmp_path / tool).symlink_to(TOOL)
    namespace = (labdir / "node-namespace").read_text()
    machine = labdir / "machines" / "node01"
    environment = {"FABRIC_ENV": f"{machine}/fabric.env", "FABRIC_SYSFS": f"{machine}/sysfs/class/infiniband"}
    return subprocess.run(
        ["nsenter", f"--net=/run/netns/{namespace}", tmp_path / tool, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def cabling(output: str) -> dict[str, list[tuple[str, str]]]:
    """What the site's own comparison says of ibnetdiscover's `output`: findings other than pass, by node."""
    plan = load(Path(__file__).resolve().parents[3] / "inventories" / "lab" / "cable_plan.yml")
    result = compare(parse(output.splitlines()), plan, ["node01", "node02", "node03", "node04"])
    found = {**result.nodes, "fabric": result.fabric}
    told = {name: [(one.check, one.component) for one in ones if one.verdict != "pass"] for name, ones in found.items()}
    return {name: ones for name, ones in told.items() if ones}


def test_the_site_finds_the_lab_cabled_as_planned(labdir: Path, tmp_path: Path) -> None:
    assert cabling(on_node(labdir, tmp_path, "ibnetdiscover").stdout) == {}


def test_every_port_of_every_node_is_active_at_full_rate(labdir: Path) -> None:
    for node in ("node01", "node02", "node03", "node04"):
        for index in range(8):
            assert port(labdir, node, index, "state", "rate") == ["4: ACTIVE", "400 Gb/sec (4X NDR)"]


@pytest.mark.usefixtures("healed")
def test_a_link_that_goes_down_is_seen_and_counted_and_comes_back(labdir: Path) -> None:
    fabric.hca_down(labdir, "node02", 3)
    assert port(labdir, "node02", 3, "state", "phys_state") == ["1: DOWN", "2: Polling"]
    assert port(labdir, "node02", 3, "counters/link_downed") == ["1"]
    assert port(labdir, "node02", 4, "state") == ["4: ACTIVE"]
    fabric.refresh(labdir)
    assert port(labdir, "node02", 3, "counters/link_downed") == ["1"]
    fabric.hca_up(labdir, "node02", 3)
    assert port(labdir, "node02", 3, "state", "rate", "counters/link_downed") == [
        "4: ACTIVE",
        "400 Gb/sec (4X NDR)",
        "1",
    ]
    fabric.restore(labdir, "node02")
    assert port(labdir, "node02", 3, "counters/link_downed") == ["0"]


@pytest.mark.usefixtures("healed")
def test_a_degraded_link_stays_degraded_until_it_is_healed(labdir: Path) -> None:
    fabric.degrade(labdir, "node02", 5)
    assert port(labdir, "node02", 5, "state", "rate") == ["4: ACTIVE", "100 Gb/sec (1X NDR)"]
    fabric.refresh(labdir)
    assert port(labdir, "node02", 5, "rate") == ["100 Gb/sec (1X NDR)"]
    fabric.restore(labdir, "node02")
    assert port(labdir, "node02", 5, "rate") == ["400 Gb/sec (4X NDR)"]


@pytest.mark.usefixtures("healed")
def test_error_counters_are_read_from_the_simulator(labdir: Path) -> None:
    fabric.set_counter(labdir, "node01", 2, "SymbolErrorCounter", 55)
    assert port(labdir, "node01", 2, "counters/symbol_error") == ["55"]


@pytest.mark.usefixtures("healed")
def test_swapped_cables_are_seen_from_a_node_and_put_back_with_either_node(labdir: Path, tmp_path: Path) -> None:
    fabric.cable_swap(labdir, "node02/mlx5_3", "node03/mlx5_3")
    seen = on_node(labdir, tmp_path, "ibnetdiscover")
    assert seen.returncode == 0, seen.stderr
    (swapped,) = cabling(seen.stdout)["node02"]
    assert swapped[0] == "fabric.link.swapped"
    assert cabling(seen.stdout) == {"node02": [swapped], "node03": [swapped]}
    fabric.restore(labdir, "node02")
    assert port(labdir, "node02", 3, "state") == port(labdir, "node03", 3, "state") == ["4: ACTIVE"]


def test_a_cable_between_switches_can_be_pulled_and_put_back(labdir: Path, tmp_path: Path) -> None:
    fabric.cable_remove(labdir, "leaf-01/33")
    pulled = on_node(labdir, tmp_path, "ibnetdiscover")
    fabric.cable_restore(labdir, "leaf-01/33")
    assert pulled.returncode == 0, pulled.stderr
    (tmp_path / "ibnetdiscover").unlink()
    assert cabling(pulled.stdout) == {"fabric": [("fabric.link.missing", "link:leaf-01/33")]}
    assert cabling(on_node(labdir, tmp_path, "ibnetdiscover").stdout) == {}


@pytest.mark.usefixtures("healed")
def test_a_node_s_tools_go_to_the_hca_that_is_asked_for(labdir: Path, tmp_path: Path) -> None:
    fabric.set_counter(labdir, "node01", 6, "SymbolErrorCounter", 9)
    answer = on_node(labdir, tmp_path, "perfquery", "-C", "mlx5_6")
    assert "SymbolErrorCounter:..............9\n" in answer.stdout


@pytest.mark.usefixtures("healed")
def test_a_node_s_tools_choose_an_active_hca_and_refuse_an_absent_one(labdir: Path, tmp_path: Path) -> None:
    fabric.hca_down(labdir, "node01", 0)
    found = on_node(labdir, tmp_path, "ibnetdiscover")
    assert cabling(found.stdout) == {"node01": [("fabric.port.down", "hca:mlx5_0")]}
    (tmp_path / "ibnetdiscover").unlink()
    refused = on_node(labdir, tmp_path, "ibnetdiscover", "-C", "mlx5_9")
    assert refused.returncode != 0
    assert "mlx5_9" in refused.stderr


def test_killed_clients_do_not_shut_the_others_out(labdir: Path) -> None:
    simulator = Simulator(labdir, json.loads((labdir / "machines.json").read_text())["network"]["cidr"][:-4] + "5")
    for number in range(12):
        environment = simulator._client_environment(f"node04 mlx5_{number % 8}")
        client = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{simulator.namespace}", "saquery"],
            cwd=simulator.directory,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while f'"node04 mlx5_{number % 8}"' not in simulator.tell("Attached") and client.poll() is None and number < 8:
            pass
        client.send_signal(signal.SIGKILL)
        client.wait()
    fabric.refresh(labdir)
    assert port(labdir, "node01", 0, "state") == ["4: ACTIVE"]


def test_a_second_start_finds_the_fabric_running(labdir: Path) -> None:
    before = (labdir / "run/ibsim.pid").read_text()
    fabric.start(labdir, json.loads((labdir / "machines.json").read_text()))
    assert (labdir / "run/ibsim.pid").read_text() == before


@pytest.mark.parametrize("name", ["node02/mlx5_8", "leaf-01/40x", "leaf-09/1", "node02"])
def test_a_port_that_is_not_there_is_refused(labdir: Path, name: str) -> None:
    with pytest.raises(FabricError, match="no cabled port"):
        fabric.cable_remove(labdir, name)


def test_a_fabric_that_died_says_so_and_starts_again(labdir: Path) -> None:
    os.kill(int((labdir / "run/ibsim.pid").read_text()), signal.SIGKILL)
    with pytest.raises(FabricError, match=r"ibsim of .* does not run"):
        while True:
            fabric.refresh(labdir)
    fabric.start(labdir, json.loads((labdir / "machines.json").read_text()))
    assert port(labdir, "node01", 0, "state") == ["4: ACTIVE"]


IBSTAT = """
for class in /sys/class/*; do mkdir -p "$1/${class##*/}"; mount --bind "$class" "$1/${class##*/}"; done
mkdir -p "$1/infiniband"; mount --bind "$2" "$1/infiniband"; mount --rbind "$1" /sys/class
ibstat "$3"
"""


@pytest.mark.usefixtures("healed")
def test_the_real_ibstat_reads_a_node_s_tree(labdir: Path, tmp_path: Path) -> None:
    fabric.hca_down(labdir, "node01", 3)
    tree = labdir / "machines/node01/sysfs/class/infiniband"
    told = [
        subprocess.run(
            ["unshare", "--mount", "sh", "-euc", IBSTAT, "sh", tmp_path, tree, device],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for device in ("mlx5_2", "mlx5_3")
    ]
    for line in ("State: Active", "Physical state: LinkUp", "Rate: 400", "Link layer: InfiniBand"):
        assert line in told[0]
    for line in ("State: Down", "Physical state: Polling"):
        assert line in told[1]


class WithoutEnvironmentAtFirst(Simulator):
    """A process has none in the moment in which it becomes another program."""

    looked_at: ClassVar[list[int]] = []

    def _pid(self, name: str) -> int | None:
        pid = super()._pid(name)
        if name != "opensm" or pid is None or pid in self.looked_at:
            return pid
        self.looked_at.append(pid)
        return None


@pytest.mark.parametrize(
    ("simulator_class", "refusals", "comes_up"),
    [(Simulator, 1, True), (Simulator, 99, False), (WithoutEnvironmentAtFirst, 99, False)],
)
def test_a_subnet_manager_that_is_refused_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator_class: type[Simulator], refusals: int, comes_up: bool
) -> None:
    """As ibsim does once in a while on a busy machine: here `opensm` gives up `refusals` times."""
    directory = tmp_path / "clone" / ".lab" / "fabricrefused"
    directory.mkdir(parents=True)
    tag = Lab.at(directory).tag
    programs, tries, real = tmp_path / "programs", tmp_path / "tries", shutil.which("opensm")
    programs.mkdir()
    opensm = programs / "opensm"
    refuse = f'[ "$(wc -l < {tries})" -le {refusals} ] && {{ echo "connect failed: Connection refused"; exit 255; }}'
    opensm.write_text(f'#!/bin/sh\necho >> {tries}\n{refuse}\nexec {real} "$@"\n')
    opensm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    bridge, network = f"flt{tag}", f"198.19.{int(tag[:2], 16)}"
    simulator = simulator_class(directory, f"{network}.5")
    ip("link", "add", bridge, "type", "bridge")
    try:
        ip("link", "set", bridge, "up")
        machines = {"network": {"cidr": f"{network}.0/24", "bridge": bridge}}
        simulator.start(small({"node01": {"serial": "FL0000N01", "hcas": 8}}), machines)
        with contextlib.nullcontext() if comes_up else pytest.raises(FabricError, match=r"opensm .* does not run"):
            simulator.wait_for_sweep()
        assert len(tries.read_text().splitlines()) == (2 if comes_up else 3)
    finally:
        simulator.stop()
        ip("link", "delete", bridge)
