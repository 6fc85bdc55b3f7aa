# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host is not as wanted: pure comparisons, and the small readers that feed them. Nothing here changes a host.

Every answer says why: a list of short reasons, empty where nothing is due.
"""
