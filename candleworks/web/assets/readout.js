// Writes what is known beside the chart: the candle pointed at, and whether data moves.

import { bucketTime, change, exactPrice, gapTimes, tickTime, trend, volume } from "./format.js";

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
  const mark = document.querySelector("#mark").textContent;
  document.querySelector("#spoken").textContent =
    names.map((name) => `${name} ${field(name).textContent}`).join(", ") + (mark && `, ${mark}`);
}

// Explains the shades in view, and what is known about the candle pointed at.
export function writeMarks(candles = null, index = null) {
  const seen = {
    missed: candles?.gaps.some(({ settled }) => settled === null || settled === "empty"),
    filled: candles?.gaps.some(({ settled }) => settled === "filled"),
    rebuilt: candles?.list.some(({ rebuilt }) => rebuilt),
  };
  for (const [name, there] of Object.entries(seen)) document.querySelector(`#marks .${name}`).hidden = !there;
  write(document.querySelector("#mark"), index === null ? "" : markOf(candles.gapsAt(index), candles.list[index]));
}

const GAP_WORDS = { filled: "Filled gap", market_closed: "Market closed", empty: "Gap without bars" };

function markOf(gaps, { rebuilt }) {
  const [first, ...others] = gaps.map(
    (gap) => `${GAP_WORDS[gap.settled] ?? "Gap"} ${gapTimes(gap.start, gap.stop)}: ${gap.reason}`,
  );
  const parts = first ? [others.length ? `${first}, and ${others.length} more` : first] : [];
  return [...parts, ...(rebuilt ? ["Rebuilt from bars"] : [])].join(". ");
}

export function writeStatus(state, text, lastTickSeconds = null, nowSeconds = 0) {
  const status = document.querySelector("#status");
  status.dataset.state = state;
  write(document.querySelector("#status-text"), text);
  const since = lastTickSeconds === null ? "" : `last tick ${tickTime(lastTickSeconds, nowSeconds)}`;
  write(document.querySelector("#status-since"), since);
  status.title = since && `${since} UTC`;
}

// stopped: { since, reason } where a person has stopped every feed of the symbol.
export function writeAge({ lastTickSeconds, serverSeconds }, stopped = null) {
  if (stopped) {
    writeStatus("stopped", "Stopped by an operator", lastTickSeconds, serverSeconds);
    const since = tickTime(Date.parse(stopped.since) / 1000, serverSeconds);
    document.querySelector("#status").title = `${stopped.reason}, since ${since} UTC`;
    return;
  }
  const live = lastTickSeconds !== null && serverSeconds - lastTickSeconds <= LIVE_SECONDS;
  writeStatus(live ? "live" : "stale", live ? "Live" : "Stale", lastTickSeconds, serverSeconds);
}

export function writeNotice(sentence) {
  const notice = document.querySelector("#notice");
  notice.hidden = !sentence;
  write(notice, sentence ?? "");
}
