"""The nouns: evidence, certificate, profile, fault, diagnosis, errors. Pure: no I/O, no clock."""
