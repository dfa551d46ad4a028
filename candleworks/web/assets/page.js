// The chart page: what is chosen lives in the address, what is drawn comes from this server.

import { Candles } from "./candles.js";
import { CandleChart } from "./chart.js";
import { IndicatorMenu } from "./indicator-menu.js";
import { readChoice, writeChoice } from "./indicators.js";
import { SymbolPicker } from "./picker.js";
import { offerThemes, remember, remembered } from "./preferences.js";
import { Prices } from "./prices.js";
import {
  lastTick, marketSentence, speakCandle, writeBanner, writeCandle, writeMarket, writeMarks, writeNotice, writeQuote,
  writeState, writeStatus, writeTitle,
} from "./readout.js";
import { keepServices } from "./services.js";
import { Stream } from "./stream.js";
import { WatchList } from "./watch-list.js";
import { UTC, viewerZone, Zone } from "./zone.js";

const RETRY_MS = 1000;
const REFUSED_RETRY_MS = 5000;
const CLOCK_MS = 1000;
const RECONCILE_PAUSE_MS = 300; // what is corrected in many steps is read once
const MOST_OLDER_PAGES = 20; // that are read for the range of an address
const STEP_PAUSE_MS = 120; // while a key is held down only the last symbol is drawn
const DEFAULTS = { period: "1m" };
const SIMULATED = !document.querySelector(".simulated").hidden;
const NARROW = window.matchMedia("(max-width: 760px)");

const periods = document.querySelector("#periods");
const otherPeriod = document.querySelector("#period");
const priceSide = document.querySelector("#price");
const zoneChoice = document.querySelector("#zone");
const chartElement = document.querySelector("#chart");
const help = document.querySelector("#help");
const listButton = document.querySelector("#watch-list-button");

const prices = new Prices();
let candles = null; // of what is chosen; null until a symbol is known
let range = null; // { from, to } in seconds that the address asks for, until something else is chosen
let drawn = false;
let pointed = null; // time of the candle under the crosshair
let troubled = false; // what is drawn may be out of date
let timer = 0;
let rounds = 0;
let stepTimer = 0;
let reconcileTimer = 0;

const picker = new SymbolPicker((symbol) => choose({ symbol }));
const watchList = new WatchList(stepTo);
const stream = new Stream({
  opened: () => troubled && catchUp(),
  lost: () => catchUp(),
  snapshot: reconcileSoon, // what changed between drawing and now
  candle: takeCandle,
  gap: reconcileSoon,
  reload: reconcileSoon,
  lagged: () => undefined, // what was missed follows
  database: ({ available, error }) => (available ? reconcileSoon() : complain({ status: 503, message: error })),
  prices: takePrices,
});
const indicatorMenu = new IndicatorMenu(chooseIndicators);
const chart = new CandleChart(chartElement, {
  onPoint: (time) => {
    pointed = time;
    if (drawn) showCandle();
  },
  onLeftEdge: loadOlder,
  legend: document.querySelector("#indicator-lines"),
  onError: complain,
});

function chosen() {
  const address = new URLSearchParams(location.search);
  const others = { ...pick(address, "period"), ...pick(address, "price"), ...pick(address, "ind") };
  return { symbol: address.get("symbol"), ...DEFAULTS, ...others };
}

// The range that the address asks for, in seconds: as seconds or as a time, like those of candles.
function askedRange() {
  const address = new URLSearchParams(location.search);
  const [from, to] = ["from", "to"].map((name) => seconds(address.get(name) ?? ""));
  return from < to ? { from, to } : null;
}

function seconds(text) {
  return /^\d+$/.test(text) ? Number(text) : Date.parse(text) / 1000;
}

function pick(address, name) {
  return address.get(name) ? { [name]: address.get(name) } : {};
}

// `quietly` keeps the history of the browser as it is.
function choose(change, quietly = false) {
  const query = { ...chosen(), ...change };
  if (query.symbol === null) delete query.symbol;
  if (!prices.find(query.symbol)?.sides.includes(query.price)) delete query.price;
  write(query, quietly);
  start();
}

function write(query, quietly) {
  const address = `?${new URLSearchParams(query)}`.replaceAll("%2C", ","); // as a person writes indicators
  history[quietly ? "replaceState" : "pushState"](null, "", address);
}

