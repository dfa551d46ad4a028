// The chart page: what is chosen lives in the address, what is drawn comes from this server.

import { Candles, fetchJson } from "./candles.js";
import { CandleChart } from "./chart.js";
import { SymbolPicker } from "./picker.js";
import { speakCandle, writeAge, writeCandle, writeMarks, writeNotice, writeStatus, writeTitle } from "./readout.js";

const POLL_MS = 1000;
const REFUSED_POLL_MS = 5000;
const POLLS_PER_RECONCILIATION = 10;
const DEFAULTS = { period: "1m" };
const EMPTY = "No candles are stored yet. They appear here with the first tick.";

const periods = document.querySelector("#periods");
const otherPeriod = document.querySelector("#period");
const priceSide = document.querySelector("#price");
const chartElement = document.querySelector("#chart");

let symbols = [];
let candles = null; // of what is chosen; null until a symbol is known
let drawn = false;
let pointed = null; // time of the candle under the crosshair
let polls = 0;
let timer = 0;
let rounds = 0;

const picker = new SymbolPicker((symbol) => choose({ symbol }));
const chart = new CandleChart(chartElement, {
  onPoint: (time) => {
    pointed = time;
    if (drawn) showCandle();
  },
  onLeftEdge: loadOlder,
});

function chosen() {
  const address = new URLSearchParams(location.search);
  return { symbol: address.get("symbol"), ...DEFAULTS, ...pick(address, "period"), ...pick(address, "price") };
}

function pick(address, name) {
  return address.get(name) ? { [name]: address.get(name) } : {};
}

function choose(change) {
  const query = { ...chosen(), ...change };
  if (query.symbol === null) delete query.symbol;
  if (!picker.find(query.symbol)?.sides.includes(query.price)) delete query.price;
  history.pushState(null, "", `?${new URLSearchParams(query)}`);
  start();
}

function start() {
  const { symbol, period, price } = chosen();
  candles?.stop();
  candles = symbol ? new Candles(symbol, period, price) : null;
  drawn = false;
  pointed = null;
  polls = 0;
  showControls();
  if (candles) {
    writeStatus("loading", "Loading");
    document.querySelector("#csv").href = candles.url("/ohlc.csv");
    document.querySelector("#json").href = candles.url("/ohlc.json");
  }
  poll();
}

// One round a second: load or refresh, then say how it went. A newer round ends the older ones.
async function poll() {
  clearTimeout(timer);
  const round = ++rounds;
  const current = candles;
  let pause = POLL_MS;
  try {
    if (polls % POLLS_PER_RECONCILIATION === 0 || symbols.length === 0) await loadSymbols();
    if (current !== candles) return;
    if (candles === null) writeStatus("waiting", "Waiting for data");
    else await (drawn ? keepUp(current) : draw(current));
    if (current === candles && drawn) showCandle();
  } catch (error) {
    if (current !== candles) return;
    complain(error);
    if (error.status < 500) pause = REFUSED_POLL_MS;
  }
  if (round !== rounds) return;
  polls += 1;
  timer = setTimeout(() => (document.hidden ? undefined : poll()), pause);
}

async function loadSymbols() {
  symbols = (await fetchJson("/symbols")).body;
  picker.symbols = symbols;
  if (candles === null && symbols.length > 0) {
    history.replaceState(null, "", `?${new URLSearchParams({ ...chosen(), symbol: preferred() })}`);
    start();
  } else if (candles === null) {
    writeEmpty(EMPTY);
  }
  showControls();
}

// The first symbol that is as live as the liveliest.
function preferred() {
  const seconds = ({ last_tick: tick }) => Date.parse(tick) / 1000;
  const newest = Math.max(...symbols.map(seconds));
  return symbols.find((symbol) => newest - seconds(symbol) < 60).symbol;
}

async function draw(current) {
  await current.load();
  if (current !== candles) return;
  if (current.list.length === 0) {
    writeStatus("waiting", "Waiting for data");
    const { symbol, price } = current.query;
    writeEmpty(price ? `No ${price} candles of ${symbol} are stored.` : `No candles of ${symbol} are stored yet.`);
    return;
  }
  await current.loadGaps();
  if (current !== candles) return;
  writeNotice(null);
  chart.show(current);
  drawn = true;
  writeAge(current, picker.chosen?.stopped);
}

