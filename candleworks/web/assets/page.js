// The chart page: what is chosen lives in the address, what is drawn comes from this server.

import { Candles, fetchJson } from "./candles.js";
import { CandleChart } from "./chart.js";
import { SymbolPicker } from "./picker.js";
import { speakCandle, writeAge, writeCandle, writeNotice, writeStatus, writeTitle } from "./readout.js";

const POLL_MS = 1000;
const POLLS_PER_RECONCILIATION = 30;
const DEFAULTS = { period: "1m", price: "trade" };
const EMPTY = "No candles are stored yet. They appear here with the first tick.";

const periods = document.querySelector("#periods");
const otherPeriod = document.querySelector("#period");
const priceSide = document.querySelector("#price");
const chartElement = document.querySelector("#chart");

let symbols = [];
let candles = null; // of what is chosen; null until a symbol is known
let drawn = false;
let pointed = null; // index of the candle under the crosshair
let polls = 0;
let timer = 0;
let rounds = 0;

const picker = new SymbolPicker((symbol) => choose({ symbol }));
const chart = new CandleChart(chartElement, {
  onPoint: (index) => {
    pointed = index === -1 ? null : index;
    showCandle();
  },
  onLeftEdge: loadOlder,
});

// What is chosen

function chosen() {
  const address = new URLSearchParams(location.search);
  return { symbol: address.get("symbol"), ...DEFAULTS, ...pick(address, "period"), ...pick(address, "price") };
}

function pick(address, name) {
  return address.get(name) ? { [name]: address.get(name) } : {};
}

function choose(change) {
  const query = new URLSearchParams({ ...chosen(), ...change });
  history.pushState(null, "", `?${query}`);
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

// One round a second: load or refresh, then say how it went

async function poll() {
  clearTimeout(timer);
  const round = ++rounds;
  const current = candles;
  try {
    if (polls % POLLS_PER_RECONCILIATION === 0 || symbols.length === 0) await loadSymbols();
    if (current !== candles) return;
    if (candles === null) writeStatus("waiting", "Waiting for data");
    else await (drawn ? keepUp(current) : draw(current));
    if (current === candles && candles) showCandle();
  } catch (error) {
    if (current !== candles) return;
    complain(error);
  }
  if (round !== rounds) return;
  polls += 1;
  timer = setTimeout(() => (document.hidden ? undefined : poll()), POLL_MS);
}

async function loadSymbols() {
  symbols = (await fetchJson("/symbols")).body;
  picker.symbols = symbols;
  if (candles === null && symbols.length > 0) {
    history.replaceState(null, "", `?${new URLSearchParams({ ...chosen(), symbol: preferred() })}`);
    start();
  } else if (candles === null) {
    writeNotice(EMPTY);
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
  writeNotice(current.list.length === 0 ? `No candles of ${current.query.symbol} are stored yet.` : null);
  if (current.list.length === 0) {
    writeStatus("waiting", "Waiting for data");
    return;
  }
  chart.show(current);
  drawn = true;
  writeAge(current);
}

async function keepUp(current) {
  if (polls % POLLS_PER_RECONCILIATION === 0 && (await current.reconcile()) && current === candles) chart.redraw();
  const changed = await current.refresh();
  if (current !== candles) return;
  if (changed === null) drawn = false;
  else chart.update(changed);
  writeNotice(null);
  writeAge(current);
}

async function loadOlder() {
  const current = candles;
  if (!drawn || current.loadingOlder) return;
  current.loadingOlder = true;
  try {
    if ((await current.loadOlder()) && current === candles) chart.redraw();
  } catch (error) {
    if (current === candles) complain(error);
  } finally {
    current.loadingOlder = false;
  }
}

function complain(error) {
  if (error.status === 503) writeStatus("lost", "Database away", ...lastTick());
  else if (error.status === undefined) writeStatus("lost", "Connection lost", ...lastTick());
  else writeStatus("waiting", "Nothing to draw");
  if (!drawn) writeNotice(error.message);
}

function lastTick() {
  return [candles?.lastTickSeconds ?? null, candles?.serverSeconds ?? 0];
}

// What is shown

function showControls() {
  const { symbol, period, price } = chosen();
  picker.value = symbol ?? "";
  const button = periods.querySelector(`[value="${CSS.escape(period)}"]`);
  for (const radio of periods.querySelectorAll("[type=radio]")) radio.checked = radio === button;
  otherPeriod.value = button ? "" : period;
  otherPeriod.classList.toggle("chosen", !button);
  const sides = picker.chosen?.sides ?? [DEFAULTS.price];
  if (priceSide.length !== sides.length || !sides.includes(price)) {
    priceSide.replaceChildren(...sides.map((side) => new Option(side[0].toUpperCase() + side.slice(1), side)));
  }
  priceSide.value = price;
  priceSide.disabled = sides.length < 2;
  writeTitle(symbol ?? "", picker.chosen?.name);
}

function showCandle() {
  const index = pointed ?? candles.list.length - 1;
  const { newest, list, query } = candles;
  writeCandle(list[index], list[index - 1], chart.digits, chart.daily);
  document.title = newest ? `${query.symbol} ${newest.close} · ${query.period} · candleworks` : "candleworks";
}

// Controls and keys

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
  const last = candles.list.length - 1;
  const step = event.shiftKey ? 10 : 1;
  const target = {
    ArrowLeft: () => Math.max(0, (pointed ?? last + 1) - step),
    ArrowRight: () => Math.min(last, (pointed ?? last) + step),
    Home: () => 0,
    End: () => last,
    Escape: () => null,
  }[event.key];
  const zoom = { "+": 1.25, "=": 1.25, "-": 0.8, "−": 0.8 }[event.key];
  if (!target && !zoom) return;
  event.preventDefault();
  if (zoom) {
    chart.zoom(zoom);
    return;
  }
  if (event.key === "End") chart.toNewest();
  pointed = target();
  chart.point(pointed);
  showCandle();
  speakCandle();
});

start();
