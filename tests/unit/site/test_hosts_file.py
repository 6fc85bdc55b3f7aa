# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hosts.yml: read as Ansible reads it, and more strictly."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.inventory import detect_range, expand_hostname_range
from ansible_collections.firstlight.cluster.plugins.module_utils.site.hosts_file import HostsFile, expand, read_hosts
from hypothesis import given
from hypothesis import strategies as st

NESTED = """\
all:
  vars: {rack: none, site: s1}
  children:
    gpu_nodes:
      vars: {rack: r0, node_class: base}
      children:
        cage_a:
          vars: {rack: ra}
          hosts:
            node[01:03]: {unit: 1}
        cage_b:
          hosts:
            node04: {rack: own}
      hosts:
        node05:
    head_nodes:
      hosts: {head01: {unit: 9}}
mirror:
  hosts: {head01: }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "hosts.yml"
    path.write_text(text)
    return path


def hosts_of(folder: Path, text: str) -> HostsFile:
    hosts, problems = read_hosts(write(folder, text))
    assert problems == []
    assert hosts is not None
    return hosts


def told(folder: Path, text: str) -> list[str]:
    return [str(problem).replace(str(folder), "DIR") for problem in read_hosts(write(folder, text))[1]]


def test_groups_and_variables_are_those_of_ansible(tmp_path: Path) -> None:
    hosts = hosts_of(tmp_path, NESTED)
    (tmp_path / "ansible.cfg").write_text("")
    program = Path(sys.executable).parent / "ansible-inventory"
    listed = json.loads(
        subprocess.run(
            [program, "-i", tmp_path / "hosts.yml", "--list"],
            check=True,
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "home")},
        ).stdout
    )
    assert hosts.merged() == listed["_meta"]["hostvars"]

    def members(group: str) -> set[str]:
        content = listed.get(group, {})
        return {*content.get("hosts", ())}.union(*(members(child) for child in content.get("children", ())))

    for group in ("all", "gpu_nodes", "cage_a", "cage_b", "head_nodes", "mirror"):
        assert hosts.members(group) == members(group)


def test_places_of_hosts(tmp_path: Path) -> None:
    hosts = hosts_of(tmp_path, NESTED)
    (entry,) = (entry for entry in hosts.entries if entry.host == "node02")
    assert entry.path == ("all", "children", "gpu_nodes", "children", "cage_a", "hosts", "node[01:03]")
    assert hosts.document.line(entry.path) == 10


bounds = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 3), st.integers(1, 3))


@given(st.lists(bounds, min_size=1, max_size=2), st.sampled_from(["", "-x"]))
def test_ranges_are_those_of_ansible(parts: list[tuple[int, int, int, int]], tail: str) -> None:
    pattern = (
        "node" + "-".join(f"[{first:0{width}}:{last:0{width}}:{step}]" for first, last, width, step in parts) + tail
    )
    assert detect_range(pattern)
    try:
        ours = expand(pattern)
    except ValueError:
        # Ansible makes no host of a range that runs backwards, without a word.
        with contextlib.suppress(AnsibleError):
            assert expand_hostname_range(pattern) == []
        return
    assert ours == expand_hostname_range(pattern)


@pytest.mark.parametrize("pattern", ["n[1:511]", "node[001:511]", "r[a:d]", "node[:3]", "n[08:12]x[1:2]"])
def test_common_ranges(pattern: str) -> None:
    assert expand(pattern) == expand_hostname_range(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["n[1]", "n[1:", "n[5:1]", "n[1:b]", "n[01:100]", "n[1:3:0]", "n[1:3:x]", "n[d:a]", "n]", "n[1:999999999]"],
)
def test_what_is_no_range(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n"):
        expand(pattern)
    (line,) = told(tmp_path, f'gpu_nodes:\n  hosts:\n    "{pattern}":\n')
    assert line.startswith("DIR/hosts.yml:3: gpu_nodes.hosts.")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "gpu_nodes:\n  hosts:\n    n1: {a: 1}\n    n1: {a: 2}\n",
            "DIR/hosts.yml:4: gpu_nodes.hosts.n1: is there twice",
        ),
        (
            "g:\n  hosts:\n    n[1:3]:\n    n2:\n",
            "DIR/hosts.yml:4: g.hosts.n2: n2 is there twice in this group, first in line 3",
        ),
        (
            "g:\n  hosts: {n1: {a: 1}}\nh:\n  hosts: {n1: {a: 2}}\n",
            "DIR/hosts.yml:4: h.hosts.n1.a: differs from what line 2",
        ),
        ("g:\n  host: {n1: }\n", "DIR/hosts.yml:2: g.host: is no part of a group (did you mean 'hosts'?)"),
        ("g:\n  hosts: [n1]\n", "DIR/hosts.yml:2: g.hosts: is no mapping"),
        ("g:\n  hosts:\n    n1: x\n", "DIR/hosts.yml:3: g.hosts.n1: has no mapping of variables"),
        ("g: [n1]\n", "DIR/hosts.yml:1: g: is no group"),
        ("- g\n", "is no mapping of groups"),
        ("", "is empty"),
        ("g:\n  hosts:\n    1:\n", "is no text"),
    ],
)
def test_what_is_wrong_is_placed(tmp_path: Path, text: str, words: str) -> None:
    lines = told(tmp_path, text)
    assert len(lines) == 1
    assert words in lines[0]


def test_groups_that_hold_each_other_are_survived(tmp_path: Path) -> None:
    hosts, _ = read_hosts(write(tmp_path, "a:\n  children: {b: }\nb:\n  children: {a: }\n  hosts: {n1: {x: 1}}\n"))
    assert hosts is not None
    assert hosts.members("a") == {"n1"}
    assert hosts.merged() == {"n1": {"x": 1}}
