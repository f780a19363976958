// The traffic of days, drawn by uPlot: looked at closer by dragging or keys, and an hour of it picked to be replayed.

const HOUR = 3600; // seconds, as all of uPlot's times are
const CLOSEST = 600;
const plot = document.getElementById("days");
const form = document.getElementById("start");
const isFrench = document.documentElement.lang === "fr";
const paris = { timeZone: "Europe/Paris", hourCycle: "h23" };
const dated = new Intl.DateTimeFormat(isFrench ? "fr-FR" : "en-GB", {
  ...paris, weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});
const field = new Intl.DateTimeFormat("sv-SE", {
  ...paris, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
});

// Minutes are told by their number since the first; those without a frame are not told, and are noughts.
function filled(told, since) {
  const by = new Map(told.map(([number, ...counts]) => [since + 60 * number, counts]));
  const [first, last] = [since + 60 * told[0][0], since + 60 * told.at(-1)[0]];
  const times = [];
  for (let at = first; at <= last + 60; at += 60) times.push(at);
  return [times, times.map((at) => by.get(at)?.[0] ?? 0), times.map((at) => by.get(at)?.[1] ?? 0)];
}

function draw(data) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") }, font: "12px sans-serif" };
  const said = plot.dataset;
  const chart = new uPlot(
    {
      width: plot.clientWidth, height: 320,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Europe/Paris"),
      cursor: { drag: { x: true, y: false } },
      axes: [
        { ...axis, values: [
          [86_400, isFrench ? "{DD}/{MM}" : "{D} {MMM}", null, null, null, null, null, null, 1],
          [3600, "{HH}:{mm}", isFrench ? "\n{DD}/{MM}" : "\n{D} {MMM}", null, null, null, null, null, 1],
          [60, "{HH}:{mm}", isFrench ? "\n{DD}/{MM}" : "\n{D} {MMM}", null, null, null, null, null, 1],
        ] },
        { ...axis, size: 56, incrs: [1, 2, 5].flatMap((n) => [n, n * 10, n * 100, n * 1000, n * 10_000]).sort((a, b) => a - b) },
      ],
      series: [
        { label: said.time, value: (_, at) => (at === null ? "—" : dated.format(at * 1000)) },
        { label: said.heard, stroke: colour("ink"), width: 1.5, fill: colour("sunk"), points: { show: false } },
        { label: said.refused, stroke: colour("bad"), width: 1.5, dash: [4, 2], points: { show: false } },
      ],
      hooks: { drawClear: [band] },
    },
    data,
    plot,
  );
  return chart;
}

// The hour that is picked, behind the lines.
function band(chart) {
  const { left, top, width, height } = chart.bbox;
  const x = (at) => Math.max(left, Math.min(left + width, chart.valToPos(at, "x", true)));
  chart.ctx.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--blue-bg").trim();
  chart.ctx.fillRect(x(picked), top, Math.max(3, x(picked + HOUR) - x(picked)), height);
}

function pick(at) {
  picked = Math.max(bounds.min, Math.min(bounds.max, Math.floor(at / HOUR) * HOUR));
  form.elements.at.value = field.format(picked * 1000).replace(" ", "T");
  let [frames, refused] = [0, 0];
  data[0].forEach((minute, i) => {
    if (minute < picked || minute >= picked + HOUR) return;
    frames += data[1][i];
    refused += data[2][i];
  });
  const values = { hour: dated.format(picked * 1000), frames: number(frames), refused: number(refused) };
  document.getElementById("picked").textContent = plot.dataset.picked.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const { min, max } = chart.scales.x;
  if (min !== null && (picked + HOUR <= min || picked >= max)) show(picked + HOUR / 2, max - min);
  chart.redraw(false);
}

function show(middle, width) {
  const whole = [data[0][0], data[0].at(-1)];
  const span = Math.max(CLOSEST, Math.min(whole[1] - whole[0], width));
  const min = Math.max(whole[0], Math.min(whole[1] - span, middle - span / 2));
  chart.setScale("x", { min, max: min + span });
}

function number(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

function zoom(factor) {
  const { min, max } = chart.scales.x;
  show(picked + HOUR / 2, (max - min) * factor);
}

let data, chart, picked, bounds;
if (plot && globalThis.uPlot) {
  data = filled(JSON.parse(plot.dataset.minutes), Number(plot.dataset.since));
  bounds = { min: Math.floor(data[0][0] / HOUR) * HOUR, max: Math.floor(data[0].at(-1) / HOUR) * HOUR };
  picked = bounds.max;
  chart = draw(data);
  pick(picked);
  const moves = {
    ArrowLeft: () => pick(picked - HOUR), ArrowRight: () => pick(picked + HOUR),
    Home: () => pick(bounds.min), End: () => pick(bounds.max),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), Enter: () => form.requestSubmit(),
  };
  plot.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  });
  let pressedAt = 0;
  chart.over.addEventListener("mousedown", (event) => (pressedAt = event.offsetX));
  chart.over.addEventListener("click", (event) => {
    if (Math.abs(event.offsetX - pressedAt) < 4) pick(chart.posToVal(event.offsetX, "x"));
  });
  addEventListener("resize", () => chart.setSize({ width: plot.clientWidth, height: 320 }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    chart.destroy();
    chart = draw(data);
  });
}
