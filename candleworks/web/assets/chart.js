// Draws candles with volume, and tells which one is under the crosshair.

import { axisPrice, bucketTime, DATE_LENGTH, MINUTE_LENGTH, priceDigits, SECOND_LENGTH } from "./format.js";
import { GapShades } from "./gaps.js";
import { IndicatorLayers } from "./indicator-layers.js";
import { UTC } from "./zone.js";

const { CandlestickSeries, createChartEx, CrosshairMode, defaultHorzScaleBehavior, HistogramSeries, LineStyle } =
  window.LightweightCharts;
const MOST_BARS = 150;
const LEAST_BARS = 60;
const LEAST_PIXELS = 7; // of a bar, where the window is narrow
const RIGHT_OFFSET_BARS = 6;
const LOAD_AHEAD_BARS = 200;
const INDICATOR_COLOURS = [1, 2, 3, 4, 5, 6].map((number) => `indicator-${number}`);
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// A time scale whose days and hours begin where they do in a zone.
class ZonedTime extends defaultHorzScaleBehavior() {
  zone = UTC;

  fillWeightsForPoints(points, start) {
    const at = (time) => this.convertHorzItemToInternal(time + this.zone.offset(time));
    const local = points.map((point) => ({ ...point, time: at(point.originalTime) }));
    super.fillWeightsForPoints(local, start);
    for (let n = start; n < points.length; n += 1) points[n].timeWeight = local[n].timeWeight;
  }
}

export class CandleChart {
  #chart;
  #element;
  #scale = new ZonedTime();
  #touched = false; // a person has scrolled or zoomed
  #prices;
  #volumes;
  #gaps = new GapShades();
  #candles = null;
  #colours = {};
  #digits = 2;
  #pinned = null; // time of the candle that keys put the crosshair on

