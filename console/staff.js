// The staff page: a live list of conversations, one open conversation, and its commands.
const conversations = new Map(); // by id, the newest known version
const messages = new Map(); // of the open conversation, by id
const entries = new Map(), items = new Map(); // list elements by conversation id, and by message id
const begun = new Map(), uploading = new Set(); // unsent replies by conversation id, and where a file is on its way
const cursors = {}; // by property, how far this page has read the live stream
const commands = document.querySelectorAll("[data-command]");
let openId, typedAt = 0, replyId, files = [], hits, older, asked; // `files` go with the reply, `hits` are a search's ids, `older` is the next page's cursor, `asked` a search's timer

const left = () => { conversations.clear(), element("list").replaceChildren(), element("one").hidden = true; }; // keeps the open conversation and unsent replies
const hint = (text) => { element("desk").dataset.hint = text; }; // where no conversation is shown

async function receive({ type, payload, id, cursor }) {
  const at = payload.propertyId;
  if (cursor && at) cursors[at] = cursor;
  if (type === "session") {
    element("status").textContent = payload.live === false ? "Updates may be delayed." : `Live · ${(payload.staff ?? me).name}`;
    if (payload.staff) await begin(payload.staff);
  } else if (type === "resync" || (type === "ack" && id === "list" && !conversations.size)) {
    conversations.clear(); // updates are live from here on, so the list misses none
    await insist(refresh);
  } else if (type === "conversation_update") {
    keep({ ...payload.conversation, lastMessage: conversations.get(payload.conversationId)?.lastMessage });
  } else if (type === "message") {
    const known = conversations.get(payload.conversationId);
    const old = payload.message.private || known?.lastMessage?.seq > payload.message.seq; // sent again because its delivery state changed
    const answer = payload.message.author === "staff" ? { draft: null, responseDueAt: null } : {}; // no conversation_update follows for these
    const last = old ? {} : { lastMessage: payload.message, lastMessageAt: payload.message.createdAt, ...answer };
    if (known) keep({ ...known, ...last, unread: payload.unread ?? known.unread });
    if (payload.conversationId === openId) showMessage(payload.message), await see();
  } else if (type === "typing" && payload.conversationId === openId) {
    const name = payload.authorName ?? (payload.author === "guest" ? "The guest" : "The butler");
    showTyping(payload.typing ? `${name} is writing…` : "", 6);
  } else if (type === "notification") tell(textOf(payload.notification)), notify(payload.notification);
  else if (type === "error") tell(payload.detail);
}

async function begin(staff) {
  if (!me) recall(staff);
  if (welcome(staff)) openId = undefined, begun.clear(), take({}), history.replaceState(null, "", "/staff");
  for (const propertyId of staff.properties) connection.send("subscribe", { propertyId, after: cursors[propertyId] }, "list");
  await Promise.all([insist(refreshNotices), insist(() => meet().then(() => conversations.has(openId) && showFacts(conversations.get(openId))))]);
}

async function refresh(cursor) {
  const [state, q] = [element("filter").value, element("search").value.trim()];
  const query = new URLSearchParams(Object.entries({ limit: 200, state, q, cursor }).filter(([, value]) => value));
  const page = await api("GET", `/conversations?${query}`);
  if (state !== element("filter").value || q !== element("search").value.trim()) return; // something else was asked for meanwhile
  page.items.forEach(store);
  hits = q && new Set([...(cursor ? hits : []), ...page.items.map((each) => each.conversationId)]);
  older = page.nextCursor, element("older").hidden = !older;
  showList(), showNotices(), element("list").dataset.hint = q || state ? "Nothing found." : "There are no conversations yet.";
  const linked = openId ?? new URLSearchParams(location.search).get("conversation"); // links in mails to staff have it
  if (linked && !q && !cursor) await open(linked);
}

const store = (each) => conversations.get(each.conversationId)?.seq > each.seq || conversations.set(each.conversationId, each);
const keep = (each) => { store(each), showList(), each.conversationId === openId && showFacts(conversations.get(openId)); };

