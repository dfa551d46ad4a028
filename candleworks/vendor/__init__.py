"""Twelve Data: its websocket protocol, its REST API, and the API credits that requests cost."""
