// What a page cannot do by itself: the theme, live updates, dialogs, copying, keys. Everything else works without it.
"use strict";

const root = document.documentElement;

// A visitor may not let pages keep anything: then the system's preference holds.
const memory = {
  get(name) { try { return localStorage.getItem(name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(name, value); } catch { /* not kept */ } },
};

const chosen = memory.get("theme");
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

function toggleTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  memory.set("theme", root.dataset.theme);
}

// Replaces a region by its new state, and keeps what somebody has unfolded, and where the focus is.
function refresh(region, html) {
  const openness = [...region.querySelectorAll("details")].map((details) => details.open);
  const focused = region.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && (focused.id || focused.getAttribute("href"));
  region.innerHTML = html;
  const details = region.querySelectorAll("details");
  if (details.length === openness.length) details.forEach((one, index) => { one.open = openness[index]; });
  if (key) [...region.querySelectorAll("[id], [href]")].find((one) => (one.id || one.getAttribute("href")) === key)?.focus();
}

// The server tells when a region of the page has changed. A connection that ends is made again by the browser.
function follow(region) {
  let state = ["", "Connecting"];
  const show = (...now) => {
    state = now;
    const badge = document.querySelector(".live");
    if (badge) [badge.dataset.state, badge.textContent] = now;
  };
  const busy = () => document.querySelector("dialog[open]") || region.contains(document.activeElement?.closest("textarea, input"));
  const apply = (html) => { refresh(region, html); show(...state); };
  const source = new EventSource(region.dataset.live);
  let held = null;
  source.addEventListener("open", () => show("live", "Live"));
  source.addEventListener("error", () => (source.readyState === EventSource.CLOSED ? show("lost", "Not live") : show("", "Reconnecting")));
  source.addEventListener("region", (event) => { if (busy()) held = event.data; else { held = null; apply(event.data); } });
  source.addEventListener("end", () => source.close());
  document.addEventListener("close", () => { if (held !== null) { apply(held); held = null; } }, true);
  addEventListener("pagehide", () => source.close());
}

document.addEventListener("click", async (event) => {
  const target = event.target.closest("[data-theme-toggle], [data-dialog], [data-close], [data-copy]");
  if (!target) return;
  if ("themeToggle" in target.dataset) toggleTheme();
  else if (target.dataset.dialog) document.getElementById(target.dataset.dialog)?.showModal();
  else if ("close" in target.dataset) target.closest("dialog")?.close();
  else if (target.dataset.copy) {
    await navigator.clipboard?.writeText(target.dataset.copy);
    const label = target.querySelector(".label");
    if (label) { label.textContent = "Copied"; setTimeout(() => { label.textContent = "Copy"; }, 1500); }
  }
});

// A filter that was changed is applied at once; text when Enter is pressed.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form && event.target.type !== "search") form.requestSubmit();
});

// Empty fields are left out of the address.
document.addEventListener("formdata", (event) => {
  if (event.target.method !== "get") return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

// JSON that cannot be read is said while it is typed; what it must hold, the server knows.
document.addEventListener("input", (event) => {
  if (!("json" in event.target.dataset)) return;
  let problem = "";
  try { JSON.parse(event.target.value || "null"); } catch (error) { problem = `Not JSON: ${error.message}`; }
  event.target.setCustomValidity(problem);
});

// "/" goes to the search, as everywhere.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const search = document.querySelector('input[type="search"]');
  if (search) { event.preventDefault(); search.focus(); search.select(); }
});

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-live]").forEach(follow);
  // What was done is said once: not again when the page is loaded anew.
  const here = new URL(location.href);
  if (here.searchParams.has("notice")) {
    here.searchParams.delete("notice");
    history.replaceState(null, "", here);
  }
  // Exact times in the reader's own time zone, when the pointer asks for them.
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  document.addEventListener("pointerover", (event) => {
    const time = event.target.closest?.("time[datetime]");
    if (time && !time.dataset.local) { time.title = `${format.format(new Date(time.dateTime))}\n${time.title}`; time.dataset.local = "1"; }
  });
});

// A link that is opened where another one was used already changes nothing but what stands after the number sign.
addEventListener("hashchange", () => { if (location.pathname === "/console/sign-in") location.reload(); });

// A link that signs in has its token after the number sign, where no server on the way sees it.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("[data-link-form]");
  if (!form || location.hash.length < 2) return;
  form.elements.link.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  form.hidden = false;
  document.querySelector("[data-no-link]").hidden = true;
  form.querySelector("button").focus();
});
