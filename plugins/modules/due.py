#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: due
short_description: Tell what of a host is not as wanted
version_added: 0.1.0
description:
  - Compares packages, users, files, kernel settings and services of a host with how they should be, in one execution,
    and says of each that differs why it does. What to do about it is left to the modules of C(ansible.builtin).
  - Reads only. The entry point C(wanted) of the role C(common) acts on what it says.
  - Contents of files do not travel; the controller sends their hashes.
options:
  packages:
    description: Packages that must be installed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the package.
        type: str
        required: true
      version:
        description:
          - Wanted version; without one, any.
          - V(570.172.08) accepts any packaging of that version, V(20.10.*) any version of that series.
        type: str
      hold:
        description: Whether dpkg holds the package against upgrades.
        type: bool
        default: false
      repository:
        description: Where the package comes from, for messages; handed on.
        type: str
  in_service:
    description:
      - Whether the host is in service. Where a package that is to be held is due then, none is; all that would be are
        in RV(waiting) instead of RV(packages).
    type: bool
    default: false
  replaced:
    description: Patterns of names that the packages carried before. Held ones among them are returned.
    type: list
    elements: str
    default: []
  audit:
    description: Whether to look for half-configured packages of any name even when none of O(packages) is due.
    type: bool
    default: false
  users:
    description: Users that must exist, with a password that opens nothing.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user.
        type: str
        required: true
      uid:
        description: Its number; without one, any.
        type: int
      home:
        description: Its home directory.
        type: str
      shell:
        description: Its shell.
        type: str
      groups:
        description: Further groups that it must be in.
        type: list
        elements: str
        default: []
  files:
    description: Files that the caller owns.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where it lies.
        type: str
        required: true
      state:
        description: What it is; V(absent) for what must not be there.
        type: str
        choices: [file, directory, link, absent]
        default: file
      content:
        description: The whole content. It stays on the controller, which sends O(files[].sha256) in its place.
        type: str
      sha256:
        description: Hash of the whole content.
        type: str
      json:
        description: Keys that a JSON file must have beside those of others, with their values.
        type: dict
      target:
        description: Where a link leads.
        type: str
      mode:
        description:
          - Permissions, as V(u=rw,go=r) or V(0644). By default everybody may read a file and enter a directory, and
            only the owner may write.
        type: str
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      src:
        description: For the task that writes the file; of no meaning here.
        type: str
      validate:
        description: For the task that writes the file; of no meaning here.
        type: str
      secret:
        description: For the task that writes the file; of no meaning here.
        type: bool
        default: false
  texts:
    description: What must or must not be in files that others own too.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: By what name to return it. Several entries may share one.
        type: str
        required: true
      path:
        description: The file.
        type: str
        required: true
      equals:
        description: The whole text, but for white space at its end.
        type: str
      contains:
        description: Texts that must be in it.
        type: list
        elements: str
        default: []
      lacks:
        description: Regular expressions of which none may match in it; C(^) and C($) are those of a line.
        type: list
        elements: str
        default: []
      words:
        description: Words that must be in it, parted by white space, as on a kernel's command line.
        type: list
        elements: str
        default: []
      made_of:
        description: Files that a program makes it of. It must not be older than one of them.
        type: list
        elements: str
        default: []
      mode:
        description: Permissions.
        type: str
      owner:
        description: Name of the owner.
        type: str
      group:
        description: Name of the group.
        type: str
  sysctl:
    description: Settings of the running kernel.
    type: dict
    default: {}
  sysfs:
    description:
      - Values by path or glob pattern of files in which the running kernel keeps one, as those below C(/sys).
      - Of several values that such a file offers, the one in brackets counts. A file that the kernel does not have is
        not due.
    type: dict
    default: {}
  services:
    description: Services of systemd.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the unit; with O(services[].action=reexecuted) of what systemd itself has read.
        type: str
        required: true
      state:
        description: Whether it is enabled and runs, or is disabled and does not.
        type: str
        choices: [started, stopped]
        default: started
      action:
        description: How it takes a new configuration; V(reexecuted) is for systemd itself.
        type: str
        choices: [restarted, reloaded, reexecuted]
        default: restarted
      reads:
        description: Paths among O(files) that it reads at its start.
        type: list
        elements: str
        default: []
      words:
        description: What else stands for its configuration, such as the version of the program.
        type: list
        elements: str
        default: []
      waits_for:
        description:
          - Patterns among O(sysfs). While one of them is due, the service is enabled and else left as it is, because it
            cannot run before the machine has been started anew, which starts it too.
        type: list
        elements: str
        default: []
  stamps:
    description: Directory with one file per service, that holds the hash of the configuration it was last started with.
    type: path
    default: /var/lib/firstlight/applied
