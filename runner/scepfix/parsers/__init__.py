"""One file per format: bytes or text in, facts and Evidence out. Pure: no I/O, no clock."""
