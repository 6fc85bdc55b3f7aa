# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What head nodes serve: roles file_mirror and registry."""

from __future__ import annotations

from .scenario import broken

MUTANTS = [
    broken(
        "file_mirror",
        "checksum",
        "file_mirror/tasks/preflight.yml",
        "a file with a wrong checksum is published",
        "      - __file_mirror_wrong | length == 0\n",
        "",
        "test_a_file_that_is_not_what_was_promised",
    ),
    broken(
        "file_mirror",
        "reload",
        "file_mirror/tasks/server.yml",
        "a changed configuration is not read",
        "        reads: [/etc/nginx/nginx.conf]\n",
        "",
        "test_the_server_runs or test_drift_is_repaired",
    ),
    broken(
        "registry",
        "restart",
        "registry/tasks/distribution.yml",
        "a changed certificate is not read",
        "/etc/docker/registry/tls.crt, ",
        "",
        "test_a_certificate_that_was_renewed_is_served",
    ),
    broken(
        "registry",
        "key check",
        "registry/tasks/main.yml",
        "a key that is none is accepted",
        "      - registry_tls_key is search('-----BEGIN (?!ENCRYPTED )([A-Z]+ )?PRIVATE KEY-----')\n",
        "",
        "test_what_cannot_be_is_refused",
    ),
]