attributes:
  check_mode:
    support: full
    description: It only reads, and does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: See what of chrony is due
  firstlight.cluster.due:
    packages:
      - name: chrony
    files:
      - path: /etc/chrony/chrony.conf
        content: "{{ lookup('ansible.builtin.template', 'chrony.conf.j2') }}"
        owner: root
        group: root
        mode: u=rw,go=r
    services:
      - name: chrony
        reads: [/etc/chrony/chrony.conf]
  become: true
  register: chrony

- name: Say why
  ansible.builtin.debug:
    var: chrony.why
"""

RETURN = r"""
due:
  description: Whether any of packages, users, files and services is due.
  returned: success
  type: bool
why:
  description: One line for each thing that is due.
  returned: success
  type: list
  elements: str
  sample: ["package chrony: is not installed", "file /etc/chrony/chrony.conf: is missing"]
packages:
  description: Packages that are due. C(installed) is true of those that are there in another version.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "chrony", "version": "", "hold": false, "repository": "", "installed": false}]
waiting:
  description: Packages of a host in service that are left as they are, in the form of RV(packages).
  returned: success
  type: list
  elements: dict
unheld:
  description: Names of packages that are as wanted but for their hold, which needs no installation.
  returned: success
  type: list
  elements: str
broken:
  description: What C(dpkg --audit) says; empty where it was not asked.
  returned: success
  type: str
replaced:
  description: Held packages of former names.
  returned: success
  type: list
  elements: str
users:
  description: Names of the users that are due.
  returned: success
  type: list
  elements: str
files:
  description: Files that are due, with those of C(owner) and C(group) that the host does not know yet.
  returned: success
  type: list
  elements: dict
  sample: [{"path": "/etc/chrony/chrony.conf", "strangers": []}]
merged:
  description: Of each JSON file that is due, by its path, the text that it should have.
  returned: success
  type: dict
texts:
  description: Names of O(texts) that are due.
  returned: success
  type: list
  elements: str
sysctl:
  description: Names of the settings that differ.
  returned: success
  type: list
  elements: str
sysctl_unknown:
  description: Names of the settings that the kernel does not have.
  returned: success
  type: list
  elements: str
sysfs:
  description: Patterns of O(sysfs) with a file of another value.
  returned: success
  type: list
  elements: str
kernel:
  description: Release of the running kernel.
  returned: success
  type: str
  sample: 6.8.0-79-generic
services:
  description:
    - Services that are due. C(state) is that of M(ansible.builtin.systemd_service), empty to leave the service as it
      is; C(stamp) is to be written once it has that state; C(present) is whether there is such a unit; C(drifted) is
      whether the stamp must be removed before its files are mended, as only that says then that it is due.
    - C(changed_keys) are the keys at the top of JSON files that will be changed, where it was last started with these
      files as they are now.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "chrony", "state": "restarted", "stamp": "2c26b46b", "present": true,
            "drifted": false, "changed_keys": [], "why": ["is not running"]}]
