"""Files in: what was recorded elsewhere, stored by the same rules as live ticks."""
