# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the plugins for MAAS share."""

from __future__ import annotations


class ModuleDocFragment:
    """The connection to MAAS."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - URL of MAAS, such as V(http://maas.example.org:5240/MAAS).
      - If it is not set, the environment variable E(MAAS_URL) is used.
    type: str
    required: true
  api_key:
    description:
      - API key in the form C(consumer:token:secret). Its user should be an administrator.
      - If neither this nor O(api_key_file) is set, the environment variable E(MAAS_API_KEY) is used.
    type: str
  api_key_file:
    description:
      - File on the machine where the module runs that contains the API key.
      - O(api_key) wins over it.
    type: path
  ca_file:
    description:
      - File with the certificates of the authorities, in PEM form, that sign MAAS's certificate, besides the system's.
    type: path
  client_cert:
    description:
      - File with a client certificate in PEM form, where something before MAAS asks for one.
    type: path
  client_key:
    description:
      - File with the private key of O(client_cert), if it is not in the same file.
    type: path
  validate_certs:
    description:
      - Whether MAAS's certificate is verified. Rather give O(ca_file) than switch this off.
    type: bool
    default: true
  use_proxy:
    description:
      - Whether the proxy settings of the environment apply.
      - MAAS is usually inside the site, where a proxy is in the way.
    type: bool
    default: false
  request_timeout:
    description:
      - Seconds after which one request is given up. The list of several hundred machines can take MAAS half a minute.
      - Requests that only read are repeated a few times.
    type: float
    default: 120
requirements:
  - MAAS with the API 2.0
notes:
  - Redirects are not followed and C(~/.netrc) is not read, since either could send the key elsewhere.
"""