function showList() {
  const state = element("filter").value;
  const shown = [...conversations.values()].filter((each) => (!state || each.state === state) && (!hits || hits.has(each.conversationId))).sort((a, b) => (timeOf(a) < timeOf(b) ? 1 : -1));
  const focused = document.activeElement?.dataset?.id;
  arrange(element("list"), shown.map(entry));
  document.title = [shown.filter((each) => each.unread).length || "", "Staff console"].filter(Boolean).join(" · ");
  if (focused) document.querySelector(`#list [data-id="${CSS.escape(focused)}"]`)?.focus();
}

function entry(each) {
  const facts = [hotelOf(each), each.priority === "normal" ? "" : each.priority, each.state, each.unread ? `${each.unread} unread` : "", each.needsReview ? "needs review" : "", each.rating ? `rated ${each.rating} of 5` : "", each.assignedTo ? "assigned" : "", each.snoozedUntil ? "snoozed" : ""];
  const { content, attachments = [] } = each.lastMessage ?? {}, said = content || attachments.map((file) => file.name).join(", ");
  const [texts, current] = [[nameOf(each), said, facts.filter(Boolean).join(" · ")], each.conversationId === openId];
  return shownAs(entries, each.conversationId, [texts, current], () => {
    const shown = button("", () => trying(() => visit(each.conversationId)));
    shown.append(line("strong", texts[0]), line("span", texts[1]), line("small", texts[2]));
    shown.dataset.id = each.conversationId;
    if (current) shown.setAttribute("aria-current", "true");
    return line("li", "", shown);
  });
}

function question(action) {
  const decide = (approve) => () => trying(() => order(`actions/${action.id}`, { approve }));
  const wanted = [action.type.replaceAll("_", " "), ...Object.values(action.params ?? {})].join(" · ");
  return shownAs(items, action.id, wanted, () => line("p", `The AI asks: ${wanted} `, button("Approve", decide(true)), button("Refuse", decide(false))));
}

async function download(file) {
  const own = file.url.startsWith("/api/v1/media/"); // fetched with the token, which a plain link would not send
  if (!own && !/^https?:/.test(file.url)) throw new Error(`${file.name} has not been received yet.`);
  const href = own ? URL.createObjectURL(await api("GET", file.url.slice(7))) : file.url;
  Object.assign(document.createElement("a"), { href, download: file.name, target: "_blank", rel: "noopener" }).click();
}

const timeOf = (each) => each.lastMessageAt ?? each.createdAt;
const hotelOf = (each) => (me.properties.length > 1 ? each.propertyId : "");
const nameOf = (each) => each.guestName ?? `${each.channelType} guest ${each.conversationId.slice(0, 6)}`;

const open = (id) => load(id).finally(() => hint("Choose a conversation."));
const visit = (id) => open(id).then(() => { element("title").focus(), element("one").scrollIntoView(); }); // on telephones, it is below the list

