# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small simulated site: machines, BMCs, MAAS, fabric and vendor repositories on one host.

The lab imitates hardware and servers; it shares no code with the collection, so that a mistake
cannot be made on both sides at once. It never changes the host that carries it: what a machine
could reach of its host's kernel is listed in `lab.machine_view`.
"""
