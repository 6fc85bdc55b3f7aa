#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_boot_resource
short_description: Upload a custom image to MAAS
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Uploads an image in pieces, unless MAAS has just this one already. Whether it has is told by the sha256 of the
    whole file.
  - An upload that was interrupted, in this or an earlier run, goes on where MAAS says that it ended. MAAS compares
    the sha256 when it has everything.
  - Old images can be taken away by a common beginning of their names. An image that a machine is deployed with stays.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and tells what would be done.
    support: full
  diff_mode:
    description: Shows the fields that change, before and after.
    support: full
  idempotent:
    description: What is as wanted already is left alone.
    support: full
options:
  name:
    description:
      - Name of the image, with or without C(custom/) in front. Machines are deployed with it as osystem V(custom).
      - Give every build its own name, such as V(gpu-node-20261123), if old ones should stay deployable.
    type: str
    required: true
  path:
    description: The file, on the machine where the module runs. Needed with O(state=present).
    type: path
  architecture:
    description: Architecture of the image.
    type: str
    default: amd64/generic
  filetype:
    description: V(tgz) and the like for a tarball of the root file system, the others for images of a disk.
    type: str
    choices: [tgz, tbz, txz, ddtgz, ddtbz, ddtxz, ddtar, ddbz2, ddgz, ddxz, ddraw]
    default: tgz
  base_image:
    description:
      - What the image is made from, such as V(ubuntu/noble). MAAS takes its commissioning release if not given.
    type: str
  title:
    description: Title for people.
    type: str
  piece_size:
    description: Bytes that are sent with one request.
    type: int
    default: 4194304
  timeout:
    description: Seconds for the upload. Another run goes on with it.
    type: float
    default: 7200
  prune_prefix:
    description:
      - Delete old images of this architecture whose name begins so, but the O(keep) newest and those that are in use.
      - Nothing is deleted if not given.
    type: str
  keep:
    description: How many images with O(prune_prefix) stay, the current one included.
    type: int
    default: 3
  progress_file:
    description: File to which a line is added with each piece.
    type: path
  state:
    description: Whether the image should be there. An image in use is not deleted.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: firstlight.cluster.maas_boot_resource_info
  - module: firstlight.cluster.maas_boot_source
"""

EXAMPLES = r"""
- name: Upload today's image, and keep the last three
  firstlight.cluster.maas_boot_resource:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    name: gpu-node-20261123
    path: /srv/images/gpu-node-20261123.tgz
    base_image: ubuntu/noble
    prune_prefix: gpu-node-
    keep: 3
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample: ["upload:gpu-node-20261123"]
image:
  description: The image, as the file is.
  returned: success, with O(state=present)
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    sha256:
      description: The file's sha256, in hex.
      type: str
    size:
      description: The file's size in bytes.
      type: int
    resumed_at:
      description: Bytes that MAAS had before.
      type: int
    sent:
      description: Bytes that this run sent.
      type: int
kept_in_use:
  description: Names of old images that stay because machines are deployed with them.
  returned: success
  type: list
  elements: str
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "POST", "path": "resourcepools/", "body": ""}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    failing_cleanly,
    progress_writer,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.boot_resources import (
    PIECE,
    Image,
    Upload,
    delete_image,
    digest,
    find_copy,
    images_in_use,
    is_there,
    list_uploaded,
    plan_prune,
    same_name,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Client
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.errors import MaasError


def main() -> None:
    filetypes = ["tgz", "tbz", "txz", "ddtgz", "ddtbz", "ddtxz", "ddtar", "ddbz2", "ddgz", "ddxz", "ddraw"]
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "name": {"type": "str", "required": True},
            "path": {"type": "path"},
            "architecture": {"type": "str", "default": "amd64/generic"},
            "filetype": {"type": "str", "choices": filetypes, "default": "tgz"},
            "base_image": {"type": "str"},
            "title": {"type": "str"},
            "piece_size": {"type": "int", "default": PIECE},
            "timeout": {"type": "float", "default": 7200.0},
            "prune_prefix": {"type": "str"},
            "keep": {"type": "int", "default": 3},
            "progress_file": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[["state", "present", ["path"]]],
        supports_check_mode=True,
    )
    for option in ("piece_size", "keep"):
        if module.params[option] < 1:
            module.fail_json(msg=f"{option}: {module.params[option]} is too small; give at least 1.")
    before: list[str] = []
    with failing_cleanly(module):
        client = connect(module.params)
        result: dict[str, Any] = {"actions": [], "kept_in_use": []}
        if module._diff:
            before = sorted(str(item["name"]) for item in list_uploaded(client))
        if module.params["state"] == "present":
            _upload(module, client, result)
            if module.params["prune_prefix"]:
                _prune(module, client, result)
        else:
            _delete(module, client, result)
    if module._diff:
        result["diff"] = _diff(before, result["actions"])
    module.exit_json(changed=bool(result["actions"]), **result)


def _upload(module: AnsibleModule, client: Client, result: dict[str, Any]) -> None:
    params = module.params
    size, sha256 = digest(Path(params["path"]))
    image = Image(
        name=params["name"],
        path=Path(params["path"]),
        size=size,
        sha256=sha256,
        architecture=params["architecture"],
        filetype=params["filetype"],
        base_image=params["base_image"],
        title=params["title"],
    )
    shown: dict[str, Any] = {"name": image.name, "sha256": sha256, "size": size, "resumed_at": 0, "sent": 0}
    result["image"] = shown
    if is_there(find_copy(client, image), image):
        return
    result["actions"].append(f"upload:{image.name}")
    if module.check_mode:
        return
    upload = Upload(
        client, image, piece=params["piece_size"], timeout=params["timeout"], progress=progress_writer(module)
    )
    upload.run()
    shown["resumed_at"], shown["sent"] = upload.resumed_at, upload.sent


def _prune(module: AnsibleModule, client: Client, result: dict[str, Any]) -> None:
    params = module.params
    resources = list_uploaded(client)
    if not any(same_name(str(item["name"]), params["name"]) for item in resources):
        # Check mode: the image would be there, and be the newest.
        resources = [*resources, {"id": 1 << 62, "name": params["name"], "architecture": params["architecture"]}]
    old, in_use = plan_prune(
        resources,
        params["prune_prefix"],
        params["keep"],
        params["name"],
        params["architecture"],
        images_in_use(client),
    )
    result["kept_in_use"] = in_use
    for item in old:
        result["actions"].append(f"delete:{item['name']}")
        if not module.check_mode:
            delete_image(client, int(item["id"]))


def _delete(module: AnsibleModule, client: Client, result: dict[str, Any]) -> None:
    name = module.params["name"]
    arch = module.params["architecture"].partition("/")[0]
    for item in list_uploaded(client):
        if not same_name(str(item["name"]), name) or str(item.get("architecture", "")).partition("/")[0] != arch:
            continue
        if name.removeprefix("custom/") in images_in_use(client):
            raise MaasError(f"The image {name} is in use.", remedy="Release the machines that are deployed with it.")
        result["actions"].append(f"delete:{item['name']}")
        if not module.check_mode:
            delete_image(client, int(item["id"]))


def _diff(before: list[str], actions: list[str]) -> dict[str, Any]:
    after = set(before)
    for action in actions:
        verb, _colon, name = action.partition(":")
        if verb == "upload":
            after.add(name.removeprefix("custom/"))
        else:
            after.discard(name)
    return {"before": {"images": before}, "after": {"images": sorted(after)}}


if __name__ == "__main__":
    main()
