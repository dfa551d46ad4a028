// How numbers and times are written.

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

// Four significant digits, thousands and millions shortened: 12.35, 1.205M, 0.0001234.
export function compact(value) {
  const size = Math.abs(value);
  if (size >= 1e4) return minus(shortened.format(value));
  const digits = size === 0 ? 2 : Math.min(MAX_DIGITS, Math.max(0, 3 - Math.floor(Math.log10(size))));
  return minus(grouping(Math.min(2, digits), size >= 1 ? Math.min(2, digits) : digits).format(value));
}

function minus(text) {
  return text.replace("-", "−");
}

const shortened = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });

export function volume(value) {
  return value === null ? DASH : grouping(0, MAX_DIGITS).format(value);
}

export function change(candle, previous, digits) {
  return difference(candle.close, previous ? previous.close : candle.open, digits);
}

export function difference(price, before, digits) {
  const sign = price > before ? "+" : price < before ? "−" : "";
  const amount = sign + grouping(digits, digits).format(Math.abs(price - before));
  return before === 0 ? amount : `${amount} (${percent((100 * (price - before)) / before)})`;
}

// +0.70 %
export function percent(value) {
  const text = grouping(2, 2).format(Math.abs(value));
  const sign = text === "0.00" ? "" : value > 0 ? "+" : "−";
  return `${sign}${text} %`;
}

// The digits of a price in a list: those that write it exactly, at most four, or five below 10; five significant
// ones below 1.
export function listDigits(price) {
  const small = Math.abs(price) < 1 && price !== 0 ? Math.min(MAX_DIGITS, 4 - Math.floor(Math.log10(Math.abs(price)))) : 2;
  return Math.max(small, Math.min(digitsOf(price), Math.abs(price) < 10 ? 5 : 4));
}

// `digits` are the most that prices of the symbol had, so that their number does not change with every tick.
export function listPrice(price, digits) {
  return grouping(digits, digits).format(price);
}

export function trend(candle, previous) {
  return direction(candle.close - (previous ? previous.close : candle.open));
}

export function direction(difference) {
  return difference > 0 ? "up" : difference < 0 ? "down" : "flat";
}

// `length` is that of a date, of a time to the minute or of one to the second. Days, weeks and months begin at 00:00 UTC,
// whatever the zone.
export const DATE_LENGTH = 10;
export const MINUTE_LENGTH = 16;
export const SECOND_LENGTH = 19;

export function bucketTime(epochSeconds, length, zone) {
  const text = length === DATE_LENGTH ? new Date(epochSeconds * 1000).toISOString() : zone.text(epochSeconds);
  return text.slice(0, length).replace("T", " ");
}

export function tickTime(epochSeconds, nowSeconds, zone) {
  const text = zone.text(epochSeconds);
  return zone.day(epochSeconds) === zone.day(nowSeconds) ? text.slice(11) : text.replace("T", " ");
}

// The day of the end is left out where it is that of the start.
export function gapTimes(startSeconds, stopSeconds, zone) {
  const text = (seconds) => zone.text(seconds).replace("T", " ");
  const start = text(startSeconds);
  if (stopSeconds === Infinity) return `since ${start}`;
  const stop = text(stopSeconds);
  return `${start} to ${stop.slice(0, 10) === start.slice(0, 10) ? stop.slice(11) : stop}`;
}
