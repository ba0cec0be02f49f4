"""One file per outside thing (files, configuration, …), behind service/ports.py."""
