// Which view does an address lead to? `#/queues/%2F/orders?state=growing`: segments are names, each
// encoded by itself, as in the addresses that RabbitMQ's page has.

// An address: link(["queues", vhost, name], { state: "growing" }).
export function link(segments, parameters = {}) {
  const pairs = Object.entries(parameters).filter(
    ([, value]) => value !== "" && value !== undefined,
  );
  const search = pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
  return `#/${segments.map(encodeURIComponent).join("/")}${search}`;
}

// Where the address bar leads: segments and parameters.
export function where(hash = location.hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  const segments = path
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
  return { segments, parameters: Object.fromEntries(new URLSearchParams(search)) };
}

// The first view whose pattern fits, and what stands where it has names: "queues/:vhost/:name".
export function match(views, segments) {
  for (const view of views) {
    const pattern = view.path.split("/").filter((word) => word !== "");
    const fits = (word, index) => word.startsWith(":") || word === segments[index];
    if (pattern.length === segments.length && pattern.every(fits)) {
      const named = pattern.map((word, index) => [word.slice(1), segments[index]]);
      const names = named.filter((_, index) => pattern[index].startsWith(":"));
      return { view, names: Object.fromEntries(names) };
    }
  }
  return null;
}

// Changes the parameters in the address bar without leaving a step in the history.
export function replaceParameters(parameters) {
  const { segments } = where();
  history.replaceState(null, "", link(segments, parameters));
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
