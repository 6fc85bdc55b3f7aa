#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: root_tarball
short_description: Build a root file system as a tarball, reproducibly
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Builds a Debian or Ubuntu root file system with mmdebstrap, and keeps it as a gzipped tarball. Needs root.
  - Two builds of the same options from the same repositories have the same sha256. So there is no machine id, no ssh
    host key, no package list and no log in it, and no file is newer than O(source_date_epoch).
  - It is built only where its options have changed, or where the file is not the one that was built. That the
    repositories have something newer is no reason; for that, change O(source_date_epoch) or O(path).
  - Beside the tarball lie C(.json) with hashes of options and file, C(.manifest) with the packages and their versions,
    and C(.log) with what was said during the last build.
  - A build that fails or is killed leaves the last image as it is, and nothing that could be taken for a new one.
attributes:
  check_mode:
    description: Builds nothing, and tells whether it would and why.
    support: full
  diff_mode:
    description: Shows nothing.
    support: none
  idempotent:
    description: What is as wanted already is left alone.
    support: full
options:
  path:
    description: Where the tarball is to lie. Its directory is made, and is where it is built.
    type: path
    required: true
  suite:
    description: Suite of the distribution, such as V(bookworm) or V(noble).
    type: str
    required: true
  architecture:
    description: Architecture, as dpkg calls it.
    type: str
    default: amd64
  variant:
    description: Which packages there are beside O(packages); see the manual of mmdebstrap.
    type: str
    choices: [essential, apt, required, minbase, important, standard]
    default: minbase
  repositories:
    description:
      - Where packages come from. The first is the distribution's.
      - In the image they are in C(/etc/apt/sources.list.d/firstlight-NAME.sources).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the source file.
        type: str
        required: true
      uris:
        description: Base addresses of the repository.
        type: list
        elements: str
        required: true
      suites:
        description: Suites; V(./) for a repository without a distribution tree.
        type: list
        elements: str
        required: true
      components:
        description: Components; none for a repository without a distribution tree.
        type: list
        elements: str
        default: []
      signed_by:
        description: The signing key - its ASCII-armoured text, or the path of a key ring that this host has.
        type: str
        required: true
  packages:
    description: Further packages. One with a version is held in the image.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the package.
        type: str
        required: true
      version:
        description: Its version, whole; without one, the one that apt prefers.
        type: str
  hooks:
    description:
      - Scripts that are run on this host, in this order, when all packages are installed. Each is given the root of
        the image as its only argument.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the script.
        type: str
        required: true
      content:
        description: The script, with the line that names its interpreter.
        type: str
        required: true
  source_date_epoch:
    description: Latest time of change of any file in the image, in seconds since 1970.
    type: int
    required: true
  timeout:
    description: Seconds for the build, and for another build of the same image that is waited for.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Build the image of the nodes
  firstlight.cluster.root_tarball:
    path: /var/lib/firstlight/images/gpu-node-20261123.tgz
    suite: bookworm
    repositories:
      - name: debian
        uris: [http://head01/debian]
        suites: [bookworm]
        components: [main]
        signed_by: /usr/share/keyrings/debian-archive-keyring.gpg
    packages:
      - {name: linux-image-6.1.0-50-amd64, version: 6.1.176-1}
      - {name: cloud-init}
    source_date_epoch: 1795392000
  become: true
"""

RETURN = r"""
why:
  description: Why it was built, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["changed: packages"]
image:
  description: The tarball, where it is there as wanted.
  returned: success, but for an image that check mode did not build
  type: dict
  contains:
    path:
      description: Where it lies.
      type: str
    sha256:
      description: Its sha256, in hex.
      type: str
    size:
      description: Its size in bytes.
      type: int
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.image.build import BuildError, Tarball, build, due, read_stamp
from ..module_utils.image.recipe import Recipe, RecipeError


def main() -> None:
    repository = {
        "name": {"type": "str", "required": True},
        "uris": {"type": "list", "elements": "str", "required": True},
        "suites": {"type": "list", "elements": "str", "required": True},
        "components": {"type": "list", "elements": "str", "default": []},
        "signed_by": {"type": "str", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "suite": {"type": "str", "required": True},
            "architecture": {"type": "str", "default": "amd64"},
            "variant": {
                "type": "str",
                "choices": ["essential", "apt", "required", "minbase", "important", "standard"],
                "default": "minbase",
            },
            "repositories": {"type": "list", "elements": "dict", "required": True, "options": repository},
            "packages": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "version": {"type": "str"}},
            },
            "hooks": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "content": {"type": "str", "required": True}},
            },
            "source_date_epoch": {"type": "int", "required": True},
            "timeout": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    tarball = Tarball(Path(module.params["path"]))
    try:
        recipe = Recipe.from_options(module.params)
        why = due(tarball, recipe)
        if why and not module.check_mode:
            if os.geteuid() != 0:
                raise BuildError("only root can build an image. Run this with become: true.")
            build(tarball, recipe, module.params["timeout"])
    except (BuildError, RecipeError) as error:
        module.fail_json(msg=f"{tarball.path}: {error}")
    except OSError as error:
        module.fail_json(msg=f"{error.filename or tarball.path}: {error.strerror}. Make it accessible, and run again.")
    result: dict[str, Any] = {"changed": bool(why), "why": why}
    stamp = None if why and module.check_mode else read_stamp(tarball)
    if stamp:
        result["image"] = {"path": str(tarball.path), "sha256": stamp["sha256"], "size": stamp["size"]}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
