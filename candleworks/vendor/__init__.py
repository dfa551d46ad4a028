"""Twelve Data: the websocket protocol, the REST client, bars, symbol lists and API credits."""
