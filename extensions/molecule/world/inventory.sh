#!/bin/sh
# Ansible's script inventory: the devices of the scenario's simulated world.
exec python3 "${MOLECULE_SCENARIO_DIRECTORY:?}/../world/world.py" inventory "${MOLECULE_EPHEMERAL_DIRECTORY:?}/world"
