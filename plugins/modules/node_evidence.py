#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_evidence
short_description: Bring together on a node what people need to judge a defect
version_added: 0.2.0
description:
  - Writes into a directory of the node, which must be there, the kernel's log, what DMI and the PCI bus say, and, where
    NVIDIA's driver is installed, C(nvidia-smi -q) and NVIDIA's own report.
  - Each tool has a deadline, and each file a greatest size. What a tool said before it failed is kept. A tool that the
    node does not have leaves no file.
options:
  directory:
    description: Where the files are written.
    type: path
    required: true
  bug_report:
    description: Whether C(nvidia-bug-report.sh) is run. It takes minutes and disturbs jobs; not for nodes in service.
    type: bool
    default: false
  deadline:
    description: Seconds that each tool has.
    type: int
    default: 60
  bug_report_deadline:
    description: Seconds that C(nvidia-bug-report.sh) has.
    type: int
    default: 300
  max_bytes:
    description: Greatest size of a file. Of longer texts the end is kept; a longer report of NVIDIA's is not.
    type: int
    default: 33554432
attributes:
  check_mode:
    support: none
    description: Is skipped.
  diff_mode:
    support: none
    description: Writes new files only.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Bring together what the node tells
  firstlight.cluster.node_evidence:
    directory: /var/tmp/evidence
    bug_report: true
  become: true
  register: evidence
"""

RETURN = r"""
files:
  description: Names of the files that were written.
  returned: success
  type: list
  elements: str
  sample: [kernel.log, dmidecode.txt, lspci.txt]
unread:
  description: By name of the file why there is none, or why it is not whole.
  returned: success
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

TOOLS: dict[str, list[str]] = {
    "kernel.log": ["journalctl", "--dmesg", "--no-pager", "--lines=20000", "--output=short-iso"],
    "dmidecode.txt": ["dmidecode"],
    "lspci.txt": ["lspci", "-nnvvv"],
    "nvidia-smi.txt": ["nvidia-smi", "-q"],
}
REPORT = "nvidia-bug-report.log"


def collect(module: AnsibleModule, directory: Path) -> tuple[list[str], dict[str, str]]:
    """The files that were written, and what could not be read in full."""
    params: dict[str, Any] = module.params
    files: list[str] = []
    unread: dict[str, str] = {}
    for name, command in TOOLS.items():
        if not module.get_bin_path(command[0]):
            unread[name] = f"no such command: {command[0]}"
            continue
        status, said, complaint = module.run_command(_bounded(params["deadline"], command), encoding=None)
        if status:
            unread[name] = _why(status, complaint, params["deadline"])
        if said:
            (directory / name).write_bytes(said[-params["max_bytes"] :])
            files.append(name)
    if params["bug_report"] and module.get_bin_path("nvidia-bug-report.sh"):
        seconds = params["bug_report_deadline"]
        command = ["nvidia-bug-report.sh", "--output-file", str(directory / REPORT)]
        status, _said, complaint = module.run_command(_bounded(seconds, command), encoding=None)
        # Packed where the node has gzip; then the script puts that into the name.
        made = [name for name in (f"{REPORT}.gz", REPORT) if (directory / name).is_file()]
        size = (directory / made[0]).stat().st_size if made else 0
        if status or not made:
            unread[REPORT] = _why(status, complaint, seconds)
        elif size > params["max_bytes"]:
            unread[REPORT] = f"it has {size} bytes, more than max_bytes"
        else:
            files.append(made[0])
    return files, unread


def _bounded(seconds: int, command: list[str]) -> list[str]:
    return ["timeout", "--kill-after=10", str(seconds), *command]


def _why(status: int, complaint: bytes, seconds: int) -> str:
    if status in (124, 137):
        return f"did not end within {seconds} s"
    return f"exit status {status}: {complaint.decode(errors='replace').strip()[-300:] or 'it said nothing'}"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "bug_report": {"type": "bool", "default": False},
            "deadline": {"type": "int", "default": 60},
            "bug_report_deadline": {"type": "int", "default": 300},
            "max_bytes": {"type": "int", "default": 32 * 1024 * 1024},
        }
    )
    directory = Path(module.params["directory"])
    if not directory.is_dir():
        module.fail_json(msg=f"directory: {directory} is no directory. Remedy: make it first.")
    files, unread = collect(module, directory)
    module.exit_json(changed=bool(files), files=files, unread=unread)


if __name__ == "__main__":
    main()
