"""Fills recorded gaps with the vendor's one-minute bars."""
