#!/usr/bin/python

# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible face of ``scepfix certificate inspect``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_info
short_description: Say whether Okta Device Access can use a certificate
version_added: 0.1.0
author: The scepfix developers
description:
  - Reads every certificate of a file (PEM, DER, or a macOS keychain listing) and says of each whether Okta Device
    Access could use it at a moment, and if not, why.
  - It runs where the file is. Where that machine has no Python package C(scepfix), as on a stock Mac, fetch the file
    and delegate the task to the controller.
requirements:
  - scepfix (the Python package, on the machine that runs the module)
options:
  path:
    description: File to read.
    type: path
  content:
    description: The file's text itself (PEM or a listing), instead of O(path).
    type: str
  at:
    description:
      - Judge validity at this moment, RFC 3339 with a zone, for example V(2030-01-31T12:00:00Z).
      - Now, when not given.
    type: str
attributes:
  check_mode:
    description: Whether check mode is supported.
    support: full
    details: [It only reads.]
  diff_mode:
    description: Whether diff mode is supported.
    support: N/A
    details: [It changes nothing, so there is no difference to show.]
  idempotent:
    description: Whether a second run changes anything.
    support: full
    details: [No run changes anything; without O(at) the verdict follows the clock.]
seealso:
  - name: Use SCEP certificates with Okta Device Access
    description: What Okta asks of the certificate.
    link: https://help.okta.com/oie/en-us/content/topics/oda/oda-as-scep.htm
"""

EXAMPLES = r"""
- name: Inspect the certificate that was collected from the device
  scepfix.device_access.certificate_info:
    path: /srv/collected/dev-1c52f09a6be3.pem
  delegate_to: localhost
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  register: device_certificate

- name: Ask whether it will still do at the end of the year
  scepfix.device_access.certificate_info:
    content: "{{ lookup('ansible.builtin.file', 'device.pem') }}"
    at: "2026-12-31T00:00:00Z"
"""

RETURN = r"""
status:
  description:
    - How much could be read. V(read) is everything, V(partly-read) not every part of the file.
    - V(no-answer) is a listing that does not prove what it lacks, without a certificate for Device Access in it. Do not
      take it for "the device has none".
  returned: success
  type: str
  sample: read
input:
  description: Format of the file, what could not be read, and warnings (it holds a private key).
  returned: success
  type: dict
  contains:
    source:
      description: Path of the file, or V(content).
      type: str
      sample: /srv/collected/dev-1c52f09a6be3.pem
    status:
      description: The same as RV(status).
      type: str
      sample: read
    format:
      description: Format of the file, for a person.
      type: str
      sample: PEM
    certificates:
      description: How many certificates were in it.
      type: int
      sample: 1
    listing:
      description:
        - Where the file claims to list everything, C(kind), C(canary_seen) and C(complete); otherwise V(null).
        - Where it is not complete, what it lacks may still be on the device.
      type: dict
    problems:
      description: Parts that could not be read, as C(code), C(message) and C(where).
      type: list
      elements: dict
    warnings:
      description: What is worth knowing about the file as such.
      type: list
      elements: str
    error:
      description: Always V(null); a file that cannot be read makes the module fail.
      type: dict
