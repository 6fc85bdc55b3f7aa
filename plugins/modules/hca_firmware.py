#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: hca_firmware
short_description: Bring the firmware of a node's HCAs to the versions of its class
version_added: 0.2.0
description:
  - Asks every HCA of the node, with C(flint) of NVIDIA's firmware tools, for its PSID and its firmware, and burns the
    image of the class for that PSID into those that have another.
  - What was burned is in force after the next start of the machine. What waits for it is returned, and not burned
    again; nothing is reset or restarted here.
  - Refuses before anything is burned an HCA without an image for its PSID, an image of another PSID or version, an
    older version without leave, an HCA that does not answer, and one that waits for a restart with something else.
  - A burn that fails costs its own HCA only; the module then fails, with what the others came to.
options:
  hcas:
    description: The HCAs, by rail.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the HCA, for messages.
        type: str
        required: true
      address:
        description: PCI address of its slot.
        type: str
        required: true
  firmware:
    description: Version that each has at least, where O(images) does not say otherwise of its PSID.
    type: str
    required: true
  images:
    description: The images, one for each PSID.
    type: list
    elements: dict
    required: true
    suboptions:
      psid:
        description: PSID of the boards that it is for.
        type: str
        required: true
      version:
        description: Version that it holds, where that is not O(firmware).
        type: str
      exact:
        description: Whether these boards have exactly that version, and no newer one.
        type: bool
        default: false
      image_uri:
        description: Where it comes from, for messages.
        type: str
        required: true
      sha256:
        description: Its SHA-256. The file in O(directory) is called so.
        type: str
        required: true
  allow_downgrade:
    description: Whether an older version may take the place of a newer one.
    type: bool
    default: false
  directory:
    description: Where the images lie on the node, each as V(SHA256.bin). Check mode does not need them.
    type: path
    required: true
  deadline:
    description: Seconds that a card may take to be burned. All cards are burned at once.
    type: float
    default: 1800
seealso:
  - module: firstlight.cluster.node_busy_info
  - module: firstlight.cluster.software_info
attributes:
  check_mode:
    support: full
    description: Says what it would burn, and refuses what can be known without the images.
  diff_mode:
    support: full
    description: Shows a line for each HCA that is burned, before and after.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Bring the HCAs to their firmware
  firstlight.cluster.hca_firmware:
    hcas:
      - {name: rail0, address: "0000:1a:00.0"}
      - {name: rail1, address: "0000:3c:00.0"}
    firmware: 28.46.1006
    images:
      - psid: MT_0000000838
        image_uri: http://head01.example.com/files/firmware/fw-ConnectX7-28.46.1006-MT_0000000838.bin
        sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    directory: /run/firstlight/firmware
  become: true
  register: firmware

- name: Say what a start of the machine brings
  ansible.builtin.debug:
    var: firmware.waiting
"""

RETURN = r"""
burned:
  description: A line for each HCA that was burned, or would be.
  returned: always
  type: list
  elements: str
  sample: ["HCA rail1 (rail 1, 0000:3c:00.0): firmware 28.46.1006"]
waiting:
  description: What comes into force with the next start of the machine, by HCA.
  returned: always
  type: list
  elements: str
  sample: ["28.46.1006 in HCA rail1 (rail 1, 0000:3c:00.0)"]
images:
  description: SHA-256 of the images that are burned, or would be.
  returned: always
  type: list
  elements: str
"""

import functools
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.hca_firmware import flint
from ..module_utils.hca_firmware.plan import Hca, Plan, judge_burns, judge_images, of_cards, plan
from ..module_utils.observe.runner import run_readers

SECONDS_TO_READ = 120.0
_OPTIONS = {
    "hcas": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
    },
    "firmware": {"type": "str", "required": True},
    "images": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "psid": {"type": "str", "required": True},
            "version": {"type": "str"},
            "exact": {"type": "bool", "default": False},
            "image_uri": {"type": "str", "required": True},
            "sha256": {"type": "str", "required": True},
        },
    },
    "allow_downgrade": {"type": "bool", "default": False},
    "directory": {"type": "path", "required": True},
    "deadline": {"type": "float", "default": 1800},
}


def _plan(module: AnsibleModule) -> Plan:
    """What the HCAs have beside what they should."""
    given = module.params
    hcas = [Hca(rail, each["name"], each["address"]) for rail, each in enumerate(given["hcas"])]
    # Each in a process of its own: a sick HCA may never answer.
    read = run_readers(
        {hca.address: functools.partial(flint.query_device, hca.address) for hca in hcas}, SECONDS_TO_READ
    )
    wants = {"firmware": given["firmware"], "firmware_images": given["images"]}
    return plan(hcas, read, wants, given["allow_downgrade"])


def _burn(module: AnsibleModule, planned: Plan) -> None:
    """Burn what is planned, unless an image is not what the class says. Afterwards the plan has what was done."""
    files = {
        burn.wanted.sha256: str(Path(module.params["directory"]) / f"{burn.wanted.sha256}.bin")
        for burn in planned.burns
    }
    images = run_readers(
        {name: functools.partial(flint.query_image, file) for name, file in files.items()}, SECONDS_TO_READ
    )
    planned.problems += judge_images(planned.burns, images)
    if planned.problems:
        planned.burns = []
        return
    work = {
        card: functools.partial(flint.burn_card, {burn.hca.address: files[burn.wanted.sha256] for burn in burns})
        for card, burns in of_cards(planned.burns).items()
    }
    planned.burns = judge_burns(planned, run_readers(work, module.params["deadline"]))


def main() -> None:
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    planned = _plan(module)
    if planned.problems:
        planned.burns = []
    elif planned.burns and not module.check_mode:
        _burn(module, planned)
    result = {
        "changed": bool(planned.burns),
        "burned": [burn.shown(burn.wanted.version) for burn in planned.burns],
        "waiting": planned.waits(),
        "images": sorted({burn.wanted.sha256 for burn in planned.burns}),
        "diff": {
            "before": "".join(f"{burn.shown(burn.has)}\n" for burn in planned.burns),
            "after": "".join(f"{burn.shown(burn.wanted.version)}\n" for burn in planned.burns),
        },
    }
    if planned.problems:
        module.fail_json(msg="\n".join(planned.problems), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
