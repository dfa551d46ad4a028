// The server pushes what changes: one connection for as long as the page can be seen, resumed where it was.

const RETRY_MS = 2000; // the browser tries again by itself, but not after an answer that is no stream

export class Stream {
  #handlers;
  #source = null;
  #parameters = null;
  #lastId = null;
  #timer = 0;

  // handlers: by the name of an event; `opened` and `lost` besides.
  constructor(handlers) {
    this.#handlers = handlers;
  }

  // Follows something else from now on; parameters are those of /stream.
  open(parameters) {
    this.#parameters = parameters;
    this.#lastId = null;
    this.#connect();
  }

  // A page that nobody sees gives its connection back: browsers have six of them for all tabs.
  pause() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  resume() {
    if (this.#parameters !== null && this.#source === null) this.#connect();
  }

  #connect() {
    this.pause();
    const { lastId, ...parameters } = { ...this.#parameters(), lastId: this.#lastId };
    const query = new URLSearchParams({ ...parameters, ...(lastId ? { last_event_id: lastId } : {}) });
    const source = new EventSource(`/stream?${query}`);
    for (const [name, handle] of Object.entries(this.#handlers)) {
      source.addEventListener(name, (event) => {
        this.#lastId = event.lastEventId || this.#lastId;
        handle(JSON.parse(event.data));
      });
    }
    source.onopen = () => this.#handlers.opened();
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.#timer = setTimeout(() => this.#connect(), RETRY_MS);
      this.#handlers.lost();
    };
    this.#source = source;
  }
}
