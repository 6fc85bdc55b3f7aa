# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A learned node class as a document and as a file for people: with what they still have to decide. Pure."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

from .learn import Facts

with contextlib.suppress(ImportError):
    # A node never runs this, and Ansible brings it to the controller.
    import yaml

# What no node shows, and a class has from another one: of `software` these keys, and these parts whole.
_SOFTWARE_OF_TEMPLATE = ("nvlsm", "dcgm", "doca_ofed", "cuda", "nccl", "container_toolkit")
_PARTS_OF_TEMPLATE = ("nccl", "storage", "bios", "firmware", "compute", "thresholds", "checks")
_ORDER = ("schema", "name", "description", "hardware", "software", "system", *_PARTS_OF_TEMPLATE)

_COMMENTS = {
    "hardware.hcas.devices": "Position = rail. Take out what is not of the training fabric, here and in pci_addresses.",
    "hardware.hcas.pkeys": "Keep those that every node must have.",
    "hardware.ethernet": "Keep those that every node has under this name; of a bond the bond alone.",
    "hardware.memory_gib": "What is built in, as far as the memory that the kernel has tells it.",
    "hardware.gpus.power_limit_w": "As it was set on the node.",
    "software": "As it ran on the node.",
    "system.command_line": "Keep the words that a node of the class must have been started with.",
    "thresholds": "Of another class: see that they are right for this hardware.",
}
# Said in place of a part that the file lacks.
_TO_DECIDE = {
    "software.nccl": "with GPUs a class needs software.nccl, the version of NCCL",
    "thresholds": (
        "with GPUs a class needs thresholds: all_reduce_intra_busbw_gbps, all_reduce_inter_busbw_gbps, pair_ratio"
    ),
}
_WIDTH = 110


def class_of(name: str, golden: str, facts: Facts, template: Mapping[str, Any]) -> dict[str, Any]:
    """The class `name` of what the node `golden` shows; what no node shows is that of `template`, a class or empty."""
    learned = facts.nested()
    software = {key: value for key, value in (template.get("software") or {}).items() if key in _SOFTWARE_OF_TEMPLATE}
    result = {
        "schema": 1,
        "name": name,
        "description": f"learned from {golden}",
        **learned,
        "software": {**learned.get("software", {}), **software},
        **{key: copy.deepcopy(template[key]) for key in _PARTS_OF_TEMPLATE if key in template},
    }
    return {key: result[key] for key in _ORDER if key in result}


def to_decide(node_class: Mapping[str, Any]) -> list[str]:
    """What a person must still write before a run can begin with the class."""
    if not node_class["hardware"]["gpus"].get("count"):
        return []
    lacking = {"software.nccl": "nccl" not in node_class["software"], "thresholds": "thresholds" not in node_class}
    return [_TO_DECIDE[key] for key, lacks in lacking.items() if lacks]


def text_of(node_class: Mapping[str, Any], not_learned: Mapping[str, str]) -> str:
    """The file, with comments that say what is to be looked at."""
    lines = ["---", f"# {node_class['description'].capitalize()}. Look through it before nodes are judged by it."]
    lines += [f"# To decide: {what}." for what in to_decide(node_class)]
    lines += [f"# Not learned: {key} ({why})." for key, why in not_learned.items()]
    return "\n".join([*lines, *_lines(node_class, ())]) + "\n"


def _lines(mapping: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[str]:
    indent = "  " * len(place)
    for key, value in mapping.items():
        here = (*place, key)
        comment = _COMMENTS.get(".".join(here))
        if comment:
            yield f"{indent}# {comment}"
        line = f"{indent}{key}: {_flow(value)}"
        nested = isinstance(value, Mapping) and value and (len(here) == 1 or any(map(_is_nested, value.values())))
        if nested or (isinstance(value, Mapping) and value and len(line) > _WIDTH):
            yield f"{indent}{key}:"
            yield from _lines(value, here)
        elif isinstance(value, list) and value and len(line) > _WIDTH:
            yield f"{indent}{key}:"
            yield from (f"{indent}  - {_flow(each)}" for each in value)
        else:
            yield line


def _is_nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list))


def _flow(value: Any) -> str:
    """One value on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").rstrip("\n")
