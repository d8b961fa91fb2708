// What pages gain where scripts run: relative times that stay true, keys, copying, and parts that follow the truth.
// Everything can be read and done without it.
"use strict";

const clock = { ours: Number(document.body.dataset.now), seen: performance.now() };
const own = () => clock.ours + (performance.now() - clock.seen) / 1000;

// On a narrow window the menu scrolls: the page one is on is in sight.
document.querySelector("header nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- Times ----------------------------------------------------------------------------------------------------------

function age(seconds) {
  const ago = Math.abs(seconds);
  const unit = [[86400, "d"], [3600, "h"], [60, "min"]].find(([size]) => ago >= 2 * size);
  const text = unit ? `${Math.round(ago / unit[0])} ${unit[1]}` : `${Math.round(ago)} s`;
  return seconds < -1 ? `in ${text}` : `${text} ago`;
}

function tell(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([data-fixed])")) {
    const text = age(own() - Date.parse(time.dateTime) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
  for (const button of root.querySelectorAll("[data-copy][hidden], [data-keys][hidden]")) button.hidden = false;
}

// --- Following --------------------------------------------------------------------------------------------------------

const waiting = new Map();
const notice = document.getElementById("connection");
let heard = performance.now();

function say(words) {
  if (words && notice.textContent !== words) notice.textContent = words;
  notice.hidden = !words;
}

const busy = (part) => {
  const chosen = document.getSelection();
  const marked = chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode);
  return marked || part.querySelector("input:focus, textarea:focus, select:focus, details[open] form");
};

function show(name, html) {
  const part = document.getElementById(name);
  if (!part) return waiting.delete(name);
  if (busy(part)) return waiting.set(name, html);
  waiting.delete(name);
  const fresh = document.createElement("template");
  fresh.innerHTML = `<!--live:${name}-->${html}<!--/live-->`;
  tell(fresh.content);
  for (const kept of part.querySelectorAll("details[open][id], input:checked[id]")) {
    // What a person opened or chose stays so.
    const same = fresh.content.getElementById(kept.id);
    if (same) same[kept.tagName === "DETAILS" ? "open" : "checked"] = true;
  }
  if (fresh.innerHTML === part.innerHTML) return;
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const again = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href"));
  const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  part.replaceChildren(fresh.content);
  [...part.querySelectorAll(".scroll")].forEach((box, n) => { box.scrollLeft = scrolled[n] ?? 0; });
  if (!again) return;
  const same = again.startsWith("#") ? part.querySelector(again) : part.querySelector(`a[href="${CSS.escape(again)}"]`);
  if (same) same.focus({ preventScroll: true });
}

function follow() {
  const source = new EventSource(location.pathname + location.search);
  const at = new Date(own() * 1000).toISOString();
  let last = at.slice(11, 19) + " UTC";
  source.addEventListener("part", (event) => {
    const { id, html } = JSON.parse(event.data);
    show(id, html);
  });
  source.addEventListener("tick", (event) => {
    clock.ours = JSON.parse(event.data).now;
    clock.seen = heard = performance.now();
    last = new Date(clock.ours * 1000).toISOString().slice(11, 19) + " UTC";
    say("");
    for (const [id, html] of waiting) show(id, html);
    tell(document);
  });
  source.addEventListener("away", () => {
    heard = performance.now();
    say(`The database does not answer. What you see is from ${last}; this page goes on by itself.`);
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) {
      say(`This page is not followed any more; what you see is from ${last}. Reload it.`);
    }
  };
  setInterval(() => {
    if (performance.now() - heard > 6000 && notice.hidden) {
      say(`The service does not answer. What you see is from ${last}; this page goes on by itself.`);
    }
  }, 1000);
}

// --- Keys and copying -------------------------------------------------------------------------------------------------

function move(step) {
  const links = [...document.querySelectorAll("[data-row]")].map((row) => row.querySelector("a")).filter(Boolean);
  if (!links.length) return;
  const here = links.findIndex((link) => link.closest("[data-row]").contains(document.activeElement));
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, here + step));
  links[next].focus();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select");
  if (event.key === "Escape" && event.target.id === "q") return event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const acts = {
    "/": () => document.getElementById("q").select(),
    "?": () => document.getElementById("keys").showModal(),
    j: () => move(1),
    k: () => move(-1),
  };
  if (!(event.key in acts)) return;
  event.preventDefault();
  acts[event.key]();
});

document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-keys]")) document.getElementById("keys").showModal();
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      button.classList.remove("done");
      button.setAttribute("aria-label", `Copy ${button.dataset.copy}`);
    }, 1500);
  } catch {
    // Without leave to write the clipboard the text beside the button can still be marked.
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
  }
});

// The time slider asks as soon as it rests; without scripts its button does.
const slider = document.querySelector("[data-slider]");
if (slider) {
  slider.addEventListener("input", () => {
    slider.form.querySelector("output").textContent = `${new Date(slider.value * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  });
  slider.addEventListener("change", () => slider.form.requestSubmit());
}

tell(document);
if (document.body.dataset.follow === undefined) setInterval(() => tell(document), 1000);
else follow();