certificates:
  description: One entry per certificate, in the order of the file.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: Path of the file, or V(content).
      type: str
      sample: /srv/collected/dev-1c52f09a6be3.pem
    place:
      description: Where in the file, for a person.
      type: str
      sample: line 1
    line:
      description: Line where it begins, from 1; V(null) where the format has no lines.
      type: int
      sample: 1
    store:
      description: Store it was found in, where the file says.
      type: str
    subject:
      description: Name of the holder (RFC 4514).
      type: str
      sample: CN=dev-1c52f09a6be3 managementAttestation
    issuer:
      description: Name of the issuing authority (RFC 4514).
      type: str
      sample: CN=Organization Intermediate Authority,O=Demo,DC=demo,DC=example
    serial_number:
      description: Lower-case hexadecimal, no prefix.
      type: str
      sample: 3f9ac1
    not_before:
      description: Start of validity, RFC 3339 UTC.
      type: str
      sample: "2025-11-01T00:00:00Z"
    not_after:
      description: End of validity, RFC 3339 UTC.
      type: str
      sample: "2026-11-01T00:00:00Z"
    sha256:
      description: SHA-256 of the DER, lower-case hexadecimal.
      type: str
    sha1:
      description: SHA-1 of the DER, lower-case hexadecimal.
      type: str
    key:
      description: The public key.
      type: dict
      contains:
        type:
          description: Kind of key.
          type: str
          sample: RSA
        bits:
          description: Size of the key; V(null) where the kind has none.
          type: int
          sample: 2048
    private_key:
      description: Whether its private key is there; V(null) where the file does not say.
      type: bool
    key_usage:
      description: Names of RFC 5280; empty where the extension is absent.
      type: list
      elements: str
      sample: [digitalSignature, keyEncipherment]
    extended_key_usage:
      description: Names, or dotted numbers where there is no name; empty where the extension is absent.
      type: list
      elements: str
      sample: [clientAuth]
    alternative_names:
      description: Subject alternative names with their kind.
      type: list
      elements: str
      sample: ["DNS:dev-1c52f09a6be3"]
    is_ca:
      description: Whether it is an authority's certificate.
      type: bool
    device_access_marker:
      description: Whether it carries the marker that Device Access looks for.
      type: bool
    findings:
      description: What keeps Device Access from using it, or is worth knowing, as C(code), C(level) and C(message).
      type: list
      elements: dict
    notes:
      description: What could not be judged from this file.
      type: list
      elements: str
    verdict:
      description: V(usable) or V(unusable) by Device Access at that moment.
      type: str
      sample: usable
"""

import os
import traceback
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib


class GivenContent:
    """Reads the option ``content`` where scepfix expects to read a file."""

    def __init__(self, content: str) -> None:
        self._content = content

    def read(self, path: str) -> bytes:
        """Return the content, whatever the path."""
        return self._content.encode()


def inspect(path: str | None, content: str | None, at: str | None) -> dict[str, Any]:
    """Given a path or the content, and a moment (RFC 3339 with a zone) or None for now, return the module's answer.

    Raise ImportError without the Python package, ScepfixError where nothing can be read or the moment is none.
    """
    from datetime import UTC, datetime

    from scepfix.domain.errors import UsageError
    from scepfix.domain.moment import parse_rfc3339
    from scepfix.service.certificate_document import as_document
    from scepfix.service.inspect_certificates import inspect_certificates
    from scepfix.wiring import small_files

    moment = datetime.now(UTC) if at is None else parse_rfc3339(at)
    if moment is None:
        raise UsageError("time-invalid", f"{at!r} is no time with a zone", where="at", hint="2026-03-01T09:30:00Z is")
    reader = small_files() if content is None else GivenContent(content)
    source = "content" if path is None else os.path.abspath(path)
    document = as_document(inspect_certificates(reader, [source], moment))
    return {
        "status": document["inputs"][0]["status"],
        "input": document["inputs"][0],
        "certificates": document["certificates"],
    }


def main() -> None:
    """Read the options, inspect, answer."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path"}, "content": {"type": "str", "no_log": True}, "at": {"type": "str"}},
        required_one_of=[("path", "content")],
        mutually_exclusive=[("path", "content")],
        supports_check_mode=True,
    )
    try:
        from scepfix.domain.errors import ScepfixError
    except ImportError:
        module.fail_json(
            msg=missing_required_lib("scepfix", reason="to read certificates"), exception=traceback.format_exc()
        )
    try:
        answer = inspect(**module.params)
    except ScepfixError as error:
        module.fail_json(msg=error.message, code=error.code, where=error.where, hint=error.hint)
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
