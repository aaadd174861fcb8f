"use strict";
// Tables that sort and filter, numbers that open what is behind them, layers to switch, curves to hover; all by keyboard too.

(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // -- light and dark -------------------------------------------------------------------------------------------------
  const drawn = new Set();
  const themeButton = document.getElementById("theme");
  const remembered = () => {
    try { return localStorage.getItem("seedbed-theme"); } catch { return null; }
  };
  const setTheme = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    themeButton.setAttribute("aria-pressed", String(dark));
    drawn.forEach((redraw) => redraw());
  };
  setTheme((remembered() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark");
  themeButton.addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme !== "dark";
    setTheme(dark);
    try { localStorage.setItem("seedbed-theme", dark ? "dark" : "light"); } catch { /* a page may have no memory */ }
  });

  // -- tables ---------------------------------------------------------------------------------------------------------
  all("table.numbers, table.sections, table.bars").forEach((table) => {
    const columns = all("td, th", table.tBodies[0].rows[0]).map((cell) => ({
      type: cell.classList.contains("number") ? "num" : "string",
      orderable: !cell.classList.contains("bar"),
    }));
    const searched = table.tBodies[0].rows.length > 2;
    new DataTable(table, {
      paging: false, info: false, order: [], autoWidth: false, columns, searching: searched,
      layout: { topStart: searched ? "search" : null, topEnd: null, bottomStart: null, bottomEnd: null },
      language: { search: "Filter rows", zeroRecords: "No row fits the filter." },
    });
  });

  // -- what is behind a number ----------------------------------------------------------------------------------------
  const dialog = document.getElementById("behind");
  const content = document.getElementById("behind-content");
  document.addEventListener("click", async (event) => {
    const opener = event.target.closest("button.open");
    const copier = event.target.closest("button[data-copy]");
    if (opener) {
      const template = document.getElementById(opener.dataset.behind);
      content.replaceChildren(template.content.cloneNode(true));
      const section = opener.closest("section");
      all("[data-plots-here]", content).forEach((place) => {
        place.dataset.plotsHere.split(" ").forEach((number) => {
          const own = section.querySelector(`.plot[data-plot="${number}"]`);
          const title = own.querySelector("figcaption").textContent;
          const figure = make("figure", { className: "plot" }, make("figcaption", { textContent: title }));
          Object.assign(figure.dataset, { plots: own.dataset.plots, plot: number });
          place.append(figure);
        });
      });
      dialog.showModal();
      dialog.scrollTop = 0;
      all(".plot", content).forEach(drawPlot);
    } else if (copier) {
      const command = copier.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(command.textContent);
        copier.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(command);
        copier.textContent = "Selected";
      }
    } else if (event.target === dialog) {
      dialog.close();
    }
  });
  document.getElementById("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => content.replaceChildren());

  // -- images with layers ---------------------------------------------------------------------------------------------
  all("[data-viewer]").forEach((viewer) => {
    const form = viewer.querySelector("form");
    const cases = all(".case", viewer);
    const tiles = (figure) => {
      const base = figure.querySelector(".base");
      const tile = (title, layer) => {
        const caption = make("figcaption", { textContent: title });
        const stack = make("div", { className: "stack" }, base.cloneNode());
        if (layer) {
          const copy = layer.cloneNode();
          copy.hidden = false;
          stack.append(copy);
          stack.querySelector(".base").alt = "";
        }
        if (layer?.dataset.score) caption.append(make("br"), make("strong", { textContent: layer.dataset.score }));
        return make("figure", {}, stack, caption);
      };
      const layers = all(":scope > .stack > .layer", figure);
      return make("div", { className: "tiles" }, tile("image"), ...layers.map((layer) => tile(layer.dataset.title, layer)));
    };
    const update = () => {
      const chosen = form.querySelector('[name$="-layer"]:checked').value;
      const which = form.querySelector('[name$="-which"]:checked')?.value ?? "";
      viewer.style.setProperty("--opacity", form.elements.opacity.value / 100);
      viewer.classList.toggle("together", chosen === "all");
      cases.forEach((figure) => {
        figure.hidden = which !== "" && figure.dataset.chosen !== which;
        const stack = figure.querySelector(":scope > .stack");
        stack.hidden = chosen === "all";
        all(".layer", stack).forEach((layer) => { layer.hidden = layer.dataset.layer !== chosen; });
        const opened = figure.querySelector(":scope > .tiles");
        if (chosen === "all" && !opened && !figure.hidden) stack.before(tiles(figure));
        if (chosen !== "all" && opened) opened.remove();
      });
    };
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    update();
  });

  // -- curves ---------------------------------------------------------------------------------------------------------
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];
  const shown = (value) => (value == null ? "–" : Number(value.toPrecision(4)).toString());

  function drawPlot(figure) {
    const plot = JSON.parse(document.getElementById(figure.dataset.plots).textContent)[Number(figure.dataset.plot)];
    // Every line is put on one x axis; it is null where it has no point.
    const xs = [...new Set(plot.lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
    const place = new Map(xs.map((x, index) => [x, index]));
    const columns = [], series = [{}], bands = [], shades = plot.lines.map(() => []);
    const put = (line, values) => {
      const column = Array(xs.length).fill(null);
      line.points.forEach((point, index) => { column[place.get(point[0])] = values(point, index); });
      return columns.push(column);
    };
    plot.lines.forEach((line, number) => {
      const stroke = COLOURS[number % COLOURS.length];
      const points = line.points.length < 25 ? { show: true, size: 6, fill: stroke } : { show: false };
      put(line, (point) => point[1]);
      series.push({ label: line.label, stroke, width: 2, dash: line.measured ? [] : [6, 4], points, spanGaps: true, show: line.shown });
    });
    plot.lines.forEach((line, number) => {
      if (!line.spread) return;
      const edge = { stroke: "transparent", points: { show: false }, spanGaps: true, show: line.shown };
      [1, -1].forEach((sign) => {
        const index = put(line, (point, k) => (point[1] == null || line.spread[k] == null ? null : point[1] + sign * line.spread[k]));
        series.push({ ...edge, label: `${line.label} ± standard deviation` });
        shades[number].push(index);
      });
      bands.push({ series: shades[number], fill: `${COLOURS[number % COLOURS.length]}30` });
    });

    const outputs = plot.lines.map(() => make("output"));
    const at = make("output");
    const legend = make("ul", { className: "legend" }, make("li", {}, `${plot.x} `, at));
    plot.lines.forEach((line, number) => {
      const box = make("input", { type: "checkbox", checked: line.shown });
      const swatch = make("span", { className: "swatch" });
      swatch.style.background = COLOURS[number % COLOURS.length];
      const label = make("label", {}, box, " ", swatch, `${line.label} `);
      box.addEventListener("change", () => [number + 1, ...shades[number]].forEach((k) => chart.setSeries(k, { show: box.checked })));
      legend.append(make("li", {}, label, outputs[number]));
    });
    const canvas = make("div", { className: "canvas", tabIndex: 0 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${plot.title}: ${plot.y} over ${plot.x}. Arrow keys read values.`);
    figure.append(canvas, legend);

    const read = (self) => {
      const index = self.cursor.idx;
      at.value = index == null ? "" : shown(xs[index]);
      plot.lines.forEach((line, number) => {
        const value = index == null ? null : columns[number][index];
        const spread = index == null || !line.spread ? null : line.spread[index];
        outputs[number].value = index == null ? "" : shown(value) + (spread == null ? "" : ` ± ${shown(spread)}`);
      });
    };
    let chart;
    const draw = () => {
      const hidden = chart ? chart.series.map((one) => !one.show) : [];
      chart?.destroy();
      const axis = (label) => ({ label, labelSize: 22, labelFont: "12px system-ui", font: "11px system-ui", stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } });
      chart = new uPlot({
        width: Math.max(figure.clientWidth, 240), height: 250, scales: { x: { time: false } }, legend: { show: false },
        axes: [axis(plot.x), { ...axis(plot.y), size: 58 }], bands, hooks: { setCursor: [read] },
        series: series.map((one, index) => ({ ...one, show: index < hidden.length ? !hidden[index] : one.show })),
      }, [xs, ...columns], canvas);
    };
    draw();
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const index = Math.min(Math.max((chart.cursor.idx ?? (step > 0 ? -1 : xs.length)) + step, 0), xs.length - 1);
      chart.setCursor({ left: chart.valToPos(xs[index], "x"), top: 20 });
    });
    drawn.add(draw);
    let width = figure.clientWidth;
    new ResizeObserver(() => {
      if (!figure.isConnected) { drawn.delete(draw); return; }
      if (Math.abs(figure.clientWidth - width) > 2) { width = figure.clientWidth; draw(); }
    }).observe(figure);
  }
  all(".plot").forEach(drawPlot);
})();
