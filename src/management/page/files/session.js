// Who is logged in, which vhosts does that user see, and which one is looked at?

import { ask, get } from "./api.js";
import { recall, remember } from "./settings.js";

export const session = {
  // The user's name; `null` while nobody is logged in.
  user: null,
  tags: [],
  // Names of all that the user sees.
  vhosts: [],
  // The one that is looked at; empty: all of them.
  vhost: recall("vhost", ""),
};

const GRANTED_BY = {
  management: ["management", "policymaker", "monitoring", "administrator"],
  policymaker: ["policymaker", "administrator"],
  monitoring: ["monitoring", "administrator"],
  administrator: ["administrator"],
};

// Whether the user's tags give a right. Only to leave out what would be refused: the broker
// decides.
export function may(right) {
  return session.tags.some((tag) => GRANTED_BY[right].includes(tag));
}

// Asks who is logged in; throws when nobody is.
export async function resume() {
  await learn(await get("whoami"));
}

export async function logIn(username, password) {
  await learn(await ask("POST", "login", { username, password }, { isLogin: true }));
}

export async function logOut() {
  session.user = null;
  await ask("DELETE", "login", undefined, { isLogin: true });
}

export function chooseVhost(name) {
  session.vhost = name;
  remember("vhost", name);
}

// Asks which vhosts there are now.
export async function learnVhosts() {
  const vhosts = await get("vhosts?columns=name");
  session.vhosts = vhosts.map(({ name }) => name).sort();
  if (!session.vhosts.includes(session.vhost)) {
    session.vhost = "";
  }
}

async function learn({ name, tags }) {
  session.user = name;
  session.tags = Array.isArray(tags) ? tags : String(tags).split(",");
  await learnVhosts();
}
