"""The workflow: what happens next to one device, what proves it, what is predicted. Pure."""
