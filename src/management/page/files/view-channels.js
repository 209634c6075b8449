// Which channels are open, and which of them hold messages?

import { getPage } from "./api.js";
import { channelColumns, channelFields } from "./channel-columns.js";
import { heading, listBehindVhost } from "./parts.js";
import { replaceParameters } from "./router.js";
import { table } from "./table.js";

export const channels = {
  path: "channels",
  id: "channels",
  right: "management",
  title: () => "Channels",
  open(page) {
    const list = table({
      name: "channels",
      label: "Channels",
      noun: "channel",
      searchHint: "Filter by address",
      columns: channelColumns(),
      sort: "name",
      search: page.parameters.name ?? "",
      searched: (text) => replaceParameters({ name: text }),
      keyOf: (one) => one.name,
      load: (wanted) =>
        getPage(listBehindVhost("channels"), wanted, page.signal, { columns: channelFields }),
      empty: "There is no channel. Programs open them on their connections.",
    });
    page.root.append(heading("Channels"), list.element);
    return { update: list.update };
  },
};
