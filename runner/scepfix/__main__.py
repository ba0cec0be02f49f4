"""``python -m scepfix``."""

from scepfix.cli.main import run

raise SystemExit(run())
