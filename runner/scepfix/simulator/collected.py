"""The collector of a simulated Mac: the real script, run with the Mac's tools, as an MDM's agent would run it."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime
from pathlib import Path

import scepfix
from scepfix.simulator import pc
from scepfix.simulator.mac import Mac

_SCRIPT = "plugins/plugin_utils/observe_macos.sh"
_TIMEOUT_SECONDS = 60.0


def collected_line(mac: Mac, now: datetime) -> str:
    """Given a Mac and the moment that its clock is to show, return what the collector prints on it, by its own sh.

    Of the stub PC, which runs no PowerShell, it is put together. Raise OSError where the script is not beside the
    package.
    """
    if mac.facts.platform != "macos":
        return pc.line((mac.folder / "windows.json").read_text("utf-8"), now)
    tools = mac.folder.parents[1] / "tools"
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=b"mode=line\n" + script().read_bytes(),
        env={
            "PATH": f"{tools}{os.pathsep}/usr/bin:/bin:/usr/sbin:/sbin",
            "SCEPFIX_MAC": str(mac.folder),
            "SCEPFIX_NOW": str(int(now.timestamp())),
        },
        cwd=mac.folder,
        capture_output=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace").strip()


def script() -> Path:
    """Return the script's path: of a wheel it lies in the collection beside the package, of a clone under its root."""
    package = Path(scepfix.__file__).parent
    for folder in (package.parent / "ansible_collections/scepfix/device_access", package.parents[1]):
        if (folder / _SCRIPT).is_file():
            return folder / _SCRIPT
    raise OSError("the collection is not beside the package")
