# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operating systems that a site deploys: refused before anything is changed where the roles would refuse them later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleUndefinedVariable
from ansible_collections.firstlight.cluster.plugins.action.preflight import _release_problems, _releases
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.site.validate import validate

from tests.unit.site.test_site_validation import CLASS, node

SUPPORTED = ["Debian 12", "Debian 13", "Ubuntu 22.04", "Ubuntu 24.04"]
JAMMY = {"maas_osystem": "ubuntu", "maas_distro_series": "jammy"}
FOCAL = {"maas_osystem": "ubuntu", "maas_distro_series": "focal"}
OWN = {"maas_osystem": "custom", "maas_distro_series": "gpu-node"}


class Undefined(dict[str, Any]):
    """Variables of which one cannot be evaluated."""

    def get(self, key: str, default: Any = None) -> Any:
        raise AnsibleUndefinedVariable(f"{key} is undefined")


def site(*nodes: dict[str, Any], head: dict[str, Any] | None = None) -> dict[str, Any]:
    hosts = {f"node{number}": each for number, each in enumerate(nodes, 1)}
    groups = {"gpu_nodes": list(hosts), "head_nodes": [] if head is None else ["head01"]}
    return {"groups": groups, "hostvars": {**hosts, "head01": head}}


def told(variables: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in _release_problems(_releases(variables), SUPPORTED)]


@pytest.mark.parametrize(
    "variables",
    [
        site(JAMMY, JAMMY),
        site(OWN, {}, Undefined()),
        site(OWN, head={"os_image_suite": "bookworm"}),
        site(OWN, head={"os_image_suite": "unstable"}),
        site(JAMMY, head={"os_image_suite": "focal"}),
        site(),
    ],
)
def test_what_is_supported_or_not_known_is_left_alone(variables: dict[str, Any]) -> None:
    assert told(variables) == []


def test_another_system_is_refused_with_its_nodes_and_the_supported_ones() -> None:
    (problem,) = told(site(JAMMY, *[FOCAL] * 5))
    assert problem == (
        "inventory: maas_osystem, maas_distro_series: node2, node3, node4 and 2 more would be deployed with Ubuntu "
        "20.04; supported are Debian 12, Debian 13, Ubuntu 22.04, Ubuntu 24.04. Remedy: name an image of one of "
        "these, in group_vars or host_vars; see docs/bring_up.md."
    )


def test_every_other_system_is_told() -> None:
    centos = {"maas_osystem": "centos", "maas_distro_series": "8"}
    assert [line.split(": ")[2].split(";")[0] for line in told(site(FOCAL, centos))] == [
        "node1 would be deployed with Ubuntu 20.04",
        "node2 would be deployed with centos 8",
    ]


def test_an_image_that_the_site_builds_is_known_by_its_suite() -> None:
    (problem,) = told(site(OWN, head={"os_image_suite": "bullseye"}))
    assert "node1 would be deployed with Debian 11" in problem


def test_versions_of_a_class_are_held_to_what_its_nodes_are_deployed_with(tmp_path: Path) -> None:
    (tmp_path / "node_classes").mkdir()
    for name, doca in (("small", "2.9.3-0"), ("other", "2.9.3-0")):
        data = {**CLASS, "name": name, "software": {**CLASS["software"], "doca_ofed": doca}}
        (tmp_path / "node_classes" / f"{name}.yml").write_text(yaml.safe_dump(data))
    nodes = {"node1": node(1), "node2": node(2), "node3": node(3, node_class="other")}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"gpu_nodes": {"hosts": nodes}}))

    assert validate(tmp_path).problems == []
    assert validate(tmp_path, releases={"node1": "Debian 12", "node3": "Ubuntu 24.04"}).problems == []
    for hostvars in (None, nodes):
        found = validate(tmp_path, hostvars, {"node1": "Debian 12", "node2": "Debian 13", "node3": "Debian 12"})
        (problem,) = render(found.problems).splitlines()
        assert "small.yml:" in problem
        assert (
            "software.doca_ofed: is 2.9.3-0, but the nodes are deployed with Debian 13, for which 3.2.0 is" in problem
        )
        assert [*found.classes] == ["other"]


def test_what_holds_whatever_is_deployed_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "node_classes").mkdir()
    data = {**CLASS, "software": {**CLASS["software"], "cuda": "13.0"}}
    (tmp_path / "node_classes" / "small.yml").write_text(yaml.safe_dump(data))
    nodes = {"node1": node(1), "node2": node(2)}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"gpu_nodes": {"hosts": nodes}}))
    found = validate(tmp_path, releases={"node1": "Debian 12", "node2": "Ubuntu 24.04"})
    assert [problem.key for problem in found.problems] == ["software.gpu_driver"]
