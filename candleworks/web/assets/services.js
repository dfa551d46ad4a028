// The links to other pages with their states, which the server looks at: this page asks nobody else.

import { fetchJson } from "./candles.js";

const POLL_MS = 10_000;
const FIRST_POLL_MS = 1500;
const WORDS = { up: "up", unreachable: "not reachable", failing: "failing", unknown: "not known yet" };

export async function keepServices(list) {
  let services = [];
  try {
    services = (await fetchJson("/services.json")).body;
    show(list, services);
  } catch {
    // the status of the page says that the server is away
  }
  const known = services.some(({ state }) => state !== "unknown");
  setTimeout(() => keepServices(list), known ? POLL_MS : FIRST_POLL_MS);
}

function show(list, services) {
  if (list.children.length !== services.length) list.replaceChildren(...services.map(newLink));
  for (const [index, { name, url, state, detail }] of services.entries()) {
    const link = list.children[index];
    link.href = url;
    link.dataset.state = state;
    link.title = detail;
    link.setAttribute("aria-label", `${name}: ${state === "failing" ? detail : WORDS[state]}`);
    link.lastChild.textContent = name;
  }
}

function newLink({ url }) {
  const link = document.createElement("a");
  if (!url.startsWith("/")) Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  const dot = document.createElement("span");
  dot.className = "dot";
  link.append(dot, document.createElement("span"));
  return link;
}
