// The guest's page: shows the conversation, keeps unsent messages, and reconnects where it was.
const property = new URLSearchParams(location.search).get("property") ?? "";
const storageKey = `gateway:${encodeURIComponent(property)}`, unsentKey = `${storageKey}:`; // one key per message, because other tabs may be open
let storage = {}; // fallback if the browser forbids storage
try { storage = localStorage ?? storage; } catch { /* forbidden */ }
const known = () => JSON.parse(storage[storageKey] ?? "{}");
const unsent = new Map(Object.keys(storage).filter((key) => key.startsWith(unsentKey)).map((key) => [key.slice(unsentKey.length), JSON.parse(storage[key])])
  .sort(([, { at: one }], [, { at: other }]) => one - other)); // by frame id, oldest first
const bubbles = new Map(); // by message id, and by frame id until the message has one
const connection = new Connection(`/chat/${encodeURIComponent(property)}`, { opened: greet, received: receive, ended: lost });
let ready = false, again, knownAs, visitor, cursor, lastTyped = 0, conversation = { state: "new" }, live = true;

function greet() {
  knownAs = known().token;
  connection.send("auth", { token: knownAs, after: cursor });
}

function lost({ code, reason }) {
  ready = false;
  clearTimeout(again);
  showTyping();
  const over = element("form").hidden = code === 4403; // what nobody will ever get is not to be written
  showStatus(over ? `This chat is not available (${reason}).` : "Not connected. Trying again…", !over);
  return !over;
}

function receive({ type, payload, id, cursor: at }) {
  cursor = at ?? cursor;
  if (type === "session") {
    live = payload.live ?? true;
    if (payload.token) {
      if (!knownAs && known().token) return connection.close(); // another tab was first, and a browser is one visitor
      connection.welcomed();
      visitor = payload.visitorId;
      storage[storageKey] = JSON.stringify({ token: payload.token, visitor });
      ready = true;
      sendNext();
      bubbles.forEach((bubble) => mark(bubble));
    }
    showState(payload.conversation ?? conversation);
  } else if (type === "message") {
    if (payload.message.author !== "guest") showTyping();
    show(payload.message.id, payload.message);
    mark(bubbles.get(payload.message.id), payload.message);
  } else if (type === "presence") {
    showStatus(`${payload.authorName} from our team is now chatting with you`);
  } else if (type === "conversation_update") {
    showState(payload.conversation);
  } else if (type === "typing") {
    showTyping(payload.typing ? `${payload.authorName ?? "The butler"} is writing…` : "", 30);
  } else if (type === "ack") {
    settle(id, payload.messageId);
  } else if (type === "error" && unsent.has(id)) {
    if (["invalid", "malformed"].includes(payload.code)) return fail(id, payload.detail);
    clearTimeout(again);
    again = setTimeout(sendNext, 4000);
  } else if (type === "resync") {
    cursor = undefined; // without a cursor, the next connection sends the conversation as it is now
    connection.close();
  }
}

function sendNext() { // one at a time, so that no message overtakes one that is refused for now
  clearTimeout(again);
  const [next] = unsent;
  if (!next || !ready) return;
  const [frame, { content, files = [] }] = next;
  connection.send("send_message", { content, attachments: files.map((file) => file.id) }, frame);
  again = setTimeout(() => connection.close(), 20000); // without an answer, the connection is dead
}

function mark(bubble, { id, author, delivery } = bubble.told ?? { author: "guest" }) {
  const seen = document.visibilityState === "visible" ? "read" : "delivered", marked = [seen, "read"].includes(delivery?.state);
  bubble.told = { id, author, delivery };
  if (author !== "guest" && !marked && connection.send(seen, { messageId: id })) bubble.told.delivery = { state: seen };
}

