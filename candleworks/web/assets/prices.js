// The newest price and day change of every symbol, and when their markets are open.

import { listDigits } from "./format.js";

export class Prices {
  #version = 0;
  #known = new Map();
  #digits = new Map();
  #markets = {};
  #list = [];

  // What the server has to be told, so that it sends changes only.
  get version() {
    return this.#version;
  }

  // Takes changes over. Returns the symbols whose lines are new or have changed.
  take(body) {
    if (body.complete) this.#known.clear();
    for (const line of body.symbols) {
      const digits = Math.max(this.#digits.get(line.symbol) ?? 0, listDigits(line.price));
      this.#digits.set(line.symbol, digits);
      this.#known.set(line.symbol, { ...line, digits });
    }
    this.#version = body.version;
    this.#markets = body.markets;
    if (body.symbols.length > 0 || body.complete) this.#list = [...this.#known.values()];
    return new Set(body.symbols.map(({ symbol }) => symbol));
  }

  // In no order that matters.
  get list() {
    return this.#list;
  }

  find(symbol) {
    return this.#known.get(symbol);
  }

  // { zone, open, closed_at, opens_at, closes_at } of a symbol's exchange; undefined where none is known.
  market(symbol) {
    return this.#markets[this.#known.get(symbol)?.calendar];
  }

  // The first symbol, by name, that is as live as the liveliest; null when there is none.
  liveliest() {
    const seconds = ({ time }) => Date.parse(time) / 1000;
    const newest = this.#list.reduce((most, line) => Math.max(most, seconds(line)), -Infinity);
    const live = this.#list.filter((line) => newest - seconds(line) < 60).map(({ symbol }) => symbol);
    return live.sort()[0] ?? null;
  }
}
