// What all pages share: helpers for elements, and a connection that reconnects by itself.
const element = (id) => document.getElementById(id);
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const [times, days] = [{}, { dateStyle: "medium" }].map((day) => new Intl.DateTimeFormat([], { ...day, timeStyle: "short" })); // made once, because that is slow
const clock = (at, moment = new Date(at)) => (moment.toDateString() === new Date().toDateString() ? times : days).format(moment); // with the date if it is not today
const readsTheEnd = (list) => list.scrollHeight - list.scrollTop - list.clientHeight < 100; // whoever reads further up is not scrolled away

function line(tag, text, ...children) {
  const made = Object.assign(document.createElement(tag), { textContent: text });
  made.append(...children);
  return made;
}

const submitted = (id, action) => element(id).addEventListener("submit", (event) => { event.preventDefault(); action(); });
const button = (text, action) => Object.assign(line("button", text), { type: "button", onclick: action });

function arrange(list, wanted) { // leaves unchanged children alone, so that they keep focus and clicks and are not read out again
  for (const child of [...list.children]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((each, at) => list.children[at] !== each && list.insertBefore(each, list.children[at] ?? null));
}

function shownAs(known, id, facts, make) {
  const shown = JSON.stringify(facts);
  if (known.get(id)?.shown !== shown) known.set(id, Object.assign(make(), { shown }));
  return known.get(id);
}

function checkLength() { // reports a text that is too long; `maxlength` would cut pasted text silently
  const over = [...element("content").value].length - 4096;
  element("content").setCustomValidity(over > 0 ? `Too long by ${over} characters. Please split it.` : "");
}
element("content")?.addEventListener("input", checkLength);

let typingTimer;
function showTyping(text = "", seconds = 0) {
  clearTimeout(typingTimer);
  element("typing").textContent = text;
  if (text) typingTimer = setTimeout(showTyping, seconds * 1000);
}

class Connection {
  constructor(path, { opened, received, ended }) { // `ended` returns whether to reconnect
    Object.assign(this, { path, opened, received, ended, delay: 500 });
  }

  open() { // also if one is open, or about to be opened again
    clearTimeout(this.again), clearInterval(this.pulse), this.socket?.close();
    const socket = this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${this.path}`);
    this.asked = true, this.pulse = setInterval(() => this.feel(), 30000);
    socket.onopen = () => this.opened();
    socket.onmessage = ({ data }, frame = JSON.parse(data)) => { this.asked = false; if (frame.id !== "ping") this.received(frame); };
    socket.onclose = (end) => {
      if (this.socket !== socket) return; // closed by us before
      this.socket = undefined, clearInterval(this.pulse);
      if (!this.ended(end)) return;
      this.again = setTimeout(() => this.open(), this.delay * (0.5 + Math.random()));
      this.delay = Math.min(this.delay * 2, 15000);
    };
  }

  feel() { // closes a connection that has not answered since the last call: it may be dead without having been closed
    if (this.asked) return this.close();
    this.send("ping", {}, "ping"), this.asked = true;
  }

  welcomed() { this.delay = 500; }

  send(type, payload, id) { // returns whether it was sent
    const open = this.socket?.readyState === WebSocket.OPEN;
    if (open) this.socket.send(JSON.stringify({ type, payload, id }));
    return open;
  }

  close() { // takes effect at once; a browser would wait a minute for the other end of a dead connection
    const { socket } = this;
    socket?.close(), socket?.onclose({});
  }
}