function show(id, message) {
  const list = element("messages"), bubble = bubbles.get(id) ?? document.createElement("li");
  const follow = message.pending || readsTheEnd(list);
  bubbles.set(id, bubble);
  const names = { guest: "You", ai: "Butler", staff: message.authorName ?? "Our team", system: "Hotel" };
  const note = message.pending ?? clock(message.createdAt);
  const files = (message.attachments ?? []).map((file) => Object.assign(line("a", file.name), { href: file.url, target: "_blank", rel: "noopener" }));
  const parts = [line("strong", names[message.author]), line("p", message.content), ...files, line("small", note)];
  const shown = JSON.stringify([...parts.map((part) => part.textContent), ...files.map((file) => file.href)]);
  if (bubble.shown !== shown) bubble.replaceChildren(...parts); // replaced only if changed, or screen readers would read it out again
  Object.assign(bubble, { shown, className: message.author });
  const at = message.createdAt ? Date.parse(message.createdAt) : Infinity; // what is still on its way stays last
  const next = [...list.children].find((other) => other !== bubble && other.at > at) ?? null;
  if (bubble.at !== at && (!bubble.parentNode || bubble.nextElementSibling !== next)) list.insertBefore(bubble, next);
  bubble.at = at;
  if (follow) list.scrollTop = list.scrollHeight;
}

function settle(frame, messageId) {
  const { content, files } = unsent.get(frame) ?? {}, pending = bubbles.get(frame);
  forget(frame);
  bubbles.delete(frame);
  if (bubbles.has(messageId)) pending?.remove(); // the message arrived before its acknowledgement
  else if (pending) {
    bubbles.set(messageId, pending);
    show(messageId, { author: "guest", content, attachments: files, createdAt: new Date().toISOString() });
  }
  sendNext();
}

function forget(frame) {
  unsent.delete(frame);
  delete storage[unsentKey + frame];
}

function fail(frame, reason) {
  show(frame, { author: "guest", content: unsent.get(frame).content, attachments: unsent.get(frame).files, createdAt: new Date().toISOString(), pending: `Not sent: ${reason}` });
  forget(frame);
  sendNext();
}

function showState(to) {
  const { state, survey, rating } = conversation = to, left = Date.parse(survey?.until) - Date.now();
  element("rating").hidden = !(left > 0);
  if (left > 0) setTimeout(() => { element("rating").hidden = true; }, Math.min(left, 2 ** 31 - 1)); // browsers take more for 0
  for (const button of element("rating").querySelectorAll("button")) button.ariaPressed = button.textContent === `${rating}`;
  if (state === "escalated") showTyping();
  const texts = { escalated: "Connected. Our team is looking after you.", resolved: "Connected. Write to start a new conversation." };
  showStatus((texts[state] ?? "Connected.") + (live ? "" : " Messages may be delayed."));
}

function showStatus(text, trouble = false) {
  element("status").textContent = text;
  element("status").classList.toggle("trouble", trouble);
}

function submit() {
  if (element("content").value.trim()) say(element("content").value);
  element("content").value = "";
}

function say(content, files, id = newId()) {
  unsent.set(id, { content, files, at: Date.now() });
  storage[unsentKey + id] = JSON.stringify(unsent.get(id));
  show(id, { author: "guest", content, attachments: files, pending: "Sending…" });
  if (unsent.size === 1) sendNext();
}

async function sendFile(file) {
  const id = newId(), body = new FormData();
  body.append("token", known().token), body.append("file", file);
  show(id, { author: "guest", content: file.name, pending: "Sending…" });
  const answer = ready ? await fetch(`/chat/${encodeURIComponent(property)}/media`, { method: "POST", body }).catch(() => null) : null;
  const told = await answer?.json().catch(() => null);
  if (answer?.ok) say("", [told], id);
  else show(id, { author: "guest", content: file.name, createdAt: new Date().toISOString(), pending: `Not sent: ${told?.code === "media_refused" ? "files of this kind are not accepted." : (told?.detail ?? "no connection. Please try again.")}` });
}

document.addEventListener("visibilitychange", () => bubbles.forEach((bubble) => mark(bubble)));
addEventListener("storage", () => { // another tab, opened at the same moment, has stored its visitor
  if (!visitor || (known().visitor ?? visitor) === visitor) return;
  cursor = undefined;
  connection.close();
});
for (const number of "12345") element("rating").append(button(number, () => say(number)));
submitted("form", submit);
element("attach").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", ({ target }) => { sendFile(target.files[0]), target.value = ""; });
element("content").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) event.preventDefault(), element("form").requestSubmit();
});
element("content").addEventListener("input", () => {
  if (Date.now() - lastTyped < 2000) return;
  lastTyped = Date.now(), connection.send("typing", { typing: true });
});
for (const [id, { content, files }] of unsent) show(id, { author: "guest", content, attachments: files, pending: "Sending…" });
connection.open();
