# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of a script: fields of the request, and what the script says of itself in its embedded YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from lab.maas.forms import string_bool
from lab.maas.scripts import COMMISSIONING, CPU, MEMORY, NETWORK, NODE, RELEASE, STORAGE, TESTING
from lab.maas.wire import Errors

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

GPU = 5
TYPES = {"commissioning": COMMISSIONING, "testing": TESTING, "release": RELEASE}
HARDWARE = {"node": NODE, "cpu": CPU, "memory": MEMORY, "storage": STORAGE, "network": NETWORK, "gpu": GPU}
PARALLEL = {"disabled": 0, "instance": 1, "any": 2}
BAD_TYPE = "Script type must be commissioning, testing or release"
_BAD_HARDWARE = "Hardware type must be node, cpu, memory, storage, or gpu"
_BAD_PARALLEL = "The script parallel value must be disabled, instance, or any."
_MARK = re.compile(r"\s*#\s*-+\s*(Start|End) MAAS (?P<version>\d+\.\d+) script metadata\s+-+", re.IGNORECASE)
_FLAGS = ("destructive", "may_reboot", "recommission", "apply_configured_networking")
_EMBEDDABLE = ("name", "title", "description", "script_type", "hardware_type", "parallel", *_FLAGS)


def number(known: dict[str, int], given: Any) -> int | None:
    """Number of a choice that is given by name or by number; None for neither."""
    word = str(given).strip().lower()
    if word.isdigit() and int(word) in known.values():
        return int(word)
    return known.get(word)


def _embedded(script: str, errors: Errors) -> Record:
    """What the script says of itself."""
    lines = script.splitlines()
    if lines and not lines[0].startswith("#!/"):
        errors.add("script", "Must start with shebang.")
    inside, content = False, ""
    for line in lines[1:]:
        if _MARK.search(line):
            if inside:
                break
            inside = True
        elif inside and line.strip():
            if "#" not in line:
                errors.add("script", 'Missing "#" on YAML line.')
                return {}
            content += line.partition("#")[2] + "\n"
    try:
        parsed = yaml.safe_load(content)
    except yaml.YAMLError as error:
        errors.add("script", f"Invalid YAML: {error}")
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _seconds(given: Any, errors: Errors) -> int:
    """A time-out: seconds, or [hours:]minutes:seconds."""
    total = 0
    for part in str(given).split(":"):
        if not part.strip().isdigit():
            errors.add("timeout", "Enter a valid duration.")
            return 0
        total = total * 60 + int(part)
    return total


def _merged(data: Any, embedded: Record, errors: Errors) -> Record:
    """Fields of request and script together; the request must not say something else than the script."""
    fields: Record = {name: data.get(name) for name in (*_EMBEDDABLE, "timeout", "tags") if data.get(name) is not None}
    if data.get("type") is not None:
        fields.setdefault("script_type", data.get("type"))
    for name in _EMBEDDABLE:
        if name not in embedded:
            continue
        if name in fields and str(fields[name]) != str(embedded[name]):
            errors.add(name, "May not override values defined in embedded YAML.")
        fields[name] = embedded[name]
    if "timeout" in embedded:
        fields.setdefault("timeout", embedded["timeout"])
    return fields


def _name(region: Region, fields: Record, script: Record | None, errors: Errors) -> str:
    name = str(fields.get("name") or (script or {}).get("name", ""))
    if not name:
        errors.add("name", "This field is required.")
    elif name.lower() == "none":
        errors.add("name", '"none" is a reserved name.')
    elif name.isdigit():
        errors.add("name", "Cannot be a number.")
    elif any(one["name"] == name for one in region.store.data["scripts"] if one is not script):
        errors.add("name", "Script with this Name already exists.")
    return name


def changes(region: Region, data: Any, content: str | None, script: Record | None) -> Record:
    """What a form makes of a script, new (`script` is None) or not.

    Args:
        region: the region.
        data: the request's fields.
        content: the script's text, None where the form has none.
        script: the one that is changed.

    Raises:
        Refusal: 400 with field errors.
    """
    errors = Errors()
    if script is None and not content:
        errors.add("script", "Must be given a value")
    embedded = _embedded(content, errors) if content else {}
    fields = _merged(data, embedded, errors)
    new: Record = {"name": _name(region, fields, script, errors)}
    for name in ("title", "description"):
        if name in fields:
            new[name] = str(fields[name])
    choices = (
        ("script_type", "type", TYPES, BAD_TYPE),
        ("hardware_type", "hardware_type", HARDWARE, _BAD_HARDWARE),
        ("parallel", "parallel", PARALLEL, _BAD_PARALLEL),
    )
    for field, key, known, message in choices:
        if field not in fields:
            continue
        value = number(known, fields[field])
        if value is None:
            errors.add(field, message)
        else:
            new[key] = value
    if "timeout" in fields:
        new["timeout"] = _seconds(fields["timeout"], errors)
    for name in _FLAGS:
        if name in fields:
            new[name] = bool(string_bool(fields[name]))
    for name in ("results", "parameters", "packages"):
        if isinstance(embedded.get(name), dict):
            new[name] = embedded[name]
    hardware = embedded.get("for_hardware", data.get("for_hardware"))
    if hardware is not None:
        new["for_hardware"] = hardware if isinstance(hardware, list) else str(hardware).split(",")
    if "tags" in fields:
        new["tags"] = [tag.strip() for tag in str(fields["tags"]).split(",") if tag.strip()]
    errors.refuse()
    return new
