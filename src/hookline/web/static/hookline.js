// What pages do beyond HTML: the theme, charts, copying, and asking before what cannot be undone.
"use strict";

(() => {
  const root = document.documentElement;
  const kept = localStorage.getItem("hookline-theme");
  if (kept) root.dataset.theme = kept;

  // light-dark() is only worked out in a property that takes a colour.
  const shown = (name) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  const draw = (place) => {
    const data = JSON.parse(place.dataset.chart);
    if (place.drawn === place.dataset.chart + place.clientWidth + root.dataset.theme) return;
    place.drawn = place.dataset.chart + place.clientWidth + root.dataset.theme;
    place.replaceChildren();
    const axis = { stroke: shown("--soft"), grid: { stroke: shown("--line"), width: 1 }, ticks: { show: false } };
    const bars = uPlot.paths.bars({ size: [0.72, 24] });
    const series = (label, name) => ({ label, stroke: shown(name), fill: shown(name), width: 0, paths: bars, points: { show: false } });
    new uPlot({
      width: place.clientWidth, height: place.clientHeight, legend: { show: false }, cursor: { y: false },
      axes: [axis, { ...axis, size: 44 }],
      scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] } },
      series: [{}, series("delivered", "--good"), series("failed attempts", "--bad")],
    }, [data.times, data.successful, data.failed], place);
  };
  const drawAll = () => document.querySelectorAll("[data-chart]").forEach(draw);

  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    new MutationObserver((changes) => {
      if (changes.some((change) => change.attributeName === "data-chart" || change.type === "childList")) drawAll();
    }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-chart"] });
    addEventListener("resize", drawAll);
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-theme-switch]");
    if (!button) return;
    if (button.matches("[data-theme-switch]")) {
      const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = isDark ? "light" : "dark";
      localStorage.setItem("hookline-theme", root.dataset.theme);
      drawAll();
      return;
    }
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copying is not allowed here";
    }
    setTimeout(() => { button.textContent = label; }, 1600);
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.ask;
    if (question && !confirm(question)) event.preventDefault();
  });

  document.addEventListener("change", (event) => {
    if (event.target.closest("form[data-at-once]")) event.target.form.requestSubmit();
  });
})();