// Draws other indicators over the same candles.
function chooseIndicators(choice) {
  const query = { ...chosen(), ind: writeChoice(choice) };
  if (choice.length === 0) delete query.ind;
  write(query, true);
  chart.indicators.choose(choice);
  rememberChart();
}

function rememberChart() {
  const { symbol, period, price } = candles?.query ?? {};
  const { ind } = chosen();
  if (symbol && drawn) remember({ chart: { symbol, period, ...(price ? { price } : {}), ...(ind ? { ind } : {}) } });
}

// Moves through the watch list: marks the symbol at once, draws it when the moving ends.
function stepTo(symbol) {
  watchList.chosen = symbol;
  clearTimeout(stepTimer);
  stepTimer = setTimeout(() => {
    if (symbol !== chosen().symbol) choose({ symbol });
  }, STEP_PAUSE_MS);
}

function start() {
  const { symbol, period, price } = chosen();
  candles?.stop();
  candles = symbol ? new Candles(symbol, period, price) : null;
  range = askedRange();
  drawn = false;
  pointed = null;
  troubled = false;
  clearTimeout(reconcileTimer);
  if (symbol) watchList.chosen = symbol;
  chart.indicators.choose(readChoice(chosen().ind));
  showControls();
  writeQuote();
  writeMarket("");
  writeBanner(null);
  if (candles) {
    writeStatus("loading", "Loading");
    document.querySelector("#csv").href = candles.url("/ohlc.csv");
    document.querySelector("#json").href = candles.url("/ohlc.json");
  }
  stream.open(wanted);
  load();
}

// The parameters of the stream: prices of all symbols, and the candles that are drawn.
function wanted() {
  const { query, price } = candles ?? {};
  const drawing = drawn ? { symbols: query.symbol, periods: query.period, price } : {};
  return { prices: prices.version, ...drawing };
}

// Draws what is chosen, and tries again until that is done. A newer round ends the older ones.
async function load() {
  clearTimeout(timer);
  if (candles === null) return; // the first prices bring a symbol
  const round = ++rounds;
  const current = candles;
  let pause = RETRY_MS;
  try {
    await draw(current);
    if (current !== candles || round !== rounds) return;
    if (drawn) {
      showCandle();
      stream.open(wanted);
      return;
    }
  } catch (error) {
    if (current !== candles) return;
    complain(error);
    if (error.status < 500) pause = REFUSED_RETRY_MS;
  }
  if (round === rounds) timer = setTimeout(() => (document.hidden ? undefined : load()), pause);
}

function takePrices(body) {
  if (body.error) {
    watchList.outdated();
    return;
  }
  const first = prices.list.length === 0;
  const changed = prices.take(body);
  picker.symbols = prices.list;
  watchList.show(prices, first ? new Set() : changed);
  if (candles === null && prices.list.length > 0) {
    choose({ ...remembered("chart", {}), ...stated(), symbol: firstSymbol() }, true);
  } else if (candles === null) {
    writeStatus("waiting", "Waiting for data");
    writeEmpty("Waiting for the first tick …", "Candles appear here by themselves.");
  }
  showControls();
  if (drawn) showCandle();
}

// What the address says besides the symbol.
function stated() {
  const address = new URLSearchParams(location.search);
  return { ...pick(address, "period"), ...pick(address, "price"), ...pick(address, "ind") };
}

function firstSymbol() {
  const { symbol } = remembered("chart", {});
  return prices.find(symbol) ? symbol : prices.liveliest();
}

async function draw(current) {
  await current.load();
  if (range) await loadBackTo(range.from, current);
  if (current !== candles) return;
  if (current.list.length === 0) {
    const { symbol, price } = current.query;
    writeStatus("waiting", "Waiting for data");
    writeEmpty(
      price ? `No ${price} candles of ${symbol} are stored.` : `No candles of ${symbol} are stored yet.`,
      marketSentence(market(symbol), current.serverSeconds) || "They appear here by themselves.",
    );
    return;
  }
  await current.loadGaps();
  if (current !== candles) return;
  writeNotice(null);
  chart.zone = zone();
  chart.show(current);
  if (range) chart.showTimes(range);
  drawn = true;
  troubled = false;
  rememberChart();
  showState();
}

