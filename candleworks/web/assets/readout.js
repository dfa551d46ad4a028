// Writes what is known beside the chart: the candle pointed at, and whether data moves.

import {
  bucketTime, change, DATE_LENGTH, difference, direction, exactPrice, gapTimes, tickTime, trend, volume,
} from "./format.js";
import { UTC, Zone } from "./zone.js";

const LIVE_SECONDS = 60;

const field = (name) => document.querySelector(`[data-field=${name}]`);
const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

export function writeTitle(symbol, line) {
  write(field("symbol"), symbol);
  write(field("name"), [line?.name, line?.exchange].filter(Boolean).join(" · "));
}

// The newest price, and its change since the previous close where that is known.
export function writeQuote(price = null, previousClose = null, digits = 2) {
  write(field("last"), price === null ? "" : exactPrice(price, digits));
  const known = price !== null && previousClose !== null;
  write(field("day-change"), known ? difference(price, previousClose, digits) : "");
  field("day-change").dataset.trend = known ? direction(price - previousClose) : "flat";
  field("day-change").title = known ? `Previous close ${exactPrice(previousClose, digits)}` : "";
}

// Since when a market is closed and when it opens; nothing while it is open or never closes.
export function marketSentence(market, nowSeconds) {
  if (!market || market.open) return "";
  const zone = new Zone(market.zone);
  const at = (text) => zone.weekday(Date.parse(text) / 1000, nowSeconds);
  const since = market.closed_at ? ` since ${at(market.closed_at)}` : "";
  const opens = market.opens_at ? `, opens ${at(market.opens_at)}` : "";
  return `Market closed${since}${opens} (${zone.place})`;
}

export function writeMarket(sentence) {
  write(field("market"), sentence);
}

export function writeCandle(candle, previous, digits, timeLength, zone) {
  write(field("zone"), timeLength === DATE_LENGTH || !candle ? "UTC" : zone.abbreviation(candle.time));
  const parts = candle
    ? {
        time: bucketTime(candle.time, timeLength, zone),
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
export function writeMarks(candles = null, index = null, zone = UTC) {
  const seen = {
    missed: candles?.gaps.some(({ settled }) => settled === null || settled === "empty"),
    filled: candles?.gaps.some(({ settled }) => settled === "filled"),
    rebuilt: candles?.list.some(({ rebuilt }) => rebuilt),
  };
  for (const [name, there] of Object.entries(seen)) document.querySelector(`#marks .${name}`).hidden = !there;
  write(document.querySelector("#mark"), index === null ? "" : markOf(candles.gapsAt(index), candles.list[index], zone));
}

const GAP_WORDS = { filled: "Filled gap", market_closed: "Market closed", empty: "Gap without bars" };

function markOf(gaps, { rebuilt, closed, volume_before: before }, zone) {
  const [first, ...others] = gaps.map(
    (gap) => `${GAP_WORDS[gap.settled] ?? "Gap"} ${gapTimes(gap.start, gap.stop, zone)}: ${gap.reason}`,
  );
  const parts = first ? [others.length ? `${first}, and ${others.length} more` : first] : [];
  const forming = !closed && gaps.length === 0;
  if (before) parts.push(`${volume(before)} of the volume traded before`);
  return [...parts, ...(rebuilt ? ["Rebuilt from bars"] : []), ...(forming ? ["Forming"] : [])].join(". ");
}

export function writeStatus(state, text, since = "", title = "") {
  const status = document.querySelector("#status");
  status.dataset.state = state;
  write(document.querySelector("#status-text"), text);
  write(document.querySelector("#status-since"), since);
  status.title = title || since;
}

export function lastTick({ lastTickSeconds, serverSeconds }, zone) {
  return lastTickSeconds === null ? "" : `last tick ${tickTime(lastTickSeconds, serverSeconds, zone)}`;
}

// Says whether ticks come, and if not, why: a person has stopped the feed ({ since, reason }), it is down, or the market
// is closed.
export function writeState(candles, stopped, market, zone) {
  const { lastTickSeconds, serverSeconds: now, openGap } = candles;
  const since = lastTick(candles, zone);
  const live = lastTickSeconds !== null && now - lastTickSeconds <= LIVE_SECONDS;
  const closed = marketSentence(market, now);
  writeMarket(live ? "" : closed);
  writeBanner(null);
  if (stopped) {
    const when = tickTime(Date.parse(stopped.since) / 1000, now, zone);
    writeStatus("stopped", "Stopped by an operator", since, `${stopped.reason}, since ${when}`);
  } else if (openGap && !(live && openGap.start < lastTickSeconds)) {
    const when = tickTime(openGap.start, now, zone);
    writeStatus("down", "Feed down", since, `${openGap.reason}, since ${when}`);
    writeBanner(`The feed is down since ${when}: ${openGap.reason}. New candles appear when it is back.`);
  } else if (live) writeStatus("live", "Live", since);
  else if (closed) writeStatus("closed", "Market closed", since, closed);
  else writeStatus("stale", "Stale", since);
}

// A sentence above the candles, about candles that may be out of date.
export function writeBanner(sentence) {
  const banner = document.querySelector("#banner");
  banner.hidden = !sentence;
  write(banner, sentence ?? "");
}

// A sentence in place of the candles.
export function writeNotice(sentence, detail = "") {
  const notice = document.querySelector("#notice");
  notice.hidden = !sentence;
  write(notice.querySelector(".sentence"), sentence ?? "");
  write(notice.querySelector(".detail"), detail);
}
