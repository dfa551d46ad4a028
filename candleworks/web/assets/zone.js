// Time zones: epoch seconds to the date and time of day somewhere.

const HALF_HOUR = 1800; // no zone's offset changes within one
const FORMAT = {
  hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
};
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

export class Zone {
  #format;
  #offsets = new Map();

  constructor(name) {
    this.name = name;
    if (name !== "UTC") this.#format = new Intl.DateTimeFormat("en-US", { ...FORMAT, timeZone: name });
  }

  // `New York` of America/New_York.
  get place() {
    return this.name.split("/").at(-1).replaceAll("_", " ");
  }

  // How far the local clock is ahead of UTC.
  offset(seconds) {
    if (!this.#format || !Number.isFinite(seconds)) return 0;
    const key = Math.floor(seconds / HALF_HOUR);
    if (!this.#offsets.has(key)) this.#offsets.set(key, this.#offsetAt(key * HALF_HOUR));
    return this.#offsets.get(key);
  }

  #offsetAt(seconds) {
    const parts = {};
    for (const { type, value } of this.#format.formatToParts(seconds * 1000)) parts[type] = Number(value);
    const { year, month, day, hour, minute, second } = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - seconds;
  }

  // 2026-03-02T09:30:00 as the clock on the wall shows it.
  text(seconds) {
    return this.local(seconds).toISOString().slice(0, 19);
  }

  // A date whose UTC fields are those of the clock on the wall.
  local(seconds) {
    return new Date((seconds + this.offset(seconds)) * 1000);
  }

  day(seconds) {
    return this.text(seconds).slice(0, 10);
  }

  // `Fri 16:00`, with the date where it is a week away or more.
  weekday(seconds, nowSeconds) {
    const text = this.text(seconds);
    const weekday = WEEKDAYS[this.local(seconds).getUTCDay()];
    if (Math.abs(nowSeconds - seconds) > 6 * 86_400) return `${weekday} ${text.slice(0, 10)} ${text.slice(11, 16)}`;
    return this.day(seconds) === this.day(nowSeconds) ? text.slice(11, 16) : `${weekday} ${text.slice(11, 16)}`;
  }

  // UTC, CET or GMT+1: what the zone is called at that time.
  abbreviation(seconds) {
    if (!this.#format) return "UTC";
    const format = new Intl.DateTimeFormat("en-US", { timeZone: this.name, timeZoneName: "short" });
    return format.formatToParts(seconds * 1000).find(({ type }) => type === "timeZoneName").value;
  }
}

export const UTC = new Zone("UTC");

// The zone of the person who looks; UTC where the browser does not know it.
export function viewerZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}
