# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules for BMCs share."""

from __future__ import annotations


class ModuleDocFragment:
    """The connection to a BMC."""

    DOCUMENTATION = r"""
options:
  address:
    description:
      - Address of the BMC, or its URL. It is spoken to over HTTPS only.
    type: str
    required: true
  user:
    description:
      - Name of a local account of the BMC with the administrator role.
    type: str
    required: true
  password:
    description:
      - Password of O(user).
    type: str
    required: true
  ca_file:
    description:
      - File with the certificates of the authorities, in PEM form, that sign the BMC's certificate, besides the
        system's.
    type: path
  validate_certs:
    description:
      - Whether the BMC's certificate is verified. Rather give O(ca_file) than switch this off.
    type: bool
    default: true
  request_timeout:
    description:
      - Seconds after which one request is given up. Requests that only read are repeated a few times; a BMC that
        does not answer at all is asked twice by modules that change nothing, and by all of them in check mode.
    type: float
    default: 30
requirements:
  - A BMC with Redfish
notes:
  - The module runs where the BMC can be reached, so usually with C(delegate_to) on the controller or a head node.
"""

    # Of modules that change a machine.
    SERIAL = r"""
options:
  serial:
    description:
      - Serial number of the machine that is meant. Where the BMC tells another one, nothing is changed, and the module
        fails.
      - Without it whatever machine is behind O(address) is changed.
    type: str
    default: ""
"""
