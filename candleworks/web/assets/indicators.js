// Which indicators are chosen, written as in the address (sma-20,bollinger-20-2), and their values beside the candles.

import { fetchJson } from "./candles.js";

const SPARE = 100; // candles that may have come since they were counted
const MOST = 50_000; // that the server gives at once

let offers = null;

// What the server offers: name, title, parameters with bounds, columns, and whether it is drawn over the candles.
export async function offeredIndicators() {
  offers ??= fetchJson("/indicators").then(({ body }) => body.indicators);
  try {
    return await offers;
  } catch (error) {
    offers = null;
    throw error;
  }
}

export function readChoice(text) {
  return (text ?? "").split(",").filter(Boolean).map((part) => {
    const [name, ...numbers] = part.split("-");
    return { name, numbers };
  });
}

export function writeChoice(choice) {
  return choice.map(({ name, numbers }) => [name, ...numbers].join("-")).join(",");
}

// The numbers of a chosen indicator by the names of its parameters; those that are not said are the defaults.
export function parametersOf(chosen, offer) {
  return Object.fromEntries(
    offer.parameters.map((parameter, place) => [parameter.name, chosen.numbers[place] ?? parameter.default]),
  );
}

// One indicator over the candles of one chart.
export class Indicator {
  values = []; // { time, and a number or null by column }, oldest first
  error = null; // the server's sentence

  // Without an offer the server is asked for it nevertheless: its answer says what there is.
  constructor(chosen, offer) {
    this.offer = offer ?? { name: chosen.name, title: chosen.name, parameters: [], columns: ["value"], overlay: true };
    this.parameters = parametersOf(chosen, this.offer);
  }

  get label() {
    return [this.offer.name.toUpperCase(), ...Object.values(this.parameters)].join(" ");
  }

  // Reads the values from a time on, or all of them, and keeps those of candles that are there.
  async load(candles, from = candles.list[0].time) {
    const count = candles.list.length - Math.max(0, candles.indexBefore(from));
    const query = { ...this.parameters, name: this.offer.name, from, limit: Math.min(MOST, count + SPARE) };
    try {
      const { body } = await fetchJson(candles.url("/indicators.json", query));
      const keep = this.values.findLastIndex(({ time }) => time < from) + 1;
      const known = body.values.filter(({ time }) => time <= candles.newest.time);
      this.values = this.values.slice(0, keep).concat(known);
      this.error = null;
    } catch (error) {
      if (error.status !== 400) throw error;
      this.error = error.message;
    }
  }

  // The values of the candle that starts at a time, by column.
  at(time) {
    let low = 0;
    let high = this.values.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.values[middle].time <= time) low = middle;
      else high = middle - 1;
    }
    return this.values[low]?.time === time ? this.values[low] : null;
  }
}
