// How are numbers, sizes, times and values written? Short, of even width, and the same everywhere.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const NONE = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// 12,345
export function count(value) {
  return isNumber(value) ? whole.format(value) : NONE;
}

// 12.3K
export function compact(value) {
  if (!isNumber(value)) {
    return NONE;
  }
  return Math.abs(value) < 10_000 && Number.isInteger(value)
    ? whole.format(value)
    : short.format(value);
}

// 3.2/s; what is less than one in a hundred seconds is nothing.
export function rate(value) {
  return isNumber(value) ? `${rateNumber(value)}/s` : NONE;
}

export function rateNumber(value) {
  const size = Math.abs(value);
  if (size < 0.01) {
    return "0";
  }
  return size < 100 ? String(Number(value.toPrecision(2))) : compact(Math.round(value));
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// 1.5 MiB
export function bytes(value) {
  if (!isNumber(value)) {
    return NONE;
  }
  let unit = 0;
  let size = value;
  while (Math.abs(size) >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(size) >= 100 ? 0 : 1;
  return `${Number(size.toFixed(digits))} ${UNITS[unit]}`;
}

// 1.5 MiB/s
export const bytesRate = (value) => (isNumber(value) ? `${bytes(value)}/s` : NONE);

const STEPS = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

// 2 h 5 min; below ten seconds 3.2 s, below one 120 ms.
export const duration = (ms) => inParts(ms, 2);

// The same where there is little room: 2 h.
export const shortDuration = (ms) => inParts(ms, 1);

function inParts(ms, most) {
  if (!isNumber(ms)) {
    return NONE;
  }
  if (ms < 1000) {
    return ms === 0 || ms >= 10 ? `${Math.round(ms)} ms` : `${Number(ms.toPrecision(2))} ms`;
  }
  if (ms < 10_000) {
    return `${Number((ms / 1000).toFixed(1))} s`;
  }
  let seconds = Math.round(ms / 1000);
  const parts = [];
  for (const [size, unit] of STEPS) {
    const times = Math.floor(seconds / size);
    seconds -= times * size;
    if (times > 0) {
      parts.push(`${times} ${unit}`);
    }
  }
  return parts.slice(0, most).join(" ");
}

const pad = (number) => String(number).padStart(2, "0");

// 14:05:09
export function clock(ms, hasSeconds = true) {
  const at = new Date(ms);
  const minutes = `${pad(at.getHours())}:${pad(at.getMinutes())}`;
  return hasSeconds ? `${minutes}:${pad(at.getSeconds())}` : minutes;
}

// 2026-03-01 14:05:09
export function moment(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${clock(ms)}`;
}

// One word for how many there are: `plural(2, "queue")` is "2 queues".
export function plural(number, noun, several = `${noun}s`) {
  return `${count(number)} ${number === 1 ? noun : several}`;
}

// A value of a table: text as it is, everything else as JSON.
export function value(of) {
  return typeof of === "string" ? of : JSON.stringify(of);
}

// A name that may be empty, or have blanks at its ends that nobody would see.
export function name(of) {
  if (of === "") {
    return "(empty name)";
  }
  return /^\s|\s$/.test(of) ? JSON.stringify(of) : of;
}

export const exchangeName = (of) => (of === "" ? "(default)" : name(of));

// An argument for a shell.
export function quoted(text) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A line for a shell: `command("purge_queue", "-p", vhost, name)`.
export function command(...words) {
  return ["leveretctl", ...words].map(String).map(quoted).join(" ");
}
