"""`make bench-logs`: 1 GB of log read by scepfix, against sha256sum then grep -F -n for the same markers.

Whole processes, in turn (A B C, A B C, …), so that a noisy machine disturbs all alike. The ratio is taken round by
round; its median is the figure. ripgrep stands beside them where it is installed.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_MARKERS = (
    "Creating a new recovery enrollment",
    "noMatchingCertificate",
    "keyNotFound(CodingKeys",
    "E0000153",
    "deviceDeleted",
    "Could not find a valid certificate",
    "Device not eligible for registration",
    "Device is not registered",
    "user_not_assigned",
    "SCEP: Certificate installed successfully",
)
_FACTOR = (
    '2025/05/26 02:15:41:804 -0700 {✅ "Factor-Management": {"message": "Offline factor grace period in effect? false; '
    'expiry date: 2025-05-26 08:10:13 +0000; now: 2025-05-26 09:15:41 +0000", "defaultProperties": "", '
    '"location": "FactorRequirementsManager.swift:offlineFactorInEffect(zeroFactorOver:):249"}}\n'
)
_LOGIN = (
    '2025/05/26 02:15:42:104 -0700 {✅ "Login-Management": {"message": "Session %d evaluated, network reachable", '
    '"defaultProperties": "", "location": "LoginManager.swift:evaluate(session:):%d"}}\n'
)
_ATTEMPT = (
    '2025/05/26 02:15:42:655 -0700 {✅ "Recovery-Management": {"message": "Creating a new recovery enrollment", '
    '"defaultProperties": "", "location": "RecoveryManager.swift:registerRecoverySecret():96"}}\n'
)
_CAUSE = (
    'Cert error: JWT generation failed with: genericError("Error generating management hint: noMatchingCertificate.")'
)
_FAILED = (
    '2025/05/26 02:15:43:001 -0700 {🛑 "Recovery-Management": {"message": "Registration failed: '
    f'Error Domain=OktaDAServiceDaemon Code=19 "{_CAUSE}" UserInfo={{NSLocalizedDescription={_CAUSE}}}", '
    '"defaultProperties": "", "location": "CommunicationsManager.swift:registerRecoverySecret():319"}}\n'
)


@dataclass(frozen=True)
class Run:
    """One finished process: seconds of wall and CPU, MB of peak memory."""

    wall: float
    cpu: float
    peak_mb: float


def write_log(path: Path, size: int, one_in: int) -> None:
    """Write about ``size`` bytes of log in which every ``one_in``-th line begins a failed registration. Same seed."""
    dice = random.Random(20261124)
    written = 0
    with path.open("wb") as out:
        while written < size:
            lines = []
            for _ in range(5000):
                lines.append(_FACTOR if dice.random() < 0.5 else _LOGIN % (dice.randrange(10**6), dice.randrange(500)))
                if dice.randrange(one_in) == 0:
                    lines += [_ATTEMPT, _FAILED]
            written += out.write("".join(lines).encode())


def measure(command: list[str]) -> Run:
    """Run a command to its end with its output thrown away."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1, 3):
        raise SystemExit(f"{shlex.join(command)} ended with {process.returncode}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Print one row for each command, medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-in", type=int, default=5000, help="lines for each failed registration")
    options = parser.parse_args()
    scepfix = str(Path(sys.executable).with_name("scepfix"))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "OktaDeviceAccess.log"
        write_log(log, options.mib * 1024 * 1024, options.one_in)
        words = [word for marker in _MARKERS for word in ("-e", marker)]
        yardstick = f"sha256sum {shlex.quote(str(log))}; grep -F -n {shlex.join(words)} {shlex.quote(str(log))}"
        commands = {
            "scepfix diagnose --json": [scepfix, "diagnose", str(log), "--json"],
            "sha256sum; grep -F -n": ["sh", "-c", yardstick],
        }
        if shutil.which("rg"):
            commands["rg -F -n (no hash)"] = ["rg", "-F", "-n", *words, str(log)]
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for command in commands.values():
            measure(command)
        for _ in range(options.rounds):
            for name, command in commands.items():
                runs[name].append(measure(command))
        print(_table(log.stat().st_size, options.one_in, runs))


def _table(size: int, one_in: int, runs: dict[str, list[Run]]) -> str:
    base = runs["sha256sum; grep -F -n"]
    rounds, version = len(base), sys.version.split()[0]
    lines = [
        f"{size / 1e9:.2f} GB, a failed registration every {one_in} lines, {rounds} rounds, Python {version}",
        f"{'command':<26}{'wall s':>8}{'CPU s':>8}{'wall x':>8}{'CPU x':>8}{'peak MB':>9}",
    ]
    for name, done in runs.items():
        wall_ratio = statistics.median(a.wall / b.wall for a, b in zip(done, base, strict=True))
        cpu_ratio = statistics.median(a.cpu / b.cpu for a, b in zip(done, base, strict=True))
        wall, cpu = statistics.median(run.wall for run in done), statistics.median(run.cpu for run in done)
        peak = max(run.peak_mb for run in done)
        lines.append(f"{name:<26}{wall:>8.2f}{cpu:>8.2f}{wall_ratio:>8.2f}{cpu_ratio:>8.2f}{peak:>9.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
