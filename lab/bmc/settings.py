# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a machine can be set through its BMC: BIOS, boot options, firmware, accounts; the event log and tasks."""

from __future__ import annotations

import time
from typing import Any

from lab.bmc import bios
from lab.bmc.accounts import LOCKOUT_SECONDS, LOCKOUT_THRESHOLD, LONGEST_PASSWORD, SHORTEST_PASSWORD
from lab.bmc.board import DISK, FIRMWARE, NETWORK, Board
from lab.bmc.messages import message
from lab.bmc.places import ACCOUNTS, INVENTORY, ROOT, SIMPLE_UPDATE, TASKS, UPDATES, Places, collection, link
from lab.bmc.profiles import Profile
from lab.machines import Machine

_REGISTRY = f"{ROOT}/Registries/{bios.REGISTRY}"


def build(machine: Machine, board: Board, profile: Profile, at: Places) -> dict[str, dict[str, Any]]:
    """By path, without `@odata.id`."""
    return {
        **_bios(board, profile, at),
        **_boot_options(machine, at),
        **_firmware(board),
        **_tasks(board),
        **_accounts(board),
        f"{at.log_owner}/LogServices": collection("LogService", [at.log]),
        at.log: _log_service(at),
    }


def _bios(board: Board, profile: Profile, at: Places) -> dict[str, dict[str, Any]]:
    now = {
        "@odata.type": "#Bios.v1_2_0.Bios",
        "Id": "Bios",
        "Name": "BIOS Configuration",
        "AttributeRegistry": bios.REGISTRY,
        "Attributes": bios.shown(board["bios"], profile.attribute_suffix),
    }
    found = {
        at.bios: now,
        f"{ROOT}/Registries": collection("MessageRegistryFile", [_REGISTRY]),
        _REGISTRY: {
            "@odata.type": "#MessageRegistryFile.v1_1_3.MessageRegistryFile",
            "Id": bios.REGISTRY,
            "Name": "BIOS Attribute Registry File",
            "Registry": bios.REGISTRY,
            "Location": [{"Language": "en", "Uri": f"{_REGISTRY}/registry.json"}],
        },
        f"{_REGISTRY}/registry.json": bios.registry(profile.attribute_suffix),
    }
    if at.settings != at.bios:
        now["@Redfish.Settings"] = {
            "@odata.type": "#Settings.v1_3_5.Settings",
            "SettingsObject": link(at.settings),
            "SupportedApplyTimes": ["OnReset"],
        }
        found[at.settings] = {
            "@odata.type": "#Bios.v1_2_0.Bios",
            "Id": "Settings",
            "Name": "BIOS Pending Settings",
            "AttributeRegistry": bios.REGISTRY,
            "Attributes": bios.shown(board["pending"], profile.attribute_suffix),
        }
    return found


def _boot_options(machine: Machine, at: Places) -> dict[str, dict[str, Any]]:
    path = f"{at.system}/BootOptions"
    names = {DISK: "Disk: NVMe 0", NETWORK: f"PXE: NIC 1 {machine.mac}"}
    alias = {DISK: "Hdd", NETWORK: "Pxe"}
    return {
        path: collection("BootOption", [f"{path}/{name}" for name in names]),
        **{
            f"{path}/{name}": {
                "@odata.type": "#BootOption.v1_0_4.BootOption",
                "Id": name,
                "Name": name,
                "BootOptionReference": name,
                "BootOptionEnabled": True,
                "DisplayName": text,
                "Alias": alias[name],
            }
            for name, text in names.items()
        },
    }


def _firmware(board: Board) -> dict[str, dict[str, Any]]:
    versions = board["firmware"]
    return {
        UPDATES: {
            "@odata.type": "#UpdateService.v1_11_0.UpdateService",
            "Id": "UpdateService",
            "Name": "Update Service",
            "ServiceEnabled": True,
            "FirmwareInventory": link(INVENTORY),
            "Actions": {
                "#UpdateService.SimpleUpdate": {
                    "target": SIMPLE_UPDATE,
                    "TransferProtocol@Redfish.AllowableValues": ["HTTP", "HTTPS"],
                }
            },
        },
        INVENTORY: collection("SoftwareInventory", [f"{INVENTORY}/{name}" for name in FIRMWARE]),
        **{
            f"{INVENTORY}/{name}": {
                "@odata.type": "#SoftwareInventory.v1_10_0.SoftwareInventory",
                "Id": name,
                "Name": title,
                "Version": versions[name],
                "Updateable": True,
                "Status": {"State": "Enabled", "Health": "OK"},
            }
            for name, (title, _version, _later) in FIRMWARE.items()
        },
    }


