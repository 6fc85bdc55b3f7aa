# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network, planned on a host as the test describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import network
from lab.errors import LabError
from lab.machines import Site
from lab.site import Lab


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    shown: dict[str, list[dict[str, Any]]] = {"address": [], "link": []}
    monkeypatch.setattr(network, "_show", lambda what: shown[what])
    return shown


def address(text: str) -> dict[str, Any]:
    local, _, bits = text.partition("/")
    family = "inet6" if ":" in local else "inet"
    return {"ifname": "x", "addr_info": [{"family": family, "local": local, "prefixlen": int(bits)}]}


def test_a_lab_gets_the_same_network_again_and_another_lab_another(host: Any) -> None:
    lab = Lab("lab", Path("/clone"))
    assert network.plan(lab) == network.plan(lab)
    plans = {network.plan(Lab(f"lab{n}", Path("/clone"))).cidr for n in range(8)}
    assert len(plans) > 1
    assert network.plan(lab).gateway.endswith(".1")


def test_a_network_in_use_is_left_alone(host: Any) -> None:
    lab = Lab("lab", Path("/clone"))
    first = network.plan(lab)
    host["address"] += [address(f"{first.gateway}/24"), address("fd00::1/64")]
    second = network.plan(lab)
    assert second.cidr != first.cidr
    host["address"].append(address("198.18.0.1/15"))
    with pytest.raises(LabError, match=r"198\.18\.0\.0/15"):
        network.plan(lab)


def test_names_fit_the_kernel_and_differ(site: Site) -> None:
    lab = Lab("a-rather-long-name", Path("/a/clone/in/a/deep/directory"))
    names = {network.port(lab, machine) for machine in site.machines.values()} | {f"fl{lab.tag}"}
    assert len(names) == len(site.machines) + 1
    assert all(len(name) <= 15 for name in names)


def test_only_links_of_this_lab_are_its_leftovers(host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, other = Lab("lab", Path("/clone")), Lab("lab", Path("/other"))
    monkeypatch.setattr(network, "NETNS_DIRECTORY", tmp_path)
    for name in (network.namespace(lab, "node01"), network.namespace(other, "node01"), "somebodys"):
        (tmp_path / name).touch()
    host["link"] += [
        {"ifname": f"fl{lab.tag}", "ifalias": f"firstlight {lab.marker}"},
        {"ifname": f"fl{lab.tag}-21"},
        {"ifname": f"fl{lab.tag}-22", "ifalias": "somebody else's by chance"},
        {"ifname": f"fl{other.tag}", "ifalias": f"firstlight {other.marker}"},
        {"ifname": "eth0"},
    ]
    assert network.leftovers(lab) == [
        f"fl{lab.tag}",
        f"fl{lab.tag}-21",
        f"netns {network.namespace(lab, 'node01')}",
    ]
