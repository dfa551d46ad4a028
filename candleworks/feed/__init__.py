"""The live path: from the vendor's websocket to committed rows."""
