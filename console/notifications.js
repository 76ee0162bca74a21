// What staff have not read yet: a count in the header, and a list that opens below it.
const NEWEST = 30; // how many are listed, and so how many requests reading them all takes
const notices = new Map(), noticeItems = new Map(); // unread notifications and their list elements, by id
let noticesKnown = false, moreNotices = false, lookUp = () => undefined; // `lookUp` is the page's own: a conversation it knows, by id

async function refreshNotices() {
  const page = await api("GET", `/notifications?unread=true&limit=${NEWEST}`);
  notices.clear(), noticesKnown = true, moreNotices = !!page.nextCursor;
  page.items.forEach((each) => notices.set(each.id, each));
  showNotices();
}

function notify(notice) { // also called again for what was missed and is listed already
  if (!notice.readAt) notices.set(notice.id, notice), showNotices();
}

async function readNotices(which) { // one after the other, so that none is lost if the server stops answering
  for (const { id } of which) await api("POST", `/notifications/${id}/read`), notices.delete(id), showNotices();
}

const textOf = (notice) => [lookUp(notice.conversationId)?.name, notice.text].filter(Boolean).join(": ");

function showNotices() {
  const shown = [...notices.values()].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const count = `${notices.size}${moreNotices ? "+" : ""}`;
  element("bell").textContent = notices.size ? `${count} unread notification${count === "1" ? "" : "s"}` : `${noticesKnown ? "No n" : "N"}otifications`;
  const at = [...element("notices-list").children].findIndex((each) => each.contains(document.activeElement));
  arrange(element("notices-list"), shown.map((notice) => shownAs(noticeItems, notice.id, textOf(notice), () => noticeItem(notice))));
  element("read-all").disabled = !notices.size;
  if (at >= 0 && document.activeElement === document.body) (element("notices-list").children[at]?.querySelector("button") ?? element("bell")).focus();
}

function noticeItem(notice) {
  const text = line(notice.conversationId ? "a" : "span", textOf(notice));
  if (notice.conversationId) {
    text.href = `/staff?conversation=${encodeURIComponent(notice.conversationId)}`;
    text.addEventListener("click", (event) => follow(event, notice));
  }
  return line("li", "", text, line("small", clock(notice.at)), button("Mark as read", () => trying(() => readNotices([notice]))));
}

function follow(event, notice) {
  const here = lookUp(notice.conversationId);
  if (here && !event.ctrlKey && !event.metaKey) event.preventDefault(), toggleNotices(false), here.open(); // which reads it
  else trying(() => readNotices([notice]));
}

function toggleNotices(open) {
  element("notices").hidden = !open;
  element("bell").setAttribute("aria-expanded", open);
}

element("bell").addEventListener("click", () => toggleNotices(element("notices").hidden));
element("read-all").addEventListener("click", () => trying(async () => { await readNotices([...notices.values()]), await refreshNotices(), element("bell").focus(); }));
document.addEventListener("keydown", ({ key }) => { if (key === "Escape" && !element("notices").hidden) toggleNotices(false), element("bell").focus(); });
