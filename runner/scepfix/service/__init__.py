"""The only code that acts: one file per use, over the Protocols of ports.py."""
