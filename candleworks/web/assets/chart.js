// Draws candles with volume, and tells which one is under the crosshair.

import { axisPrice, bucketTime, priceDigits } from "./format.js";
import { GapShades } from "./gaps.js";

const { CandlestickSeries, createChart, CrosshairMode, HistogramSeries, LineStyle } = window.LightweightCharts;
const BAR_SPACING = 8;
const RIGHT_OFFSET_BARS = 6;
const LOAD_AHEAD_BARS = 200;

export class CandleChart {
  #chart;
  #prices;
  #volumes;
  #gaps = new GapShades();
  #candles = null;
  #colours = {};
  #digits = 2;
  #pinned = null; // time of the candle that keys put the crosshair on

  // onPoint(time or null) follows the crosshair; onLeftEdge() asks for older candles.
  constructor(element, { onPoint, onLeftEdge }) {
    this.#chart = createChart(element, {
      autoSize: true,
      layout: { attributionLogo: false }, // the footer has the notice and the link; the logo needs an inline style
      crosshair: { mode: CrosshairMode.Normal },
      localization: { locale: "en-GB", timeFormatter: (time) => bucketTime(time, this.daily) },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.06, bottom: 0.24 }, minimumWidth: 72 },
      timeScale: { rightOffset: RIGHT_OFFSET_BARS, barSpacing: BAR_SPACING, minBarSpacing: 0.2, secondsVisible: false },
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
    this.#chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#followTheme();
    this.#chart.subscribeCrosshairMove(({ time, point, sourceEvent }) => {
      // Without a source it is the library that found another candle under the same pixel, after scrolling or new data.
      if (!sourceEvent && this.#pinned !== null) this.#pin();
      else {
        this.#pinned = null;
        onPoint(time && point ? time : null);
      }
    });
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < LOAD_AHEAD_BARS) onLeftEdge();
    });
  }

  get digits() {
    return this.#digits;
  }

  get daily() {
    return /[dwo]$/.test(this.#candles?.query.period ?? "");
  }

  // Draws another symbol or period from scratch and shows its newest candles.
  show(candles) {
    this.#candles = candles;
    this.#pinned = null;
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
    this.#chart.timeScale().applyOptions({ timeVisible: !this.daily, barSpacing: BAR_SPACING });
    this.redraw();
    this.#chart.timeScale().scrollToPosition(RIGHT_OFFSET_BARS, false);
  }

  clear() {
    this.#prices.setData([]);
    this.#volumes.setData([]);
  }

  // Draws the same candles again after older ones changed or came; what is in view stays.
  redraw() {
    const { list } = this.#candles;
    this.#digits = priceDigits(list);
    const priceFormat = { ...this.#prices.options().priceFormat, minMove: 10 ** -this.#digits };
    this.#prices.applyOptions({ priceFormat });
    this.#prices.setData(list.map((candle) => this.#priceBar(candle)));
    this.#volumes.setData(list.map((candle) => this.#volumeBar(candle)));
    this.#gaps.show(this.#candles, this.#colours);
  }

  update(changed) {
    for (const candle of changed) {
      this.#prices.update(this.#priceBar(candle));
      this.#volumes.update(this.#volumeBar(candle));
    }
  }

  // Puts the crosshair on the candle of that index, scrolling to it where needed; null takes it away.
  point(index) {
    if (index === null) {
      this.#pinned = null;
      this.#chart.clearCrosshairPosition();
      return;
    }
    this.#pinned = this.#candles.list[index].time;
    const scale = this.#chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange();
    const shift = Math.min(0, index - from - 2) + Math.max(0, index - to + RIGHT_OFFSET_BARS);
    if (shift !== 0) scale.setVisibleLogicalRange({ from: from + shift, to: to + shift });
    this.#pin();
  }

  // Shows so many times more candles, the newest in view staying where it is.
  zoom(factor) {
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

  // Rebuilt candles are hollow.
  #priceBar(candle) {
    return candle.rebuilt ? { ...candle, color: "transparent" } : candle;
  }

  #volumeBar({ time, open, close, volume }) {
    if (volume === null) return { time };
    return { time, value: volume, color: close < open ? this.#colours.downVolume : this.#colours.upVolume };
  }

  #followTheme() {
    const light = window.matchMedia("(prefers-color-scheme: light)");
    const apply = () => {
      this.#paint();
      if (this.#candles) this.redraw();
    };
    light.addEventListener("change", apply);
    this.#paint();
  }

  #paint() {
    const style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.#colours = {
      upVolume: colour("up-volume"),
      downVolume: colour("down-volume"),
      gap: colour("gap"),
      gapLine: colour("gap-line"),
      filledGap: colour("filled-gap"),
    };
    const line = { color: colour("muted"), labelBackgroundColor: colour("label"), style: LineStyle.Dashed };
    this.#chart.applyOptions({
      layout: {
        background: { type: "solid", color: colour("back") },
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
  }
}

// Bars stand on the ground, also when every volume in view is zero.
function fromZero(original) {
  const range = original()?.priceRange;
  return range ? { priceRange: { minValue: 0, maxValue: range.maxValue || 1 } } : null;
}
