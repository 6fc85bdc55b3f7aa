# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the module due, which the controller checks too, before anything travels."""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, Any] = {
    "packages": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "str"},
            "hold": {"type": "bool", "default": False},
            "repository": {"type": "str"},
        },
    },
    "in_service": {"type": "bool", "default": False},
    "replaced": {"type": "list", "elements": "str", "default": []},
    "audit": {"type": "bool", "default": False},
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "uid": {"type": "int"},
            "home": {"type": "str"},
            "shell": {"type": "str"},
            "groups": {"type": "list", "elements": "str", "default": []},
        },
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
            "content": {"type": "str", "no_log": True},
            "sha256": {"type": "str"},
            "json": {"type": "dict"},
            "target": {"type": "str"},
            "src": {"type": "str"},
            "validate": {"type": "str"},
            "secret": {"type": "bool", "default": False},
            "mode": {"type": "str"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
        },
        "mutually_exclusive": [("content", "sha256", "json")],
        "required_if": [("state", "link", ["target"])],
    },
    "texts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "path": {"type": "str", "required": True},
            "equals": {"type": "str"},
            "contains": {"type": "list", "elements": "str", "default": []},
            "lacks": {"type": "list", "elements": "str", "default": []},
            "words": {"type": "list", "elements": "str", "default": []},
            "made_of": {"type": "list", "elements": "str", "default": []},
            "mode": {"type": "str"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
        },
    },
    "sysctl": {"type": "dict", "default": {}},
    "sysfs": {"type": "dict", "default": {}},
    "services": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "action": {"type": "str", "choices": ["restarted", "reloaded", "reexecuted"], "default": "restarted"},
            "reads": {"type": "list", "elements": "str", "default": []},
            "words": {"type": "list", "elements": "str", "default": []},
            "waits_for": {"type": "list", "elements": "str", "default": []},
        },
    },
    "stamps": {"type": "path", "default": "/var/lib/firstlight/applied"},
}