function takeCandle(candle) {
  const change = candles.take(candle);
  if (change === null || troubled) return;
  if (change === "newest") chart.update([candles.newest]);
  else if (change === "corrected") chart.correct(candles.list[candles.indexOf(candle.time)]);
  else chart.redraw();
  showCandle();
  showState();
}

// Reads what is newer than what is drawn, or says why that cannot be done.
async function catchUp(reconciling = false) {
  const current = candles;
  if (!drawn) return;
  try {
    if (reconciling) await reconcile(current);
    const changed = await current.refresh();
    if (current !== candles) return;
    if (changed === null) {
      drawn = false;
      load();
      return;
    }
    if (troubled) {
      chart.redraw(); // what came meanwhile was not drawn
      watchList.show(prices);
    } else chart.update(changed);
    troubled = false;
    showState();
    showCandle();
  } catch (error) {
    if (current === candles) complain(error);
  }
}

async function reconcile(current) {
  const changed = [await current.reconcile(), await current.loadGaps()];
  if (current !== candles) return;
  if (changed.includes(true)) chart.redraw();
  if (chart.atLeftEdge) await loadOlder(); // older candles may be there now
}

function reconcileSoon() {
  clearTimeout(reconcileTimer);
  reconcileTimer = setTimeout(() => catchUp(true), RECONCILE_PAUSE_MS);
}

async function loadBackTo(time, current) {
  for (let pages = 0; pages < MOST_OLDER_PAGES && current.list[0]?.time > time; pages += 1) {
    if (!(await current.loadOlder())) return;
  }
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
  troubled = true;
  if (error.status === 503 || error.status === undefined) watchList.outdated();
  const since = candles ? lastTick(candles, zone()) : "";
  if (error.status === 503) writeStatus("lost", "Database away", since);
  else if (error.status === undefined) writeStatus("lost", "Connection lost", since);
  else writeStatus("waiting", "Nothing to draw");
  const away = error.status === 503 ? "The database does not answer." : "The server of this page does not answer.";
  const lost = error.status === 503 || error.status === undefined;
  if (drawn) writeBanner(`${away} What you see may be out of date; it continues by itself.`);
  else if (lost) writeEmpty(away, `${error.message} This page tries again every second.`);
  else writeEmpty(error.message);
}

function writeEmpty(sentence, detail = "") {
  chart.clear();
  writeCandle();
  writeMarks();
  writeQuote();
  writeNotice(sentence, detail);
  document.title = "candleworks";
}

function showState() {
  const { symbol } = candles.query;
  writeState(candles, prices.find(symbol)?.stopped, market(symbol), zone());
}

// When the symbol's market is open; simulated ones never close.
function market(symbol) {
  return SIMULATED ? undefined : prices.market(symbol);
}

function showControls() {
  const { symbol, period, price } = chosen();
  const line = prices.find(symbol);
  picker.value = symbol ?? "";
  const button = periods.querySelector(`[value="${CSS.escape(period)}"]`);
  if (button?.checked === false) button.parentElement.scrollIntoView({ block: "nearest", inline: "center" });
  for (const radio of periods.querySelectorAll("[type=radio]")) radio.checked = radio === button;
  otherPeriod.value = button ? "" : period;
  otherPeriod.classList.toggle("chosen", !button);
  const sides = line?.sides ?? [price ?? "trade"];
  if ([...priceSide.options].map((option) => option.value).join() !== sides.join()) {
    priceSide.replaceChildren(...sides.map((side) => new Option(side[0].toUpperCase() + side.slice(1), side)));
  }
  priceSide.value = price ?? sides[0];
  priceSide.disabled = sides.length < 2;
  writeTitle(symbol ?? "", line);
  indicatorMenu.choice = chart.indicators.choice;
  showZones();
}

// The zone of the times: that of the person, of the symbol's exchange, or UTC.
function zone() {
  return zones()[remembered("zone", "viewer")] ?? UTC;
}

function zones() {
  const exchange = prices.market(chosen().symbol)?.zone;
  return { viewer: zoneNamed(viewerZone()), exchange: zoneNamed(exchange ?? "UTC"), utc: UTC };
}

const zonesByName = new Map();

