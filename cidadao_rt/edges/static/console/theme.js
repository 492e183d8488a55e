// Before the first paint, so that nobody sees the other theme flash; a module would come too late.
"use strict";
try {
  const theme = localStorage.getItem("cidadao-rt-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be switched off: then the system's theme it is.
}
