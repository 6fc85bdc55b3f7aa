#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_boot_source
short_description: Choose the images that MAAS imports, and import them
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Makes MAAS have a boot source (a simplestreams mirror) with its keyring and a selection of releases and
    architectures, and imports what is selected and not there yet.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and tells what would be done, the import included.
    support: full
  diff_mode:
    description: Shows the fields that change, before and after.
    support: full
  idempotent:
    description: What is as wanted already is left alone.
    support: full
options:
  source_url:
    description: URL of the boot source. It is known by it.
    type: str
    required: true
  keyring_filename:
    description: File with the keyring on MAAS's own machine. A new source needs this or O(keyring_file).
    type: str
  keyring_file:
    description: File with the keyring on the machine where the module runs; its content is given to MAAS.
    type: path
  selections:
    description: What to import from the source. Selections are left alone if not given.
    type: list
    elements: dict
    suboptions:
      os:
        description: Operating system.
        type: str
        default: ubuntu
      release:
        description: Release.
        type: str
        required: true
      arches:
        description: Architectures.
        type: list
        elements: str
        default: [amd64]
      subarches:
        description: Sub-architectures.
        type: list
        elements: str
        default: ["*"]
      labels:
        description: Labels.
        type: list
        elements: str
        default: ["*"]
  exclusive:
    description: Take away selections of the source that are not in O(selections). MAAS deletes their images.
    type: bool
    default: false
  import_images:
    description: Import what is selected and not there yet, and wait for it.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for the import. MAAS goes on with it all the same.
    type: float
    default: 7200
  poll_interval:
    description: Seconds between two looks at the import.
    type: float
    default: 15
  progress_file:
    description: File to which a line is added at each look.
    type: path
  state:
    description: Whether the source should exist.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: firstlight.cluster.maas_boot_resource
"""

EXAMPLES = r"""
- name: Import the release that machines are commissioned with
  firstlight.cluster.maas_boot_source:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    source_url: http://images.maas.io/ephemeral-v3/stable/
    keyring_filename: /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg
    selections:
      - release: noble
        arches: [amd64]
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample: ["create:selection:ubuntu/noble"]
imported:
  description: The images that were not there, as os/release/architecture.
  returned: success
  type: list
  elements: str
  sample: [ubuntu/noble/amd64]
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "POST", "path": "resourcepools/", "body": ""}
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    exit_converged,
    failing_cleanly,
    progress_writer,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.boot_sources import (
    Source,
    Waiting,
    import_images,
    keyring_text,
    missing_images,
    plan_source,
    read_sources,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.errors import MaasError
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.reconcile import converge


def main() -> None:
    words = {"type": "list", "elements": "str"}
    selection = {
        "os": {"type": "str", "default": "ubuntu"},
        "release": {"type": "str", "required": True},
        "arches": {**words, "default": ["amd64"]},
        "subarches": {**words, "default": ["*"]},
        "labels": {**words, "default": ["*"]},
    }
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "source_url": {"type": "str", "required": True},
            "keyring_filename": {"type": "str"},
            "keyring_file": {"type": "path", "no_log": False},
            "selections": {"type": "list", "elements": "dict", "options": selection},
            "exclusive": {"type": "bool", "default": False},
            "import_images": {"type": "bool", "default": True},
            "timeout": {"type": "float", "default": 7200.0},
            "poll_interval": {"type": "float", "default": 15.0},
            "progress_file": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        mutually_exclusive=[["keyring_filename", "keyring_file"]],
        supports_check_mode=True,
    )
    params = module.params
    present = params["state"] == "present"
    lacking: list[str] = []
    with failing_cleanly(module):
        wanted = Source(
            url=params["source_url"],
            keyring_filename=params["keyring_filename"],
            keyring_data=_keyring(params["keyring_file"]),
            selections=params["selections"],
            exclusive=params["exclusive"],
        )
        client = connect(params)
        converged = converge(
            client,
            lambda: read_sources(client, wanted.url),
            lambda there: plan_source(wanted, present, there),
            check=module.check_mode,
        )
        if present and params["import_images"] and wanted.selections:
            lacking = missing_images(wanted.selections, client.get("boot-resources/", params={"type": "synced"}))
            if lacking and not module.check_mode:
                waiting = Waiting(poll=params["poll_interval"], timeout=params["timeout"])
                import_images(client, wanted.selections, waiting, progress=progress_writer(module))
    exit_converged(module, converged, changed=bool(lacking), imported=lacking)


def _keyring(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return keyring_text(Path(path).read_bytes())
    except OSError as error:
        raise MaasError(
            f"keyring_file: {path} cannot be read ({error.strerror}).", remedy="Correct the path."
        ) from error


if __name__ == "__main__":
    main()
