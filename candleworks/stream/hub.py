"""Follows the log of a database once for all clients, and sends each what it wants."""

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Self

from candleworks import clock
from candleworks.errors import CandleworksError, TransientError
from candleworks.storage.stream_log import StreamSource
from candleworks.stream.client import StreamClient, Wanted
from candleworks.stream.events import availability
from candleworks.stream.joining import Joining
from candleworks.stream.market import Output, StreamedMarket
from candleworks.stream.series import Series

MAX_CLIENTS = 100
MAX_ROWS = 500  # of the log at once
SAFETY_SECONDS = 1.0  # the log is read that often without a notification
CLOSE_SECONDS = 0.25
CLOSE_AFTER_US = 2_000_000  # a bucket is over for two seconds before SQL calls it closed
MAX_CLOSE_PAUSE_SECONDS = 5.0
RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)


class TooManyClientsError(TransientError):
    """As many clients as are allowed follow the stream."""


class Hub:
    """A thread with one connection; use it as a context manager. The database need not be available."""

    def __init__(self, dsn: str, max_clients: int = MAX_CLIENTS) -> None:
        self.max_clients = max_clients
        self.sent = self.lagged = 0  # events, and clients that were too slow, since the start
        self._source = StreamSource(dsn)
        self._market = StreamedMarket(self._source)
        self._clients: set[StreamClient] = set()
        self._started: set[StreamClient] = set()  # those of which the thread knows
        self._lock = threading.Lock()
        self._requests: deque[Callable[[], None]] = deque()
        self._joining = Joining(self._source, self._market)
        self._reader, self._writer = os.pipe()
        self._stopping = False
        self._away: str | None = None
        self._sent_position = 0
        self._close_at = 0.0
        self._pauses: dict[Series, tuple[float, float]] = {}
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def __enter__(self) -> Self:
        os.set_blocking(self._writer, False)
        os.set_blocking(self._reader, False)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._thread.join()
        os.close(self._reader)
        os.close(self._writer)

    def stop(self) -> None:
        """End all streams, and the thread."""
        with self._lock:
            self._stopping = True
            for client in self._clients:
                client.close()
        self._wake()

    @property
    def position(self) -> int:
        """The position up to which clients were sent everything."""
        return self._sent_position

    @property
    def client_count(self) -> int:
        return len(self._clients)

    def join(self, wanted: Wanted, on_ready: Callable[[], None]) -> StreamClient:
        """Add a client, whose events come as soon as they are read; TooManyClientsError when there are too many."""
        client = StreamClient(wanted, on_ready)
        with self._lock:
            if self._stopping or len(self._clients) >= self.max_clients:
                raise TooManyClientsError(
                    f"{self.max_clients} clients follow the stream, which is as many as are allowed: try again later."
                )
            self._clients.add(client)
        if self._away:
            client.put_first(availability(self._away))
        self._request(lambda: self._restart(client, None))
        return client

    def leave(self, client: StreamClient) -> None:
        """Forget a client."""
        with self._lock:
            self._clients.discard(client)
        client.closed = True
        self._request(lambda: self._end(client))

    def resume(self, client: StreamClient) -> None:
        """Read for a client that was too slow what it has missed."""
        self.lagged += 1
        self._request(lambda: self._restart(client, "too slow"))

    def count(self, events: int) -> None:
        """Count events that were sent."""
        self.sent += events

    def _request(self, action: Callable[[], None]) -> None:
        self._requests.append(action)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full of wakes
            os.write(self._writer, b"\0")

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._source.open()
                self._return()
                while not self._stopping:
                    self._round()
            except CandleworksError as error:
                self._leave_database(str(error))
            except Exception:  # one thread serves all clients: what fails for one of them must not end it
                log.exception("The stream failed, and starts again")
                self._leave_database("The stream failed: see the log of the server.")
        self._source.close()

    def _round(self) -> None:
        self._answer_requests()
        self._follow()
        self._close_buckets()
        if not self._joining.step():
            pause = CLOSE_SECONDS if self._market.any_open else SAFETY_SECONDS
            self._source.wait(pause, self._reader)

    def _answer_requests(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 65_536)
        while self._requests:
            self._requests.popleft()()

    def _restart(self, client: StreamClient, reason: str | None) -> None:
        if not client.closed:
            self._started.add(client)
            self._market.use(client)
            self._market.detach(client)
            self._joining.begin(client, reason)

    def _end(self, client: StreamClient) -> None:
        self._started.discard(client)
        self._market.leave(client)

    def _follow(self) -> None:
        """Read the log to its end, and send what follows from it."""
        while rows := self._source.since(self._market.position, MAX_ROWS):
            before = self._market.position
            if rows[0].position != before + 1 and not self._source.bounds().follows(before):
                self._start_again()
                return
            self._send(self._market.apply(rows))

    def _send(self, output: Output) -> None:
        for client, events in output.items():
            client.put(events, self._market.position)
        self._sent_position = self._market.position

    def _close_buckets(self) -> None:
        """Close the buckets of which SQL says so, with all ticks that are committed by then."""
        now = clock.monotonic()
        if now < self._close_at:
            return
        self._close_at = now + CLOSE_SECONDS
        due = [
            (series, bucket)
            for series, bucket in self._market.over(clock.now_us() - CLOSE_AFTER_US)
            if self._pauses.get(series, (0.0, 0.0))[0] <= now
        ]
        if not due:
            return
        wanted = [(series.key.symbol, bucket, series.buckets.stop(bucket)) for series, bucket in due]
        closed = [due[index] for index in self._source.closed(wanted)]
        self._pause({series for series, _ in due}, {series for series, _ in closed}, now)
        if closed:
            self._follow()
            self._send(self._market.close(closed))

    def _pause(self, asked: set[Series], closed: set[Series], now: float) -> None:
        """Ask ever less often about series with buckets that nothing closes."""
        before = self._pauses
        self._pauses = {}
        for series in asked - closed:
            pause = min(MAX_CLOSE_PAUSE_SECONDS, 2 * before.get(series, (0.0, CLOSE_SECONDS / 2))[1])
            self._pauses[series] = (now + pause, pause)
        self._pauses |= {series: kept for series, kept in before.items() if series not in asked and kept[0] > now}

    def _leave_database(self, reason: str) -> None:
        """Tell the clients that the database is away, and wait a moment."""
        self._source.close()
        if self._away is None:
            log.info("The stream waits for the database")
        if self._away is None and not self._stopping:
            self._away = reason
            self._tell_all(reason)
        self._answer_requests()
        threading.Event().wait(RETRY_SECONDS)

    def _tell_all(self, reason: str | None) -> None:
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.put_first(availability(reason))

    def _return(self) -> None:
        """Find the position of the log, and read again what was in memory: it may be half a change ahead."""
        if self._away is not None:
            log.info("The stream has the database again")
            self._away = None
            self._tell_all(None)
        self._start_again()

    def _start_again(self) -> None:
        """Read everything anew, and resume all clients where they were."""
        self._market.forget()
        self._joining.forget()
        self._pauses.clear()
        self._market.position = self._source.bounds().newest
        for client in list(self._started):
            self._restart(client, None)
        self._sent_position = self._market.position
