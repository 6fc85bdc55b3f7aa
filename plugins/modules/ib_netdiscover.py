#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ib_netdiscover
short_description: Discover the InfiniBand fabric from a host
version_added: 0.1.0
description:
  - Runs C(ibnetdiscover) on a host with an active InfiniBand port and returns every device and every link that it
    found, in a compact form that M(firstlight.cluster.fabric_check) takes.
  - Reads only. The fabric is walked with directed routes, which takes a second or two for 12,000 links.
  - Fails when nothing was discovered, so that an empty answer is never taken for a fabric without faults.
options:
  executable:
    description: The program, as a path or as a name, which is looked for in C(PATH) and administrators' directories.
    type: str
    default: ibnetdiscover
  ca:
    description: HCA to start from, such as V(mlx5_0). Without it the first HCA with an active port is taken.
    type: str
  port:
    description: Port of the HCA to start from. Without it the first active one is taken.
    type: int
  timeout:
    description: Seconds after which the discovery is ended, with everything that it started.
    type: float
    default: 120
attributes:
  check_mode:
    support: full
    description: It only reads, and does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing on a host.
requirements:
  - ibnetdiscover, from infiniband-diags or DOCA-OFED, and the right to use C(/dev/infiniband/umad*), as a rule root's
seealso:
  - module: firstlight.cluster.fabric_check
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Discover the fabric from the first active port
  firstlight.cluster.ib_netdiscover:
  become: true
  register: discovery

- name: Discover it from rail 3, as the fabric may be in parts
  firstlight.cluster.ib_netdiscover:
    ca: mlx5_4
    timeout: 30
  become: true
"""

RETURN = r"""
netlist:
  description: What was discovered.
  returned: success
  type: dict
  contains:
    schema:
      description: Version of this form.
      type: int
      sample: 1
    nodes:
      description:
        - One row for each device, of its id in the output, its kind (V(switch), V(ca), V(router)), its description of
          itself, and its number of ports.
      type: list
      elements: list
      sample:
        - ["S-b8cef60300000100", "switch", "MF0;leaf-01:MQM9700/U1", 64]
        - ["H-946dae0300000100", "ca", "node01 mlx5_0", 1]
    links:
      description:
        - One row for each live link, of position in C(nodes) and port number of one end, the same of the other end,
          number of lanes, and generation of the speed.
      type: list
      elements: list
      sample: [[0, 1, 1, 1, 4, "NDR"]]
    unread_lines:
      description: How many lines of the output made no sense; more than 0 means that the netlist may have gaps.
      type: int
      sample: 0
seconds:
  description: How long the discovery took.
  returned: success
  type: float
  sample: 0.7
command:
  description: What was run.
  returned: when the program was found
  type: list
  elements: str
  sample: [/usr/sbin/ibnetdiscover]
"""

import os
import signal
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.fabric.netlist import parse

# What ibnetdiscover says, and what a person can do about it.
_ADVICE = (
    (
        "can't read ABI version",
        "the kernel module ib_umad is not loaded: `modprobe ib_umad`, or install and start the InfiniBand drivers",
    ),
    ("can't open UMAD port", "no such HCA or no active port on it: see `ibstat`; name another with the option ca"),
    ("Failed to open", "no such HCA or no active port on it: see `ibstat`; name another with the option ca"),
    ("can't open MAD port", "no HCA with an active port: see `ibstat`, and whether the subnet manager runs"),
    ("Permission denied", "the user may not use /dev/infiniband/umad*: run the task with become"),
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "executable": {"type": "str", "default": "ibnetdiscover"},
            "ca": {"type": "str"},
            "port": {"type": "int"},
            "timeout": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )
    if module.params["timeout"] <= 0:
        module.fail_json(msg="timeout must be a number of seconds above 0")
    program = module.get_bin_path(module.params["executable"], opt_dirs=["/usr/local/sbin", "/usr/sbin", "/sbin"])
    if program is None:
        module.fail_json(
            msg=f"{module.params['executable']} is not installed on this host: "
            "install infiniband-diags (or DOCA-OFED), or name its path with the option executable"
        )
    command = [program]
    if module.params["ca"]:
        command += ["-C", module.params["ca"]]
    if module.params["port"] is not None:
        command += ["-P", str(module.params["port"])]
    start = time.monotonic()
    output, errors, code = _run(module, command)
    if code != 0:
        module.fail_json(msg=_explain(f"ibnetdiscover ended with {code}", errors), command=command)
    netlist = parse(output.splitlines())
    if not netlist.links:
        module.fail_json(msg=_explain("ibnetdiscover found no link", errors or output), command=command)
    if errors.strip() or netlist.unread_lines:
        module.warn(_explain(f"{netlist.unread_lines} lines made no sense, the discovery may have gaps", errors))
    module.exit_json(
        changed=False, netlist=netlist.to_dict(), seconds=round(time.monotonic() - start, 3), command=command
    )


def _run(module: AnsibleModule, command: list[str]) -> tuple[str, str, int]:
    """Output, errors and exit code. On time-out the whole process group is killed and the module fails."""
    try:
        # run_command has no time limit and cannot kill a process group.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        module.fail_json(msg=f"{command[0]} cannot be run: {error.strerror}", command=command)
    try:
        output, errors = process.communicate(timeout=module.params["timeout"])
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        module.fail_json(
            msg=f"ibnetdiscover did not end within {module.params['timeout']:g} s and was killed: a switch may "
            "not answer management packets; look for it with `ibdiagnet`, or raise the option timeout",
            command=command,
        )
    return output, errors, process.returncode


def _explain(what: str, said: str) -> str:
    """One message: what happened, what can be done, and the program's own last words."""
    advice = next((text for sign, text in _ADVICE if sign in said), "see `ibstat` for the state of this host's ports")
    words = " / ".join(line.strip() for line in said.strip().splitlines()[-3:])
    return f"{what}: {advice}" + (f" (it said: {words[-400:]})" if words else "")


if __name__ == "__main__":
    main()
