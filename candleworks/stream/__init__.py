"""Ticks and candles as they are committed, pushed to many clients from one connection."""

from candleworks.stream.client import StreamClient, TickTopic, Wanted
from candleworks.stream.events import Event
from candleworks.stream.following import follow
from candleworks.stream.hub import Hub, TooManyClientsError
from candleworks.stream.series import SeriesKey

__all__ = ["Event", "Hub", "SeriesKey", "StreamClient", "TickTopic", "TooManyClientsError", "Wanted", "follow"]
