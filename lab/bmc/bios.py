# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The BIOS of a simulated board: its attributes, their registry, and what it says to a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.bmc.messages import message

REGISTRY = "BiosAttributeRegistry.v1_0_0"
_ONOFF = ("Enabled", "Disabled")


def _enumeration(name: str, default: str, *values: str, **more: Any) -> dict[str, Any]:
    choices = [{"ValueName": value, "ValueDisplayName": value} for value in values or _ONOFF]
    return {"AttributeName": name, "Type": "Enumeration", "DefaultValue": default, "Value": choices, **more}


_ATTRIBUTES: tuple[dict[str, Any], ...] = (
    _enumeration("SysProfile", "PerfPerWattOptimizedOs", "PerfPerWattOptimizedOs", "PerfOptimized", "Custom"),
    _enumeration("ProcCStates", "Enabled"),
    _enumeration("LogicalProc", "Enabled"),
    _enumeration("SriovGlobalEnable", "Disabled"),
    _enumeration("IommuSupport", "Enabled"),
    _enumeration("NumaNodesPerSocket", "1", "0", "1", "2", "4"),
    _enumeration("PcieAspmL1", "Enabled"),
    _enumeration("BootMode", "Uefi", "Uefi", "Bios"),
    {
        "AttributeName": "AcPwrRcvryUserDelay",
        "Type": "Integer",
        "DefaultValue": 60,
        "LowerBound": 60,
        "UpperBound": 600,
        "ScalarIncrement": 10,
    },
    {"AttributeName": "AssetTag", "Type": "String", "DefaultValue": "", "MinLength": 0, "MaxLength": 10},
    {"AttributeName": "SystemServiceTag", "Type": "String", "DefaultValue": "", "ReadOnly": True},
    {"AttributeName": "SetupPassword", "Type": "Password", "DefaultValue": None, "MinLength": 8, "MaxLength": 32},
)
# An attribute that is read-only unless another one has a value.
_GUARDS = {"ProcCStates": ("SysProfile", "Custom"), "PcieAspmL1": ("SysProfile", "Custom")}


def defaults(suffix: str) -> dict[str, Any]:
    """The values that a board is made with; `suffix` is appended to every name."""
    return {entry["AttributeName"] + suffix: entry["DefaultValue"] for entry in _ATTRIBUTES}


def shown(values: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    """The attributes as they are told: a password is not."""
    hidden = {entry["AttributeName"] + suffix for entry in _ATTRIBUTES if entry["Type"] == "Password"}
    return {name: None if name in hidden else value for name, value in values.items()}


def registry(suffix: str) -> dict[str, Any]:
    """The attribute registry, without its path."""
    return {
        "@odata.type": "#AttributeRegistry.v1_3_3.AttributeRegistry",
        "Id": REGISTRY,
        "Name": "BIOS Attribute Registry",
        "Language": "en",
        "OwningEntity": "Firstlight",
        "RegistryVersion": "1.0.0",
        "RegistryEntries": {
            "Attributes": [
                {
                    "DisplayName": entry["AttributeName"],
                    "ReadOnly": False,
                    "ResetRequired": True,
                    **entry,
                    "AttributeName": entry["AttributeName"] + suffix,
                }
                for entry in _ATTRIBUTES
            ],
            "Dependencies": [
                {
                    "Type": "Map",
                    "DependencyFor": name + suffix,
                    "Dependency": {
                        "MapFrom": [
                            {
                                "MapFromAttribute": guard + suffix,
                                "MapFromProperty": "CurrentValue",
                                "MapFromCondition": "NEQ",
                                "MapFromValue": value,
                            }
                        ],
                        "MapToAttribute": name + suffix,
                        "MapToProperty": "ReadOnly",
                        "MapToValue": True,
                    },
                }
                for name, (guard, value) in _GUARDS.items()
            ],
        },
    }


def refusals(wanted: Mapping[str, Any], now: Mapping[str, Any], suffix: str) -> list[dict[str, Any]]:
    """A message for each attribute that the board does not take, none where all are well."""
    known = {entry["AttributeName"] + suffix: entry for entry in _ATTRIBUTES}
    found = []
    for name, value in wanted.items():
        complaint = ("PropertyUnknown", name) if name not in known else _complaint(known[name], name, value)
        guard = _GUARDS.get(name.removesuffix(suffix))
        if complaint is None and guard and {**now, **wanted}.get(guard[0] + suffix) != guard[1]:
            complaint = ("PropertyNotWritable", name)
        if complaint is not None:
            found.append({**message(*complaint), "RelatedProperties": [f"#/Attributes/{name}"]})
    return found


def _complaint(entry: Mapping[str, Any], name: str, value: Any) -> tuple[str, ...] | None:
    if entry.get("ReadOnly"):
        return ("PropertyNotWritable", name)
    if entry["Type"] == "Integer":
        if not isinstance(value, int) or isinstance(value, bool):
            return ("PropertyValueTypeError", name)
        least, most, step = entry["LowerBound"], entry["UpperBound"], entry["ScalarIncrement"]
        if not least <= value <= most or (value - least) % step:
            return ("PropertyValueOutOfRange", str(value), name, f"{least} to {most} in steps of {step}")
        return None
    if not isinstance(value, str):
        return ("PropertyValueTypeError", name)
    if entry["Type"] == "Enumeration":
        choices = [each["ValueName"] for each in entry["Value"]]
        return None if value in choices else ("PropertyValueNotInList", value, name, ", ".join(choices))
    if not entry["MinLength"] <= len(value) <= entry["MaxLength"]:
        return ("PropertyValueFormatError", name)
    return None
