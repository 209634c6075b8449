// What leads where? Things in columns, and lines between them that say what they are.

import { fill, h, svg } from "./element.js";

const ROW = 46;
const BOX = 30;
const LABEL_CHARS = 26;

// A graph. columns: lists of { id, label, hint, href, kind, isMarked }, from left to right, where
// `kind` is exchange, queue or plain; edges: [{ from, to, label, isMarked }] between things of
// neighbouring columns; what is marked stands out.
// It is as wide as its place; boxes with an `href` lead there.
export function graph({ label, columns, edges }) {
  const element = h("div.graph");
  const draw = (width) => {
    const height = Math.max(1, ...columns.map((column) => column.length)) * ROW + 8;
    const places = placed(columns, width, height);
    fill(
      element,
      svg(
        "svg",
        { role: "group", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` },
        edges.map((edge) => line(edge, places)),
        edges.map((edge) => labelOf(edge, places)),
        [...places.values()].map(box),
      ),
    );
  };
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width > 0 && width !== element.drawn) {
      element.drawn = width;
      draw(width);
    }
  }).observe(element);
  return element;
}

function placed(columns, width, height) {
  const boxWidth = Math.min(240, Math.max(84, width / (columns.length * 1.9)));
  const gap = columns.length > 1 ? (width - boxWidth) / (columns.length - 1) : 0;
  const places = new Map();
  columns.forEach((column, at) =>
    column.forEach((node, index) => {
      const y = (height / column.length) * (index + 0.5);
      places.set(node.id, { node, x: at * gap, y, width: boxWidth, siblings: column.length });
    }),
  );
  return places;
}

function box({ node, x, y, width }) {
  const most = Math.max(6, Math.floor((width - 20) / 7.2));
  const text = svg("text", { x: x + width / 2, y: y + 4.5 }, shortened(node.label, most));
  const shape = svg("rect", {
    x: x + 0.5,
    y: y - BOX / 2,
    width: width - 1,
    height: BOX,
    rx: node.kind === "exchange" ? BOX / 2 : 4,
  });
  const title = svg("title", node.hint ? `${node.label} – ${node.hint}` : node.label);
  const parts = [title, shape, text];
  const classes = `graph-node ${node.kind ?? "plain"}${node.isMarked ? " marked" : ""}`;
  return node.href
    ? svg(
        "a",
        {
          class: classes,
          href: node.href,
          "aria-label": node.hint ? `${node.label}, ${node.hint}` : node.label,
        },
        parts,
      )
    : svg("g", { class: classes }, parts);
}

function line({ from, to, isMarked }, places) {
  const [start, end] = [places.get(from), places.get(to)];
  const [x1, x2] = [start.x + start.width, end.x];
  const middle = (x1 + x2) / 2;
  const curve = `M${x1} ${start.y}C${middle} ${start.y} ${middle} ${end.y} ${x2 - 6} ${end.y}`;
  const arrow = `M${x2 - 7} ${end.y - 4}L${x2} ${end.y}L${x2 - 7} ${end.y + 4}Z`;
  return svg(
    "g",
    { class: isMarked ? "graph-edge marked" : "graph-edge" },
    svg("path", { class: "graph-line", d: curve }),
    svg("path", { class: "graph-arrow", d: arrow }),
  );
}

// What a line is, written at the end where the lines lie apart, on the side that they do not come
// from.
function labelOf({ from, to, label }, places) {
  const [start, end] = [places.get(from), places.get(to)];
  const [x1, x2] = [start.x + start.width, end.x];
  const most = Math.min(LABEL_CHARS, Math.floor((x2 - x1 - 16) / 6.6));
  if (most < 3 || !label) {
    return null;
  }
  const isAtEnd = start.siblings < end.siblings;
  const [here, there] = isAtEnd ? [end, start] : [start, end];
  const y = here.y + (there.y < here.y ? 15 : -7);
  const place = isAtEnd
    ? { class: "graph-label at-end", x: x2 - 12 }
    : { class: "graph-label", x: x1 + 8 };
  return svg("text", { ...place, y }, svg("title", label), shortened(label, most));
}

function shortened(text, most) {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, Math.max(1, most - 1)).join("")}…`;
}
