// Draws indicators: over the candles, or in panes below them, each with a line of text that reads them out.

import { axisPrice, compact } from "./format.js";
import { Indicator, offeredIndicators, writeChoice } from "./indicators.js";

const { HistogramSeries, LineSeries, LineStyle } = window.LightweightCharts;
const REFRESH_MS = 1000; // of the newest values, at most
const COLOURS = 6;
const GUIDES = { rsi: [30, 70], stochastic: [20, 80], macd: [0] };
const LEAST_SHARE = 2.4; // of the candles' pane, where one below has 1
const SHARE_OF_EACH = 0.9; // that it grows by with each pane below

export class IndicatorLayers {
  #chart;
  #legend;
  #onError;
  #choice = [];
  #layers = []; // { indicator, series: { column: series }, colours, pane, line }
  #candles = null;
  #list = null; // that was loaded for
  #digits = 2;
  #colour = () => "";
  #time = null; // read out
  #pending = null; // time from which values are out of date
  #timer = 0;
  #round = 0;
  #failed = false; // to load
  #resized = new ResizeObserver(() => this.#place());

  // `legend` is the element for the lines of text.
  constructor(chart, legend, onError = () => {}) {
    this.#chart = chart;
    this.#legend = legend;
    this.#onError = onError;
  }

  get choice() {
    return this.#choice;
  }

