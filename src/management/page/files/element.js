// How is something put on the page? As elements and text; nothing is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

// `h("a.name", { href, onclick }, "text", child, [more])`: what follows a dot is a class.
// Properties that begin with `on` are listeners; `false`, `null` and `undefined` are left out.
export function h(kind, ...rest) {
  return make((name) => document.createElement(name), kind, rest);
}

// The same for a drawing.
export function svg(kind, ...rest) {
  return make((name) => document.createElementNS(SVG, name), kind, rest);
}

// Puts other children into an element.
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

// Sets a text, unless it stands there: a reader is not told what did not change.
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function make(create, kind, rest) {
  const [name, ...classes] = kind.split(".");
  const element = create(name);
  if (classes.length > 0) {
    element.setAttribute("class", classes.join(" "));
  }
  const [first] = rest;
  const hasProperties = first?.constructor === Object;
  if (hasProperties) {
    Object.entries(first).forEach(([key, value]) => set(element, key, value));
  }
  add(element, hasProperties ? rest.slice(1) : rest);
  return element;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "indeterminate", "open"]);

function set(element, key, value) {
  if (value === false || value === null || value === undefined) {
    return;
  }
  if (key.startsWith("on")) {
    element.addEventListener(key.slice(2), value);
  } else if (PROPERTIES.has(key)) {
    element[key] = value;
  } else if (key === "class") {
    element.setAttribute("class", `${element.getAttribute("class") ?? ""} ${value}`.trim());
  } else {
    element.setAttribute(key, value === true ? "" : value);
  }
}

function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== false && child !== null && child !== undefined) {
      element.append(child);
    }
  }
}
