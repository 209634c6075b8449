// Where does an axis have its marks? At few, round places.

const COUNT = 4;

// Values from 0 to the first round one that is not less than `most`; `isWhole`: nothing in between.
// Where the format writes two of them alike, there are fewer.
export function decimalTicks(most, format, isWhole) {
  const rough = Math.max(Math.max(most, 1) / COUNT, isWhole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  return distinct(upTo(Math.max(most, 1), step), format);
}

// The same in powers of two, for bytes.
export function binaryTicks(most, format) {
  const rough = Math.max(most, 1024) / COUNT;
  const power = 1024 ** Math.floor(Math.log2(rough) / 10);
  const times = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
  const step = times.map((size) => size * power).find((size) => size >= rough);
  return distinct(upTo(Math.max(most, 1024), step), format);
}

function upTo(most, step) {
  const steps = Math.ceil(most / step - 1e-9);
  return Array.from({ length: steps + 1 }, (_, index) => index * step);
}

function distinct(ticks, format) {
  const last = ticks.length - 1;
  const isNew = (value, index) => index === 0 || format(value) !== format(ticks[index - 1]);
  return ticks.every(isNew) ? ticks : [ticks[0], ticks[last]];
}

const STEPS_S = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600];

// Times between two, at most so many, on whole minutes or hours of the clock on the wall.
export function timeTicks(from, to, most) {
  const fits = (seconds) => (to - from) / 1000 / seconds <= most;
  const step = (STEPS_S.find(fits) ?? STEPS_S.at(-1)) * 1000;
  const zone = new Date(to).getTimezoneOffset() * 60_000;
  const first = Math.ceil((from - zone) / step) * step + zone;
  const ticks = [];
  for (let at = first; at <= to; at += step) {
    ticks.push(at);
  }
  // One at the very edge would be cut.
  const margin = (to - from) * 0.03;
  return {
    ticks: ticks.filter((at) => at > from + margin && at < to - margin),
    hasSeconds: step < 60_000,
  };
}
