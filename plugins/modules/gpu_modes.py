#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_modes
short_description: Put the GPUs of a node into their modes
version_added: 0.1.0
description:
  - Reads ECC, MIG, persistence mode and power limit of every GPU through NVML, and sets what differs.
  - A change of MIG needs a GPU that nobody uses, and is refused while a process holds one.
  - ECC comes into force with the next start of the machine, and so does MIG where the GPU cannot be reset at once. What
    waits for it is returned; nothing is reset or restarted here.
  - A GPU that cannot be read, and an NVML that does not answer, is a warning and no failure. Judging hardware is for
    M(firstlight.cluster.node_health).
options:
  ecc:
    description: Error correction of the GPU memory; without it, as it is.
    type: str
    choices: [enabled, disabled]
  mig:
    description: Partition of the GPU into instances; without it, as it is.
    type: str
    choices: [enabled, disabled]
  persistence:
    description:
      - Whether the driver keeps an unused GPU initialised; without it, as it is. A start of the machine forgets it.
    type: str
    choices: [enabled, disabled]
  power_limit:
    description:
      - Watts that a GPU may draw, within what it takes; V(0) for as many as it may by default; without it, as it is. A
        start of the machine forgets it.
    type: int
  own:
    description: Commands that may hold a GPU while MIG changes, because they belong to the driver.
    type: list
    elements: str
    default: []
  nvml_path:
    description:
      - Directories to look for the Python module C(pynvml) in (from nvidia-ml-py), behind Python's own, as a rule
        C(site-packages) of a virtual environment on the node. May hold wildcards.
    type: list
    elements: path
    default: []
  deadline:
    description: Seconds that reading may take, and setting again.
    type: float
    default: 60
seealso:
  - module: firstlight.cluster.node_busy_info
attributes:
  check_mode:
    support: full
    description: Says what it would set, and what would wait for a start of the machine.
  diff_mode:
    support: full
    description: Shows a line for each mode of a GPU that is set, before and after.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: ECC on, no partitions, not more than 650 W
  firstlight.cluster.gpu_modes:
    ecc: enabled
    mig: disabled
    persistence: enabled
    power_limit: 650
    nvml_path: [/opt/firstlight/venv/lib/python3*/site-packages]
  become: true
  register: modes

- name: Say what a start of the machine brings
  ansible.builtin.debug:
    var: modes.waiting
"""

RETURN = r"""
set:
  description: A line for each mode of a GPU that was set, or would be.
  returned: success
  type: list
  elements: str
  sample: ["GPU 3 (0000:5d:00.0): ECC enabled"]
waiting:
  description: A sentence for each mode that comes into force with the next start of the machine.
  returned: success
  type: list
  elements: str
  sample: ["ECC is to be enabled on GPU 3, 5"]
unread:
  description: What could not be read, and why.
  returned: success
  type: list
  elements: str
  sample: ["GPU 6: GPU is lost"]
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.gpu_modes.nvml import read_modes, set_modes
from ..module_utils.gpu_modes.plan import Plan, Wanted, judge, plan, waiting
from ..module_utils.observe import holders
from ..module_utils.observe.nvml import load_pynvml
from ..module_utils.observe.runner import run_readers
from ..module_utils.observe.source import SourceError

_SWITCH = {"type": "str", "choices": ["enabled", "disabled"]}
_OPTIONS = {
    "ecc": _SWITCH,
    "mig": _SWITCH,
    "persistence": _SWITCH,
    "power_limit": {"type": "int"},
    "own": {"type": "list", "elements": "str", "default": []},
    "nvml_path": {"type": "list", "elements": "path", "default": []},
    "deadline": {"type": "float", "default": 60},
}
_SWITCHES = {"enabled": True, "disabled": False, None: None}


def _refuse_under_holders(module: AnsibleModule, planned: Plan) -> None:
    """A change of MIG resets the GPU."""
    changes = planned.needs_idle()
    if not changes:
        return
    proc = Path("/proc")
    try:
        held = holders.on_gpus(proc)
    except SourceError as error:
        module.fail_json(msg=f"{holders.CANNOT_TELL}: {error}. {holders.LOOK}")
    busy = holders.holders(proc, module.params["own"], held)
    if busy:
        gpus = ", ".join(change.gpu for change in changes)
        labels = ", ".join(holder["label"] for holder in busy)
        message = f"MIG of {gpus} is to be set to {module.params['mig']}, but GPUs are held by {labels}."
        module.fail_json(msg=f"{message} Drain the node or end these processes, then run again.")


def _diff(planned: Plan) -> dict[str, str]:
    return {
        "before": "".join(f"{change.shown(change.before)}\n" for change in planned.changes),
        "after": "".join(f"{change.shown(change.value)}\n" for change in planned.changes),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    given: dict[str, t.Any] = module.params
    switches = {mode: _SWITCHES[given[mode]] for mode in ("ecc", "mig", "persistence")}
    wanted = Wanted(power_limit=given["power_limit"], **switches)

    def with_nvml(work: t.Callable[[t.Any], t.Any]) -> dict[str, t.Any]:
        """In a process of its own: a call into a sick driver may never return."""
        readers = {"nvml": lambda: work(load_pynvml(given["nvml_path"]))}
        return run_readers(readers, given["deadline"])["nvml"]

    read = with_nvml(read_modes)
    if read["status"] != "ok":
        module.warn(f"The modes of the GPUs cannot be read: {read['error']}.")
        module.exit_json(changed=False, set=[], waiting=[], unread=[read["error"]])
    planned = plan(wanted, read["data"])
    for reason in planned.unread:
        module.warn(f"{reason}. Its modes are left as they are.")
    if planned.problems:
        remedy = "Correct the modes that are asked for; an empty one leaves the GPU as it is."
        module.fail_json(msg=f"{'; '.join(planned.problems)}. {remedy}")
    _refuse_under_holders(module, planned)
    if planned.changes and not module.check_mode:
        done = with_nvml(lambda nvml: set_modes(nvml, planned.changes))
        if done["status"] != "ok":
            module.fail_json(msg=f"The modes of the GPUs cannot be set: {done['error']}. See `dmesg` for Xid errors.")
        judge(planned, done["data"])
    result = {"changed": bool(planned.changes), "waiting": waiting(planned, wanted), "unread": planned.unread}
    result["set"] = [change.shown(change.value) for change in planned.changes]
    if planned.problems:
        module.fail_json(msg=f"{'; '.join(planned.problems)}. See `nvidia-smi -q` and `dmesg` on the host.", **result)
    module.exit_json(diff=_diff(planned), **result)


if __name__ == "__main__":
    main()
