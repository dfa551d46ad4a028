// The dialog in which a person chooses indicators and sets their parameters.

import { offeredIndicators, parametersOf } from "./indicators.js";

const dialog = document.querySelector("#indicators");
const button = document.querySelector("#indicators-button");
const list = dialog.querySelector(".chosen");
const none = dialog.querySelector(".none");
const failure = dialog.querySelector(".failure");

export class IndicatorMenu {
  #offers = [];
  #choice = [];
  #onChange;

  // `onChange` takes the new choice.
  constructor(onChange) {
    this.#onChange = onChange;
    button.addEventListener("click", () => this.open());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  set choice(choice) {
    this.#choice = choice;
    button.dataset.count = choice.length || "";
    button.setAttribute("aria-label", `Indicators, ${choice.length} chosen`);
    if (dialog.open) this.#write();
  }

  async open() {
    if (dialog.open) return;
    dialog.showModal();
    try {
      this.#offers = await offeredIndicators();
      failure.textContent = "";
    } catch (error) {
      failure.textContent = error.message;
    }
    this.#offer();
    this.#write();
  }

  #offer() {
    for (const group of dialog.querySelectorAll(".offers")) {
      const offers = this.#offers.filter(({ overlay }) => overlay === (group.dataset.overlay === "true"));
      group.replaceChildren(...offers.map((offer) => {
        const add = document.createElement("button");
        add.type = "button";
        add.textContent = offer.title;
        add.addEventListener("click", () => this.#change([...this.#choice, defaultOf(offer)]));
        return add;
      }));
    }
  }

  #write() {
    none.hidden = this.#choice.length > 0;
    const focused = dialog.contains(document.activeElement) && document.activeElement.dataset.field;
    list.replaceChildren(...this.#choice.map((chosen, place) => this.#line(chosen, place)));
    if (focused) list.querySelector(`[data-field="${focused}"]`)?.focus();
  }

  #line(chosen, place) {
    const offer = this.#offers.find(({ name }) => name === chosen.name);
    const line = document.createElement("li");
    const title = line.appendChild(document.createElement("span"));
    title.textContent = offer?.title ?? chosen.name;
    const parameters = offer ? parametersOf(chosen, offer) : {};
    for (const parameter of offer?.parameters ?? []) {
      line.append(this.#field(parameter, parameters, offer, place));
    }
    const remove = line.appendChild(document.createElement("button"));
    remove.type = "button";
    remove.className = "icon";
    remove.textContent = "×";
    remove.title = `Remove ${title.textContent}`;
    remove.setAttribute("aria-label", remove.title);
    remove.addEventListener("click", () => this.#change(this.#choice.filter((_, other) => other !== place)));
    return line;
  }

  #field(parameter, parameters, offer, place) {
    const label = document.createElement("label");
    label.append(`${parameter.name.replaceAll("_", " ")} `);
    const input = label.appendChild(document.createElement("input"));
    input.type = "number";
    input.inputMode = parameter.whole ? "numeric" : "decimal";
    input.min = parameter.least;
    input.max = parameter.most;
    input.step = parameter.whole ? 1 : "any";
    input.required = true;
    input.value = parameters[parameter.name];
    input.dataset.field = `${place} ${parameter.name}`;
    input.addEventListener("change", () => {
      if (!input.reportValidity()) return;
      const numbers = offer.parameters.map(({ name }) => (name === parameter.name ? input.value : parameters[name]));
      this.#change(this.#choice.map((chosen, other) => (other === place ? { ...chosen, numbers } : chosen)));
    });
    return label;
  }

  #change(choice) {
    this.choice = choice;
    this.#onChange(choice);
  }
}

function defaultOf(offer) {
  return { name: offer.name, numbers: offer.parameters.map((parameter) => parameter.default) };
}
