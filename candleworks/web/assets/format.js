// How numbers and times are written. Every time is UTC.

const MAX_DIGITS = 8;
const DASH = "–";

const grouped = new Map();

function grouping(least, most) {
  const key = `${least},${most}`;
  if (!grouped.has(key)) {
    const options = { minimumFractionDigits: least, maximumFractionDigits: most };
    grouped.set(key, new Intl.NumberFormat("en-US", options));
  }
  return grouped.get(key);
}

function digitsOf(number) {
  const [mantissa, exponent = "0"] = String(number).split("e");
  const decimals = (mantissa.split(".")[1] ?? "").length - Number(exponent);
  return Math.min(MAX_DIGITS, Math.max(0, decimals));
}

// The fewest digits, at least two, that write nine of ten recent prices exactly.
export function priceDigits(candles) {
  const digits = candles.slice(-200).map((candle) => digitsOf(candle.close)).sort((a, b) => a - b);
  return Math.max(2, digits[Math.floor(digits.length * 0.9)] ?? 2);
}

export function axisPrice(price, digits) {
  return grouping(digits, digits).format(price);
}

export function exactPrice(price, digits) {
  return grouping(digits, Math.max(digits, digitsOf(price))).format(price);
}

export function volume(value) {
  return value === null ? DASH : grouping(0, MAX_DIGITS).format(value);
}

export function change(candle, previous, digits) {
  const before = previous ? previous.close : candle.open;
  const difference = candle.close - before;
  const sign = difference > 0 ? "+" : difference < 0 ? "−" : "";
  const amount = sign + grouping(digits, digits).format(Math.abs(difference));
  return before === 0 ? amount : `${amount} (${sign}${grouping(2, 2).format(Math.abs((100 * difference) / before))} %)`;
}

export function trend(candle, previous) {
  const before = previous ? previous.close : candle.open;
  return candle.close > before ? "up" : candle.close < before ? "down" : "flat";
}

export function bucketTime(epochSeconds, daily) {
  const text = new Date(epochSeconds * 1000).toISOString();
  return daily ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
}

export function tickTime(epochSeconds, nowSeconds) {
  const text = new Date(epochSeconds * 1000).toISOString();
  const today = text.slice(0, 10) === new Date(nowSeconds * 1000).toISOString().slice(0, 10);
  return today ? text.slice(11, 19) : text.slice(0, 19).replace("T", " ");
}

// The day of the end is left out where it is that of the start.
export function gapTimes(startSeconds, stopSeconds) {
  const text = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
  const start = text(startSeconds);
  if (stopSeconds === Infinity) return `since ${start}`;
  const stop = text(stopSeconds);
  return `${start} to ${stop.slice(0, 10) === start.slice(0, 10) ? stop.slice(11) : stop}`;
}
