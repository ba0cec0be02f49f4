"""A world that runs: the real ssh and Ansible against its faces, and how it begins and ends."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from tests.simulator.worlds import fingerprint

from scepfix.adapters.inventory import AnsibleInventory
from scepfix.adapters.mdm.simulated import SimulatedMdm
from scepfix.adapters.settings_file import load_settings
from scepfix.simulator.peers.openssh import sshd_program
from scepfix.simulator.running import MacSpec, RunningWorld, run_world
from scepfix.simulator.world import World

pytestmark = pytest.mark.slow

SYSTEM = "/Library/Keychains/System.keychain"
FACES = [
    "asyncssh",
    pytest.param("openssh", marks=pytest.mark.skipif(not sshd_program(), reason="sshd is not installed")),
]


def ssh_command(world: RunningWorld, name: str, *more: str) -> list[str]:
    host = yaml.safe_load(world.inventory.read_text("utf-8"))["all"]["hosts"][name]
    return [
        *("ssh", *shlex.split(host["ansible_ssh_common_args"]), "-o", "BatchMode=yes"),
        *("-i", host["ansible_ssh_private_key_file"], "-p", str(host["ansible_port"]), *more),
        f"{host['ansible_user']}@{host['ansible_host']}",
    ]


def ssh(
    world: RunningWorld, name: str, command: str, *more: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*ssh_command(world, name, *more), command], input=given, capture_output=True, timeout=60, check=False
    )


def ansible(world: RunningWorld, tmp_path: Path, pattern: str, command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
    }
    program = [sys.executable, "-m", "ansible", "adhoc"]
    arguments = ["-i", str(world.inventory), pattern, "-m", "ansible.builtin.raw", "-a", command]
    return subprocess.run(
        [*program, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorld]:
    specs = [MacSpec("asyncssh", scenario="deleted"), MacSpec("second"), MacSpec("pc", platform="windows")]
    if sshd_program():
        specs.append(MacSpec("openssh", scenario="deleted", face="openssh"))
    with run_world(tmp_path_factory.mktemp("running") / "world", specs) as running:
        yield running
    assert (running.folder / "peers.err").read_text("utf-8") == ""


@pytest.mark.parametrize("face", FACES)
def test_a_mac_answers_the_real_ssh(world: RunningWorld, face: str) -> None:
    done = ssh(
        world, face, f"sw_vers -productVersion; security find-certificate -a -Z {SYSTEM} | grep -c SHA-1; exit 3"
    )

    assert (done.returncode, done.stdout) == (3, b"15.1\n3\n")


@pytest.mark.parametrize("face", FACES)
def test_standard_input_goes_through(world: RunningWorld, face: str) -> None:
    given = os.urandom(300_000)

    assert ssh(world, face, "cat", given=given).stdout == given
    assert ssh(world, face, "sh -s", given=b"sw_vers -buildVersion\necho $((6 * 7))\n").stdout == b"24B83\n42\n"
    assert ssh(world, face, "head -c 1 >/dev/null; exit 5", given=given).returncode == 5


@pytest.mark.parametrize("face", FACES)
def test_errors_stay_apart_from_answers(world: RunningWorld, face: str) -> None:
    done = ssh(world, face, "echo out; echo err >&2; profiles install -path x")

    assert (done.returncode, done.stderr) == (1, b"err\n")
    assert done.stdout.startswith(b"out\nprofiles tool no longer supports installs.")


@pytest.mark.parametrize("face", FACES)
def test_a_terminal_is_one_where_it_is_asked_for(world: RunningWorld, face: str) -> None:
    done = ssh(world, face, "tty >/dev/null && echo yes; echo err >&2; exit 4", "-tt")

    assert (done.returncode, done.stdout) == (4, b"yes\r\nerr\r\n")


@pytest.mark.parametrize("face", FACES)
def test_ansible_reaches_it(world: RunningWorld, tmp_path: Path, face: str) -> None:
    done = ansible(world, tmp_path, face, "scutil --get ComputerName; profiles status -type enrollment")

    assert done.returncode == 0, done.stderr
    assert "MDM enrollment: Yes (User Approved)" in done.stdout
    assert face in done.stdout


@pytest.mark.parametrize("face", FACES)
def test_one_connection_carries_many_commands(world: RunningWorld, tmp_path: Path, face: str) -> None:
    control = ["-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/c", "-o", "ControlPersist=30"]
    try:
        for _ in range(3):
            assert ssh(world, face, "sw_vers -productVersion", *control).stdout == b"15.1\n"
        # Gone offline, it drops the open connection too.
        world.tell(face, "offline")
        assert ssh(world, face, "sw_vers", *control).returncode == 255
    finally:
        world.tell(face, "offline", "no")
        subprocess.run([*ssh_command(world, face, *control), "-O", "exit"], capture_output=True, check=False)
    assert ssh(world, face, "sw_vers -productVersion").stdout == b"15.1\n"


def test_another_key_does_not_open_it(world: RunningWorld, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    command = ssh_command(world, "second")
    command[command.index("-i") + 1] = str(tmp_path / "key")

    done = subprocess.run([*command, "true"], capture_output=True, timeout=60, check=False)

    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_a_mac_that_refuses_lets_nobody_in(world: RunningWorld) -> None:
    world.tell("second", "refuse")
    try:
        done = ssh(world, "second", "true")
    finally:
        world.tell("second", "refuse", "no")

    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


def test_a_slow_mac_is_slow(world: RunningWorld) -> None:
    world.tell("second", "slow", "2")
    started = time.monotonic()
    try:
        assert ssh(world, "second", "true").returncode == 0
    finally:
        world.tell("second", "slow", "no")
    assert time.monotonic() - started >= 2


def test_the_stub_pc_reads_the_whole_script(world: RunningWorld) -> None:
    done = ssh(world, "pc", "powershell -NoProfile -Command -", given=b"# padding\n" * 50_000)

    assert done.returncode == 0
    assert done.stdout.startswith(b'{"schema":"scepfix/windows/1"')


def test_inventory_and_settings_are_what_the_product_reads(world: RunningWorld) -> None:
    devices = {one.name: one for one in AnsibleInventory(str(world.inventory)).devices(["asyncssh", "pc"])}
    site = load_settings(str(world.config))

    assert devices["asyncssh"].connection["ansible_host"] == world.address("asyncssh")
    assert devices["asyncssh"].person == "alice@example.com"
    assert site.mdm is not None
    assert SimulatedMdm(site.mdm).profile().identifier == site.mdm.profile
    assert site.issuer_files == (str(world.folder / "ca/org.pem"),)


def test_the_mdm_does_what_is_owed_by_itself(world: RunningWorld) -> None:
    site = load_settings(str(world.config))
    assert site.mdm is not None
    mdm = SimulatedMdm(site.mdm)
    facts = world.world.macs["second"].facts

    def wait_for(installed: bool) -> None:
        ends = time.monotonic() + 20
        while mdm.devices([facts.serial_number])[facts.serial_number].profile_installed is not installed:
            assert time.monotonic() < ends
            time.sleep(0.05)

    mdm.exclude([facts.mdm_id])
    wait_for(installed=False)
    assert ssh(world, "second", f"security find-certificate -a -p {SYSTEM} | grep -c BEGIN").stdout == b"2\n"
    mdm.put_back([facts.mdm_id])
    wait_for(installed=True)

    assert ssh(world, "second", f"security find-certificate -a -p {SYSTEM} | grep -c BEGIN").stdout == b"3\n"
    verbs = [entry["verb"] for entry in world.effects() if entry["device"] == "second"]
    assert verbs == ["exclude", "RemoveProfile", "put-back", "InstallProfile"]
    assert world.sign_in("second")


def test_looking_leaves_every_byte_as_it_was(world: RunningWorld, tmp_path: Path) -> None:
    site = load_settings(str(world.read_only_config))
    assert site.mdm is not None
    before = fingerprint(world.folder)

    for name in ("asyncssh", "second"):
        ssh(world, name, f"security find-certificate -a -p -Z {SYSTEM}; profiles show -output stdout-xml; sw_vers")
    ansible(world, tmp_path, "asyncssh", "system_profiler SPHardwareDataType")
    mdm = SimulatedMdm(site.mdm)
    mdm.profile()
    mdm.members()
    time.sleep(1)

    assert fingerprint(world.folder) == before


def test_only_loopback_is_listened_on(world: RunningWorld) -> None:
    mine = set()
    for link in Path(f"/proc/{world.pid}/fd").iterdir():
        target = os.readlink(link)
        if target.startswith("socket:["):
            mine.add(target[len("socket:[") : -1])
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{world.pid}/net/{table}").read_text("ascii").splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in mine
    ]

    assert len(listening) == 2 + 3
    # Little endian: the last byte pair is the first of the address.
    assert all(address.split(":")[0].endswith("7F") for address in listening)


def test_two_hundred_macs_answer_at_once(tmp_path: Path) -> None:
    names = [f"mac-{number:03}" for number in range(200)]
    with run_world(tmp_path / "world", [MacSpec(name) for name in names]) as many:
        hosts = {name: ssh_command(many, name) for name in names[:1]}
        first = hosts[names[0]]

        def answer(name: str) -> bytes:
            command = [*first[:-1], f"admin@{many.address(name)}", "scutil --get ComputerName"]
            return subprocess.run(command, capture_output=True, timeout=120, check=False).stdout

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(answer, names))

    assert answers == [f"{name}\n".encode() for name in names]


def test_a_world_ends_with_its_block(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-1")]) as running:
        pid = running.pid
        os.kill(pid, 0)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_world_ends_with_the_process_that_began_it(tmp_path: Path) -> None:
    script = f"""
        import time
        from pathlib import Path
        from scepfix.simulator.running import MacSpec, run_world
        with run_world(Path({str(tmp_path / "world")!r}), [MacSpec("mac-1")]) as world:
            print(world.pid, flush=True)
            time.sleep(600)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    ends = time.monotonic() + 20
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_world_ends_when_its_time_is_up(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-1")], lifetime_seconds=1) as running:
        time.sleep(2.5)
        assert ssh(running, "mac-1", "true").returncode == 255
    assert "its time is up" in (tmp_path / "world/peers.err").read_text("utf-8")


def test_a_folder_with_a_blank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="blank"), run_world(tmp_path / "a world", [MacSpec("mac-1")]):
        pass


def test_a_world_that_cannot_start_says_why(tmp_path: Path) -> None:
    from scepfix.simulator.running import serve

    world = World.create(tmp_path / "world", [MacSpec("mac-1")])
    (world.folder / "ssh/host_key").write_text("no key")

    with pytest.raises(OSError, match="did not start"), serve(world):
        pass
