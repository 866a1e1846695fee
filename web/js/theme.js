// Decides the theme before the first paint, so that the page never flashes; a plain script in <head> for that reason.
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let theme = "";
    try {
      theme = JSON.parse(localStorage.getItem("clarion.preferences") ?? "{}").theme;
    } catch {
      // storage is closed to us, or holds something else: follow the system
    }
    if (theme !== "light" && theme !== "dark") theme = system.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
  };
  apply();
  system.addEventListener("change", apply);
  document.addEventListener("theme", apply);
}
