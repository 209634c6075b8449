// How do some figures go over time? A drawing with an axis that can be read, a legend that switches
// the lines, and the values under the pointer, the finger or the arrow keys.

import { fill, h, setText, svg } from "./element.js";
import { clock } from "./format.js";
import { RANGES, chooseRange, currentRange } from "./history.js";
import { recall, remember } from "./settings.js";
import { binaryTicks, decimalTicks, timeTicks } from "./ticks.js";

const HEIGHT = 168;
const MARGIN = { top: 10, right: 8, bottom: 22, left: 52 };

// A chart. title; name: what is kept of it; format: how a value is written; isBytes: whether the
// axis counts in powers of two; isWhole: there
// are no fractions; lines: [{ id, label, color, isOff }], `color` from 1 to 6.
//
// `update({ id: points })` draws points `[ms, value]`, the newest last.
export function chart({ title, name, format, isBytes = false, isWhole = false, lines }) {
  const off = new Set(
    recall(
      `chart.${name}`,
      lines.filter((line) => line.isOff).map(({ id }) => id),
    ),
  );
  const drawing = svg("svg", { class: "plot", tabindex: 0, role: "img", height: HEIGHT });
  const when = h("span.chart-when");
  const spoken = h("span.unseen", { "aria-live": "polite" });
  const state = {
    title,
    format,
    isBytes,
    isWhole,
    lines,
    off,
    drawing,
    when,
    spoken,
    data: {},
    at: null,
    width: 400,
    values: new Map(),
  };
  const legend = lines.map((line) => legendOf(state, line, name));
  const element = h(
    "figure.chart",
    h("figcaption", h("h3", title), when),
    h("div.legend", legend),
    drawing,
    spoken,
  );
  listen(state);
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width > 0 && width !== state.width) {
      state.width = width;
      draw(state);
    }
  }).observe(element);
  const update = (data) => {
    state.data = data;
    draw(state);
  };
  return { element, update };
}

// Buttons for how much time the charts of a view show; `changed` is called when that is another.
export function rangeChooser(changed) {
  const element = h("div.segments", { role: "group", "aria-label": "Time shown" });
  const draw = () =>
    fill(
      element,
      RANGES.map((range) =>
        h(
          "button",
          {
            type: "button",
            "aria-pressed": String(range === currentRange()),
            onclick: () => {
              chooseRange(range);
              const buttons = [...element.children];
              buttons.forEach((one, at) =>
                one.setAttribute("aria-pressed", String(RANGES[at] === range)),
              );
              changed();
            },
          },
          range.label,
        ),
      ),
    );
  draw();
  return element;
}

function legendOf(state, { id, label, color }, name) {
  const value = h("span.legend-value");
  state.values.set(id, value);
  const toggle = () => {
    state.off[state.off.has(id) ? "delete" : "add"](id);
    button.setAttribute("aria-pressed", String(!state.off.has(id)));
    remember(`chart.${name}`, [...state.off]);
    draw(state);
  };
  const button = h(
    "button",
    { type: "button", onclick: toggle, "aria-pressed": String(!state.off.has(id)) },
    h(`span.swatch.color-${color}`, { "aria-hidden": "true" }),
    h("span", label),
    value,
  );
  return button;
}

// The pointer, the finger and the keys choose a time.
function listen(state) {
  const { drawing } = state;
  const point = (event) => {
    const left = drawing.getBoundingClientRect().left;
    const share = (event.clientX - left - MARGIN.left) / innerWidth(state);
    const { from, to } = span();
    state.at = nearest(state, from + Math.min(1, Math.max(0, share)) * (to - from));
    draw(state);
  };
  const leave = () => {
    state.at = null;
    setText(state.spoken, "");
    draw(state);
  };
  drawing.addEventListener("pointermove", point);
  drawing.addEventListener("pointerdown", point);
  drawing.addEventListener("pointerleave", leave);
  drawing.addEventListener("blur", leave);
  drawing.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") {
      leave();
    } else if (steps !== undefined) {
      event.preventDefault();
      step(state, steps);
      draw(state);
      speak(state);
    }
  });
}

function step(state, steps) {
  const times = timesOf(state);
  if (times.length === 0) {
    return;
  }
  const now = state.at === null ? times.length : times.indexOf(state.at);
  const next = Math.min(times.length - 1, Math.max(0, now + steps));
  state.at = times[next];
}

function speak(state) {
  const values = shownLines(state).map(
    ({ id, label }) => `${label} ${state.values.get(id).textContent}`,
  );
  setText(state.spoken, state.at === null ? "" : `${clock(state.at)}: ${values.join(", ")}`);
}

const shownLines = ({ lines, off }) => lines.filter(({ id }) => !off.has(id));
const innerWidth = ({ width }) => Math.max(50, width - MARGIN.left - MARGIN.right);

function span() {
  const to = Date.now();
  return { from: to - currentRange().seconds * 1000, to };
}

