// Dark or light before anything is painted: what a person has chosen, else what the system prefers. Not a module, because
// those run after the first paint.

{
  const { theme } = JSON.parse(localStorage.getItem("candleworks") ?? "{}");
  if (theme) document.documentElement.dataset.theme = theme;
}
