"""How playbooks are run."""
