"""Evidence in, verdicts out: diagnosis, certificate and profile judgement. Pure: no I/O, no clock."""
