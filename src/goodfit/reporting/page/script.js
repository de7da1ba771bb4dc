"use strict";

// Plots: the figures carry data only; text and grid take the colours of the page's theme.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  if (typeof Plotly === "undefined") return;

  const themed = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      gridcolor: colour("--grid"), linecolor: colour("--line"), zeroline: false, automargin: true,
      title: { font: { size: 12, color: colour("--soft") }, standoff: 8 }, tickfont: { size: 12 },
    };
    const joined = (own) => ({ ...axis, ...own, title: { ...axis.title, ...(own.title || {}) } });
    return {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--soft") },
      margin: { l: 52, r: 12, t: 26, b: 40 },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--text") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12, color: colour("--text") } },
      xaxis: joined(layout.xaxis),
      yaxis: joined(layout.yaxis),
    };
  };
  const options = { responsive: true, displaylogo: false, displayModeBar: false };
  const shown = new Map([...document.querySelectorAll(".plot")].map((plot) => [plot, plot.id.replace("plot-", "")]));
  const drawOne = (plot) => {
    const { data, layout } = figures[shown.get(plot)];
    Plotly.react(plot, data, themed(layout), options);
  };
  const draw = () => shown.forEach((_, plot) => drawOne(plot));
  document.querySelectorAll("button[data-figure]").forEach((button) => button.addEventListener("click", () => {
    [...button.parentElement.children].forEach((other) => other.setAttribute("aria-pressed", other === button));
    const plot = document.getElementById(`plot-${button.dataset.plot}`);
    shown.set(plot, button.dataset.figure);
    drawOne(plot);
  }));
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();

// Sortable tables: a click on a heading sorts by it, a second click the other way; undefined scores stay last.
document.querySelectorAll("table.sortable").forEach((table) => {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const key = (row, column) => row.cells[column].dataset.key;
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const way = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
    const compare = (first, second) => {
      const [a, b] = [key(first, column), key(second, column)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return way * (column === 0 ? a.localeCompare(b, undefined, { numeric: true }) : Number(a) - Number(b));
    };
    body.append(...[...body.rows].sort(compare));
  }));
});
