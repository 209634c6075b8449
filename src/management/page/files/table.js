// How is a long list shown? One page at a time, sorted and filtered where the list is, with columns
// that somebody chose, and rows that can be marked and acted on together.

import { fill, h, setText } from "./element.js";
import { count, plural } from "./format.js";
import { problemPlace } from "./notice.js";
import { menu } from "./parts.js";
import { recall, remember } from "./settings.js";

const SIZES = [25, 50, 100, 250, 500];
const TYPING_MS = 250;

// A table. name: what is kept of it; label: what it is a list of, for a screen reader.
//
// columns: [{ id, label, hint, sort, isNumber, isWide, isOff, isFixed, cell(row) }]: `sort` is the
// field that the list is sorted by; `isWide` is left out where the screen is narrow; `isOff` until
// it is chosen; `cell` gives a text or an element.
//
// load({ page, size, sort, reverse, search }): { items, filtered_count, total_count, page_count };
// `pageOf` makes one of a list that is there as a whole. keyOf(row): what finds a row again.
//
// actions: [{ label, isDangerous, run(rows) }] for the rows that are marked; controls: what stands
// beside the filter; empty: what is said when there is nothing, `search`: what is typed at first;
// noun, nouns: what one row is, and several.
// `hasFilter`: false where the list cannot be filtered.
export function table(options) {
  const kept = recall(`table.${options.name}`, {});
  const state = {
    ...options,
    page: 1,
    size: kept.size ?? 100,
    sort: kept.sort ?? options.sort ?? null,
    reverse: kept.reverse ?? options.reverse ?? false,
    off: new Set(kept.off ?? options.columns.filter((column) => column.isOff).map(({ id }) => id)),
    search: options.search ?? "",
    marked: new Map(),
    rows: new Map(),
    answer: null,
    problem: problemPlace(),
  };
  state.parts = partsOf(state);
  const { tools, bar, frame, pager } = state.parts;
  const element = h("div.table", tools, bar, state.problem.element, frame, pager);
  drawHead(state);
  const update = () => load(state);
  const reset = () => {
    state.page = 1;
    return load(state);
  };
  return {
    element,
    update,
    reset,
    marked: () => [...state.marked.values()],
    unmark: () => unmark(state),
  };
}

// One page of a list that is there as a whole. texts(row): what the filter looks into.
export function pageOf(rows, { page, size, sort, reverse, search }, texts) {
  const wanted = search.toLowerCase();
  const found = rows.filter((row) =>
    texts(row).some((text) => text.toLowerCase().includes(wanted)),
  );
  const field = (row) => sort.split(".").reduce((of, key) => of?.[key], row);
  const compare = (one, other) => {
    const [a, b] = [field(one), field(other)];
    const order =
      typeof a === "number" && typeof b === "number"
        ? a - b
        : String(a ?? "").localeCompare(String(b ?? ""));
    return reverse ? -order : order;
  };
  const sorted = sort ? [...found].sort(compare) : found;
  return {
    items: sorted.slice((page - 1) * size, page * size),
    filtered_count: found.length,
    total_count: rows.length,
    page_count: Math.ceil(found.length / size),
  };
}

function keep({ name, size, sort, reverse, off }) {
  remember(`table.${name}`, { size, sort, reverse, off: [...off] });
}

function partsOf(state) {
  const head = h("tr");
  const body = h("tbody");
  const caption = h("caption.unseen", state.label);
  const frame = h(
    "div.table-frame",
    { tabindex: 0, role: "region", "aria-label": state.label },
    h("table", caption, h("thead", head), body),
  );
  return {
    head,
    body,
    frame,
    tools: toolsOf(state),
    bar: h("div.table-bar", { hidden: true }),
    pager: h("div.pager"),
  };
}

function toolsOf(state) {
  let typing;
  const found = h("span.found", { role: "status" });
  state.found = found;
  const input = h("input", {
    type: "search",
    placeholder: state.searchHint ?? "Filter by name",
    "aria-label": state.searchHint ?? "Filter by name",
    value: state.search,
    oninput: () => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        state.search = input.value;
        state.page = 1;
        state.searched?.(input.value);
        load(state);
      }, TYPING_MS);
    },
  });
  return h(
    "div.table-tools",
    state.hasFilter !== false && input,
    state.controls,
    found,
    columnMenu(state),
  );
}

