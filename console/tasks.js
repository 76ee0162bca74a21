// The tasks of one's hotels: a live list, changes of one task at a time, and new ones.
const tasks = new Map(), items = new Map(), changing = new Set(); // by id: the newest known version, its list element, and whether it is being changed
const DEPARTMENTS = ["housekeeping", "maintenance", "concierge", "front_desk", "food_and_beverage", "security", "management"];
const RANKS = ["urgent", "high", "normal", "low"];
const linked = new URLSearchParams(location.search).get("conversation"); // shows only its tasks, and new ones belong to it
let conversation, creating, undo, loading = 0; // `creating` keeps a repeated creation from making a second task

const inWords = (department) => department.replaceAll("_", " ");
const isOpen = (task) => ["open", "in_progress"].includes(task.status);
const isLate = (task) => isOpen(task) && Date.parse(task.dueAt) < Date.now();

function left() { // keeps what was begun as a new task
  tasks.clear(), element("list").replaceChildren();
}

async function receive({ type, payload, id }) {
  if (type === "session") {
    element("status").textContent = payload.live === false ? "Updates may be delayed." : `Live · ${(payload.staff ?? me).name}`;
    if (payload.staff) await begin(payload.staff);
  } else if (type === "resync" || (type === "ack" && id === "all")) {
    await Promise.all([insist(load), insist(refreshNotices)]); // updates are live from here on, so neither misses any
  } else if (type === "task_update") {
    keep(payload.task);
  } else if (type === "notification") {
    tell(textOf(payload.notification)), notify(payload.notification);
  } else if (type === "error") {
    tell(payload.detail);
  }
}

async function begin(staff) {
  if (welcome(staff)) element("create").reset();
  connection.send("subscribe", {}, "all");
  const { value } = element("property");
  element("property").replaceChildren(...staff.properties.map((id) => new Option(id, id, false, id === value)));
  element("where").hidden = staff.properties.length === 1;
  await Promise.all([insist(() => meet().then(show)), linked && insist(showConversation)]);
}

async function showConversation() {
  conversation = await api("GET", `/conversations/${encodeURIComponent(linked)}`);
  const who = conversation.guestName ?? `${conversation.channelType} guest ${linked.slice(0, 6)}`;
  element("about-text").textContent = `Only tasks of the conversation with ${who}. New tasks will belong to it.`;
  element("about").hidden = element("hint").hidden = false;
  element("back").href = `/staff?conversation=${encodeURIComponent(linked)}`;
  element("property").value = conversation.propertyId, element("property").disabled = true;
}

async function load() {
  const now = ++loading, which = element("which").value;
  const wanted = which === "open" ? ["open", "in_progress"] : [which], found = [];
  let more = false;
  for (const status of wanted) {
    let cursor;
    do {
      const facts = { limit: 200, status, department: element("of").value, assignedTo: element("mine").checked && "me", conversationId: linked, cursor };
      const page = await api("GET", `/tasks?${new URLSearchParams(Object.entries(facts).filter(([, value]) => value))}`);
      if (now !== loading) return; // something else was asked for meanwhile
      found.push(...page.items), cursor = page.nextCursor;
    } while (cursor && which === "open"); // of those that are over, only the newest
    more ||= !!cursor;
  }
  const live = [...tasks.values()].filter((task) => found.some((each) => each.id === task.id && each.updatedAt < task.updatedAt));
  tasks.clear();
  for (const task of [...found, ...live]) tasks.set(task.id, task);
  element("older").hidden = !more;
  element("heading").textContent = `${which[0].toUpperCase()}${which.slice(1)} tasks`;
  show();
}

function keep(task) {
  if (!(tasks.get(task.id)?.updatedAt > task.updatedAt)) tasks.set(task.id, task);
  show();
}

const isWanted = (task) => (element("which").value === "open" ? isOpen(task) : task.status === element("which").value)
  && [task.department, ""].includes(element("of").value) && (!element("mine").checked || task.assignedTo === me.id) && (!linked || task.conversationId === linked);
const order = (task) => [!isLate(task), RANKS.indexOf(task.priority), Date.parse(task.dueAt ?? "9999-01-01"), Date.parse(task.createdAt)];

function compare(one, other) {
  const [a, b] = [order(one), order(other)], at = a.findIndex((each, place) => each !== b[place]);
  return at < 0 ? 0 : a[at] - b[at];
}

function show() {
  const [list, focus] = [element("list"), document.activeElement], { task: id, change: name } = focus.dataset ?? {};
  const shown = [...tasks.values()].filter(isWanted).sort(compare);
  arrange(list, shown.map(itemOf));
  element("none").hidden = shown.length > 0;
  document.title = [shown.filter(isLate).length || "", "Tasks"].filter(Boolean).join(" · ");
  if (!id || focus.isConnected) return;
  const own = list.querySelectorAll(`[data-task="${CSS.escape(id)}"]`); // the keyboard stays where it was, or close to it
  ([...own].find((each) => each.dataset.change === name) ?? own[0] ?? element("heading")).focus();
}

