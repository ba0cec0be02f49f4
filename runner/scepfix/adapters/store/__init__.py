"""Where the truth of repairs is kept."""
