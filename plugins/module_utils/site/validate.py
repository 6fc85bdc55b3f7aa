# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's inventory as a whole: roster and node classes, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..documents.problems import Problem
from . import health_policy, kernel_log
from .hosts_file import read_hosts
from .node_class import available, directories, load_all
from .roster import Roster, judge_roster

HOSTS = "hosts.yml"


@dataclass
class Site:
    """What is sound in an inventory, and what is wrong with the rest. Usable when there are no problems."""

    roster: Roster = field(default_factory=Roster)
    classes: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def validate(
    inventory: Path,
    hostvars: Mapping[str, Mapping[str, Any]] | None = None,
    releases: Mapping[str, str] | None = None,
) -> Site:
    """Judge the inventory in the folder `inventory`.

    `hostvars`: by host of gpu_nodes the variables as Ansible resolved them (plain values; `roster.KEYS` are
    enough, further ones help to find misspelt keys). Without them, what `hosts.yml` itself says counts. `releases`:
    by host the operating system that it is deployed with, where that is known.
    """
    hosts, problems = read_hosts(inventory / HOSTS)
    if hosts is None:
        return Site(problems=problems)
    places = directories(inventory)
    roster, found = judge_roster(hosts, available(places).keys(), hostvars=hostvars)
    named = {host: values.get("node_class") for host, values in {**hosts.merged(), **(hostvars or {})}.items()}
    of_class: dict[str, set[str]] = {name: set() for name in named.values() if isinstance(name, str)}
    for host, release in (releases or {}).items():
        of_class.get(str(named.get(host)), set()).add(release)
    classes, wrong = load_all(of_class, places, of_class)
    of_log = kernel_log.add_baselines(classes, inventory, available(places))
    racks = {host: str(values.get("rack") or "") for host, values in {**hosts.merged(), **(hostvars or {})}.items()}
    _policy, of_policy = health_policy.load(inventory, racks)
    return Site(roster, classes, [*problems, *found, *wrong, *of_log, *of_policy])
