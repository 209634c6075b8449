// How did a figure go, in the height of a line of text?

import { svg } from "./element.js";

const WIDTH = 88;
const HEIGHT = 20;

// A small drawing of points `[ms, value]`; it says nothing to a screen reader, which has the
// number.
export function spark(points) {
  const box = {
    class: "spark",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    width: WIDTH,
    height: HEIGHT,
    "aria-hidden": "true",
  };
  if (points.length < 2 || points.every(([, value]) => value === 0)) {
    const y = HEIGHT - 2;
    return svg("svg", box, svg("line", { class: "spark-none", x1: 0, x2: WIDTH, y1: y, y2: y }));
  }
  const from = points[0][0];
  const span = points.at(-1)[0] - from || 1;
  const most = Math.max(1, ...points.map(([, value]) => value));
  const x = (at) => ((at - from) / span) * (WIDTH - 3) + 1;
  const y = (value) => HEIGHT - 2 - (value / most) * (HEIGHT - 4);
  const line = points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  const area = `${x(from).toFixed(1)},${HEIGHT - 2} ${line.join(" ")} ${WIDTH - 2},${HEIGHT - 2}`;
  const [endX, endY] = line.at(-1).split(",");
  return svg(
    "svg",
    box,
    svg("polygon", { class: "spark-area", points: area }),
    svg("polyline", { class: "spark-line", points: line.join(" ") }),
    svg("circle", { class: "spark-end", cx: endX, cy: endY, r: 1.8 }),
  );
}
