// What the pages for staff share: signing in, calls of the API, and what goes wrong in words.
const colleagues = new Map(); // everybody who works at one of the person's properties, by id
const etags = {}; // by path, the version that was read last
const connection = new Connection("/ws", { opened: () => connection.send("auth", { token }), received: (frame) => receive(frame).catch(complain), ended: lost });
let token = sessionStorage.getItem("token"), me;

const tell = (text) => { element("alert").textContent = text; };
const trying = (action) => { tell(""); return Promise.resolve().then(action).catch(complain); };
const complain = (error) => tell(error.message.replace(/[\da-f-]{36}/g, (id) => nameOfStaff(id) ?? id).replace(/(conversation) '?[a-z2-7]{26}-[\da-f]{8}'?/g, "$1")); // names for ids, as in "… holds it"
const nameOfStaff = (id) => colleagues.get(id)?.name;
const working = (propertyId) => [...colleagues.values()].filter((each) => !each.disabled && each.properties.includes(propertyId));

async function api(method, path, body, key) {
  const form = body instanceof FormData, match = method === "PATCH" && etags[path];
  const headers = { Authorization: `Bearer ${token}`, ...(!form && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }), ...(match && { "If-Match": match }) };
  const sent = { method, headers, body: form ? body : body && JSON.stringify(body), keepalive: path.endsWith("/read") }; // even if the page is left for what is read
  const answer = await fetch(`/api/v1${path}`, sent).catch(() => { throw new Error("The server cannot be reached. Check your connection and try again."); });
  if (answer.ok && method === "GET" && path.startsWith("/media/")) return answer.blob();
  const content = await answer.json().catch(() => null);
  if (method === "GET") etags[path] = answer.headers.get("ETag");
  if (answer.ok) return content;
  if (answer.status === 401 && path !== "/auth/login") signOut();
  throw Object.assign(new Error(content?.detail ?? `The server answered ${answer.status}.`), { code: content?.code, forGood: answer.status < 500 && answer.status !== 429 });
}

const insist = (action) => action().catch((error) => { // what a page cannot do without is asked for again, without another word
  if (!error.forGood) setTimeout(() => token && insist(action).catch(() => {}), 10000);
  throw error;
});

async function signIn() {
  const [send] = element("login").querySelectorAll("button");
  if (send.disabled) return; // on a slow network, people press twice
  send.disabled = true, element("status").textContent = "Signing in…";
  try {
    token = (await api("POST", "/auth/login", { email: element("email").value, password: element("password").value })).accessToken;
    sessionStorage.setItem("token", token);
    element("password").value = "";
    connection.open();
  } catch (error) {
    send.disabled = false, element("status").textContent = "";
    throw error;
  }
}

function signOut() { // each page keeps what was begun, for when a session ends in the middle of work
  sessionStorage.removeItem("token");
  token = undefined, connection.close();
  showSignedIn(false), left();
  element("status").textContent = "";
}

function showSignedIn(is) {
  for (const each of document.querySelectorAll(".inside")) each.hidden = !is;
  element("login").hidden = is, element("login").querySelector("button").disabled = false;
}

function lost({ code, reason }) {
  const over = code === 4401, refused = code === 4403;
  if (token && over) signOut(), tell("Your session has ended. Sign in again.");
  else if (token && refused) signOut(), tell(`This page cannot be used here (${reason}).`);
  else if (token) element("status").textContent = "Not connected. Trying again…";
  return token; // without one, there is nothing to reconnect for
}

function welcome(staff) { // returns whether it is somebody else than before
  const other = me && me.id !== staff.id;
  me = staff, connection.welcomed();
  showSignedIn(true);
  return other;
}

async function meet() { // everybody, because those who have left may still hold something
  const all = [];
  let cursor = "", page;
  do {
    page = await api("GET", `/staff?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    all.push(...page.items);
  } while ((cursor = page.nextCursor));
  colleagues.clear(), all.forEach((each) => colleagues.set(each.id, each));
}

element("sign-out").addEventListener("click", () => trying(async () => { await api("POST", "/auth/logout", {}); signOut(); }));
submitted("login", () => trying(signIn));
