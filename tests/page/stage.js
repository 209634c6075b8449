// What stands ready before a file's first test, and is gone after its last? A broker and a browser
// of its own; the pages that a test opens are closed when it ends.

import { after, afterEach } from "node:test";

import { queuePath, startBroker } from "./broker.js";
import { closePages, openPage as openIn, startBrowser } from "./browser.js";

export const browser = await startBrowser();
export const broker = await startBroker();

afterEach(closePages);
after(async () => {
  await browser.close();
  await broker.stop();
});

// Names that are hard to show, to find again, or not to run.
export const HOSTILE = [
  'it\'s "quoted"',
  "a/b c",
  "100%",
  "🐇",
  "<script>alert(1)</script>",
  " blank ",
  "?a=b&c#d",
];

// How the page writes a name: one with blanks at its ends in quotes.
export const shown = (name) => (name.trim() === name ? name : JSON.stringify(name));

// A page that nobody has logged in on; options as in browser.js.
export const openPage = (options) => openIn(browser, broker, options);

// How many messages are in a queue.
export const lengthOf = async (name) => (await broker.api("GET", queuePath(name))).messages;
