"""Records the event folders of tests/adapters/recorded_runs anew: ``python -m tests.adapters.record_runs``.

Each is what a real ansible-runner left of a real, small playbook; only its folder's name is replaced in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from scepfix.adapters.ansible.runner import AnsibleRunner
from scepfix.service.ports import RunRequest

HERE = Path(__file__).parent / "recorded_runs"
HOSTS = ("dev-00000000000a", "dev-00000000000b")
Connection = dict[str, str | int]
_LOCAL: Connection = {"ansible_connection": "local"}
_NOBODY: Connection = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}

AT_THE_MDM = """
- name: Ask the MDM
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Ask
      ansible.builtin.debug: {msg: asked}
"""
ON_THE_DEVICES = """
- name: Look at the devices
  hosts: scepfix_devices
  gather_facts: false
  tasks:
    - name: Look
      ansible.builtin.raw: 'true'
    - name: Answer
      ansible.builtin.debug: {msg: answered}
"""
RESCUED = """
- name: Look at the devices
  hosts: scepfix_devices
  gather_facts: false
  tasks:
    - name: Look, and take a failure
      block:
        - name: Fail
          ansible.builtin.fail: {msg: no}
          when: inventory_hostname.endswith('a')
      rescue:
        - name: Go on
          ansible.builtin.debug: {msg: on}
"""
FAILED = """
- name: Look at the devices
  hosts: scepfix_devices
  gather_facts: false
  tasks:
    - name: Fail
      ansible.builtin.fail: {msg: no}
      when: inventory_hostname.endswith('a')
"""
SLOW = """
- name: Look at the devices
  hosts: scepfix_devices
  gather_facts: false
  tasks:
    - name: Look
      ansible.builtin.raw: 'true'
    - name: Take long
      ansible.builtin.raw: sleep 60
"""

SITUATIONS: dict[str, tuple[str, Connection]] = {
    "whole": (AT_THE_MDM + ON_THE_DEVICES, _LOCAL),
    "at-the-mdm-only": (AT_THE_MDM, _LOCAL),
    "one-unreachable": (AT_THE_MDM + ON_THE_DEVICES, _NOBODY),
    "one-rescued": (RESCUED, _LOCAL),
    "one-failed": (FAILED, _LOCAL),
    "nothing-matched": (ON_THE_DEVICES.replace("scepfix_devices", "nobody"), _LOCAL),
    "killed-halfway": (SLOW, _LOCAL),
}


def record(situation: str, folder: Path) -> None:
    """Run the situation's playbook in that folder and keep its events."""
    text, second = SITUATIONS[situation]
    playbook = folder / "playbook.yml"
    playbook.write_text(text)
    runner = AnsibleRunner(folder, None)
    run = folder / "runs" / "recorded"
    connections = {HOSTS[0]: _LOCAL, HOSTS[1]: second}
    runner.start(RunRequest(run, "recorded", str(playbook), "observe", connections, {}))
    if situation == "killed-halfway":
        events = run / "artifacts" / "recorded" / "job_events"
        while not any(events.glob("8-*.json")):
            time.sleep(0.05)
        time.sleep(1)
        kill_ansible_playbook(run)
    assert runner.wait(run, 60)
    target = HERE / situation / "artifacts" / "recorded"
    shutil.rmtree(HERE / situation, ignore_errors=True)
    (target / "job_events").mkdir(parents=True)
    for file in (run / "artifacts" / "recorded" / "job_events").iterdir():
        if "partial" not in file.name:
            (target / "job_events" / file.name).write_text(file.read_text().replace(str(folder), "/run"))
    for name in ("rc", "status"):
        shutil.copy(run / "artifacts" / "recorded" / name, target / name)


def kill_ansible_playbook(run: Path) -> None:
    """Kill ansible-playbook and its workers, not the runner."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                arguments = (process / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if str(run / "inventory") in arguments:
                os.kill(int(process.name), signal.SIGKILL)


if __name__ == "__main__":
    for each in sys.argv[1:] or SITUATIONS:
        with tempfile.TemporaryDirectory() as made:
            record(each, Path(made))
