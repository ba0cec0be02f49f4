# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the inventory plugins share."""

from __future__ import annotations


class ModuleDocFragment:
    """Read by ansible-doc."""

    DOCUMENTATION = r"""
requirements:
  - scepfix (the Python package, on the controller)
notes:
  - No secret stands in this file. The settings file says where each lies, see docs/settings.md.
  - What comes from a system is text, with control characters spelled out; Ansible takes none of it for a template.
  - Where an inventory cannot be read Ansible goes on without it. Set E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED) to
    true.
options:
  config:
    description:
      - The settings file; a relative path begins at the folder of the inventory file.
      - When not given, the file that the environment variable E(SCEPFIX_CONFIG) names, else C(scepfix/config.yml) in
        the configuration folder (E(XDG_CONFIG_HOME), or C(~/.config)).
    type: str
  host_names:
    description:
      - What a host is called. V(serial_number) is plain and stays; V(opaque) is C(dev-) and 12 hex digits of a hash.
      - With V(name) it is the device's name. That is text which its owner chose, so a name that is not letters, digits
        and hyphens, or that two devices have, or that means this machine, gives way to V(opaque).
    type: str
    choices: [serial_number, name, opaque]
    default: serial_number
  channel:
    description:
      - Set C(scepfix_channel) of every host to this. V(collector) says that no device is reached by SSH or WinRM, and
        what the collector sent to the MDM is read instead (docs/collector.md).
    type: str
    choices: [collector]
"""
