# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation as a site: docs/_build/html.

The handbook (docs/*.md) is copied; the reference is made of what the code says about itself: DOCUMENTATION and
argument_specs through antsibull-docs, and the catalogue, the thresholds, the XIDs, the versions that go together, the
schemas and the inventory's defaults through the functions below. All of it lies in docs/_build, so that nothing
generated is committed. Warnings are errors. Needs no network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "docs" / "_build"
SOURCE = BUILD / "source"
REFERENCE = SOURCE / "reference"
HTML = BUILD / "html"
SCHEMAS = ROOT / "plugins" / "module_utils" / "schemas"
COLLECTION = "firstlight.cluster"
# Labels of Ansible's own documentation that antsibull-docs refers to, and where they are there.
ANSIBLE_LABELS = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
    "inventory_plugins": "plugins/inventory.html",
}
sys.path[:0] = [str(ROOT), str(ROOT / "collections")]

from ansible_collections.firstlight.cluster.plugins.action.preflight import REQUIRED  # noqa: E402
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog import (  # noqa: E402
    thresholds,
    xid,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.health.gpu_errors import (  # noqa: E402
    MAX_UNCORRECTABLE_REMAPS,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.health.host import (  # noqa: E402
    ESSENTIAL_UNITS,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility import (  # noqa: E402
    table as compatibility,
)

from docs.check_pages import check_pages  # noqa: E402


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; cells may hold Markdown but no line break."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def origins() -> dict[str, str]:
    """Why each default threshold is what it is: the comment above it."""
    source = "\n".join(Path(str(area.__file__)).read_text(encoding="utf-8") for area in thresholds.SOURCES)
    found = re.findall(r'((?:^ +# .*\n)+)^ +"(\w+)":', source, re.MULTILINE)
    return {name: " ".join(line.strip(" #") for line in comment.splitlines()) for comment, name in found}


def thresholds_page() -> str:
    """Every threshold that a class may set, with its default and where that comes from."""
    schema = json.loads((SCHEMAS / "node_class.schema.json").read_text(encoding="utf-8"))
    why = origins()
    rows = []
    for name, described in schema["properties"]["thresholds"]["properties"].items():
        default = thresholds.DEFAULTS.get(name)
        if isinstance(default, dict):
            told = ", ".join(f"{level} {value:g}" for level, value in default.items())
        else:
            told = "none" if default is None else f"{default:g}"
        rows.append((f"`{name}`", described["description"], told, why.get(name, "")))
    return "\n".join(
        [
            "# Thresholds",
            "",
            "A node class sets them under `thresholds`; what it leaves out has these defaults. A limit is reached at",
            "its value.",
            "",
            table(("name", "what", "default", "why"), rows),
            f"A GPU is returned at {MAX_UNCORRECTABLE_REMAPS} remapped rows. A failed unit of these fails",
            "the node, any other warns: " + ", ".join(f"`{unit}`" for unit in ESSENTIAL_UNITS) + ".",
            "",
        ]
    )


def xids_page() -> str:
    """Every XID that is known, and what each bucket means."""
    return "\n".join(
        [
            "# XIDs",
            "",
            xid.__doc__.partition("\n\n")[2].strip(),
            "",
            table(("bucket", "what to do"), ((f"`{name}`", told) for name, told in xid.BUCKETS.items())),
            table(
                ("XID", "meaning", "bucket", "source", "cure shown by"),
                (
                    (each.code, each.meaning, f"`{each.bucket}`", each.source, xid.CURE_SHOWN_BY.get(each.code, ""))
                    for _code, each in sorted(xid.XIDS.items())
                ),
            ),
        ]
    )


def compatibility_page() -> str:
    """Every rule by which a version matrix is refused, with its source."""
    floors = (
        (f"`{floor.key}` {floor.since}", f"`{floor.other}` {floor.least}", floor.source)
        for floor in compatibility.FLOORS
    )
    generations = (
        (
            f"{generation.name}: {', '.join(generation.models)}",
            generation.driver or "not supported",
            generation.cuda,
            generation.dropped or "none",
            generation.source,
        )
        for generation in compatibility.GENERATIONS
    )
    releases = ((release.name, release.doca_ofed, release.source) for release in compatibility.RELEASES)
    kernels = ((kernels.release, f"`{kernels.example}`", f"`{kernels.pattern}`") for kernels in compatibility.KERNELS)
    return "\n".join(
        [
            "# Versions that go together",
            "",
            compatibility.__doc__.partition("\n\n")[2].strip(),
            "",
            "## Among each other",
            "",
            f"`fabric_manager` must be `gpu_driver`, exactly ({compatibility.FABRIC_MANAGER}).",
            "",
            f"With GPUs {', '.join(compatibility.NVLSM_MODELS)} it needs `nvlsm` beside it ({compatibility.NVLSM}).",
            "",
            table(("from this version on", "at least this one", "source"), floors),
            "## GPUs",
            "",
            table(("GPUs", "first `gpu_driver`", "first `cuda`", "dropped by `cuda`", "source"), generations),
            "## Operating systems",
            "",
            table(("operating system", "first `doca_ofed`", "source"), releases),
            f"Kernels belong to the system that builds them ({compatibility.KERNEL_SOURCE}).",
            "",
            table(("operating system", "for example", "form"), kernels),
        ]
    )


def _resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """`part` with what it refers to; its own keys win."""
    if "$ref" not in part:
        return part
    target: Any = schema
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return {**_resolved(schema, target), **part}


def _kind(part: dict[str, Any]) -> str:
    """What values are allowed, in words."""
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return "one of " + ", ".join(f"`{value}`" for value in part["enum"])
    limits = [
        f"{word} {part[key]}"
        for key, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if key in part
    ]
    kind = part.get("type", "any")
    return " ".join(["or ".join(kind) if isinstance(kind, list) else kind, *limits])


def schema_keys(schema: dict[str, Any], part: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, bool, str]]:
    """Key path, allowed values, whether it must be there, description; of every key below `part`."""
    part = _resolved(schema, part)
    required = set(part.get("required", ()))
    for key, below in part.get("properties", {}).items():
        below = _resolved(schema, below)
        where = f"{path}.{key}" if path else key
        yield where, _kind(below), key in required, below.get("description", "")
        yield from schema_keys(schema, below, where)
    if isinstance(part.get("items"), dict):
        yield from schema_keys(schema, part["items"], f"{path}[]")
    if isinstance(part.get("additionalProperties"), dict):
        yield from schema_keys(schema, part["additionalProperties"], f"{path}.<name>".lstrip("."))


def schema_page(kind: str) -> str:
    """Every key of one kind of file."""
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text(encoding="utf-8"))
    rows = (
        (f"`{key}`<br>{values}{', required' if must else ''}", described)
        for key, values, must, described in schema_keys(schema, schema)
    )
    return "\n".join(
        [
            f"# {schema['title']}: every key",
            "",
            schema["description"],
            "",
            table(("key", "meaning"), rows),
        ]
    )


def inventory_page() -> str:
    """What a site has to set, and the file of defaults that it may override."""
    rows = [
        (group, " or ".join(f"`{name}`" for name in names), meaning)
        for group, variables in REQUIRED.items()
        for names, meaning in variables.items()
    ]
    common = (ROOT / "inventories" / "common" / "00-common.yml").read_text(encoding="utf-8")
    return "\n".join(
        [
            "# Variables of the inventory",
            "",
            "Variables of roles are on the pages of the roles. These belong to the playbooks.",
            "",
            "## Without a default",
            "",
            "Preflight asks for them.",
            "",
            table(("group", "variable", "meaning"), rows),
            "## With a default",
            "",
            "`inventories/common/00-common.yml`; every inventory links to it, and its own group_vars win.",
            "",
            f"```yaml\n{common}```",
            "",
        ]
    )


def handbook(repository: str) -> None:
    """Copy the written pages; a link out of docs/ becomes one into the repository, if it leads to something."""
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((\.\./[^)#\s]+)", text):
            if not (page.parent / target).exists():
                raise SystemExit(f"{page.relative_to(ROOT)}: there is no {target}")
            text = text.replace(f"]({target}", f"]({repository}/blob/main/{target.removeprefix('../')}")
        (SOURCE / page.name).write_text(text, encoding="utf-8")
    for picture in sorted((ROOT / "docs").glob("*.svg")):
        shutil.copy(picture, SOURCE)


def plugin_pages(galaxy: dict[str, Any]) -> None:
    """A page for each plugin and role, by antsibull-docs."""
    version = galaxy["version"]
    archive = f"{COLLECTION.replace('.', '-')}-{version}.tar.gz"
    settings = {
        "collection_url": galaxy["repository"],
        "collection_install": f"ansible-galaxy collection install {archive}",
    }
    config = BUILD / "antsibull-docs.cfg"
    config.write_text(
        "".join(f"{key} = {{\n    * = {value}\n}}\n" for key, value in settings.items()), encoding="utf-8"
    )
    options = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", REFERENCE]
    run("antsibull-docs", "--config-file", config, "collection", *options, COLLECTION)
    for page in REFERENCE.glob("*.rst"):
        # The theme shows a page's contents beside it, and a second list of them as an error.
        text = re.sub(r"^\.\. contents::\n(   .*\n)+", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        # Short titles, for the list at the side; a title's line may be longer than the title.
        text = re.sub(rf"^{re.escape(COLLECTION)}\.(\S+ \w+) -- (?=.*\n\++$)", r"\1: ", text, flags=re.MULTILINE)
        page.write_text(text, encoding="utf-8")


def role_pages() -> None:
    """The README of every role, in a section of its own."""
    folder = REFERENCE / "roles"
    folder.mkdir()
    names = sorted(path.parent.name for path in (ROOT / "roles").glob("*/README.md"))
    for name in names:
        text = (ROOT / "roles" / name / "README.md").read_text(encoding="utf-8")
        # Links to the handbook lead from the role in the clone; from here it is as far, without the folder's name.
        (folder / f"{name}.md").write_text(text.replace("](../../docs/", "](../../"), encoding="utf-8")
    entries = "\n".join(names)
    index = (
        f"# Roles in use\n\nWhat each role is for, with an example.\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )
    (folder / "index.md").write_text(index, encoding="utf-8")


def ansible_inventory() -> bytes:
    """An inventory of intersphinx (version 2): ANSIBLE_LABELS, and what is referred to of other collections."""
    labels = dict(ANSIBLE_LABELS)
    for page in REFERENCE.glob("*.rst"):
        for label in re.findall(r"ansible_collections\.\w+\.\w+\.\w+_[a-z]+", page.read_text(encoding="utf-8")):
            if not label.startswith(f"ansible_collections.{COLLECTION}."):
                labels[label] = f"{label.replace('ansible_collections', 'collections', 1).replace('.', '/')}.html"
    head = "# Sphinx inventory version 2\n# Project: ansible\n# Version: \n# The remainder is compressed using zlib.\n"
    lines = [f"{label} std:label -1 {page} {label}\n" for label, page in labels.items()]
    return head.encode() + zlib.compress("".join(lines).encode())


def run(*command: str | Path) -> None:
    """A command of the virtual environment, from the clone; its messages are shown where it fails."""
    path = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{path}:{os.environ['PATH']}", "ANSIBLE_LOG_PATH": ""}
    done = subprocess.run(
        [path / command[0], *command[1:]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{command[0]} failed")


def main() -> None:
    """Put the pages together and have them rendered."""
    shutil.rmtree(BUILD, ignore_errors=True)
    REFERENCE.mkdir(parents=True)
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    handbook(galaxy["repository"])
    plugin_pages(galaxy)
    pages = {
        **{f"checks/{name}": text for name, text in check_pages().items()},
        "thresholds": thresholds_page(),
        "xids": xids_page(),
        "compatibility": compatibility_page(),
        "inventory": inventory_page(),
        **{
            kind: schema_page(kind)
            for kind in ("roster", "node_class", "cable_plan", "health_policy", "kernel_log", "report")
        },
    }
    (REFERENCE / "checks").mkdir()
    for name, text in pages.items():
        (REFERENCE / f"{name}.md").write_text(text, encoding="utf-8")
    role_pages()
    (SOURCE / "ansible.inv").write_bytes(ansible_inventory())
    run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "-c", ROOT / "docs", SOURCE, HTML)
    print(f"Documentation: {(HTML / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
