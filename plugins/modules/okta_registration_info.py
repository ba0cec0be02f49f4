#!/usr/bin/python

# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for the action plugin of this name, which runs on the controller; its documentation is in the .yml beside."""