async function load(id) {
  const other = openId !== id;
  hint("Loading…");
  if (other) { // shows nothing until all is loaded, so that no reply goes to the wrong guest
    element("one").hidden = true;
    messages.clear(), items.clear(), showTyping();
    begun.set(openId, written());
    take(begun.get(id) ?? {});
    history.replaceState(null, "", `?conversation=${encodeURIComponent(id)}`); // for who comes back, or reloads the page
  }
  openId = id, showList();
  let cursor = "", page;
  do {
    page = await api("GET", `/conversations/${id}/messages?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    if (openId !== id) return; // another was opened meanwhile
    for (const message of page.items) messages.set(message.id, message);
  } while ((cursor = page.nextCursor));
  const opened = await api("GET", `/conversations/${id}`);
  keep(opened.unread ? await api("POST", `/conversations/${id}/read`) : opened);
  if (openId === id) element("one").hidden = false, showMessages(other);
  await readNotices([...notices.values()].filter((each) => each.conversationId === id));
}

const written = () => ({ content: element("content").value, note: element("private").checked, replyId, files });

function take(reply) { // puts what was begun back into the form
  ({ content: element("content").value = "", note: element("private").checked = false, replyId, files = [] } = reply);
  checkLength(), showFiles();
}

function recall({ id }) { // what was begun before the page was left
  const [whose, replies] = JSON.parse(sessionStorage.getItem("begun") ?? "[]");
  if (whose === id) for (const [at, reply] of replies) begun.set(at, reply);
}

async function see() { // marks the conversation as read while somebody looks at it
  const looks = document.visibilityState === "visible" && !element("one").hidden;
  if (looks && conversations.get(openId)?.unread) keep(await api("POST", `/conversations/${openId}/read`));
}

function showMessage(message, toEnd) {
  if (message.author === "guest") showTyping();
  messages.set(message.id, message);
  showMessages(toEnd);
}

function showMessages(toEnd) {
  const names = { guest: "Guest", ai: "AI", staff: "Staff", system: "System" }, list = element("messages");
  const follow = toEnd || readsTheEnd(list);
  arrange(list, [...messages.values()].sort((a, b) => a.seq - b.seq).map((message) => {
    const sure = message.ai ? `${Math.round(message.ai.confidence * 100)} % sure` : "";
    const facts = [clock(message.createdAt), message.private ? "private note" : message.delivery.state, message.delivery.reason, sure].filter(Boolean).join(" · ");
    const [name, className, attached] = [message.authorName ?? names[message.author], message.private ? "private" : message.author, message.attachments ?? []];
    const lost = message.author !== "guest" && !message.private && ["failed", "unknown"].includes(message.delivery.state);
    const item = shownAs(items, message.id, [name, className, message.content, attached, lost], () => {
      const buttons = attached.map((file) => button(file.name, () => trying(() => download(file))));
      if (lost) buttons.push(button("Send again", () => trying(() => sendAgain(message.id))));
      return Object.assign(line("li", "", line("strong", name), line("p", message.content), ...buttons, line("small", "")), { className });
    });
    if (item.lastChild.textContent !== facts) item.lastChild.textContent = facts;
    return item;
  }));
  if (follow) list.scrollTop = list.scrollHeight;
}

function showFacts(each) {
  const [over, mine] = [each.state === "resolved", each.assignedTo === me.id];
  const off = { claim: over || mine || each.state === "new", return: each.state !== "escalated", resolve: over, reviewed: !each.needsReview };
  const held = each.assignedTo ? (mine ? "held by you" : `held by ${nameOfStaff(each.assignedTo) ?? "a colleague"}`) : "";
  element("title").textContent = nameOf(each);
  element("facts").textContent = [hotelOf(each), each.state, held, each.escalation?.reason, each.priority === "normal" ? "" : `${each.priority} priority`, each.responseDueAt ? `answer by ${clock(each.responseDueAt)}` : "", each.snoozedUntil ? `snoozed until ${clock(each.snoozedUntil)}` : "", each.needsReview ? "needs review" : "", each.rating ? `rated ${each.rating} of 5` : "", each.resolution?.summary ?? each.escalation?.summary].filter(Boolean).join(" · ");
  element("draft").hidden = !each.draft;
  element("draft-text").textContent = each.draft?.content ?? "";
  arrange(element("actions"), (each.pendingActions ?? []).map(question));
  for (const command of commands) command.disabled = off[command.dataset.command];
  element("more").hidden = over || each.state === "new", element("content").placeholder = over ? "Resolved. Write a private note…" : "Write a reply…";
  element("tasks").href = `/staff/tasks?conversation=${encodeURIComponent(each.conversationId)}`;
  const orders = [["Snooze for an hour", "snooze 1"], ["Snooze for 12 hours", "snooze 12"], ["Unassign", "unassign"], ...working(each.propertyId).map(({ id, name }) => [`Assign to ${name}`, `assign ${id}`])];
  const [what, shown] = [element("what"), JSON.stringify(orders)];
  if (what.shown !== shown) what.shown = shown, what.replaceChildren(...orders.map(([text, value]) => new Option(text, value))); // not under somebody's hands
}

function showFiles() {
  const chosen = files.map((file) => button(`Remove ${file.name}`, () => { files = files.filter((each) => each !== file), replyId = undefined, showFiles(), element("attach").focus(); }));
  element("content").required = !files.length;
  element("files").replaceChildren(...[...chosen, ...(uploading.has(openId) ? [line("small", "Uploading…")] : [])].map((each) => line("li", "", each)));
}

async function attach(file, at = openId) {
  const body = new FormData();
  body.append("propertyId", conversations.get(at).propertyId), body.append("file", file);
  uploading.add(at), showFiles();
  const taken = await api("POST", "/media", body).finally(() => { uploading.delete(at), showFiles(); });
  if (at === openId) files = [...files, taken], replyId = undefined, showFiles();
  else begun.set(at, { ...begun.get(at), files: [...(begun.get(at)?.files ?? []), taken], replyId: undefined }); // another was opened meanwhile
}

async function reply() {
  replyId ??= newId(); // kept after an error, so that resending the same text does not send it twice
  const at = openId;
  if (uploading.has(at)) throw new Error("Wait until the file is uploaded.");
  const body = { content: element("content").value, private: element("private").checked, attachments: files, clientMessageId: replyId, lastSeenSeq: messages.size ? Math.max(...[...messages.values()].map((each) => each.seq)) : undefined };
  const message = await api("POST", `/conversations/${at}/messages`, body);
  if (begun.get(at)?.replyId === body.clientMessageId) begun.delete(at);
  if (at !== openId) return; // the form now holds a reply to another conversation
  if (replyId === body.clientMessageId) take({}); // only if nothing was typed meanwhile
  showMessage(messages.get(message.id) ?? message, true); // the live version may be newer than the answer
}

function orderMore() {
  const [command, what] = element("what").value.split(" ");
  return order(command, command === "snooze" ? { until: new Date(Date.now() + what * 3600000) } : what && { staffId: what });
}

for (const [id, action] of Object.entries({ reply, more: orderMore })) submitted(id, () => trying(action));
const sendAgain = async (id) => showMessage(await api("POST", `/conversations/${openId}/messages/${id}/retry`, undefined, id), true); // once, even if clicked twice
const order = async (command, body = {}) => keep(await api("POST", `/conversations/${openId}/${command}`, body));
for (const each of commands) each.addEventListener("click", () => trying(() => order(each.dataset.command)));
element("filter").addEventListener("change", () => trying(refresh));
element("older").addEventListener("click", () => trying(() => refresh(older)));
element("search").addEventListener("input", () => { clearTimeout(asked), asked = setTimeout(trying, 300, refresh); });
element("attach").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", ({ target }, file = target.files[0]) => { trying(() => attach(file)), target.value = ""; });
element("use").addEventListener("click", (_, field = element("content")) => {
  field.value = element("draft-text").textContent;
  field.dispatchEvent(new Event("input", { bubbles: true })), field.focus();
});
element("reply").addEventListener("input", () => {
  replyId = undefined; // a changed text is another message
  if (Date.now() - typedAt < 2000 || element("private").checked) return;
  typedAt = Date.now();
  connection.send("typing", { conversationId: openId, typing: true });
});
document.addEventListener("visibilitychange", () => see().catch(complain));
addEventListener("pagehide", () => {
  if (me) sessionStorage.setItem("begun", JSON.stringify([me.id, [...begun.set(openId, written())].filter(([id]) => id)]));
});
lookUp = (id) => id && { name: conversations.has(id) ? nameOf(conversations.get(id)) : "", open: () => trying(() => visit(id)) };
if (token) connection.open();
