// The symbol box: type to search symbols and companies, arrow keys and Enter to choose.

const MOST_MATCHES = 100;

export class SymbolPicker {
  #box = document.querySelector("#symbol");
  #list = document.querySelector("#symbols");
  #symbols = [];
  #matches = [];
  #active = -1;
  #chosen = "";
  #onChoose;

  constructor(onChoose) {
    this.#onChoose = onChoose;
    this.#box.addEventListener("focus", () => this.#open(""));
    this.#box.addEventListener("click", () => this.#open(""));
    this.#box.addEventListener("input", () => this.#open(this.#box.value));
    this.#box.addEventListener("blur", () => this.#close());
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    // The press is stopped so that the box keeps the focus until the choice is made.
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(this.#matches[Number(option.dataset.index)]);
    });
  }

  // Takes the symbols in any order.
  set symbols(symbols) {
    this.#symbols = symbols;
  }

  get chosen() {
    return this.find(this.#chosen);
  }

  find(wanted) {
    return this.#symbols.find(({ symbol }) => symbol === wanted);
  }

  set value(symbol) {
    this.#chosen = symbol;
    this.#box.value = symbol;
  }

  focus() {
    this.#box.focus();
  }

  #open(text) {
    if (text === "") this.#box.select();
    const sorted = [...this.#symbols].sort((one, other) => (one.symbol < other.symbol ? -1 : 1));
    this.#matches = ranked(sorted, text.trim().toLowerCase()).slice(0, MOST_MATCHES);
    this.#active = text === "" ? this.#matches.findIndex(({ symbol }) => symbol === this.#chosen) : 0;
    this.#list.replaceChildren(...this.#matches.map(option));
    if (this.#matches.length === 0) this.#list.append(nothing(text));
    this.#list.hidden = false;
    this.#box.setAttribute("aria-expanded", "true");
    this.#mark();
  }

  #close() {
    this.#list.hidden = true;
    this.#box.setAttribute("aria-expanded", "false");
    this.#box.removeAttribute("aria-activedescendant");
    this.#box.value = this.#chosen;
  }

  #choose(match) {
    if (!match) return;
    this.value = match.symbol;
    this.#box.blur();
    this.#onChoose(match.symbol);
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      if (this.#list.hidden) this.#open("");
      else this.#active = (this.#active + step + this.#matches.length) % Math.max(1, this.#matches.length);
      this.#mark();
    } else if (event.key === "Enter") {
      this.#choose(this.#matches[this.#active]);
    } else if (event.key === "Escape") {
      this.#box.blur();
    } else {
      return;
    }
    event.preventDefault();
  }

  #mark() {
    for (const [index, item] of [...this.#list.querySelectorAll("[role=option]")].entries()) {
      item.setAttribute("aria-selected", String(index === this.#active));
      if (index === this.#active) {
        this.#box.setAttribute("aria-activedescendant", item.id);
        item.scrollIntoView({ block: "nearest" });
      }
    }
  }
}

// Symbols that begin with the text come first, then those that hold it, then companies.
function ranked(symbols, text) {
  const rank = ({ symbol, name }) => {
    const lower = symbol.toLowerCase();
    if (lower.startsWith(text)) return 0;
    if (lower.includes(text)) return 1;
    return (name ?? "").toLowerCase().includes(text) ? 2 : 3;
  };
  return [0, 1, 2].flatMap((wanted) => symbols.filter((symbol) => rank(symbol) === wanted));
}

function option({ symbol, name }, index) {
  const item = document.createElement("li");
  item.id = `symbol-${index}`;
  item.dataset.index = index;
  item.setAttribute("role", "option");
  const code = document.createElement("b");
  code.textContent = symbol;
  const company = document.createElement("span");
  company.textContent = name ?? "";
  item.append(code, company);
  return item;
}

function nothing(text) {
  const item = document.createElement("li");
  item.className = "none";
  item.textContent = text ? `Nothing stored matches “${text}”.` : "No symbol is stored yet.";
  return item;
}