const visible = (points = [], from) => points.filter(([at]) => at >= from);

function timesOf(state) {
  const { from } = span();
  const all = shownLines(state).flatMap(({ id }) =>
    visible(state.data[id], from).map(([at]) => at),
  );
  return [...new Set(all)].sort((one, other) => one - other);
}

function nearest(state, wanted) {
  const closer = (best, at) => (Math.abs(at - wanted) < Math.abs(best - wanted) ? at : best);
  const times = timesOf(state);
  return times.length === 0 ? null : times.reduce(closer);
}

// The value of a line at a time, or the last one.
function valueAt(points, at) {
  if (at === null) {
    return points?.at(-1)?.[1];
  }
  const tolerance = Math.max(2500, currentRange().step * 600);
  const close = points?.filter(([time]) => Math.abs(time - at) <= tolerance) ?? [];
  const closer = (best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best);
  return close.length === 0 ? undefined : close.reduce(closer)[1];
}

function draw(state) {
  const { from, to } = span();
  const width = innerWidth(state);
  const lines = shownLines(state);
  const most = Math.max(
    0,
    ...lines.flatMap(({ id }) => visible(state.data[id], from).map((p) => p[1])),
  );
  const ticks = (state.isBytes ? binaryTicks : decimalTicks)(most, state.format, state.isWhole);
  const top = ticks.at(-1);
  const x = (at) => MARGIN.left + ((at - from) / (to - from)) * width;
  const bottom = HEIGHT - MARGIN.bottom;
  const y = (value) => bottom - (value / top) * (bottom - MARGIN.top);
  const isEmpty = lines.every(({ id }) => visible(state.data[id], from).length < 2);
  const { drawing } = state;
  drawing.setAttribute("viewBox", `0 0 ${state.width} ${HEIGHT}`);
  fill(
    drawing,
    valueAxis(ticks, y, state),
    timeAxis(from, to, x, width),
    lines.map(({ id, color }) => lineOf(visible(state.data[id], from), color, x, y)),
    isEmpty &&
      svg("text", { class: "plot-none", x: MARGIN.left + width / 2, y: 76 }, "Nothing to draw yet"),
    state.at !== null && state.at >= from && cursor(state, x, y),
  );
  for (const { id } of state.lines) {
    const value = valueAt(state.data[id], state.at);
    setText(state.values.get(id), value === undefined ? "–" : state.format(value));
  }
  setText(state.when, state.at === null ? "" : `at ${clock(state.at)}`);
  drawing.setAttribute("aria-label", described(state));
}

function described(state) {
  const now = shownLines(state).map(({ id, label }) => {
    const value = valueAt(state.data[id], null);
    return `${label} ${value === undefined ? "unknown" : state.format(value)}`;
  });
  const time = currentRange().label;
  return `${state.title}, last ${time}. Now: ${now.join(", ")}. Arrow keys read values.`;
}

function valueAxis(ticks, y, { width, format }) {
  return ticks.map((value) => [
    svg("line", {
      class: value === 0 ? "plot-base" : "plot-grid",
      x1: MARGIN.left,
      x2: width - MARGIN.right,
      y1: y(value),
      y2: y(value),
    }),
    svg("text", { class: "plot-value", x: MARGIN.left - 6, y: y(value) + 3.5 }, format(value)),
  ]);
}

function timeAxis(from, to, x, width) {
  const { ticks, hasSeconds } = timeTicks(from, to, Math.max(2, Math.floor(width / 84)));
  return ticks.map((at) => [
    svg("line", {
      class: "plot-tick",
      x1: x(at),
      x2: x(at),
      y1: HEIGHT - MARGIN.bottom,
      y2: HEIGHT - MARGIN.bottom + 4,
    }),
    svg("text", { class: "plot-time", x: x(at), y: HEIGHT - 5 }, clock(at, hasSeconds)),
  ]);
}

function lineOf(points, color, x, y) {
  if (points.length === 0) {
    return null;
  }
  // A line that is broken where much more time passed than usual: nobody looked then.
  const gap = Math.max(30_000, currentRange().step * 3500);
  const parts = points.map(([at, value], index) => {
    const isNew = index === 0 || at - points[index - 1][0] > gap;
    return `${isNew ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  return svg("path", { class: `plot-line color-${color}`, d: parts.join("") });
}

function cursor(state, x, y) {
  const at = x(state.at);
  const dots = shownLines(state).map(({ id, color }) => {
    const value = valueAt(state.data[id], state.at);
    return (
      value !== undefined &&
      svg("circle", { class: `plot-dot color-${color}`, cx: at, cy: y(value), r: 3.5 })
    );
  });
  return [
    svg("line", {
      class: "plot-cursor",
      x1: at,
      x2: at,
      y1: MARGIN.top,
      y2: HEIGHT - MARGIN.bottom,
    }),
    dots,
  ];
}