async function keepUp(current) {
  if (polls % POLLS_PER_RECONCILIATION === 0) {
    const changed = [await current.reconcile(), await current.loadGaps()];
    if (changed.includes(true) && current === candles) chart.redraw();
  }
  const changed = await current.refresh();
  if (current !== candles) return;
  if (changed === null) drawn = false;
  else chart.update(changed);
  writeNotice(null);
  writeAge(current, picker.chosen?.stopped);
}

async function loadOlder() {
  const current = candles;
  if (!drawn) return;
  try {
    if (!(await current.loadOlder())) return;
    await current.loadGaps();
    if (current === candles) chart.redraw();
  } catch (error) {
    if (current === candles) complain(error);
  }
}

function complain(error) {
  if (error.status === 503) writeStatus("lost", "Database away", ...lastTick());
  else if (error.status === undefined) writeStatus("lost", "Connection lost", ...lastTick());
  else writeStatus("waiting", "Nothing to draw");
  if (!drawn) writeEmpty(error.message);
}

function writeEmpty(sentence) {
  chart.clear();
  writeCandle();
  writeMarks();
  writeNotice(sentence);
  document.title = "candleworks";
}

function lastTick() {
  return [candles?.lastTickSeconds ?? null, candles?.serverSeconds ?? 0];
}

function showControls() {
  const { symbol, period, price } = chosen();
  picker.value = symbol ?? "";
  const button = periods.querySelector(`[value="${CSS.escape(period)}"]`);
  for (const radio of periods.querySelectorAll("[type=radio]")) radio.checked = radio === button;
  otherPeriod.value = button ? "" : period;
  otherPeriod.classList.toggle("chosen", !button);
  const sides = picker.chosen?.sides ?? [price ?? "trade"];
  if ([...priceSide.options].map((option) => option.value).join() !== sides.join()) {
    priceSide.replaceChildren(...sides.map((side) => new Option(side[0].toUpperCase() + side.slice(1), side)));
  }
  priceSide.value = price ?? sides[0];
  priceSide.disabled = sides.length < 2;
  writeTitle(symbol ?? "", picker.chosen?.name);
}

// The index of the candle to read out: the one under the crosshair, else the newest.
function currentIndex() {
  const index = pointed === null ? -1 : candles.indexOf(pointed);
  return index === -1 ? candles.list.length - 1 : index;
}

function showCandle() {
  const index = currentIndex();
  const { newest, list, query } = candles;
  writeCandle(list[index], list[index - 1], chart.digits, chart.daily);
  writeMarks(candles, pointed === null ? null : index);
  const label = `Candlestick chart of ${query.symbol}, ${query.period}, ${list.length} candles`;
  if (chartElement.ariaLabel !== label) chartElement.ariaLabel = label;
  document.title = `${query.symbol} ${newest.close} · ${query.period} · candleworks`;
}

periods.addEventListener("change", (event) => {
  const period = event.target.value.trim();
  if (period) choose({ period });
});
periods.addEventListener("submit", (event) => event.preventDefault());
priceSide.addEventListener("change", () => choose({ price: priceSide.value }));
window.addEventListener("popstate", start);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input, select")) {
    event.preventDefault();
    picker.focus();
  }
});

chartElement.addEventListener("keydown", (event) => {
  if (!drawn || event.ctrlKey || event.metaKey || event.altKey) return;
  const zoom = { "+": 0.8, "=": 0.8, "-": 1.25, "−": 1.25 }[event.key];
  if (zoom) chart.zoom(zoom);
  else if (!moveCrosshair(event.key, event.shiftKey ? 10 : 1)) return;
  event.preventDefault();
});

function moveCrosshair(key, step) {
  const last = candles.list.length - 1;
  const index = currentIndex();
  const target = {
    ArrowLeft: pointed === null ? last : Math.max(0, index - step),
    ArrowRight: Math.min(last, index + step),
    Home: 0,
    End: last,
    Escape: null,
  }[key];
  if (target === undefined) return false;
  pointed = target === null ? null : candles.list[target].time;
  chart.point(target);
  showCandle();
  speakCandle();
  return true;
}

start();
