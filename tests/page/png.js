// How is a picture of the page made small? With a palette: it has few colours, and what is between
// them is the softness of letters.

import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const COLORS_MAX = 256;
// So many of the most frequent ones are kept as they are.
const SURE = 48;
const RGB = 2;
const RGBA = 6;
const PALETTE = 3;

// Colours that are nearer to each other than this, as a square of their distance, look the same.
const NEAR = 150;

// The same picture with at most 256 colours: the most frequent ones that look different, and for
// the others the nearest of these. It has to be as a browser writes it: 8 bits a channel, not
// interlaced.
export function shrunk(png) {
  const { width, height, pixels } = decode(png);
  const counts = new Map();
  pixels.forEach((color) => counts.set(color, (counts.get(color) ?? 0) + 1));
  const frequent = [...counts].sort((one, other) => other[1] - one[1]).map(([color]) => color);
  const palette = [];
  for (const color of frequent) {
    const isNew = palette.every((of) => distance(of, color) > NEAR);
    if (palette.length < COLORS_MAX && (isNew || palette.length < SURE)) {
      palette.push(color);
    }
  }
  const places = new Map(frequent.map((color) => [color, nearest(palette, color)]));
  const rows = Buffer.alloc(height * (width + 1));
  pixels.forEach((color, at) => {
    rows[at + Math.floor(at / width) + 1] = places.get(color);
  });
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, PALETTE, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", head),
    chunk("PLTE", Buffer.from(palette.flatMap(channels))),
    chunk("IDAT", deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

const channels = (color) => [(color >> 16) & 255, (color >> 8) & 255, color & 255];

function distance(one, other) {
  const [red, green, blue] = channels(one);
  const [otherRed, otherGreen, otherBlue] = channels(other);
  return (red - otherRed) ** 2 + (green - otherGreen) ** 2 + (blue - otherBlue) ** 2;
}

function nearest(palette, color) {
  let best = 0;
  palette.forEach((of, place) => {
    best = distance(of, color) < distance(palette[best], color) ? place : best;
  });
  return best;
}

// Width, height, and each pixel's colour as one number.
function decode(png) {
  let at = SIGNATURE.length;
  let head;
  const parts = [];
  while (at < png.length) {
    const length = png.readUInt32BE(at);
    const kind = png.toString("latin1", at + 4, at + 8);
    const data = png.subarray(at + 8, at + 8 + length);
    head = kind === "IHDR" ? data : head;
    if (kind === "IDAT") {
      parts.push(data);
    }
    at += 12 + length;
  }
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const [depth, kind, , , interlaced] = head.subarray(8);
  if (depth !== 8 || ![RGB, RGBA].includes(kind) || interlaced !== 0) {
    throw new Error(`a picture of another kind: ${[...head.subarray(8)]}`);
  }
  const step = kind === RGB ? 3 : 4;
  const bytes = unfiltered(inflateSync(Buffer.concat(parts)), width * step, height, step);
  const pixels = new Uint32Array(width * height);
  for (let pixel = 0; pixel < pixels.length; pixel += 1) {
    const from = pixel * step;
    pixels[pixel] = (bytes[from] << 16) | (bytes[from + 1] << 8) | bytes[from + 2];
  }
  return { width, height, pixels };
}

// Undoes what was done to each line before it was packed.
function unfiltered(packed, width, height, step) {
  const out = Buffer.alloc(width * height);
  for (let line = 0; line < height; line += 1) {
    const filter = packed[line * (width + 1)];
    const from = line * width;
    for (let x = 0; x < width; x += 1) {
      const left = x < step ? 0 : out[from + x - step];
      const up = line === 0 ? 0 : out[from + x - width];
      const corner = x < step || line === 0 ? 0 : out[from + x - width - step];
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      out[from + x] = packed[line * (width + 1) + 1 + x] + guess;
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [left, up, corner].map((of) => Math.abs(guess - of));
  if (toLeft <= toUp && toLeft <= toCorner) {
    return left;
  }
  return toUp <= toCorner ? up : corner;
}

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const out = Buffer.alloc(8 + body.length);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(checksum(body), 4 + body.length);
  return out;
}

function checksum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    }
  }
  return (sum ^ 0xffffffff) >>> 0;
}