"""

import os
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.due import files, kernel, packages, services, users
from ..module_utils.due.options import OPTIONS

_MODES = {"file": "u=rw,go=r", "directory": "u=rwx,go=rx"}


class _Look:
    """One look at the host: every part adds to the result what of it is due, and to `why` a line for each."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, t.Any] = module.params
        self.why: list[str] = []
        # Path to hash of the wanted content, for the services that read it.
        self.hashes: dict[str, str] = {}
        # Path to what is to become of a JSON file.
        self.merged: dict[str, files.Merged] = {}
        # Paths of files whose content is another.
        self.unlike: set[str] = set()
        # Patterns of kernel files with another value.
        self.sysfs_due: set[str] = set()

    def _say(self, what: str, reasons: t.Iterable[str]) -> None:
        self.why.append(f"{what}: {', '.join(reasons)}")

    def packages(self) -> dict[str, t.Any]:
        wanted = [packages.Wanted.from_dict(item) for item in self.params["packages"]]
        found: list[packages.Found] = []
        if wanted:
            names = [package.name for package in wanted] + self.params["replaced"]
            query = ["dpkg-query", "--show", f"--showformat={packages.QUERY_FORMAT}", *names]
            # It ends with 1 where one of the names is unknown to it.
            found = packages.parse_query(self._run(query, codes=(0, 1)))
        due, unheld = [], []
        for package in wanted:
            reasons = packages.why_due(package, found)
            if reasons == [packages.NOT_HELD]:
                unheld.append(package.name)
            elif reasons:
                installed = any(other.name == package.name and other.installed for other in found)
                due.append({**vars(package), "installed": installed})
            if reasons:
                self._say(f"package {package.name}", reasons)
        # What is held is in use: half of an exchange, as the others without it, is worse than none.
        waiting = due if self.params["in_service"] and any(package["hold"] for package in due) else []
        if waiting:
            due = []
        broken = self._run(["dpkg", "--audit"], codes=(0, 1)) if due or self.params["audit"] else ""
        if broken:
            self._say("dpkg", ["was interrupted"])
        replaced = [] if waiting else packages.held_by_former_names(wanted, found)
        return {"packages": due, "waiting": waiting, "unheld": unheld, "broken": broken, "replaced": replaced}

    def users(self) -> dict[str, t.Any]:
        if not self.params["users"]:
            return {"users": []}
        texts = [self._text(path) or "" for path in ("/etc/passwd", "/etc/shadow", "/etc/group")]
        accounts = users.parse_accounts(*texts)
        due = users.names_with_due(self.params["users"], accounts)
        for name, reasons in due.items():
            self._say(f"user {name}", reasons)
        return {"users": list(due)}

    def files(self) -> dict[str, t.Any]:
        due, merged = [], {}
        for item in self.params["files"]:
            path = item["path"]
            found = files.look(path, follow=item["state"] not in ("link", "absent"))
            complete = self._complete(item)
            reasons = files.why_due(complete, found)
            if found.kind != item["state"] or (complete["sha256"] or found.sha256) != found.sha256:
                self.unlike.add(path)
            if item["json"] is not None:
                outcome = self._merge(path, item["json"], found)
                self.merged[path] = outcome
                self.hashes[path] = outcome.sha256
                if outcome.due and found.kind == "file":
                    reasons.append("lacks settings")
                    self.unlike.add(path)
                if reasons:
                    merged[path] = outcome.text
            if reasons:
                due.append({"path": path, "strangers": files.strangers(item)})
                self._say(f"{item['state'] if item['state'] != 'absent' else 'file'} {path}", reasons)
        return {"files": due, "merged": merged}

    def _complete(self, item: dict[str, t.Any]) -> dict[str, t.Any]:
        """A file with the hash of its content, and with the mode that it has where none is said."""
        sha256 = item["sha256"] if item["content"] is None else files.hash_of_text(item["content"])
        self.hashes[item["path"]] = sha256 or ""
        return {**item, "sha256": sha256, "mode": item["mode"] or _MODES.get(item["state"])}

    def _merge(self, path: str, ours: dict[str, t.Any], found: files.Found) -> files.Merged:
        try:
            return files.merge_json(self._text(path) if found.kind == "file" else None, ours)
        except ValueError as error:
            self.module.fail_json(msg=f"{path} {error}")

    def texts(self) -> dict[str, t.Any]:
        due = []
        for item in self.params["texts"]:
            reasons = files.why_text_due(item, self._text(item["path"]))
            if item["made_of"]:
                reasons += files.why_older(item["path"], item["made_of"])
            if item["mode"] or item["owner"] or item["group"]:
                reasons += files.why_attributes_due(item, files.look(item["path"]))
            if reasons:
                due.append(item["name"])
                self._say(f"file {item['path']}", reasons)
        return {"texts": list(dict.fromkeys(due))}

    def sysctl(self) -> dict[str, t.Any]:
        wanted = self.params["sysctl"]
        found = kernel.read_settings(wanted)
        due, unknown = kernel.settings_due(wanted, found)
        for key in due:
            self._say(f"kernel setting {key}", [f"is {' '.join(found[key].split())}, wanted is {wanted[key]}"])
        return {"sysctl": due, "sysctl_unknown": unknown}

    def sysfs(self) -> dict[str, t.Any]:
        wanted = self.params["sysfs"]
        due = kernel.files_due(wanted, kernel.read_files(wanted))
        self.sysfs_due = {*due}
        for pattern, reason in due.items():
            self._say(f"kernel file {pattern}", [reason])
        return {"sysfs": list(due), "kernel": os.uname().release}

    def services(self) -> dict[str, t.Any]:
        wanted = self.params["services"]
        names = [item["name"] for item in wanted if item["action"] != services.REEXECUTED]
        units = {}
        if names:
            command = ["systemctl", "show", "--no-pager", f"--property={','.join(services.PROPERTIES)}", "--", *names]
            units = services.parse_show(self._run(command))
        found = []
        for item in wanted:
            stamp = services.stamp_of([self._hash(item["name"], path) for path in item["reads"]], item["words"])
            applied = self._text(str(Path(self.params["stamps"]) / item["name"])) or ""
            unlike = [path for path in item["reads"] if path in self.unlike]
            waits = any(self._differs(item["name"], pattern) for pattern in item["waits_for"])
            due = services.due(item, services.unit_of(item["name"], units), stamp, applied.strip(), unlike, waits)
            if due.why:
                keys = self._changed_keys(item, applied.strip())
                found.append({"name": item["name"], **due.to_dict(), "changed_keys": keys})
                self._say(f"service {item['name']}", due.why)
        return {"services": found}

    def _hash(self, service: str, path: str) -> str:
        if path not in self.hashes:
            self.module.fail_json(msg=f"services: {service}: reads {path}, which is not among files. Add it there.")
        return self.hashes[path]

    def _changed_keys(self, item: dict[str, t.Any], applied: str) -> list[str]:
        """None where the service was last started with something else than what its files are now."""
        outcomes = {path: self.merged[path] for path in item["reads"] if path in self.merged}
        now = [outcomes[path].before if path in outcomes else self._hash(item["name"], path) for path in item["reads"]]
        if services.stamp_of(now, item["words"]) != applied:
            return []
        return sorted({key for outcome in outcomes.values() for key in outcome.changed})

    def _differs(self, service: str, pattern: str) -> bool:
        if pattern not in self.params["sysfs"]:
            self.module.fail_json(
                msg=f"services: {service}: waits for {pattern}, which is not among sysfs. Add it there."
            )
        return pattern in self.sysfs_due

    def _text(self, path: str) -> str | None:
        """Text of a file; None where there is none."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _run(self, command: list[str], codes: tuple[int, ...] = (0,)) -> str:
        code, output, errors = self.module.run_command(command, environ_update={"LC_ALL": "C.UTF-8"})
        if code not in codes:
            self.module.fail_json(msg=f"{' '.join(command[:2])} ended with {code}: {(errors or output).strip()}")
        return str(output)


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    look = _Look(module)
    result: dict[str, t.Any] = {}
    try:
        for part in (look.packages, look.users, look.files, look.texts, look.sysctl, look.sysfs, look.services):
            result.update(part())
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be read: {error.strerror}. Run the task with become.")
    except ValueError as error:
        module.fail_json(msg=str(error))
    due = any(result[key] for key in ("packages", "unheld", "broken", "users", "files", "services"))
    module.exit_json(changed=False, due=due, why=look.why, **result)


if __name__ == "__main__":
    main()
