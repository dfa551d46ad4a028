// Writes what is known beside the chart: the candle pointed at, and whether data moves.

import { bucketTime, change, exactPrice, tickTime, trend, volume } from "./format.js";

const LIVE_SECONDS = 60;

const field = (name) => document.querySelector(`[data-field=${name}]`);
const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

export function writeTitle(symbol, company) {
  write(field("symbol"), symbol);
  write(field("name"), company ?? "");
}

export function writeCandle(candle, previous, digits, daily) {
  const parts = candle
    ? {
        time: bucketTime(candle.time, daily),
        open: exactPrice(candle.open, digits),
        high: exactPrice(candle.high, digits),
        low: exactPrice(candle.low, digits),
        close: exactPrice(candle.close, digits),
        change: change(candle, previous, digits),
        volume: volume(candle.volume),
      }
    : {};
  for (const name of ["time", "open", "high", "low", "close", "change", "volume"]) write(field(name), parts[name] ?? "–");
  const direction = candle ? trend(candle, previous) : "flat";
  for (const name of ["close", "change"]) field(name).dataset.trend = direction;
}

export function speakCandle() {
  const names = ["time", "open", "high", "low", "close", "change", "volume"];
  document.querySelector("#spoken").textContent = names.map((name) => `${name} ${field(name).textContent}`).join(", ");
}

export function writeStatus(state, text, lastTickSeconds = null, nowSeconds = 0) {
  const status = document.querySelector("#status");
  status.dataset.state = state;
  write(document.querySelector("#status-text"), text);
  const since = lastTickSeconds === null ? "" : `last tick ${tickTime(lastTickSeconds, nowSeconds)}`;
  write(document.querySelector("#status-since"), since);
  status.title = since && `${since} UTC`;
}

export function writeAge({ lastTickSeconds, serverSeconds }) {
  const live = lastTickSeconds !== null && serverSeconds - lastTickSeconds <= LIVE_SECONDS;
  writeStatus(live ? "live" : "stale", live ? "Live" : "Stale", lastTickSeconds, serverSeconds);
}

export function writeNotice(sentence) {
  const notice = document.querySelector("#notice");
  notice.hidden = !sentence;
  write(notice, sentence ?? "");
}
