"""Has scepfix look at devices, as `scepfix plan` does before it asks the MDM: the contender of `make bench-device`.

In: a JSON file of connections by name. Ends with 1 where a device was not read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scepfix import wiring
from scepfix.domain.device import Observation, host_of
from scepfix.service.ports import InventoryDevice


def main() -> int:
    connections = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    devices = [InventoryDevice(name, host_of(name), connection) for name, connection in connections.items()]
    found = wiring.observe(devices, None)
    wrong = {name: one for name, one in found.items() if not isinstance(one, Observation) or not one.complete}
    print(f"{len(found)} devices, {len(wrong)} not read", *list(wrong.values())[:3])
    return 1 if wrong or len(found) != len(devices) else 0


if __name__ == "__main__":
    sys.exit(main())
