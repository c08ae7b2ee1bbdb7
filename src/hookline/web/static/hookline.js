// What pages do beyond HTML: the theme, charts, exact times, copying, and asking before what cannot be undone.
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

  // --- charts ---

  const bars = (label, name) => ({ label, stroke: shown(name), fill: shown(name), width: 0, points: { show: false },
    paths: uPlot.paths.bars({ size: [0.72, 24] }) });
  const line = (label, name) => ({ label, stroke: shown(name), width: 2, points: { show: true, size: 5, fill: shown(name) } });
  const kinds = {
    // The failed stand in front of all, so what is seen of the others is the delivered: a stack.
    bars: (first, second) => [[bars("delivered", "--good"), bars("failed attempts", "--bad")], [second.map((failed, at) => failed + first[at]), second]],
    lines: (first, second) => [[line("p50", "--busy"), line("p95", "--calm")], [first, second]],
  };
  const units = { bars: (values) => values, lines: (values) => values.map((ms) => ms < 1000 ? `${ms} ms` : `${ms / 1000} s`) };

  const moments = (_, found, __, ___, step) => found.map((at) => {
    const text = new Date(at * 1000).toISOString();
    return step >= 86400 ? text.slice(5, 10) : text.slice(11, 16);
  });

  const draw = (place) => {
    const looks = [place.dataset.chart, place.clientWidth, root.dataset.theme, matchMedia("(prefers-color-scheme: dark)").matches].join();
    // A live page's new text has no drawing in it: what it took away is drawn again.
    if (place.looks === looks && place.childElementCount) return;
    place.looks = looks;
    place.replaceChildren();
    const [first, step, ...given] = JSON.parse(place.dataset.chart);
    const times = given[0].map((_, at) => first + at * step);
    const [series, values] = kinds[place.dataset.kind](...given);
    const axis = { stroke: shown("--soft"), grid: { stroke: shown("--line"), width: 1 }, ticks: { show: false } };
    new uPlot({
      width: place.clientWidth, height: place.clientHeight, legend: { show: false }, cursor: { y: false },
      axes: [{ ...axis, values: moments, space: 60, size: 30 }, { ...axis, size: 58, values: (_, found) => units[place.dataset.kind](found) }],
      // Half a step more on both sides, or the first and the last bar are cut in two.
      scales: { x: { range: (_, low, high) => [low - step / 2, high + step / 2] }, y: { range: (_, low, high) => [0, Math.max(4, (high || 0) * 1.1)] } },
      series: [{}, ...series],
    }, [times, ...values], place);
  };
  const drawAll = () => document.querySelectorAll("[data-chart]").forEach(draw);

  // --- times: the server says them to the minute, here to the second ---

  const ago = (then) => {
    const seconds = Math.round((Date.now() - then) / 1000);
    const size = Math.abs(seconds);
    const said = size < 60 ? `${size} s` : size < 3600 ? `${Math.floor(size / 60)} min` : size < 86400 ? `${Math.floor(size / 3600)} h` : "";
    return said && (seconds >= 0 ? `${said} ago` : `in ${said}`);
  };
  const tellTimes = () => document.querySelectorAll("time[datetime]").forEach((time) => {
    const said = ago(Date.parse(time.dateTime));
    if (said && time.textContent !== said) time.textContent = said;
  });

  // --- what was refused: the line of a text that the page names ---

  const selectLine = (area) => {
    const lines = area.value.split("\n"), wanted = Number(area.dataset.line) - 1;
    const start = lines.slice(0, wanted).join("\n").length + (wanted ? 1 : 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[wanted] || "").length);
  };

  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    tellTimes();
    document.querySelectorAll("textarea[data-line]").forEach(selectLine);
    setInterval(tellTimes, 1000);
    new MutationObserver((changes) => {
      if (changes.some((change) => change.attributeName === "data-chart" || change.type === "childList")) { drawAll(); tellTimes(); }
    }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-chart"] });
    addEventListener("resize", drawAll);
  });

  // --- what people do ---

  const copy = async (button) => {
    const isSign = button.matches(".copy");
    const label = button.textContent;
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      said = "Copying is not allowed here";
    }
    if (isSign) button.classList.add("done"), button.title = said;
    else button.textContent = said;
    setTimeout(() => {
      if (isSign) button.classList.remove("done"), button.title = "Copy";
      else button.textContent = label;
    }, 1600);
  };

  const switchTheme = () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("hookline-theme", root.dataset.theme);
    drawAll();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-theme-switch]");
    if (button) button.matches("[data-theme-switch]") ? switchTheme() : copy(button);
  });

  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.ask;
    if (question && !confirm(question)) event.preventDefault();
  });

  document.addEventListener("change", (event) => {
    if (event.target.closest("form[data-at-once]")) event.target.form.requestSubmit();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("[data-send]")) event.target.form.requestSubmit();
  });
})();
