// Optional additions to the pages: live updates, ticking times, keys, copy buttons, light and dark themes.
"use strict";
(() => {
  const every = (selector, what, within = document) => within.querySelectorAll(selector).forEach(what);
  const one = (selector) => document.querySelector(selector);

  // Pages use the clock of Redis; this clock only advances from its time.
  const clock = { server: Number(document.body.dataset.now), here: Date.now() };
  const now = () => clock.server + (Date.now() - clock.here);

  const span = (ms) => {
    const s = Math.floor(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (s < 60) return `${s} s`;
    if (m < 60) return `${m} min`;
    if (h < 24) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
    return d < 3 && h % 24 ? `${d} d ${h % 24} h` : `${d} d`;
  };
  const tick = () => every("time[data-at]", (time) => {
    const ahead = Number(time.dataset.at) - now();
    const words = Math.abs(ahead) < 1000 ? "now" : ahead > 0 ? `in ${span(ahead)}` : `${span(-ahead)} ago`;
    if (time.textContent !== words) time.textContent = words;
  });
  setInterval(tick, 1000);

  const ready = (within) => {
    every(".copy", (button) => { button.hidden = false; }, within);
    every(".keys", (keys) => { keys.hidden = false; }, within);
  };
  ready(document);

  // Live updates: changed parts are fetched again, at most once a second, except those in use.
  const live = one("#live");
  let paused = false, due = false, last = 0, timer = 0;
  const inside = (part, node) => Boolean(node) && part.contains(node);
  const busy = (part) => part.querySelector("details.pop[open]")
    || (inside(part, document.activeElement) && document.activeElement.matches("input, select, textarea"))
    || (String(getSelection()) && inside(part, getSelection().anchorNode));
  const stops = (part) => [...part.querySelectorAll("a, button, summary, [tabindex]")];
  const refresh = async () => {
    timer = 0;
    if (paused) return;
    due = false; last = performance.now();
    const parts = [...document.querySelectorAll(".live[data-live], #banner")].filter((part) => !busy(part));
    if (parts.length === 0) return;
    const held = parts.map((part) => ({
      id: part.id,
      focus: stops(part).indexOf(document.activeElement),
      open: [...part.querySelectorAll("details")].map((details) => details.open),
    }));
    const row = one("tr.at") && one("tr.at").dataset.href;
    await window.htmx.ajax("GET", location.pathname + location.search, {
      source: document.body, target: document.body, swap: "none", selectOOB: held.map(({ id }) => id).join(","),
    }).catch(() => {});
    for (const { id, focus, open } of held) {
      const part = document.getElementById(id);
      if (!part) continue;
      const details = part.querySelectorAll("details");
      if (details.length === open.length) details.forEach((each, at) => { each.open = open[at]; });
      if (focus >= 0) stops(part)[focus]?.focus({ preventScroll: true });
    }
    if (row) every("tr[data-href]", (tr) => tr.classList.toggle("at", tr.dataset.href === row));
    ready(document);
  };
  const changed = () => {
    due = true;
    if (paused || timer || document.hidden) return;
    timer = setTimeout(refresh, Math.max(0, 1000 - (performance.now() - last)));
  };
  const say = (words, lost) => {
    live.querySelector(".says").textContent = words;
    live.classList.toggle("lost", Boolean(lost));
  };
  const toggle = () => {
    paused = !paused;
    live.setAttribute("aria-pressed", String(!paused));
    say(paused ? "Paused" : "Live");
    if (!paused && due) changed();
  };
  if (live && window.EventSource) {
    live.hidden = false;
    live.addEventListener("click", toggle);
    const events = new EventSource("/api/v1/events");
    for (const name of ["message", "reset", "job", "paused", "resumed", "action", "worker"]) events.addEventListener(name, changed);
    // The first event is a reset, so changes between the page and the stream are fetched, too.
    events.onopen = () => { if (!paused) say("Live"); live.dataset.open = "true"; };
    events.onerror = () => { if (!paused) say("Reconnecting", true); };
    document.addEventListener("visibilitychange", () => { if (!document.hidden && due) changed(); });
    // Waiting times and ages change even without events.
    setInterval(changed, 30000);
  }

  // The server reads the theme from the cookie.
  const theme = one("#theme button");
  theme?.addEventListener("click", (click) => {
    click.preventDefault();
    const dark = document.documentElement.dataset.theme
      ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const next = dark ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    document.cookie = `theme=${next}; Path=/; Max-Age=31536000; SameSite=Strict`;
    theme.textContent = dark ? "Dark" : "Light";
  });
  if (theme && !document.documentElement.dataset.theme) {
    theme.textContent = matchMedia("(prefers-color-scheme: dark)").matches ? "Light" : "Dark";
  }

  document.addEventListener("click", async (click) => {
    const copy = click.target.closest?.("[data-copy]");
    if (copy) {
      // A page from another machine without TLS has no clipboard, so the text is selected instead.
      const text = copy.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(copy.dataset.copy);
        copy.textContent = "Copied";
        setTimeout(() => { copy.textContent = "Copy"; }, 1500);
      } catch { getSelection().selectAllChildren(text); }
      return;
    }
    every("details.pop[open]", (pop) => { if (!pop.contains(click.target)) pop.open = false; });
    // A click on a row follows the link of the row.
    const row = click.target.closest?.("tr[data-href]");
    if (row && !click.target.closest("a, button, summary, input, details") && !String(getSelection())) {
      location.href = row.dataset.href;
    }
  });

  const rows = () => [...document.querySelectorAll("tr[data-href], .card")];
  const move = (by) => {
    const all = rows();
    if (all.length === 0) return;
    const at = all.findIndex((row) => row.classList.contains("at"));
    const to = Math.min(Math.max(at + by, 0), all.length - 1);
    all.forEach((row, i) => row.classList.toggle("at", i === to));
    all[to].scrollIntoView({ block: "nearest" });
  };
  const target = (row) => row.dataset.href || row.querySelector("h2 a")?.getAttribute("href");
  const retry = () => {
    const row = one("tr.at, .card.at");
    const here = row ? row.querySelector("form[action$='/retry'] button") : one("#job [data-key=r], .card form[action$='/retry'] button");
    if (here) here.click();
    else if (row && target(row).startsWith("/jobs/")) location.href = target(row);
  };
  const places = { n: "/", j: "/jobs", f: "/failures", g: "/gateways", w: "/workers", a: "/audit" };
  let going = 0;
  document.addEventListener("keydown", (key) => {
    if (key.ctrlKey || key.metaKey || key.altKey) return;
    if (key.key === "Escape") every("details.pop[open]", (pop) => { pop.open = false; pop.querySelector("summary").focus(); });
    if (key.target.matches("input, select, textarea")) { if (key.key === "Escape") key.target.blur(); return; }
    if (one("dialog[open]")) return;
    if (going && performance.now() - going < 1500 && places[key.key]) { location.href = places[key.key]; return; }
    going = 0;
    const row = one("tr.at, .card.at");
    const does = {
      "/": () => { const q = one("#q"); if (q) { q.focus(); q.select(); } else location.href = "/jobs#q"; },
      j: () => move(1), k: () => move(-1), r: retry, p: () => live && !live.hidden && toggle(),
      g: () => { going = performance.now(); },
      "?": () => one("#keys").showModal(),
    };
    if (does[key.key]) { key.preventDefault(); does[key.key](); }
    else if (key.key === "Enter" && row && (key.target === document.body || key.target.id === "main")) location.href = target(row);
  });
  if (location.hash === "#q") one("#q")?.focus();
})();
