# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Sphinx for the site that docs/generate.py puts together."""

from __future__ import annotations

project = "firstlight.cluster"
author = "The firstlight.cluster authors"
extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_antsibull_ext"]
# Where generated pages refer to Ansible's own; the inventory is written by docs/generate.py, so nothing is fetched.
intersphinx_mapping = {"ansible": ("https://docs.ansible.com/projects/ansible/latest/", "ansible.inv")}
# Headings of three levels can be linked to, as in checks.html#gpu-count.
myst_heading_anchors = 3
highlight_language = "none"
# --tags is to stay what it is.
smartquotes = False
html_theme = "furo"
html_title = "firstlight.cluster"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