const factsOf = (task) => [
  isLate(task) ? "overdue" : "",
  task.dueAt ? `due ${clock(task.dueAt)}` : "",
  task.priority === "normal" ? "" : `${task.priority} priority`,
  inWords(task.department),
  me.properties.length > 1 ? task.propertyId : "",
  task.status === "open" ? "" : inWords(task.status),
  task.assignedTo ? (task.assignedTo === me.id ? "yours" : `taken by ${nameOfStaff(task.assignedTo) ?? "a colleague"}`) : "nobody's yet",
].filter(Boolean);

const seen = (task) => JSON.stringify([task.title, task.description, factsOf(task)]);

function itemOf(task) {
  return shownAs(items, task.id, seen(task), () => {
    const [late, facts] = [isLate(task), factsOf(task)];
    const item = line("li", "", line("strong", task.title));
    if (task.description) item.append(line("p", task.description));
    item.append(line("small", "", ...(late ? [Object.assign(line("span", facts.shift()), { className: "late" }), " · "] : []), facts.join(" · ")));
    const buttons = Object.assign(line("div", "", ...buttonsOf(task)), { className: "buttons" });
    if (task.conversationId) buttons.append(Object.assign(line("a", "Conversation"), { href: `/staff?conversation=${encodeURIComponent(task.conversationId)}` }));
    item.append(buttons);
    return item;
  });
}

function buttonsOf(task) {
  const mine = task.assignedTo === me.id;
  const changes = isOpen(task)
    ? { ...(!mine && { Take: { assignedTo: me.id } }), ...(task.status === "open" && { Start: { status: "in_progress", assignedTo: task.assignedTo ?? me.id } }),
      Done: { status: "done" }, ...(mine && { "Give back": { assignedTo: null, status: "open" } }), Cancel: { status: "cancelled" } }
    : { Reopen: { status: "open" } };
  return Object.entries(changes).map(([name, changed]) => {
    const made = button(name, ({ detail }) => detail < 2 && trying(() => change(task, changed))); // a double click could hit what moved here
    made.setAttribute("aria-label", `${name}: ${task.title}`);
    Object.assign(made.dataset, { task: task.id, change: name });
    return made;
  });
}

async function change(task, changes) {
  if (changing.has(task.id)) return; // the first press of an impatient finger counts
  changing.add(task.id);
  await changeShown(task, changes).finally(() => changing.delete(task.id));
}

async function changeShown(task, changes) { // refused if somebody has changed what is seen, also a moment ago
  const path = `/tasks/${task.id}`, before = seen(task), current = await api("GET", path);
  keep(current);
  if (seen(current) !== before) throw new Error(`“${current.title}” has been changed meanwhile. It is shown as it is now.`);
  try {
    report(current, await api("PATCH", path, changes));
  } catch (error) {
    if (error.code !== "stale") throw error;
    keep(await api("GET", path));
    throw new Error(`“${current.title}” has just been changed by somebody else. It is shown as it is now.`);
  }
}

function report(before, after) {
  keep(after);
  const whose = after.assignedTo === me.id ? "yours" : "nobody's";
  element("told").textContent = `“${after.title}” is ${after.status === before.status && isOpen(after) ? whose : inWords(after.status)}.`;
  undo = after.status !== before.status && { task: after, changes: { status: before.status, assignedTo: before.assignedTo ?? null } };
  element("undo").hidden = !undo;
}

async function create() {
  if (changing.has("new")) return;
  changing.add("new");
  await createNew().finally(() => changing.delete("new"));
}

async function createNew() {
  const key = creating ??= newId(); // the same until it has been created
  const due = element("due").value, made = await api("POST", "/tasks", {
    propertyId: element("property").value, conversationId: conversation?.conversationId, title: element("title").value, description: element("description").value,
    department: element("department").value, priority: element("priority").value, dueAt: due ? new Date(due).toISOString() : undefined,
  }, key);
  keep(made);
  if (creating === key) { // nothing else was begun meanwhile
    creating = undefined;
    element("create").reset(), element("title").focus();
    element("property").value = made.propertyId, element("department").value = made.department;
  }
  element("told").textContent = `“${made.title}” has been created${isWanted(made) ? "" : ", but is not among the tasks shown"}.`;
  undo = undefined, element("undo").hidden = true;
}

element("of").append(...DEPARTMENTS.map((each) => new Option(inWords(each), each)));
element("department").append(...DEPARTMENTS.map((each) => new Option(inWords(each), each)));
for (const id of ["which", "of", "mine"]) element(id).addEventListener("change", () => trying(load));
submitted("filters", () => trying(load));
submitted("create", () => trying(create));
element("create").addEventListener("input", () => { creating = undefined; }); // other words are another task
element("undo").addEventListener("click", () => trying(() => change(undo.task, undo.changes)));
setInterval(() => me && token && show(), 20000); // what was in time becomes overdue
if (token) connection.open();
