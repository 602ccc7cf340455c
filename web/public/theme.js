// Runs before the first paint, so a chosen theme never flashes the other one.
// It is a file of its own because the page's policy refuses inline scripts.
(() => {
  try {
    const theme = localStorage.getItem("parlour.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is closed to us: the system's theme applies.
  }
})();
