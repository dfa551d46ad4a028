"""Files in: text, Parquet and Arrow, stored by the same rules as live ticks."""