function columnMenu(state) {
  if (state.columns.every((column) => column.isFixed)) {
    return null;
  }
  const choices = state.columns
    .filter((column) => !column.isFixed)
    .map((column) =>
      h(
        "label",
        h("input", {
          type: "checkbox",
          checked: !state.off.has(column.id),
          onchange: (event) => {
            state.off[event.target.checked ? "delete" : "add"](column.id);
            keep(state);
            state.rows.clear();
            fill(state.parts.body);
            drawHead(state);
            drawRows(state);
          },
        }),
        column.label,
      ),
    );
  return menu(h("summary", "Columns"), choices);
}

const shownColumns = ({ columns, off }) => columns.filter(({ id }) => !off.has(id));

const classOf = ({ isNumber, isWide }) =>
  [isNumber && "number", isWide && "wide-only"].filter(Boolean).join(" ") || false;

function drawHead(state) {
  const all =
    state.actions &&
    h(
      "th.mark",
      { scope: "col" },
      h("input", {
        type: "checkbox",
        "aria-label": "Mark all on this page",
        onchange: (event) => markAll(state, event.target.checked),
      }),
    );
  state.markAll = all ? all.firstElementChild : null;
  const sortBy = (column) => {
    state.reverse = state.sort === column.sort ? !state.reverse : Boolean(column.isNumber);
    state.sort = column.sort;
    state.page = 1;
    keep(state);
    drawHead(state);
    state.parts.head.querySelector(`[data-column="${column.id}"]`)?.focus();
    load(state);
  };
  fill(
    state.parts.head,
    all,
    shownColumns(state).map((column) => {
      const isSorted = column.sort && state.sort === column.sort;
      const order = isSorted ? (state.reverse ? "descending" : "ascending") : "none";
      const arrow = { ascending: "↑", descending: "↓", none: "" }[order];
      const text = column.sort
        ? h(
            "button",
            { type: "button", "data-column": column.id, onclick: () => sortBy(column) },
            column.label,
            h("span.order", { "aria-hidden": "true" }, arrow),
          )
        : column.label;
      const sorted = column.sort ? { "aria-sort": order } : {};
      return h("th", { scope: "col", title: column.hint, class: classOf(column), ...sorted }, text);
    }),
  );
}

// Asks for the page; what comes late, after another question, is not shown.
async function load(state) {
  const asked = Symbol("asked");
  state.asked = asked;
  const { page, size, sort, reverse, search } = state;
  let answer;
  try {
    answer = await state.load({ page, size, sort, reverse, search });
  } catch (error) {
    if (error.reason?.startsWith?.("Page out of range") && page > 1) {
      state.page = 1;
      return load(state);
    }
    if (state.asked === asked) {
      state.problem.show(error);
    }
    return undefined;
  }
  if (state.asked !== asked) {
    return undefined;
  }
  state.problem.clear();
  state.answer = answer;
  drawRows(state);
  drawPager(state);
  return undefined;
}

function drawRows(state) {
  if (!state.answer) {
    return;
  }
  const { body } = state.parts;
  const columns = shownColumns(state);
  const keys = new Set();
  let before = null;
  for (const row of state.answer.items) {
    const key = state.keyOf(row);
    keys.add(key);
    const line = state.rows.get(key) ?? newLine(state, key);
    line.row = row;
    if (state.marked.has(key)) {
      state.marked.set(key, row);
    }
    drawCells(line, columns);
    const wanted = before ? before.nextSibling : body.firstChild;
    if (line.element !== wanted) {
      body.insertBefore(line.element, wanted);
    }
    before = line.element;
  }
  for (const [key, line] of state.rows) {
    if (!keys.has(key)) {
      line.element.remove();
      state.rows.delete(key);
    }
  }
  drawEmpty(state, columns);
  drawBar(state);
}

function newLine(state, key) {
  const mark =
    state.actions &&
    h(
      "td.mark",
      h("input", {
        type: "checkbox",
        "aria-label": `Mark ${state.nameOf?.(key) ?? key}`,
        checked: state.marked.has(key),
        onchange: (event) => {
          state.marked[event.target.checked ? "set" : "delete"](key, line.row);
          drawBar(state);
        },
      }),
    );
  const line = { element: h("tr", mark), mark: mark ? mark.firstElementChild : null, row: null };
  state.rows.set(key, line);
  return line;
}