  // Draws other indicators over the same candles.
  choose(choice) {
    if (writeChoice(choice) === writeChoice(this.#choice)) return;
    this.#choice = choice;
    this.#list = null;
    if (this.#candles) this.draw(this.#candles, this.#digits);
  }

  // Draws for these candles; values are read again where the candles are others than before.
  draw(candles, digits) {
    // The times of other candles would be points of the time scale until the new values are here.
    if (candles !== this.#candles) for (const layer of this.#layers) this.#blank(layer);
    this.#candles = candles;
    this.#digits = digits;
    if (candles.list === this.#list) this.#setAll();
    else this.#load();
  }

  // Candles have changed or come at the newer end.
  follow(changed) {
    if (this.#choice.length > 0 && this.#failed) this.#load();
    if (changed.length === 0 || this.#layers.length === 0) return;
    this.#pending = Math.min(this.#pending ?? Infinity, changed[0].time);
    if (this.#timer === 0) this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
  }

  clear() {
    this.#round += 1;
    this.#list = null;
    this.#candles = null;
    this.#remove();
  }

  // `colour` finds what a variable of the theme is.
  repaint(colours) {
    this.#colour = (name) => colours[name];
    this.#layers.forEach((layer, place) => this.#style(layer, place));
  }

  // Reads out the values of the candle that starts at a time.
  read(time) {
    this.#time = time;
    for (const layer of this.#layers) this.#write(layer);
  }

  async #load() {
    const round = ++this.#round;
    const candles = this.#candles;
    const { list } = candles;
    this.#failed = false;
    try {
      const offers = this.#choice.length === 0 ? [] : await offeredIndicators();
      const found = this.#choice.map((one) => new Indicator(one, offers.find(({ name }) => name === one.name)));
      await Promise.all(found.map((indicator) => indicator.load(candles)));
      if (round !== this.#round) return;
      this.#list = list;
      this.#show(found);
    } catch (error) {
      if (round !== this.#round) return;
      this.#failed = true;
      this.#onError(error);
    }
  }

  async #refresh() {
    const [round, candles, from] = [this.#round, this.#candles, this.#pending];
    this.#pending = null;
    try {
      if (candles) await Promise.all(this.#layers.map(({ indicator }) => indicator.load(candles, from)));
      if (round === this.#round) this.#setAll();
    } catch (error) {
      if (round === this.#round) this.#onError(error);
    }
    this.#timer = 0;
    if (this.#pending !== null) this.#timer = setTimeout(() => this.#refresh(), REFRESH_MS);
  }

  // Where the same indicators are drawn already, their series stay, so that nothing flickers.
  #show(found) {
    const same = writeLabels(found) === writeLabels(this.#layers.map(({ indicator }) => indicator));
    if (same) this.#layers.forEach((layer, place) => (layer.indicator = found[place]));
    else {
      this.#remove();
      let pane = 0;
      this.#layers = found.map((indicator, place) => this.#add(indicator, place, indicator.offer.overlay ? 0 : (pane += 1)));
      this.#share();
    }
    this.#setAll();
  }

  #remove() {
    for (const { series } of this.#layers) for (const one of Object.values(series)) this.#chart.removeSeries(one);
    this.#layers = [];
    this.#legend.replaceChildren();
    this.#resized.disconnect();
  }

  #add(indicator, place, pane) {
    const { name, columns, overlay } = indicator.offer;
    const price = { type: "custom", minMove: 1e-8, formatter: (value) => this.#number(value, overlay) };
    const common = { priceLineVisible: false, crosshairMarkerVisible: false, priceFormat: price, lineWidth: 1 };
    const series = Object.fromEntries(columns.map((column, number) => {
      const kind = column === "histogram" ? HistogramSeries : LineSeries;
      const options = { ...common, lastValueVisible: !overlay && number === 0 };
      return [column, this.#chart.addSeries(kind, options, pane)];
    }));
    const first = series[columns[0]];
    if (!overlay) first.priceScale().applyOptions({ scaleMargins: { top: 0.18, bottom: 0.08 } });
    const guides = (GUIDES[name] ?? []).map((level) =>
      first.createPriceLine({ price: level, lineWidth: 1, lineStyle: LineStyle.Dotted, axisLabelVisible: false }));
    const line = this.#legend.appendChild(document.createElement("p"));
    line.title = indicator.offer.title;
    const layer = { indicator, series, guides, pane, line, colours: {} };
    this.#style(layer, place);
    return layer;
  }

  #style(layer, place) {
    const { columns } = layer.indicator.offer;
    columns.forEach((column, number) => {
      const band = column === "upper" || column === "lower";
      const colour = this.#colour(`indicator-${((place + (band || column === "middle" ? 0 : number)) % COLOURS) + 1}`);
      layer.colours[column] = colour;
      if (column !== "histogram") {
        layer.series[column].applyOptions({ color: colour, lineStyle: column === "middle" ? LineStyle.Dashed : LineStyle.Solid });
      }
    });
    for (const guide of layer.guides) guide.applyOptions({ color: this.#colour("muted") });
    this.#set(layer);
  }

  // The panes below the candles take as much as leaves the candles readable.
  #share() {
    const panes = this.#chart.panes();
    panes.forEach((pane, place) => {
      pane.setStretchFactor(place === 0 ? Math.max(LEAST_SHARE, SHARE_OF_EACH * (panes.length - 1)) : 1);
      const element = pane.getHTMLElement();
      if (element) this.#resized.observe(element);
    });
  }

  #setAll() {
    for (const layer of this.#layers) this.#set(layer);
    this.#place();
  }

  #set(layer) {
    const { indicator, series } = layer;
    for (const column of indicator.offer.columns) {
      series[column].setData(indicator.values.map((value) => this.#point(value, column)));
    }
    this.#write(layer);
  }

  #blank({ indicator, series }) {
    indicator.values = [];
    for (const one of Object.values(series)) one.setData([]);
  }

  #point(value, column) {
    const { time, [column]: number } = value;
    if (number === null) return { time };
    if (column !== "histogram") return { time, value: number };
    return { time, value: number, color: this.#colour(number < 0 ? "downVolume" : "upVolume") };
  }

  #number(value, overlay) {
    return overlay ? axisPrice(value, this.#digits) : compact(value);
  }

  #write({ indicator, line, colours }) {
    const { columns, overlay } = indicator.offer;
    const time = this.#time ?? this.#candles?.newest?.time;
    const value = indicator.at(time);
    const parts = columns.map((column) => {
      const part = document.createElement("b");
      part.style.color = colours[column];
      part.textContent = value && value[column] !== null ? this.#number(value[column], overlay) : "–";
      part.title = column;
      return part;
    });
    line.classList.toggle("failed", indicator.error !== null);
    line.replaceChildren(indicator.label, ...(indicator.error ? [` ${indicator.error}`] : parts));
  }

  // Puts each line of text to the top of its pane.
  #place() {
    const panes = this.#chart.panes();
    const used = new Map();
    const top = this.#legend.getBoundingClientRect().top;
    for (const { line, pane } of this.#layers) {
      const element = panes[pane]?.getHTMLElement();
      if (!element) continue;
      const place = used.get(pane) ?? element.getBoundingClientRect().top - top + (pane === 0 ? 22 : 3);
      line.style.top = `${place}px`;
      used.set(pane, place + line.offsetHeight);
    }
  }
}

function writeLabels(indicators) {
  return indicators.map(({ label }) => label).join();
}
