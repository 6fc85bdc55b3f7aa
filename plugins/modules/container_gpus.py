#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: container_gpus
short_description: Describe the GPUs to container engines, and prove that a container gets them
version_added: 0.2.0
description:
  - Has a CDI specification written where there is none, or one of another driver, toolkit or set of GPUs.
  - Starts one container with all GPUs where something that this depends on has changed, or no proof is left of the last
    time, and fails where the container does not see every GPU.
  - Where both hold, two programs are asked for their versions and nothing is started.
  - Where the driver does not answer, as between its upgrade and the restart of the machine, it warns and does nothing;
    with O(driver_required) it fails.
options:
  specification:
    description: File of the specification.
    type: path
    required: true
  unit:
    description: Unit of systemd that writes it.
    type: str
    required: true
  count:
    description: How many GPUs a container must see; 0 for those that the host has.
    type: int
    default: 0
  smoke:
    description: Whether to start a container at all.
    type: bool
    default: true
  image:
    description:
      - Image of the container. It needs nothing but a C library, as the toolkit brings C(nvidia-smi).
      - Empty for one that is made of the host's own C library, and removed after the run. Nothing is pulled for it.
    type: str
    default: ""
  run_options:
    description: Options of C(docker run) that give a container all GPUs.
    type: list
    elements: str
    required: true
  depends_on:
    description: Files, such as the configuration of the engine, on whose content the proof depends.
    type: list
    elements: path
    default: []
  timeout:
    description: Seconds that the container may take, with the time to pull the image.
    type: int
    default: 120
  driver_required:
    description: Whether a driver that does not answer is a failure, as it is after the restart that was to load it.
    type: bool
    default: false
  stamp:
    description: File that holds for what the specification was written, and for what the proof is.
    type: path
    default: /var/lib/firstlight/container_gpus.json
attributes:
  check_mode:
    support: full
    description: Says what is due, and starts nothing.
  diff_mode:
    support: none
    description: RV(why) says what is due.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Give GPUs to containers
  firstlight.cluster.container_gpus:
    specification: /var/run/cdi/nvidia.yaml
    unit: nvidia-cdi-refresh.service
    count: 8
    run_options: [--device, nvidia.com/gpu=all]
    depends_on: [/etc/docker/daemon.json]
  become: true
"""

RETURN = r"""
why:
  description: One line for each thing that was due.
  returned: always
  type: list
  elements: str
  sample: ["specification: was made for driver 570.158.01, and this is 570.172.08"]
gpus:
  description: Identities of the host's GPUs.
  returned: success
  type: list
  elements: str
