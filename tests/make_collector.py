"""Makes the files of collector/ from the scripts: python -m tests.make_collector. A test compares them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
MACOS = ROOT / "plugins/plugin_utils/observe_macos.sh"
WINDOWS = ROOT / "plugins/plugin_utils/observe_windows.ps1"
_MADE = "Made from {} of scepfix, which see; docs/collector.md says how to deploy it."
_SH = f"#!/bin/sh\n# {{}}\n# {_MADE.format('plugins/plugin_utils/observe_macos.sh')}\nmode={{}}\n\n"
_PS1 = f"# {{}}\n# {_MADE.format('plugins/plugin_utils/observe_windows.ps1')}\n$mode = 'line'\n\n"
#: Name of a file in collector/: what stands before the script, and the script.
FILES = {
    "jamf_extension_attribute.sh": (
        _SH.format("Jamf Pro: a computer extension attribute, data type string.", "jamf"),
        MACOS,
    ),
    "intune_custom_attribute.sh": (
        _SH.format("Intune: a custom attribute for macOS, data type string.", "line"),
        MACOS,
    ),
    "fleet_script.sh": (_SH.format("Fleet: a script for macOS.", "line"), MACOS),
    "intune_remediation_detection.ps1": (
        _PS1.format("Intune: the detection script of a remediation, run as SYSTEM in 64-bit PowerShell."),
        WINDOWS,
    ),
    "fleet_script.ps1": (_PS1.format("Fleet: a script for Windows."), WINDOWS),
}


def made(name: str) -> str:
    """Return what stands in that file."""
    head, script = FILES[name]
    return head + script.read_text("utf-8")


if __name__ == "__main__":
    for name in FILES:
        (ROOT / "collector" / name).write_text(made(name), "utf-8")
