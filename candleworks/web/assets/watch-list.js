// The watch list: every symbol with its last price and day change. Only the lines in view are elements, so that thousands
// of symbols cost no more than a screenful.

import { direction, listPrice, percent } from "./format.js";
import { remember, remembered } from "./preferences.js";

const LINE_PIXELS = 40;
const SPARE_LINES = 6;
const ORDERS = {
  symbol: { by: (one, other) => compare(one.symbol, other.symbol), first: 1 },
  change: { by: (one, other) => (one.change_percent ?? -Infinity) - (other.change_percent ?? -Infinity), first: -1 },
};

function compare(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

export class WatchList {
  #panel = document.querySelector("#watch-list");
  #box = document.querySelector("#lines");
  #room = document.querySelector("#lines-room");
  #order = remembered("order", { by: "symbol", sign: 1 });
  #lines = [];
  #elements = new Map(); // by symbol, those in view
  #chosen = null;
  #onChoose;

  constructor(onChoose) {
    this.#onChoose = onChoose;
    for (const button of this.#buttons()) button.addEventListener("click", () => this.#sortBy(button.dataset.order));
    this.#box.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#box.addEventListener("click", (event) => {
      const line = event.target.closest("[role=option]");
      if (line) this.#onChoose(line.dataset.symbol);
    });
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(this.#box);
    this.#markOrder();
  }

  // Shows the lines of `prices`; those in `changed` light up.
  show(prices, changed = new Set()) {
    this.#lines = [...prices.list];
    this.#sort();
    document.querySelector("#lines-count").textContent = this.#lines.length || "";
    this.#draw(changed);
  }

  // Says that the prices could not be read; they stay as they were.
  outdated() {
    document.querySelector("#lines-count").textContent = "not up to date";
  }

  set chosen(symbol) {
    if (symbol === this.#chosen) return;
    this.#chosen = symbol;
    this.#draw();
    this.#scrollToChosen();
  }

  // Chooses the symbol so many lines further.
  step(lines) {
    if (this.#lines.length === 0) return;
    const index = this.#lines.findIndex(({ symbol }) => symbol === this.#chosen);
    const target = Math.max(0, Math.min(this.#lines.length - 1, index === -1 ? 0 : index + lines));
    this.#onChoose(this.#lines[target].symbol);
  }

  focus() {
    this.#box.focus();
  }

  #buttons() {
    return this.#panel.querySelectorAll("[data-order]");
  }

  #sortBy(name) {
    const { by, sign } = this.#order;
    this.#order = { by: name, sign: by === name ? -sign : ORDERS[name].first };
    remember({ order: this.#order });
    this.#sort();
    this.#markOrder();
    this.#draw();
    this.#scrollToChosen();
  }

  #sort() {
    const { by, sign } = this.#order;
    this.#lines.sort((one, other) => sign * ORDERS[by].by(one, other) || compare(one.symbol, other.symbol));
  }

  #markOrder() {
    for (const button of this.#buttons()) {
      const chosen = button.dataset.order === this.#order.by;
      button.setAttribute("aria-pressed", String(chosen));
      button.dataset.sign = chosen ? this.#order.sign : "";
    }
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#box.clientHeight / LINE_PIXELS) - 1);
    const lines = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (lines === undefined) return;
    event.preventDefault();
    this.step(lines);
  }

  #scrollToChosen() {
    const index = this.#lines.findIndex(({ symbol }) => symbol === this.#chosen);
    if (index === -1) return;
    const { scrollTop, clientHeight } = this.#box;
    const top = index * LINE_PIXELS;
    if (top < scrollTop) this.#box.scrollTop = top;
    else if (top + LINE_PIXELS > scrollTop + clientHeight) this.#box.scrollTop = top + LINE_PIXELS - clientHeight;
  }

  #draw(changed = new Set()) {
    const first = Math.max(0, Math.floor(this.#box.scrollTop / LINE_PIXELS) - SPARE_LINES);
    const last = Math.min(
      this.#lines.length,
      Math.ceil((this.#box.scrollTop + this.#box.clientHeight) / LINE_PIXELS) + SPARE_LINES,
    );
    this.#room.style.height = `${this.#lines.length * LINE_PIXELS}px`;
    const inView = new Map();
    for (let index = first; index < last; index += 1) {
      const line = this.#lines[index];
      const element = this.#elements.get(line.symbol) ?? this.#room.appendChild(newLine(line.symbol));
      writeLine(element, line, index, this.#lines.length, line.symbol === this.#chosen);
      if (changed.has(line.symbol)) lightUp(element);
      inView.set(line.symbol, element);
    }
    for (const [symbol, element] of this.#elements) if (!inView.has(symbol)) element.remove();
    this.#elements = inView;
    const chosen = inView.get(this.#chosen);
    if (chosen) this.#box.setAttribute("aria-activedescendant", chosen.id);
    else this.#box.removeAttribute("aria-activedescendant");
  }
}

function newLine(symbol) {
  const element = document.createElement("div");
  element.setAttribute("role", "option");
  element.id = `line-${symbol}`;
  element.dataset.symbol = symbol;
  for (const name of ["code", "price", "name", "change"]) {
    const part = element.appendChild(document.createElement("span"));
    part.className = name;
  }
  return element;
}

function writeLine(element, line, index, count, chosen) {
  const [code, price, name, change] = element.children;
  const percentage = line.change_percent;
  write(code, line.symbol);
  write(price, listPrice(line.price, line.digits));
  write(name, line.name ?? "");
  write(change, percentage === null ? "–" : percent(percentage));
  element.dataset.trend = direction(percentage ?? 0);
  element.style.transform = `translateY(${index * LINE_PIXELS}px)`;
  element.setAttribute("aria-selected", String(chosen));
  element.setAttribute("aria-posinset", index + 1);
  element.setAttribute("aria-setsize", count);
  element.title = [line.symbol, line.name, line.exchange].filter(Boolean).join(" · ");
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function lightUp(element) {
  element.classList.remove("changed");
  void element.offsetWidth; // restarts the animation
  element.classList.add("changed");
}
