// The candles of one symbol and period: loaded page by page, kept up to date at the newer end.

const PAGE = 2000;
const MAX_GAPS = 2000;
const PATIENCE_MS = 15_000;

// The server refused (its sentence is the message) or, without a status, could not be reached.
export class FetchError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function fetchJson(url, signal) {
  const limits = [AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])];
  let response;
  let body;
  try {
    response = await fetch(url, { signal: AbortSignal.any(limits) });
    body = await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new FetchError("The server cannot be reached.", response?.status);
  }
  if (!response.ok) throw new FetchError(body.error ?? response.statusText, response.status);
  return { body, serverSeconds: Date.parse(response.headers.get("date")) / 1000 };
}

export class Candles {
  #older = null; // address of the page before the oldest candle
  #loadingOlder = false;
  #stopping = new AbortController();
  #aheadSeconds = 0; // of the server's clock
  #revisions = new Map(); // by time, of the candles that the server has pushed

  // Without a price side the server takes the symbol's usual one.
  constructor(symbol, period, price) {
    this.query = { symbol, period, ...(price ? { price } : {}) };
    this.list = [];
    this.gaps = []; // { start, stop, filled, reason } in order of start; an open one stops at Infinity
    this.price = null; // the side that the server took
    this.lastTickSeconds = null;
  }

  get serverSeconds() {
    return Date.now() / 1000 + this.#aheadSeconds;
  }

  get newest() {
    return this.list.at(-1);
  }

  stop() {
    this.#stopping.abort();
  }

  url(path, more = {}) {
    return `${path}?${new URLSearchParams({ ...this.query, ...more })}`;
  }

  async load() {
    const page = await this.#fetch(this.url("/ohlc.json", { limit: PAGE }));
    this.list = page.candles;
    this.#older = page.next;
  }

  // Puts the page before the oldest candle in front. Returns whether anything came.
  async loadOlder() {
    if (this.#older === null || this.#loadingOlder) return false;
    this.#loadingOlder = true;
    try {
      const page = await this.#fetch(this.#older);
      this.list = page.candles.concat(this.list);
      this.#older = page.next;
      return true;
    } finally {
      this.#loadingOlder = false;
    }
  }

  // Reads the forming candle and newer ones. Returns what changed, or null when so much is new that only a reload helps.
  async refresh() {
    const last = this.newest;
    const page = await this.#fetch(this.url("/ohlc.json", { from: last.time, limit: PAGE }));
    if (page.next !== null) return null;
    const changed = page.candles.filter((candle) => candle.time > last.time || !same(candle, last));
    for (const candle of changed) {
      if (candle.time === last.time) this.list[this.list.length - 1] = candle;
      else this.list.push(candle);
    }
    return changed;
  }

  // Takes a candle that the server has pushed. Returns whether it is the "newest" one, was "corrected" or was "inserted"
  // between others; null when it changes nothing here.
  take({ symbol, period, price, revision, last_tick: lastTick, ...candle }) {
    const { time } = candle;
    this.lastTickSeconds = Math.max(this.lastTickSeconds ?? 0, lastTick ?? 0) || null;
    if (revision < (this.#revisions.get(time) ?? 0)) return null;
    this.#revisions.set(time, revision);
    const index = this.indexBefore(time);
    const known = this.list[index]?.time === time;
    if (known) {
      if (same(candle, this.list[index])) return null;
      this.list[index] = { volume_before: this.list[index].volume_before, ...candle }; // which is not pushed
    } else if (index >= 0 || this.#older === null) this.list.splice(index + 1, 0, candle);
    else return null; // it is on a page that was not loaded yet
    if (time === this.newest.time) return "newest";
    return known ? "corrected" : "inserted";
  }

  // Late ticks correct older candles, and history may be filled in before the oldest: reads the newest page again, and
  // looks for older ones where there were none. Returns whether anything differed.
  async reconcile() {
    const page = await this.#fetch(this.url("/ohlc.json", { limit: PAGE }));
    if (page.candles.length === 0 || page.candles[0].time > this.newest.time) return false;
    const keep = this.list.findLastIndex((candle) => candle.time < page.candles[0].time) + 1;
    if (keep === 0) this.#older = page.next;
    else if (this.#older === null) await this.#lookForOlder();
    const tail = this.list.slice(keep);
    if (tail.length === page.candles.length && tail.every((candle, n) => same(candle, page.candles[n]))) return false;
    this.list = this.list.slice(0, keep).concat(page.candles);
    return true;
  }

  async #lookForOlder() {
    const to = new Date(this.list[0].time * 1000).toISOString();
    const page = await this.#fetch(this.url("/ohlc.json", { to, limit: 1 }));
    if (page.candles.length > 0) this.#older = this.url("/ohlc.json", { to, limit: PAGE });
  }

  // Reads the gaps in what was received since the oldest candle. Returns whether they changed.
  async loadGaps() {
    const from = new Date(this.list[0].time * 1000).toISOString();
    const query = new URLSearchParams({ symbol: this.query.symbol, from, limit: MAX_GAPS });
    const { body } = await fetchJson(`/gaps.json?${query}`, this.#stopping.signal);
    const before = JSON.stringify(this.gaps);
    this.gaps = body.gaps.map(gapOf);
    return JSON.stringify(this.gaps) !== before;
  }

  // The gaps that touch a candle, or lie between it and the next one.
  gapsAt(index) {
    const { time } = this.list[index];
    const next = this.list[index + 1]?.time ?? Infinity;
    return this.gaps.filter(({ start, stop }) => start < next && stop > time);
  }

  // The gap that is still open; null while the feed works.
  get openGap() {
    return this.gaps.findLast(({ stop }) => stop === Infinity) ?? null;
  }

  indexOf(time) {
    const index = this.indexBefore(time);
    return this.list[index]?.time === time ? index : -1;
  }

  // The newest candle that starts at or before a time; -1 when there is none.
  indexBefore(time) {
    let low = 0;
    let high = this.list.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.list[middle].time <= time) low = middle + 1;
      else high = middle - 1;
    }
    return high;
  }

  async #fetch(url) {
    const { body, serverSeconds } = await fetchJson(url, this.#stopping.signal);
    this.price = body.price;
    this.lastTickSeconds = body.last_tick === null ? null : Date.parse(body.last_tick) / 1000;
    this.#aheadSeconds = serverSeconds - Date.now() / 1000;
    return body;
  }
}

// settled: null while ticks are missing, else why none are: filled, market_closed, empty.
function gapOf({ started_at, ended_at, filled_at, reason, outcome }) {
  const seconds = (text) => (text === null ? Infinity : Date.parse(text) / 1000);
  return { start: seconds(started_at), stop: seconds(ended_at), settled: settledBy(outcome, filled_at), reason };
}

function settledBy(outcome, filledAt) {
  if (outcome !== null) return outcome === "failed" ? null : outcome;
  return filledAt === null ? null : "filled";
}

function same(one, other) {
  return Object.keys(one).every((field) => one[field] === other[field]);
}
