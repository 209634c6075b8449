// What does this browser remember of how somebody likes the page? Never names or messages.

const PREFIX = "leveret.";

// What was kept under a name, or `otherwise`.
export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

// Keeps something; a browser that keeps nothing is no reason to stop.
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // It is asked again the next time.
  }
}
