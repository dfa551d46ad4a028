// The quality pages: refreshes what they show, and acknowledges and silences alerts.

import { offerThemes } from "./preferences.js";

const REFRESH_MS = 15_000;
const PARTS = ["#summary", "main"];

const dialog = document.querySelector("#silence");
const form = dialog.querySelector("form");
const message = document.querySelector("#message");
const token = () => document.querySelector("meta[name=actions]").content;

// Puts the present content of this page in place of the shown one.
async function refresh() {
  const response = await fetch(location.href);
  if (!response.ok) throw new Error(await sentence(response));
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const focused = document.activeElement?.dataset;
  for (const part of PARTS) document.querySelector(part).replaceWith(fresh.querySelector(part));
  document.querySelector("meta[name=actions]").content = fresh.querySelector("meta[name=actions]").content;
  document.title = fresh.title;
  if (focused?.alert) buttonOf(focused)?.focus();
}

// The button that has the place of another one before the refresh.
function buttonOf({ alert, action }) {
  const buttons = [...document.querySelectorAll(`button[data-alert="${alert}"]`)];
  return buttons.find((button) => button.dataset.action === action) ?? buttons[0];
}

async function keepFresh() {
  if (!dialog.open && !document.hidden) {
    try {
      await refresh();
      show("");
    } catch (error) {
      show(error instanceof TypeError ? "The server does not answer: what you see may be out of date." : error.message);
    }
  }
  setTimeout(keepFresh, REFRESH_MS);
}

async function act(alert, action, body = {}) {
  const headers = { "Content-Type": "application/json", "X-Candleworks-Token": token() };
  try {
    const response = await fetch(`/alerts/${alert}/${action}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(await sentence(response));
    await refresh();
    show("");
  } catch (error) {
    show(error instanceof TypeError ? "The server does not answer: nothing was changed." : error.message);
  }
}

async function sentence(response) {
  const body = await response.json().catch(() => ({}));
  return body.error ?? response.statusText;
}

function show(text) {
  message.hidden = text === "";
  message.textContent = text;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (!button) return;
  const { action, alert, about } = button.dataset;
  if (action !== "silence") {
    act(alert, action);
    return;
  }
  form.reset();
  dialog.dataset.alert = alert;
  document.querySelector("#silence-about").textContent = about;
  dialog.returnValue = "";
  dialog.showModal();
});

document.querySelector("#cancel").addEventListener("click", () => dialog.close("cancel"));
dialog.addEventListener("close", () => {
  if (dialog.returnValue !== "silence") return;
  const { until, reason } = Object.fromEntries(new FormData(form));
  act(dialog.dataset.alert, "silence", { until, reason });
});

offerThemes(document.querySelector("#theme"));
setTimeout(keepFresh, REFRESH_MS);
