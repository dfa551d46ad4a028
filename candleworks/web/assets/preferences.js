// What this browser remembers: the last symbol, period and price side, the zone, the theme, the order of the watch list.

const KEY = "candleworks";

function all() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

export function remembered(name, otherwise = null) {
  return all()[name] ?? otherwise;
}

// Values of null are forgotten. A browser that stores nothing works, too.
export function remember(values) {
  const kept = Object.entries({ ...all(), ...values }).filter(([, value]) => value !== null && value !== undefined);
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(kept)));
  } catch {
    // no storage: the choice lasts as long as the page
  }
}

const THEMES = [null, "dark", "light"];
const THEME_NAMES = { dark: "dark", light: "light" };

// Lets a button go through the themes: the system's, dark, light. `onChange` repaints what CSS does not.
export function offerThemes(button, onChange = () => {}) {
  const show = () => {
    const theme = document.documentElement.dataset.theme ?? null;
    const name = THEME_NAMES[theme] ?? "as the system";
    button.setAttribute("aria-label", `Theme: ${name}`);
    button.title = `Theme: ${name}`;
    button.dataset.shown = theme ?? "system";
  };
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? null) + 1) % THEMES.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    remember({ theme: next });
    show();
    onChange();
  });
  window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", onChange);
  show();
}