def _tasks(board: Board) -> dict[str, dict[str, Any]]:
    tasks: dict[str, dict[str, Any]] = board["tasks"]
    return {
        f"{ROOT}/TaskService": {
            "@odata.type": "#TaskService.v1_2_0.TaskService",
            "Id": "TaskService",
            "Name": "Task Service",
            "ServiceEnabled": True,
            "Tasks": link(TASKS),
        },
        TASKS: collection("Task", [f"{TASKS}/{number}" for number in tasks]),
        **{f"{TASKS}/{number}": task_resource(number, task) for number, task in tasks.items()},
    }


def task_resource(number: str, task: dict[str, Any]) -> dict[str, Any]:
    """A task, without its path."""
    failed = task["state"] == "Exception"
    told = [{**message("ResourceInUse", task["error"]), "Message": task["error"]}] if failed else []
    return {
        "@odata.type": "#Task.v1_7_0.Task",
        "Id": number,
        "Name": task["name"],
        "TaskState": task["state"],
        "TaskStatus": "Critical" if failed else "OK",
        "PercentComplete": task["percent"],
        "Messages": told,
    }


def _accounts(board: Board) -> dict[str, dict[str, Any]]:
    return {
        f"{ROOT}/AccountService": {
            "@odata.type": "#AccountService.v1_11_0.AccountService",
            "Id": "AccountService",
            "Name": "Account Service",
            "AccountLockoutThreshold": LOCKOUT_THRESHOLD,
            "AccountLockoutDuration": LOCKOUT_SECONDS,
            "MinPasswordLength": SHORTEST_PASSWORD,
            "MaxPasswordLength": LONGEST_PASSWORD,
            "Accounts": link(ACCOUNTS),
        },
        ACCOUNTS: collection("ManagerAccount", [f"{ACCOUNTS}/{number}" for number in board.accounts()]),
        **{
            f"{ACCOUNTS}/{number}": {
                "@odata.type": "#ManagerAccount.v1_9_0.ManagerAccount",
                "Id": number,
                "Name": "User Account",
                "UserName": account["user"],
                "Password": None,
                "Enabled": account["enabled"],
                "RoleId": "Administrator",
            }
            for number, account in board.accounts().items()
        },
    }


def _log_service(at: Places) -> dict[str, Any]:
    return {
        "@odata.type": "#LogService.v1_3_1.LogService",
        "Id": "Sel",
        "Name": "System Event Log",
        "LogEntryType": "SEL",
        "ServiceEnabled": True,
        "Entries": link(f"{at.log}/Entries"),
        "Actions": {"#LogService.ClearLog": {"target": at.clear_log}},
    }


def log_page(board: Board, profile: Profile, at: Places, skip: int) -> dict[str, Any]:
    """A page of the event log from entry `skip` on, the newest first."""
    entries = list(reversed(board["log"]))
    path = f"{at.log}/Entries"
    shown = entries[skip : skip + profile.page]
    page = {
        "@odata.id": path,
        "@odata.type": "#LogEntryCollection.LogEntryCollection",
        "Name": "Log Entries",
        "Members": [_entry(path, entry, profile.zone_seconds) for entry in shown],
        "Members@odata.count": len(entries),
    }
    if skip + profile.page < len(entries):
        page["Members@odata.nextLink"] = f"{path}?$skip={skip + profile.page}"
    return page


def _entry(path: str, entry: dict[str, Any], zone: int) -> dict[str, Any]:
    return {
        "@odata.id": f"{path}/{entry['id']}",
        "@odata.type": "#LogEntry.v1_13_0.LogEntry",
        "Id": entry["id"],
        "Name": f"Log entry {entry['id']}",
        "EntryType": "SEL",
        "Created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["time"] + zone)),
        "Severity": entry["severity"],
        "Message": entry["text"],
        "MessageId": entry["kind"],
    }
