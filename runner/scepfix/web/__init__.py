"""Pages for people: what a plan would change, and what came of it."""
