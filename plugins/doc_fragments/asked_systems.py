# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the faces of MDM and Okta share."""

from __future__ import annotations


class ModuleDocFragment:
    """Read by ansible-doc."""

    DOCUMENTATION = r"""
requirements:
  - scepfix (the Python package, on the controller)
notes:
  - It runs on the controller, whatever the host of the task; no device is contacted.
  - No secret is an option. The settings file says where each lies (an environment variable, a file, a keyring, a file
    of Ansible Vault), see docs/settings.md.
  - Text from MDM and Okta comes back with control characters spelled out, and Ansible takes none of it for a template.
options:
  config:
    description:
      - The settings file.
      - When not given, the file that the environment variable E(SCEPFIX_CONFIG) names, else C(scepfix/config.yml) in
        the configuration folder (E(XDG_CONFIG_HOME), or C(~/.config)).
    type: path
attributes:
  action:
    description: Whether it is an action plugin, which runs on the controller.
    support: full
"""

    READS = r"""
options: {}
attributes:
  check_mode:
    description: Whether check mode is supported.
    support: full
    details: [It only reads.]
  diff_mode:
    description: Whether diff mode is supported.
    support: N/A
    details: [It changes nothing.]
  idempotent:
    description: Whether a second run changes anything.
    support: full
    details: [It changes nothing.]
"""

    DEVICE = r"""
options:
  serial_number:
    description: The device's serial number. This or O(hardware_uuid) is needed; a name selects nothing.
    type: str
    default: ""
  hardware_uuid:
    description: The device's hardware UUID (Mac). This or O(serial_number) is needed.
    type: str
    default: ""
"""