function zoneNamed(name) {
  if (!zonesByName.has(name)) zonesByName.set(name, new Zone(name));
  return zonesByName.get(name);
}

function showZones() {
  const { viewer, exchange } = zones();
  const names = { viewer: `your zone (${viewer.place})`, exchange: `the exchange's zone (${exchange.place})`, utc: "UTC" };
  if (zoneChoice.options.length === 0) zoneChoice.append(...Object.keys(names).map((key) => new Option(key, key)));
  for (const option of zoneChoice.options) if (option.text !== names[option.value]) option.text = names[option.value];
  zoneChoice.value = remembered("zone", "viewer");
  chart.zone = zone();
}

function chooseZone(name) {
  remember({ zone: name });
  showZones();
  if (!drawn) return;
  showCandle();
  showState();
}

// The index of the candle to read out: the one under the crosshair, else the newest.
function currentIndex() {
  const index = pointed === null ? -1 : candles.indexOf(pointed);
  return index === -1 ? candles.list.length - 1 : index;
}

function showCandle() {
  const index = currentIndex();
  const { newest, list, query } = candles;
  writeCandle(list[index], list[index - 1], chart.digits, chart.timeLength, zone());
  writeMarks(candles, pointed === null ? null : index, zone());
  chart.indicators.read(list[index].time);
  const line = prices.find(query.symbol);
  const previousClose = line?.sides[0] === candles.price ? line.previous_close : null;
  writeQuote(newest.close, previousClose, chart.digits);
  const label = `Candlestick chart of ${query.symbol}, ${query.period}, ${list.length} candles`;
  if (chartElement.ariaLabel !== label) chartElement.ariaLabel = label;
  document.title = `${query.symbol} ${newest.close} · ${query.period} · candleworks`;
}

// On a wide page the list is a panel that stays as it was left; on a narrow one it is a drawer that opens on request.
function showList(open) {
  document.body.classList.toggle("listing", open);
  listButton.setAttribute("aria-expanded", String(open));
  if (!NARROW.matches) remember({ list: open ? null : "hidden" });
}

function listIsOpen() {
  return document.body.classList.contains("listing");
}

periods.addEventListener("change", (event) => {
  const period = event.target.value.trim();
  if (period) choose({ period });
});
periods.addEventListener("submit", (event) => event.preventDefault());
priceSide.addEventListener("change", () => choose({ price: priceSide.value }));
zoneChoice.addEventListener("change", () => chooseZone(zoneChoice.value));
window.addEventListener("popstate", start);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream.pause();
    return;
  }
  stream.resume();
  if (!drawn) load();
});
setInterval(() => drawn && !troubled && showState(), CLOCK_MS); // ticks and markets grow old without an event
listButton.addEventListener("click", () => {
  showList(!listIsOpen());
  if (listIsOpen() && NARROW.matches) watchList.focus();
});
for (const element of ["#watch-list-close", "#scrim"]) {
  document.querySelector(element).addEventListener("click", () => showList(false));
}
document.querySelector("#lines").addEventListener("click", () => NARROW.matches && showList(false));
document.querySelector("#help-button").addEventListener("click", () => help.showModal());
help.addEventListener("click", (event) => event.target === help && help.close());
NARROW.addEventListener("change", () => showList(!NARROW.matches && remembered("list") !== "hidden"));

const KEYS = {
  "/": () => picker.focus(),
  j: () => watchList.step(1),
  k: () => watchList.step(-1),
  i: () => indicatorMenu.open(),
  w: () => showList(!listIsOpen()),
  z: () => chooseZone({ viewer: "exchange", exchange: "utc", utc: "viewer" }[remembered("zone", "viewer")]),
  "?": () => help.showModal(),
  Escape: () => (NARROW.matches && listIsOpen() ? showList(false) : chartElement.focus()),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || event.defaultPrevented) return;
  if (event.target.matches("input:not([type=radio]), select")) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
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
  if (target === undefined || (target === null && pointed === null)) return false;
  pointed = target === null ? null : candles.list[target].time;
  chart.point(target);
  showCandle();
  speakCandle();
  return true;
}

offerThemes(document.querySelector("#theme"), () => chart.repaint());
showList(!NARROW.matches && remembered("list") !== "hidden");
showZones();
keepServices(document.querySelector("#services"));
start();
