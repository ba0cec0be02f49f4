"""`make bench-device`: scepfix looks at 10, 50 and 200 Macs behind OpenSSH, against bare ssh, raw tasks and pyinfra.

Whole process trees, sshd and the fake tools of the Macs included, in turn (A B C, A B C, …), so that a noisy machine
disturbs all alike. Ratios are taken round by round; their median is the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.device_cpu import Cost, become_subreaper, measure
from tests.benchmarks.device_world import Served, serve

from scepfix.adapters.ansible.runner import DEFAULT_FORKS
from scepfix.simulator.peers.openssh import sshd_program
from scepfix.simulator.ssh_keys import KNOWN_HOSTS

_HERE = Path(__file__).parent
#: Of all contenders alike.
_FORKS = DEFAULT_FORKS
_SCRIPT = _HERE.parents[1] / "plugins" / "plugin_utils" / "observe_macos.sh"
_PYINFRA = "pyinfra==3.10.0"
_SCEPFIX, _BARE, _RAW, _PY = "scepfix", "ssh", "raw", "pyinfra"
_NAMES = {
    _SCEPFIX: "scepfix, `stages/observe`",
    _BARE: "bare `ssh`, the same script",
    _RAW: "a playbook, one `raw` task per fact",
    _PY: "pyinfra, the same script as one fact",
}

Costs = dict[tuple[str, int], list[Cost]]


@dataclass(frozen=True)
class Contender:
    """``command`` makes what looks at the first so many devices."""

    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-pyinfra", action="store_true")
    options = parser.parse_args()
    program = _need()
    become_subreaper()
    with tempfile.TemporaryDirectory(prefix="scepfix-bench-") as name:
        folder = Path(name)
        with serve(folder / "world", max(options.devices), program) as served:
            contenders = _contenders(folder, served)
            if not options.without_pyinfra:
                contenders |= _pyinfra(folder, served)
            costs = _run(contenders, options.devices, options.rounds, served, folder / "log")
    print(_table(costs, options.devices, options.rounds))
    if len(options.devices) > 1:
        print(_verdict(costs, options.devices))


def _need() -> str:
    """Return the path of sshd; say what is missing otherwise."""
    program = sshd_program()
    missing = [
        f"{what} ({why})"
        for what, why, there in (
            ("sshd", "Debian: apt-get install openssh-server", program),
            ("ssh", "Debian: apt-get install openssh-client", shutil.which("ssh")),
            ("xargs", "Debian: apt-get install findutils", shutil.which("xargs")),
            ("/proc", "Linux", Path("/proc/self/stat").exists()),
        )
        if not there
    ]
    if missing or program is None:
        raise SystemExit(f"make bench-device needs {', '.join(missing)}")
    return program


# --- contenders -------------------------------------------------------------------------------------------------------


def _contenders(folder: Path, served: Served) -> dict[str, Contender]:
    state = folder / "state"
    state.mkdir()
    environment = {**os.environ, "XDG_STATE_HOME": str(state), "ANSIBLE_FORKS": str(_FORKS), "ANSIBLE_NOCOLOR": "1"}
    for name in ("ANSIBLE_CONFIG", "ANSIBLE_PIPELINING"):
        environment.pop(name, None)
    script = _with_nonce(folder)
    one = shlex.join(["ssh", *served.options, "-i", served.key, "-p", str(served.port), "-l", served.user])
    # As scepfix's plugin does it, so that both start the same processes on the Mac.
    remote = shlex.quote('PATH="$PATH:/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin" /bin/sh -s')
    loop = f'{one} "$0" {remote} <{shlex.quote(str(script))} | grep -q "@@.* whole"'
    playbook = str(Path(sys.executable).with_name("ansible-playbook"))

    def scepfix(devices: int) -> list[str]:
        file = folder / f"devices-{devices}.json"
        file.write_text(json.dumps({each.name: dict(each.connection) for each in served.connections(devices)}))
        return [sys.executable, str(_HERE / "device_observe.py"), str(file)]

    def bare(devices: int) -> list[str]:
        file = folder / f"addresses-{devices}"
        file.write_text("".join(f"{address}\n" for address in served.addresses[:devices]))
        return ["xargs", "-a", str(file), "-P", str(_FORKS), "-n", "1", "sh", "-c", loop]

    def raw(devices: int) -> list[str]:
        file = folder / f"inventory-{devices}.json"
        hosts = {each.host: dict(each.connection) for each in served.connections(devices)}
        file.write_text(json.dumps({"all": {"hosts": hosts}}))
        return [playbook, "-i", str(file), str(_HERE / "device_raw.yml")]

    return {
        _SCEPFIX: Contender(scepfix, environment),
        _BARE: Contender(bare, environment),
        _RAW: Contender(raw, environment),
    }


def _pyinfra(folder: Path, served: Served) -> dict[str, Contender]:
    """Return the contender in a virtual environment of its own, or nothing and say why."""
    python = folder / "pyinfra" / "bin" / "python"
    for words in (
        [sys.executable, "-m", "venv", str(folder / "pyinfra")],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", _PYINFRA],
    ):
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            print(f"without pyinfra: {_PYINFRA} cannot be installed: {reason}", file=sys.stderr)
            return {}

    known = folder / "known_hosts"
    host_key = (served.folder / KNOWN_HOSTS).read_text("ascii").removeprefix("* ")
    # paramiko knows no pattern.
    known.write_text("".join(f"[{address}]:{served.port} {host_key}" for address in served.addresses), "ascii")

    def command(devices: int) -> list[str]:
        file = folder / f"pyinfra_inventory_{devices}.py"
        data = {
            "ssh_user": served.user,
            "ssh_port": served.port,
            "ssh_key": served.key,
            "ssh_known_hosts_file": str(known),
            "ssh_strict_host_key_checking": "yes",
        }
        file.write_text(f"devices = ({list(served.addresses[:devices])!r}, {data!r})\n")
        program = str(python.with_name("pyinfra"))
        return [program, "-y", "--parallel", str(_FORKS), str(file), str(_HERE / "device_pyinfra.py")]

    return {_PY: Contender(command, {**os.environ, "SCRIPT": str(_with_nonce(folder))})}


def _with_nonce(folder: Path) -> Path:
    script = folder / "script"
    script.write_text(f"nonce={'5' * 32}\n{_SCRIPT.read_text('utf-8')}", "utf-8")
    return script


# --- measuring --------------------------------------------------------------------------------------------------------


def _run(contenders: Mapping[str, Contender], sizes: Sequence[int], rounds: int, served: Served, log: Path) -> Costs:
    costs: Costs = {}

    def once(name: str, devices: int) -> Cost:
        contender = contenders[name]
        return measure(contender.command(devices), contender.environment, served.servers, log)

    for name in contenders:
        once(name, min(sizes))
    for number in range(rounds):
        for devices in sizes:
            for name in contenders:
                cost = once(name, devices)
                costs.setdefault((name, devices), []).append(cost)
                said = f"round {number + 1}: {name}, {devices} devices: {cost.wall:.1f} s, {cost.cpu:.1f} s of CPU"
                print(said, file=sys.stderr, flush=True)
    return costs


def _table(costs: Costs, sizes: Sequence[int], rounds: int) -> str:
    lines = [
        f"{rounds} rounds, {os.cpu_count()} cores, Python {sys.version.split()[0]}; per device: wall s / CPU s",
        "",
        f"| | {' | '.join(f'{devices} devices' for devices in sizes)} | CPU per further device |",
        f"|---|{'---|' * len(sizes)}---|",
    ]
    for name in dict.fromkeys(name for name, _ in costs):
        cells = []
        for devices in sizes:
            done = costs[name, devices]
            wall, cpu = (statistics.median(values) for values in zip(*((c.wall, c.cpu) for c in done), strict=True))
            cells.append(f"{wall / devices:.3f} / {cpu / devices:.3f}")
        slope = f"{statistics.median(_slopes(costs, name, sizes)):.3f}" if len(sizes) > 1 else ""
        lines.append(f"| {_NAMES[name]} | {' | '.join(cells)} | {slope} |")
    return "\n".join(lines)


def _verdict(costs: Costs, sizes: Sequence[int]) -> str:
    few, many = sizes[-2:]
    ours, bare = _slopes(costs, _SCEPFIX, sizes), _slopes(costs, _BARE, sizes)
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    fixed = statistics.median(cost.cpu - few * slope for cost, slope in zip(costs[_SCEPFIX, few], ours, strict=True))
    wall = statistics.median(a.wall / b.wall for a, b in zip(costs[_SCEPFIX, many], costs[_RAW, many], strict=True))
    return (
        f"\nCPU per further device, {few} to {many}: {ratio:.2f} x bare ssh (aim: at most 1.5), "
        f"and {fixed:.1f} s for the stage\n"
        f"wall at {many} devices: {wall:.2f} x the playbook of raw tasks (aim: at most 0.5)"
    )


def _slopes(costs: Costs, name: str, sizes: Sequence[int]) -> list[float]:
    """Return, for each round, the CPU of one more device, from the last but one size to the last."""
    few, many = sizes[-2:]
    pairs = zip(costs[name, few], costs[name, many], strict=True)
    return [(b.cpu - a.cpu) / (many - few) for a, b in pairs]


if __name__ == "__main__":
    main()
