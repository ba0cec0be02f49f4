"""What Ansible itself does in the cases T1 to T14: real plays on four local hosts, their recap and what they left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HOSTS = "abcd"
_BIN = Path(sys.executable).parent
_RECAP = re.compile(r"^(\w+) +: ok=(\d+) .*?unreachable=(\d+) +failed=(\d+)", re.MULTILINE)

_FAIL = "    - ansible.builtin.fail: {{msg: no}}\n      when: inventory_hostname in {failing}\n"
_PING = "    - ansible.builtin.ping:\n"
_REMOVE = "    - ansible.builtin.command: rm -f {folder}/{{{{ inventory_hostname }}}}\n"
_LEFT = "    - ansible.builtin.fail: {{msg: cert still in keychain}}\n      when: inventory_hostname == 'a'\n"
_REINSTALL = "    - ansible.builtin.copy: {{content: new, dest: '{folder}/{{{{ inventory_hostname }}}}'}}\n"
_HEALED = (
    "    - block:\n"
    "        - ansible.builtin.command: rm -f {folder}/{{{{ inventory_hostname }}}}\n"
    "        - ansible.builtin.fail: {{msg: cert still in keychain}}\n"
    "          when: inventory_hostname == 'a'\n"
    "      always:\n"
    "        - ansible.builtin.copy: {{content: ensured, dest: '{folder}/{{{{ inventory_hostname }}}}'}}\n" + _PING
)
_PROBE = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.command: /bin/false
      register: cert
      failed_when: false
      changed_when: false
    - ansible.builtin.debug: {msg: WOULD-REMOVE-PROFILE}
      when: cert.rc | default(0) == 0
"""


class Ansible:
    """Plays in a folder of its own: four hosts, and a profile for each, a file that says ``old``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._profiles = folder / "profiles"
        self._profiles.mkdir(parents=True)
        for host in HOSTS:
            (self._profiles / host).write_text("old")

    def wave(self, directives: str, failing: str = "", *, serial: int = 2, unreachable: str = "") -> str:
        """T1 to T7: a task that fails on some hosts, and a ping. Return the return code and the recap."""
        fail = _FAIL.format(failing=list(failing)) if failing else ""
        return self._play(directives, fail + _PING, serial, unreachable)

    def transaction(self, directives: str, *, verify_last: bool = False, healed: bool = False) -> str:
        """T11 to T14: remove, a check that fails on ``a``, reinstall. Return the recap and what each host has."""
        tasks = [_REMOVE, _REINSTALL, _LEFT] if verify_last else [_REMOVE, _LEFT, _REINSTALL]
        text = _HEALED if healed else "".join(tasks)
        recap = self._play(directives, text.format(folder=self._profiles), 2)
        return f"{recap}; {' '.join(f'{host}={self._profile(host)}' for host in HOSTS)}"

    def probe(self) -> str:
        """T8: how often a removal is announced, really and with --check."""
        play = self._write("probe.yml", _PROBE)
        said = {mode: self._run(play, *words)[1] for mode, words in (("real", ()), ("check", ("--check",)))}
        return "announced: " + " ".join(f"{mode}={text.count('WOULD-REMOVE-PROFILE')}" for mode, text in said.items())

    def no_limit(self) -> str:
        """T9: --limit matches nothing."""
        play = self._write("play.yml", "- hosts: all\n  gather_facts: false\n  tasks:\n" + _PING)
        return f"rc={self._run('-i', self._inventory(), '--limit', 'nosuch', play)[0]}"

    def no_hosts(self) -> str:
        """T10: hosts: matches nothing."""
        play = self._write("play.yml", "- hosts: nosuch\n  gather_facts: false\n  tasks:\n" + _PING)
        return f"rc={self._run('-i', self._inventory(), play)[0]}"

    def _play(self, directives: str, tasks: str, serial: int, unreachable: str = "") -> str:
        lines = "".join(f"  {line}\n" for line in directives.splitlines())
        play = self._write(
            "play.yml", f"- hosts: all\n  gather_facts: false\n  serial: {serial}\n{lines}  tasks:\n{tasks}"
        )
        code, said = self._run("-i", self._inventory(unreachable), play)
        recap = _RECAP.findall(said.partition("PLAY RECAP")[2])
        return f"rc={code} " + " ".join(f"{host}={'/'.join(counts)}" for host, *counts in recap)

    def _inventory(self, unreachable: str = "") -> str:
        here = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
        nowhere = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"
        return self._write("inv", "".join(f"{host} {nowhere if host in unreachable else here}\n" for host in HOSTS))

    def _profile(self, host: str) -> str:
        path = self._profiles / host
        return path.read_text() if path.exists() else "MISSING"

    def _write(self, name: str, text: str) -> str:
        (self._folder / name).write_text(text)
        return str(self._folder / name)

    def _run(self, *words: str) -> tuple[int, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        done = subprocess.run(
            [str(_BIN / "ansible-playbook"), *words],
            cwd=self._folder,
            env={
                **kept,
                "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
                "ANSIBLE_CONFIG": self._write("none.cfg", ""),
                "ANSIBLE_HOME": str(self._folder / "home"),
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout
