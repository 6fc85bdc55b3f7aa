# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MAAS of the lab: the REST API 2.0 of a region (3.7.3), faithful to recorded answers of a real one.

It drives the lab's BMCs over Redfish, serves the boot protocol to machines that start from the network, and
keeps its state in one file, so that it can be killed in the middle of a deployment and goes on where it was.
"""