"""

import hashlib
import json
import tarfile
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.due import container_gpus as core

_NAME = "firstlight-gpu-smoke"
_OWN_IMAGE = f"{_NAME}:local"


class _Work:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, t.Any] = module.params
        self.why: list[str] = []
        self.stamp = self._read_stamp()

    def specification(self, gpus: core.Gpus, toolkit: str) -> dict[str, t.Any]:
        """Has it written where it is due; returns what it is made of."""
        basis = core.basis_of(gpus, toolkit)
        text = _text(self.params["specification"])
        made = self.stamp.get("specification", {})
        changed = (
            core.why_changed({**basis, "content": _hash(text)}, made) if made else ["was made for nobody knows what"]
        )
        reasons = core.why_unnamed(text, gpus) or changed
        self._say("specification", reasons)
        if reasons and not self.module.check_mode:
            self._run(["systemctl", "restart", self.params["unit"]], "the specification cannot be written")
            text = _text(self.params["specification"])
            if wrong := core.why_unnamed(text, gpus):
                self._fail(
                    f"{self.params['unit']} ran, but {self.params['specification']} {', '.join(wrong)}. "
                    f"See `journalctl -u {self.params['unit']}` on the host, then run again."
                )
            self._keep(specification={**basis, "content": _hash(text)})
        return {**basis, "specification": _hash(text)}

    def proof(self, gpus: core.Gpus, basis: dict[str, t.Any]) -> None:
        """Starts a container where the last proof is not one for what there is now."""
        engine = self._engine() if self._has("docker") else ""
        files = {path: _hash(_text(path)) for path in self.params["depends_on"]}
        wanted = {"image": self.params["image"], "options": self.params["run_options"], "count": self.params["count"]}
        whole = {**basis, "engine": engine, **wanted, **files}
        before = self.stamp.get("proof", {})
        reasons = core.why_changed(whole, before) if before else ["there is none"]
        self._say("proof that a container gets the GPUs", reasons)
        # What check mode would have changed before is not there yet.
        if reasons and not self.module.check_mode:
            self._prove(gpus)
            self._keep(proof=whole)

    def _engine(self) -> str:
        """Version of the engine. In check mode it may still have to be started."""
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        if self.module.check_mode:
            return str(self.module.run_command(command)[1]).strip()
        return self._run(command, "the engine does not answer").strip()

    def _prove(self, gpus: core.Gpus) -> None:
        image = self.params["image"] or self._make_image()
        start = ["docker", "run", "--name", _NAME, "--rm", "--network", "none", *self.params["run_options"], image]
        command = [*start, *core.SEEN]
        self.module.run_command(["docker", "rm", "--force", _NAME])
        try:
            bounded = ["timeout", "--kill-after=10", str(self.params["timeout"]), *command]
            code, output, errors = self.module.run_command(bounded)
        finally:
            self.module.run_command(["docker", "rm", "--force", _NAME])
            if not self.params["image"]:
                self.module.run_command(["docker", "rmi", "--force", image])
        by_hand = " ".join(command)
        if code == 124:
            self._fail(f"a container with all GPUs was waited for {self.params['timeout']} seconds: {by_hand}")
        seen = [line.strip() for line in output.splitlines() if line.strip()] if code == 0 else []
        if wrong := core.why_unproved(seen, gpus, self.params["count"]):
            said = f" It ended with {code}: {(errors or output).strip()[:500]}" if code else ""
            self._fail(
                f"a container with all GPUs {' and '.join(wrong)}.{said} Try `{by_hand}` on the host; where the host "
                "itself sees all GPUs (nvidia-smi -L), the toolkit or the engine is at fault, else the GPUs."
            )

    def _make_image(self) -> str:
        """An image of the C library that the host's nvidia-smi is linked with. Returns its name."""
        program = self.module.get_bin_path("nvidia-smi", required=True)
        files = core.libraries(self._run(["ldd", program], "no image can be made"))
        archive = Path(self.module.tmpdir) / f"{_NAME}.tar"
        with tarfile.open(archive, "w", dereference=True) as tar:
            for folder in ("etc", "tmp"):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            for path in files:
                if Path(path).is_file():
                    tar.add(path)
        self._run(["docker", "import", str(archive), _OWN_IMAGE], "no image can be made")
        return _OWN_IMAGE

    def _say(self, what: str, reasons: list[str]) -> None:
        if reasons:
            self.why.append(f"{what}: {', '.join(reasons)}")

    def _has(self, program: str) -> bool:
        """Whether it is there. In check mode it may still have to be installed, which is said then."""
        if self.module.get_bin_path(program):
            return True
        if not self.module.check_mode:
            remedy = "Run the roles that bring it (gpu_driver, container_runtime), then run again."
            self._fail(f"{program} is not installed. {remedy}")
        self.why.append(f"{program} is not installed yet")
        return False

    def _read_stamp(self) -> dict[str, t.Any]:
        try:
            kept = json.loads(_text(self.params["stamp"]) or "{}")
        except ValueError:
            return {}
        return kept if isinstance(kept, dict) else {}

    def _keep(self, **parts: t.Any) -> None:
        """Writes the stamp at once: what is done is not done again by a run after one that was killed."""
        self.stamp = {**self.stamp, **parts}
        place = Path(self.params["stamp"])
        place.parent.mkdir(parents=True, exist_ok=True)
        new = Path(self.module.tmpdir) / place.name
        new.write_text(json.dumps(self.stamp, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        self.module.atomic_move(str(new), str(place))

    def _run(self, command: list[str], failure: str) -> str:
        code, output, errors = self.module.run_command(command, environ_update={"LC_ALL": "C.UTF-8"})
        if code:
            self._fail(f"{failure}: {' '.join(command)} ended with {code}: {(errors or output).strip()[:500]}")
        return str(output)

    def _fail(self, message: str) -> t.NoReturn:
        self.module.fail_json(msg=message, why=self.why)
        raise AssertionError("fail_json has ended the module")

    def run(self) -> t.NoReturn:
        gpus: core.Gpus | None = None
        if self._has("nvidia-ctk") and self._has("nvidia-smi"):
            toolkit = core.parse_toolkit(self._run(["nvidia-ctk", "--version"], "the toolkit does not answer"))
            code, output, errors = self.module.run_command(core.QUERY)
            if code:
                said = (output or errors).strip()[:300]
                if self.params["driver_required"]:
                    self._fail(
                        f"The GPU driver does not answer ({said}), although the machine has been restarted: no "
                        "container gets a GPU. See `dkms status` and `journalctl --boot -k --grep NVRM` on the host, "
                        "then run again."
                    )
                self.module.warn(f"The GPU driver does not answer ({said}): containers get their GPUs by the next run.")
            else:
                gpus = core.parse_gpus(output)
                basis = self.specification(gpus, toolkit)
                if self.params["smoke"]:
                    self.proof(gpus, basis)
        self.module.exit_json(
            changed=bool(self.why), why=self.why, gpus=sorted(gpus.identities.values()) if gpus else []
        )
        raise AssertionError("exit_json has ended the module")


def _text(path: str) -> str | None:
    """Text of a file; None where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _hash(text: str | None) -> str:
    return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "specification": {"type": "path", "required": True},
            "unit": {"type": "str", "required": True},
            "count": {"type": "int", "default": 0},
            "smoke": {"type": "bool", "default": True},
            "image": {"type": "str", "default": ""},
            "run_options": {"type": "list", "elements": "str", "required": True},
            "depends_on": {"type": "list", "elements": "path", "default": []},
            "timeout": {"type": "int", "default": 120},
            "driver_required": {"type": "bool", "default": False},
            "stamp": {"type": "path", "default": "/var/lib/firstlight/container_gpus.json"},
        },
        supports_check_mode=True,
    )
    try:
        _Work(module).run()
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}. Run the task with become.")
    except ValueError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
