"""The faces of the simulated world: SSH, HTTP and SCEP, on loopback only."""