  // onPoint(time or null) follows the crosshair; onLeftEdge() asks for older candles; `legend` is for indicators.
  constructor(element, { onPoint, onLeftEdge, legend, onError }) {
    this.#element = element;
    this.#chart = createChartEx(element, this.#scale, {
      autoSize: true,
      layout: { attributionLogo: false }, // the footer has the notice and the link; the logo needs an inline style
      crosshair: { mode: CrosshairMode.Normal },
      localization: { locale: "en-GB", timeFormatter: (time) => bucketTime(time, this.timeLength, this.zone) },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.06, bottom: 0.24 }, minimumWidth: 72 },
      timeScale: {
        rightOffset: RIGHT_OFFSET_BARS,
        minBarSpacing: 0.2,
        tickMarkFormatter: (time, kind) => tickMark(this.zone.local(time), kind),
      },
    });
    this.#prices = this.#chart.addSeries(CandlestickSeries, {
      priceFormat: { type: "custom", minMove: 0.01, formatter: (price) => axisPrice(price, this.#digits) },
    });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
      autoscaleInfoProvider: fromZero,
    });
    this.#prices.attachPrimitive(this.#gaps);
    this.indicators = new IndicatorLayers(this.#chart, legend, onError);
    this.#chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.repaint();
    for (const kind of ["wheel", "pointerdown", "touchstart"]) {
      element.addEventListener(kind, () => (this.#touched = true), { passive: true });
    }
    this.#chart.subscribeCrosshairMove(({ time, point, sourceEvent }) => {
      // Without a source it is the library that found another candle under the same pixel, after scrolling or new data.
      if (!sourceEvent && this.#pinned !== null) this.#pin();
      else {
        this.#pinned = null;
        onPoint(time && point ? time : null);
      }
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && this.atLeftEdge) onLeftEdge();
    });
  }

  get digits() {
    return this.#digits;
  }

  // Whether the oldest candles are in view or close to it.
  get atLeftEdge() {
    return (this.#chart.timeScale().getVisibleLogicalRange()?.from ?? Infinity) < LOAD_AHEAD_BARS;
  }

  // The zone of the time scale; daily candles are those of UTC.
  get zone() {
    return this.#scale.zone;
  }

  set zone(zone) {
    if (zone.name === this.#scale.zone.name) return;
    this.#scale.zone = zone;
    if (!this.#candles) return;
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    this.clear(); // what a tick mark weighs is computed for new points only
    this.redraw();
    if (range) this.#chart.timeScale().setVisibleLogicalRange(range);
  }

  // How much of the time a candle's start is told by; see format.js.
  get timeLength() {
    const { period } = this.#candles?.query ?? { period: "1m" };
    return /[dwo]$/.test(period) ? DATE_LENGTH : period.endsWith("s") ? SECOND_LENGTH : MINUTE_LENGTH;
  }

  // Draws another symbol or period from scratch and shows its newest candles.
  show(candles) {
    this.#candles = candles;
    this.#pinned = null;
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
    this.#chart.timeScale().applyOptions({
      timeVisible: this.timeLength !== DATE_LENGTH,
      secondsVisible: this.timeLength === SECOND_LENGTH,
    });
    this.#touched = false;
    this.redraw();
  }

  // The newest candles at a width that can be read; few of them are in the middle, not two blocks at the edge.
  #showNewest() {
    const count = this.#candles.list.length;
    const width = this.#element.clientWidth - this.#chart.priceScale("right").width();
    const most = Math.max(LEAST_BARS / 2, Math.min(MOST_BARS, Math.floor(width / LEAST_PIXELS)));
    const shown = Math.min(most, Math.max(LEAST_BARS, count + RIGHT_OFFSET_BARS));
    const offset = Math.max(RIGHT_OFFSET_BARS, Math.floor((shown - count) / 2));
    this.#chart.timeScale().setVisibleLogicalRange({ from: count - 0.5 + offset - shown, to: count - 0.5 + offset });
  }

  // The candles between two times, as if a person had scrolled there; few of them are as wide as among LEAST_BARS.
  showTimes({ from, to }) {
    const last = this.#candles.indexBefore(to);
    if (last < 0) return;
    const first = Math.max(0, this.#candles.indexBefore(from));
    const margin = Math.max(1, (LEAST_BARS - (last - first + 1)) / 2);
    this.#chart.timeScale().setVisibleLogicalRange({ from: first - margin, to: last + margin });
    this.#touched = true;
  }

  clear() {
    this.#prices.setData([]);
    this.#volumes.setData([]);
    this.indicators.clear();
  }

  // Draws the same candles again after older ones changed or came; what a person has put into view stays.
  redraw() {
    const { list } = this.#candles;
    if (list.length === 0) return;
    this.#digits = priceDigits(list);
    const priceFormat = { ...this.#prices.options().priceFormat, minMove: 10 ** -this.#digits };
    this.#prices.applyOptions({ priceFormat });
    this.#prices.setData(list.map((candle) => this.#priceBar(candle)));
    this.#volumes.setData(list.map((candle) => this.#volumeBar(candle)));
    this.#gaps.show(this.#candles, this.#colours);
    this.indicators.draw(this.#candles, this.#digits);
    if (!this.#touched) this.#showNewest();
  }

  update(changed) {
    for (const candle of changed) {
      this.#prices.update(this.#priceBar(candle));
      this.#volumes.update(this.#volumeBar(candle));
    }
    this.indicators.follow(changed);
  }

  // An older candle that changed.
  correct(candle) {
    this.#prices.update(this.#priceBar(candle), true);
    this.#volumes.update(this.#volumeBar(candle), true);
    this.indicators.follow([candle]);
  }

  // Puts the crosshair on the candle of that index, scrolling to it where needed; null takes it away.
  point(index) {
    if (index === null) {
      this.#pinned = null;
      this.#chart.clearCrosshairPosition();
      return;
    }
    this.#touched = true;
    this.#pinned = this.#candles.list[index].time;
    const scale = this.#chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    const shift = Math.min(0, index - from - 2) + Math.max(0, index - to + RIGHT_OFFSET_BARS);
    if (shift !== 0) scale.setVisibleLogicalRange({ from: from + shift, to: to + shift });
    this.#pin();
  }

  // Shows so many times more candles, the newest in view staying where it is.
  zoom(factor) {
    this.#touched = true;
    const scale = this.#chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    scale.setVisibleLogicalRange({ from: to - Math.max(10, (to - from) * factor), to });
  }

  // The library turns a scroll into coordinates with its next frame, so the crosshair has to wait for that.
  #pin() {
    requestAnimationFrame(() => {
      const candle = this.#candles.list[this.#candles.indexOf(this.#pinned)];
      if (candle) this.#chart.setCrosshairPosition(candle.close, candle.time, this.#prices);
    });
  }

  // Rebuilt candles are hollow, and those that are not closed are as pale as volumes.
  #priceBar(candle) {
    if (candle.rebuilt) return { ...candle, color: "transparent" };
    if (candle.closed !== false) return candle;
    return { ...candle, color: candle.close < candle.open ? this.#colours.downVolume : this.#colours.upVolume };
  }

  // Without what was traded before the candle's first trade, while the feed was down.
  #volumeBar({ time, open, close, volume, volume_before: before }) {
    if (volume === null) return { time };
    return { time, value: volume - (before ?? 0), color: close < open ? this.#colours.downVolume : this.#colours.upVolume };
  }

  // Takes the colours of the theme, which CSS does not bring to a canvas.
  repaint() {
    this.#paint();
    if (this.#candles) this.redraw();
  }

  #paint() {
    const style = getComputedStyle(document.body);
    const probe = document.body.appendChild(document.createElement("i")); // computes what a variable is in this theme
    const colour = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    this.#colours = {
      upVolume: colour("up-volume"),
      downVolume: colour("down-volume"),
      gap: colour("gap"),
      gapLine: colour("gap-line"),
      filledGap: colour("filled-gap"),
      muted: colour("muted"),
      ...Object.fromEntries(INDICATOR_COLOURS.map((name) => [name, colour(name)])),
    };
    const line = { color: colour("muted"), labelBackgroundColor: colour("label"), style: LineStyle.Dashed };
    this.#chart.applyOptions({
      layout: {
        background: { type: "solid", color: colour("back") },
        panes: { separatorColor: colour("line"), separatorHoverColor: colour("hover") },
        textColor: colour("muted"),
        fontFamily: style.fontFamily,
        fontSize: 12,
      },
      grid: { vertLines: { color: colour("grid") }, horzLines: { color: colour("grid") } },
      crosshair: { vertLine: line, horzLine: line },
      timeScale: { borderColor: colour("line") },
    });
    const [up, down] = [colour("up"), colour("down")];
    const bodies = { upColor: up, downColor: down, borderUpColor: up, borderDownColor: down };
    this.#prices.applyOptions({ ...bodies, wickUpColor: up, wickDownColor: down });
    probe.remove();
    this.indicators.repaint(this.#colours);
  }
}

// What a time scale writes under its marks: years, months, days, times of day or seconds, by their kind.
function tickMark(local, kind) {
  const text = local.toISOString();
  const month = MONTHS[local.getUTCMonth()];
  return [text.slice(0, 4), month, `${local.getUTCDate()} ${month}`, text.slice(11, 16), text.slice(11, 19)][kind];
}

// Bars stand on the ground, also when every volume in view is zero.
function fromZero(original) {
  const range = original()?.priceRange;
  return range ? { priceRange: { minValue: 0, maxValue: range.maxValue || 1 } } : null;
}