// Cells that look the same stay, so that nobody's focus or selection is lost.
function drawCells(line, columns) {
  const offset = line.mark ? 1 : 0;
  columns.forEach((column, index) => {
    const fresh = h("td", { class: classOf(column) }, column.cell(line.row));
    const old = line.element.children[index + offset];
    if (!old) {
      line.element.append(fresh);
    } else if (!old.isEqualNode(fresh)) {
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(fresh);
      if (hadFocus) {
        fresh.querySelector("a, button, input")?.focus();
      }
    }
  });
}

function drawEmpty(state, columns) {
  state.parts.none?.remove();
  if (state.answer.items.length > 0) {
    return;
  }
  const isFiltered = state.answer.total_count > 0 || state.search !== "";
  const text = isFiltered
    ? "Nothing here has a name like that."
    : (state.empty ?? "There is nothing yet.");
  const span = columns.length + (state.actions ? 1 : 0);
  state.parts.none = h("tr.none", h("td", { colspan: span }, text));
  state.parts.body.append(state.parts.none);
}

function markAll(state, isMarked) {
  for (const [key, line] of state.rows) {
    state.marked[isMarked ? "set" : "delete"](key, line.row);
    line.mark.checked = isMarked;
  }
  drawBar(state);
}

function unmark(state) {
  state.marked.clear();
  state.rows.forEach((line) => {
    line.mark.checked = false;
  });
  drawBar(state);
}

// What can be done with the marked rows.
function drawBar(state) {
  if (!state.actions) {
    return;
  }
  const { bar } = state.parts;
  const marked = state.marked.size;
  if (bar.dataset.marked !== String(marked)) {
    bar.dataset.marked = String(marked);
    bar.hidden = marked === 0;
    const act = ({ label, isDangerous, run }) =>
      h(
        `button${isDangerous ? ".danger" : ""}`,
        {
          type: "button",
          onclick: () => run([...state.marked.values()]),
        },
        label,
      );
    fill(
      bar,
      h("span", `${count(marked)} marked`),
      state.actions.map(act),
      h("button.quiet", { type: "button", onclick: () => unmark(state) }, "Unmark"),
    );
  }
  const shown = [...state.rows.keys()];
  const onPage = shown.filter((key) => state.marked.has(key)).length;
  state.markAll.checked = onPage > 0 && onPage === shown.length;
  state.markAll.indeterminate = onPage > 0 && onPage < shown.length;
}

function drawPager(state) {
  const { filtered_count: filtered, total_count: total, page_count: pages } = state.answer;
  const noun = state.noun ?? "row";
  setText(
    state.found,
    filtered === total
      ? plural(total, noun, state.nouns)
      : `${count(filtered)} of ${plural(total, noun, state.nouns)}`,
  );
  const { pager } = state.parts;
  const text = `${state.page} ${pages} ${filtered} ${state.size}`;
  if (pager.dataset.shown === text) {
    return;
  }
  pager.dataset.shown = text;
  pager.hidden = filtered <= SIZES[0];
  const go = (label, to) => {
    const open = async () => {
      state.page = to;
      await load(state);
      state.parts.frame.scrollIntoView({ block: "nearest" });
      const buttons = [...pager.querySelectorAll("button:enabled")];
      (buttons.find((one) => one.textContent === label) ?? buttons[0])?.focus();
    };
    const isThere = to >= 1 && to <= pages && to !== state.page;
    return h("button", { type: "button", disabled: !isThere, onclick: open }, label);
  };
  const first = (state.page - 1) * state.size + 1;
  const size = h(
    "select",
    {
      "aria-label": "Rows on a page",
      onchange: (event) => {
        state.size = Number(event.target.value);
        state.page = 1;
        keep(state);
        load(state);
      },
    },
    SIZES.map((of) => h("option", { value: of, selected: of === state.size }, `${of} rows`)),
  );
  const last = Math.min(first + state.size - 1, filtered);
  const range = `${count(first)}–${count(last)} of ${count(filtered)}`;
  fill(
    pager,
    pages > 2 && go("First", 1),
    go("Previous", state.page - 1),
    h("span", range),
    go("Next", state.page + 1),
    pages > 2 && go("Last", pages),
    size,
  );
}
