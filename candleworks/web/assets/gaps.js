// Shades the known gaps in what was received, behind the candles: hatched while ticks are missing, plain once they were
// filled, and not at all where the market was closed.

const LEAST_PIXELS = 5;
const HATCH_PIXELS = 7;
const UNIT_SECONDS = { m: 60, h: 3600, d: 86_400, w: 604_800, mo: 2_592_000 };

export class GapShades {
  #chart;
  #requestUpdate = () => {};
  #candles = null;
  #colours = {};
  #views = [{ zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.#draw(target) }) }];

  // The chart calls these.
  attached({ chart, requestUpdate }) {
    this.#chart = chart;
    this.#requestUpdate = requestUpdate;
  }

  updateAllViews() {}

  paneViews() {
    return this.#views;
  }

  show(candles, colours) {
    this.#candles = candles;
    this.#colours = colours;
    this.#requestUpdate();
  }

  #draw(target) {
    if (!this.#candles?.list.length) return;
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: ratio }) => {
      for (const gap of this.#candles.gaps) {
        if (gap.settled === "market_closed") continue;
        const [left, right] = this.#span(gap, bitmapSize.width / ratio);
        if (right < 0 || left > bitmapSize.width / ratio) continue;
        this.#shade(context, gap, left * ratio, (right - left) * ratio, bitmapSize.height, HATCH_PIXELS * ratio);
      }
    });
  }

  // From where to where, in pixels; a gap without candles is a strip between its neighbours.
  #span({ start, stop }, width) {
    const left = this.#x(start);
    const right = stop === Infinity ? width : this.#x(stop);
    const missing = Math.max(0, LEAST_PIXELS - (right - left)) / 2;
    return [left - missing, right + missing];
  }

  // Candles stand side by side, however far they are apart, so a time between two of them has the place where they meet.
  #x(time) {
    const { list, query } = this.#candles;
    const index = this.#candles.indexBefore(time);
    const part = index === -1 ? 1 : Math.min(1, (time - list[index].time) / periodSeconds(query.period));
    // The library gives places of whole candles only.
    const scale = this.#chart.timeScale();
    const first = scale.logicalToCoordinate(0);
    return first + (index - 0.5 + part) * (scale.logicalToCoordinate(1) - first);
  }

  #shade(context, { settled }, left, width, height, step) {
    const { filledGap, gap, gapLine } = this.#colours;
    const filled = settled === "filled";
    context.fillStyle = filled ? filledGap : gap;
    context.fillRect(left, 0, width, height);
    if (filled) return;
    context.save();
    context.beginPath();
    context.rect(left, 0, width, height);
    context.clip();
    context.beginPath();
    for (let x = left - height - ((left - height) % step); x < left + width; x += step) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.strokeStyle = gapLine;
    context.lineWidth = step / HATCH_PIXELS;
    context.stroke();
    context.restore();
  }
}

function periodSeconds(period) {
  const [, count, unit] = period.match(/^(\d+) ?(mo|[mhdw])/) ?? [null, 1, "m"];
  return count * UNIT_SECONDS[unit];
}
